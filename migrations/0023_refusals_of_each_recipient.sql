-- A request_id that was refused is free again: who comes with it for somebody else, from another
-- sender or of another campaign, is another refusal, and the one before stays on record. Numbers
-- are kept masked, so those that are shown alike are one.

SET LOCAL search_path = postrider;

ALTER TABLE refusal DROP CONSTRAINT refusal_pkey,
  ADD PRIMARY KEY (tenant_id, request_id, reason, recipient, sender, campaign_id);
COMMENT ON TABLE refusal IS 'Messages that were not accepted because of a rule. A request that comes again for a recipient who is shown alike, from the same sender and of the same campaign, and is refused again, is the same row.';
COMMENT ON COLUMN audit.refusal.refused_at IS 'The first time that this request was refused for this reason, to this recipient as shown, from this sender, of this campaign.';
