-- Webhooks prove by a signature where they come from, and their paths can be changed.

SET LOCAL search_path = postrider;

ALTER TABLE tenant
  ADD COLUMN webhook_secret_file text NOT NULL DEFAULT '',
  ADD COLUMN webhook_window_s integer NOT NULL DEFAULT 0
    CONSTRAINT a_webhook_is_at_most_a_day_old CHECK (webhook_window_s BETWEEN 0 AND 86400),
  ADD COLUMN webhook_key_before text NOT NULL DEFAULT '',
  ADD COLUMN webhook_key_before_until timestamptz NOT NULL DEFAULT 'epoch',
  ADD CONSTRAINT a_webhooks_time_is_signed CHECK (webhook_window_s = 0 OR webhook_secret_file <> '');
COMMENT ON COLUMN tenant.webhook_secret_file IS 'File on the gateway with the secrets that its webhooks are signed with, one a line; empty: they are not signed.';
COMMENT ON COLUMN tenant.webhook_window_s IS 'Webhooks must say when they were signed, and that be at most so many seconds ago; 0: they need not.';
COMMENT ON COLUMN tenant.webhook_key_before IS 'The webhook_key before this one: a credential too, until webhook_key_before_until.';
COMMENT ON COLUMN tenant.webhook_key_before_until IS 'Until when webhook_key_before is taken.';
