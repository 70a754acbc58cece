-- Quotas and caps that are far from their end are counted by each session in a row of its own, so that
-- transactions that accept do not wait for one another.
SET LOCAL search_path = postrider;

ALTER TABLE quota_used ADD COLUMN writer smallint NOT NULL DEFAULT 0;
ALTER TABLE quota_used DROP CONSTRAINT quota_used_pkey, ADD PRIMARY KEY (tenant_id, day, subject, writer);

COMMENT ON TABLE quota_used IS 'Messages accepted a day, of what has a quota or a cap: the sum over writers, counted in the transaction that accepts.';
COMMENT ON COLUMN quota_used.writer IS 'The session of a gateway that counted, as in queue_depth.';
COMMENT ON COLUMN quota_used.used IS 'Messages that it accepted that day.';
