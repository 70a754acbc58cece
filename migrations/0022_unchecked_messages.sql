-- Messages that were accepted without a verdict of their tenant's compliance check, since it gave
-- none and the tenant's setup lets such messages out (compliance_check.when_unavailable: ALLOW).

SET LOCAL search_path = postrider;

ALTER TABLE message ADD COLUMN content_unchecked boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN message.content_unchecked IS 'The tenant''s compliance check gave no verdict on the text, and the tenant''s setup lets such messages out.';

-- They are rare, and asked about by themselves.
CREATE INDEX message_not_checked ON message (tenant_id, message_id) WHERE content_unchecked;

CREATE OR REPLACE VIEW audit.message WITH (security_barrier) AS
SELECT t.name AS tenant, m.message_id, m.accepted_at, m.request_id, m.conversation_id,
  audit.masked_contact(m.external_contact_id) AS external_contact_id, m.campaign_id, m.sender,
  audit.masked(m.recipient) AS recipient, (ARRAY['URGENT', 'NORMAL', 'BULK'])[m.priority] AS priority,
  (ARRAY['AT_MOST_ONCE', 'AT_LEAST_ONCE'])[m.duplicate_policy] AS duplicate_policy, m.not_before, m.expire_at,
  audit.state_name(m.state) AS state, m.final, m.updated_at, m.revision, m.attempt, audit.failure_name(m.failure) AS failure,
  m.provider_code, m.provider_message_id, m.correlation_id, m.provider_at, audit.hold_name(m.hold_reason) AS hold_reason,
  m.hold_until, m.body = '' AS text_erased, m.recipient = '' AS recipient_erased, m.answers_opt_out,
  coalesce(m.template_name, '') AS template_name, m.content_unchecked
FROM auditor_tenant g JOIN tenant t ON t.tenant_id = g.tenant_id JOIN message m ON m.tenant_id = g.tenant_id
WHERE g.role_oid = (SELECT r.oid FROM pg_roles r WHERE r.rolname = current_user);
COMMENT ON COLUMN audit.message.content_unchecked IS 'It was accepted without a verdict of the tenant''s compliance check, which gave none.';
