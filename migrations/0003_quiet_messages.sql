-- Accepted messages that nothing more is heard of are found, read and closed; reads have what a
-- credential may do beside messages.

SET LOCAL search_path = postrider;

CREATE TABLE quiet_cursor (
  tenant_id uuid PRIMARY KEY,
  passed    uuid NOT NULL
);
COMMENT ON TABLE quiet_cursor IS 'How far each tenant''s messages have been looked through for accepted ones without a final status.';
COMMENT ON COLUMN quiet_cursor.tenant_id IS 'Whose messages.';
COMMENT ON COLUMN quiet_cursor.passed IS 'The latest message_id that was looked at: each is once, when it is old enough.';

ALTER TABLE tenant ADD COLUMN requests_per_minute integer
  CONSTRAINT a_credential_makes_at_least_one_request CHECK (requests_per_minute >= 1);
COMMENT ON COLUMN tenant.requests_per_minute IS 'All requests that its credential may make a minute, reads included; null: as its rate and burst.';

COMMENT ON COLUMN reconcile_queue.next_read_at IS 'When it is looked for next: read at Genesys, where that can be.';
