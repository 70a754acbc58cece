-- Contacts: a number whose contact becomes known, contacts that are found to be one; a list of
-- opt-outs by time; and the one text that answers an opt-out.

SET LOCAL search_path = postrider;

-- Contacts -----------------------------------------------------------------------------------

ALTER TABLE conversation
  ADD COLUMN merged_into uuid,
  ADD COLUMN adopted_at timestamptz,
  ADD COLUMN place bigint NOT NULL DEFAULT 0;
COMMENT ON TABLE conversation IS 'One for each contact and sender, for ever. Of contacts that were merged all but one lead to the one that goes on.';
COMMENT ON COLUMN conversation.contact_key IS 'x: and the external contact id, or n: and the recipient''s number. A number that becomes known as a contact becomes x:.';
COMMENT ON COLUMN conversation.merged_into IS 'The conversation that it goes on in, since its contact was merged into another; null: in itself. Never one that is merged, too.';
COMMENT ON COLUMN conversation.adopted_at IS 'When the number that it began with became known as this contact; null: it began with the contact it has.';
COMMENT ON COLUMN conversation.place IS '0: the first one of its number and sender; else any other number. Two transactions cannot both begin the first.';

UPDATE conversation c SET place = (hashtextextended(c.conversation_id::text, 0) & 9223372036854775807) | 1
FROM (SELECT o.tenant_id, o.conversation_id, row_number() OVER (PARTITION BY o.tenant_id, o.recipient_key, o.sender_id
        ORDER BY o.created_at, o.conversation_id) AS nth FROM conversation o) o
WHERE o.nth > 1 AND c.tenant_id = o.tenant_id AND c.conversation_id = o.conversation_id;
-- Who knows nothing of it yet collides with nobody.
ALTER TABLE conversation ALTER COLUMN place SET DEFAULT (random() * 9007199254740991)::bigint + 1;

CREATE INDEX conversation_merged_into_another ON conversation (tenant_id, merged_into) WHERE merged_into IS NOT NULL;
DROP INDEX conversation_of_a_recipient;
ALTER TABLE conversation ADD CONSTRAINT a_number_has_one_first_conversation_a_sender
  UNIQUE (tenant_id, recipient_key, sender_id, place);

CREATE TABLE contact_merge (
  tenant_id   uuid NOT NULL,
  contact_key text NOT NULL,
  into_key    text NOT NULL,
  action_id   uuid NOT NULL,
  merged_at   timestamptz NOT NULL DEFAULT now(),
  CONSTRAINT a_contact_is_not_merged_into_itself CHECK (contact_key <> into_key)
);
COMMENT ON TABLE contact_merge IS 'Contacts that were found to be another one: what is for them goes on with that one. For ever.';
COMMENT ON COLUMN contact_merge.tenant_id IS 'Whose contacts.';
COMMENT ON COLUMN contact_merge.contact_key IS 'Which, as in conversation.';
COMMENT ON COLUMN contact_merge.into_key IS 'The contact that goes on: never one that is merged, too.';
COMMENT ON COLUMN contact_merge.action_id IS 'The operator''s action that merged it.';
COMMENT ON COLUMN contact_merge.merged_at IS 'When.';
CREATE INDEX contact_merge_of_a_survivor ON contact_merge (tenant_id, into_key);
ALTER TABLE contact_merge ADD PRIMARY KEY (tenant_id, contact_key);  -- last, as in message

-- Opt-outs -----------------------------------------------------------------------------------

ALTER TABLE suppression ADD COLUMN suppression_id uuid NOT NULL DEFAULT gen_random_uuid();
COMMENT ON COLUMN suppression.suppression_id IS 'Its place among those of the same time, in lists; says nothing of the recipient.';
ALTER TABLE suppression DROP CONSTRAINT suppression_pkey;
CREATE INDEX suppression_by_time ON suppression (tenant_id, since, suppression_id);
ALTER TABLE suppression ADD PRIMARY KEY (tenant_id, recipient_key, sender_id);  -- last, as in message

ALTER TABLE tenant ADD COLUMN opt_out_confirmation text NOT NULL DEFAULT '';
COMMENT ON COLUMN tenant.opt_out_confirmation IS 'The text that answers a recipient who opts out by a keyword, once for each opt-out; empty: none.';
ALTER TABLE message ADD COLUMN answers_opt_out boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN message.answers_opt_out IS 'It is the one answer to an opt-out, which therefore does not stop it.';
ALTER TABLE dispatch_queue ADD COLUMN answers_opt_out boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN dispatch_queue.answers_opt_out IS 'As in message.';

COMMENT ON TABLE suppression IS 'Opt-outs in force: nothing is accepted for, or leaves to, such a recipient, but the one answer to the opt-out.';

-- What auditors read -------------------------------------------------------------------------

CREATE OR REPLACE VIEW audit.conversation WITH (security_barrier) AS
SELECT t.name AS tenant, c.conversation_id, CASE left(c.contact_key, 2) WHEN 'x:' THEN 'EXTERNAL' ELSE 'NUMBER' END AS contact_kind,
  CASE left(c.contact_key, 2) WHEN 'x:' THEN audit.masked_contact(substr(c.contact_key, 3))
    ELSE audit.masked(substr(c.contact_key, 3)) END AS contact, s.address AS sender, c.created_at, c.adopted_at, c.merged_into
FROM auditor_tenant g JOIN tenant t ON t.tenant_id = g.tenant_id JOIN conversation c ON c.tenant_id = g.tenant_id
  LEFT JOIN sender s ON s.tenant_id = c.tenant_id AND s.sender_id = c.sender_id
WHERE g.role_oid = (SELECT r.oid FROM pg_roles r WHERE r.rolname = current_user);
COMMENT ON VIEW audit.conversation IS 'One for each contact and sender, for ever. Contacts that were found to be one have several, all but one of which lead to that one.';
COMMENT ON COLUMN audit.conversation.adopted_at IS 'When the number that it began with became known as this contact; null: it began with the contact it has.';
COMMENT ON COLUMN audit.conversation.merged_into IS 'The conversation that it goes on in, since an operator merged its contact into another (MERGE_CONTACTS in audit.operator_action); null: in itself.';

CREATE OR REPLACE VIEW audit.message WITH (security_barrier) AS
SELECT t.name AS tenant, m.message_id, m.accepted_at, m.request_id, m.conversation_id,
  audit.masked_contact(m.external_contact_id) AS external_contact_id, m.campaign_id, m.sender,
  audit.masked(m.recipient) AS recipient, (ARRAY['URGENT', 'NORMAL', 'BULK'])[m.priority] AS priority,
  (ARRAY['AT_MOST_ONCE', 'AT_LEAST_ONCE'])[m.duplicate_policy] AS duplicate_policy, m.not_before, m.expire_at,
  audit.state_name(m.state) AS state, m.final, m.updated_at, m.revision, m.attempt, audit.failure_name(m.failure) AS failure,
  m.provider_code, m.provider_message_id, m.correlation_id, m.provider_at, audit.hold_name(m.hold_reason) AS hold_reason,
  m.hold_until, m.body = '' AS text_erased, m.recipient = '' AS recipient_erased, m.answers_opt_out
FROM auditor_tenant g JOIN tenant t ON t.tenant_id = g.tenant_id JOIN message m ON m.tenant_id = g.tenant_id
WHERE g.role_oid = (SELECT r.oid FROM pg_roles r WHERE r.rolname = current_user);
COMMENT ON COLUMN audit.message.answers_opt_out IS 'It is the one answer to an opt-out by a keyword, the only message that an opt-out does not stop; its request_id names the text that opted out.';
COMMENT ON VIEW audit.opt_out IS 'Opt-outs in force: who gets nothing, but the one answer to the opt-out (audit.message.answers_opt_out).';
