-- Quiet hours: when a tenant's marketing may leave, besides what the law says.

SET LOCAL search_path = postrider;

ALTER TABLE tenant
  ADD COLUMN default_class smallint NOT NULL DEFAULT 1
    CONSTRAINT a_message_is_transactional_marketing_or_a_one_time_code CHECK (default_class BETWEEN 1 AND 3),
  ADD COLUMN quiet_hours boolean NOT NULL DEFAULT true,
  ADD COLUMN quiet_from_min smallint
    CONSTRAINT quiet_hours_begin_within_a_day CHECK (quiet_from_min BETWEEN 0 AND 1439),
  ADD COLUMN quiet_to_min smallint
    CONSTRAINT quiet_hours_end_within_a_day CHECK (quiet_to_min BETWEEN 0 AND 1440),
  ADD COLUMN quiet_zone text NOT NULL DEFAULT '',
  ADD CONSTRAINT quiet_hours_begin_and_end CHECK ((quiet_from_min IS NULL) = (quiet_to_min IS NULL));
COMMENT ON COLUMN tenant.default_class IS 'CampaignClass of messages whose campaign has none: 1 transactional, 2 marketing, 3 one-time codes. Quiet hours bind marketing.';
COMMENT ON COLUMN tenant.quiet_hours IS 'False: nothing waits for quiet hours, not even for the law''s.';
COMMENT ON COLUMN tenant.quiet_from_min IS 'Its own quiet hours begin so many minutes after the recipient''s midnight; null: the law''s only.';
COMMENT ON COLUMN tenant.quiet_to_min IS 'Up to when they last, without it; before quiet_from_min: over midnight.';
COMMENT ON COLUMN tenant.quiet_zone IS 'IANA time zone of recipients of whom none is known; empty: UTC.';

CREATE OR REPLACE FUNCTION audit.hold_name(hold smallint) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN (ARRAY['NONE', 'SCHEDULE', 'BACKOFF', 'RETRY_AFTER', 'QUOTA', 'TENANT_STOPPED', 'ACTIVE_CONVERSATION',
  'QUIET_HOURS'])[hold + 1];
