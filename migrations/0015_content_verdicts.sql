-- A tenant's texts may be checked by somebody else before they are accepted: where, how often, and
-- what was said of which text.

SET LOCAL search_path = postrider;

CREATE TABLE compliance_check (
  tenant_id        uuid NOT NULL,
  url              text NOT NULL,
  expire_after_s   integer NOT NULL CONSTRAINT verdicts_expire_after_a_minute_to_thirty_days CHECK (expire_after_s BETWEEN 60 AND 2592000),
  per_minute       integer NOT NULL CONSTRAINT checks_are_one_to_300_a_minute CHECK (per_minute BETWEEN 1 AND 300),
  when_unavailable smallint NOT NULL CONSTRAINT without_a_verdict_a_message_is_refused_or_allowed CHECK (when_unavailable BETWEEN 1 AND 2),
  changed_at       timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (tenant_id)
);
COMMENT ON TABLE compliance_check IS 'Where a tenant''s texts are checked before they are accepted; a tenant without a row: nowhere.';
COMMENT ON COLUMN compliance_check.tenant_id IS 'Whose.';
COMMENT ON COLUMN compliance_check.url IS 'Who is asked.';
COMMENT ON COLUMN compliance_check.expire_after_s IS 'How long a verdict is good for.';
COMMENT ON COLUMN compliance_check.per_minute IS 'How many questions are asked a minute, UTC, by all replicas together.';
COMMENT ON COLUMN compliance_check.when_unavailable IS 'What becomes of a message without a verdict: 1 it is refused, 2 it is accepted.';
COMMENT ON COLUMN compliance_check.changed_at IS 'When it was set.';

CREATE TABLE compliance_asked (
  tenant_id uuid NOT NULL,
  minute    bigint NOT NULL,
  asked     integer NOT NULL,
  PRIMARY KEY (tenant_id)
) WITH (fillfactor = 50);
COMMENT ON TABLE compliance_asked IS 'Questions that were asked in the last minute with any: counted under the row''s lock, before each is asked.';
COMMENT ON COLUMN compliance_asked.tenant_id IS 'Whose.';
COMMENT ON COLUMN compliance_asked.minute IS 'Which, in minutes since the epoch.';
COMMENT ON COLUMN compliance_asked.asked IS 'How many, those without an answer included.';

CREATE TABLE content_approval (
  tenant_id        uuid NOT NULL,
  campaign_id      text NOT NULL,
  campaign_version bytea NOT NULL,
  fingerprint      bytea NOT NULL,
  approved         boolean NOT NULL,
  violations       jsonb NOT NULL,
  checked_at       timestamptz NOT NULL DEFAULT now(),
  expires_at       timestamptz NOT NULL,
  PRIMARY KEY (tenant_id, campaign_id, campaign_version, fingerprint),
  CONSTRAINT a_verdict_expires_after_it_was_given CHECK (expires_at > checked_at),
  CONSTRAINT an_approval_has_no_violations CHECK (NOT approved OR violations = '{}')
);
COMMENT ON TABLE content_approval IS 'What the compliance check said of texts, until it is to be asked again. Rows go when they have expired.';
COMMENT ON COLUMN content_approval.tenant_id IS 'Whose.';
COMMENT ON COLUMN content_approval.campaign_id IS 'As messages name it; empty: of messages without one.';
COMMENT ON COLUMN content_approval.campaign_version IS 'Hash of the campaign, the templates that it names, and who was asked, as they were then.';
COMMENT ON COLUMN content_approval.fingerprint IS 'Of an approved text by template, the template with the hosts of the text''s links; else the text without its numbers and with its links as hosts. Hashed.';
COMMENT ON COLUMN content_approval.approved IS 'False: such texts are refused.';
COMMENT ON COLUMN content_approval.violations IS 'When not approved: the rules, each with why, in the check''s words, which may quote the text.';
COMMENT ON COLUMN content_approval.checked_at IS 'When it was asked.';
COMMENT ON COLUMN content_approval.expires_at IS 'Until when the verdict is good.';
CREATE INDEX content_approval_by_expiry ON content_approval (expires_at);

CREATE VIEW audit.content_verdict WITH (security_barrier) AS
SELECT t.name AS tenant, v.campaign_id, encode(v.campaign_version, 'hex') AS campaign_version, encode(v.fingerprint, 'hex') AS fingerprint,
  v.approved, ARRAY(SELECT k.rule FROM jsonb_object_keys(v.violations) AS k(rule) ORDER BY k.rule) AS rules, v.checked_at, v.expires_at
FROM auditor_tenant g JOIN tenant t ON t.tenant_id = g.tenant_id JOIN content_approval v ON v.tenant_id = g.tenant_id
WHERE g.role_oid = (SELECT r.oid FROM pg_roles r WHERE r.rolname = current_user);
COMMENT ON VIEW audit.content_verdict IS 'What the tenant''s compliance check said of texts, as long as it is good for.';
COMMENT ON COLUMN audit.content_verdict.tenant IS 'Whose.';
COMMENT ON COLUMN audit.content_verdict.campaign_id IS 'As messages name it; empty: of messages without one.';
COMMENT ON COLUMN audit.content_verdict.campaign_version IS 'Hash of the campaign, the templates that it names, and who was asked, as they were then.';
COMMENT ON COLUMN audit.content_verdict.fingerprint IS 'Hash of the template, or of the text without its numbers and with its links as hosts.';
COMMENT ON COLUMN audit.content_verdict.approved IS 'False: such texts are refused.';
COMMENT ON COLUMN audit.content_verdict.rules IS 'When not approved: the rules that the text breaks.';
COMMENT ON COLUMN audit.content_verdict.checked_at IS 'When the check was asked.';
COMMENT ON COLUMN audit.content_verdict.expires_at IS 'Until when the verdict is good.';
