-- A request_id that was refused is free again: who comes with it for somebody else, from another
-- sender or of another campaign, is another refusal, and the one before stays on record.

SET LOCAL search_path = postrider;

ALTER TABLE refusal DROP CONSTRAINT refusal_pkey,
  ADD PRIMARY KEY (tenant_id, request_id, reason, recipient, sender, campaign_id);
COMMENT ON TABLE refusal IS 'Messages that were not accepted because of a rule. A request that comes again for the same recipient, sender and campaign, and is refused again, is the same row.';
