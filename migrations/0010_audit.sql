-- What auditors read with psql: schema audit, of the tenants that they were granted. And counts of
-- sends that are kept while messages are accepted and end, so that nobody has to count messages.
--
-- Every view filters by the role that asks (current_user) and is a security barrier: nothing of a
-- query is evaluated over another tenant's row. Numbers are masked, texts and metadata are left
-- out. Functions here name, mask and convert; there is none in schema postrider.

SET LOCAL search_path = postrider;

-- Who may audit whom -------------------------------------------------------------------------

CREATE TABLE auditor_tenant (
  tenant_id  uuid NOT NULL REFERENCES tenant,
  role_oid   oid NOT NULL,
  role_name  text NOT NULL,
  granted_at timestamptz NOT NULL DEFAULT now(),
  granted_by text NOT NULL,
  PRIMARY KEY (tenant_id, role_oid)
);
COMMENT ON TABLE auditor_tenant IS 'Which tenants a database role sees in schema audit. Set by `postriderd audit`.';
COMMENT ON COLUMN auditor_tenant.tenant_id IS 'Whose record it may read.';
COMMENT ON COLUMN auditor_tenant.role_oid IS 'The role, by its oid in pg_roles: another one that gets its name later sees nothing.';
COMMENT ON COLUMN auditor_tenant.role_name IS 'Its name when it was granted, for people.';
COMMENT ON COLUMN auditor_tenant.granted_at IS 'When it was granted.';
COMMENT ON COLUMN auditor_tenant.granted_by IS 'The database user who granted it.';

COMMENT ON COLUMN operator_action.actor IS 'Name of the operator''s token; of `postriderd audit` the database user.';
COMMENT ON COLUMN operator_action.action IS 'PAUSE, RESUME, OVERRIDE_BREAKER, REPLAY, REPLAY_DEAD_LETTERS, UNMASK_DEAD_LETTER, GRANT_AUDITOR, REVOKE_AUDITOR ...';
COMMENT ON COLUMN operator_action.target IS 'Of what: a campaign, a sender, a breaker, a message, dead letters, an auditor.';

-- Counts of sends ----------------------------------------------------------------------------

CREATE TABLE send_count (
  tenant_id   uuid NOT NULL,
  day         date NOT NULL,
  campaign_id text NOT NULL,
  state       smallint NOT NULL CONSTRAINT a_count_is_of_accepted_or_of_a_state_at_rest CHECK (state = 0 OR state BETWEEN 4 AND 12),
  writer      smallint NOT NULL,
  messages    bigint NOT NULL,
  PRIMARY KEY (tenant_id, day, campaign_id, state, writer)
) WITH (fillfactor = 50);
COMMENT ON TABLE send_count IS 'Messages by the day that they were accepted and by how they stand: the sum over writers is exact, since it changes in the transaction of the change.';
COMMENT ON COLUMN send_count.tenant_id IS 'Whose.';
COMMENT ON COLUMN send_count.day IS 'Of message.accepted_at, UTC.';
COMMENT ON COLUMN send_count.campaign_id IS 'As in message.';
COMMENT ON COLUMN send_count.state IS '0: all that were accepted. Else those that are final in this state, as in message; what is on its way again by a replay is in none.';
COMMENT ON COLUMN send_count.writer IS 'Which database session counted; spreads the contention.';
COMMENT ON COLUMN send_count.messages IS 'Added minus removed by this writer; may be negative.';

INSERT INTO send_count (tenant_id, day, campaign_id, state, writer, messages)
SELECT m.tenant_id, (m.accepted_at AT TIME ZONE 'UTC')::date, m.campaign_id, s.state, 0, count(*)
FROM message m, LATERAL (VALUES (0::smallint), (CASE WHEN m.final AND m.state > 3 THEN m.state END)) AS s(state)
WHERE s.state IS NOT NULL GROUP BY 1, 2, 3, 4;

-- Names, masks, times ------------------------------------------------------------------------

CREATE SCHEMA IF NOT EXISTS audit;
COMMENT ON SCHEMA audit IS 'What auditors read: views of the tenants that their role was granted, with numbers masked and without texts.';

CREATE OR REPLACE FUNCTION audit.state_name(state smallint) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN (ARRAY['QUEUED', 'DISPATCHING', 'UNKNOWN', 'UNDETERMINED', 'SUBMITTED', 'SENT', 'DELIVERED', 'FAILED',
  'REJECTED', 'CANCELLED', 'EXPIRED', 'SUPPRESSED'])[state];
COMMENT ON FUNCTION audit.state_name IS 'Where a message is, by the number that is stored.';

CREATE OR REPLACE FUNCTION audit.cause_name(cause smallint) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN (ARRAY['ACCEPTED', 'INTENDED', 'POST_ANSWERED', 'NOT_SENT', 'RECEIPT', 'CANCEL_REQUESTED', 'EXPIRY_PASSED',
  'OPTED_OUT', 'OWNER_DIED', 'WINDOW_CLOSED', 'READ_ANSWERED', 'SENT_AGAIN', 'REPLAYED'])[cause];
COMMENT ON FUNCTION audit.cause_name IS 'What made a change, by the number that is stored.';

CREATE OR REPLACE FUNCTION audit.failure_name(failure smallint) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN (ARRAY['NONE', 'REJECTED_BY_PROVIDER', 'NOT_AUTHORIZED', 'CARRIER_REJECTED', 'INVALID_NUMBER',
  'RECIPIENT_OPTED_OUT', 'UNREACHABLE', 'CONTENT', 'TOO_FAST', 'EXPIRED', 'UNDETERMINED', 'OTHER'])[failure + 1];
COMMENT ON FUNCTION audit.failure_name IS 'Why a message did not get there, by the number that is stored.';

CREATE OR REPLACE FUNCTION audit.hold_name(hold smallint) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN (ARRAY['NONE', 'SCHEDULE', 'BACKOFF', 'RETRY_AFTER', 'QUOTA', 'TENANT_STOPPED', 'ACTIVE_CONVERSATION'])[hold + 1];
COMMENT ON FUNCTION audit.hold_name IS 'Why a queued message waits, by the number that is stored.';

CREATE OR REPLACE FUNCTION audit.outcome_name(outcome smallint) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN (ARRAY['ACCEPTED', 'NOT_SENT', 'REJECTED', 'HELD', 'UNKNOWN', 'TAKEN_BACK'])[outcome];
COMMENT ON FUNCTION audit.outcome_name IS 'How a POST ended, by the number that is stored.';

CREATE OR REPLACE FUNCTION audit.keyword_name(keyword smallint) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN (ARRAY['NONE', 'OPT_OUT', 'OPT_IN', 'HELP'])[keyword + 1];
COMMENT ON FUNCTION audit.keyword_name IS 'What a text that came in asks for by a word, by the number that is stored.';

CREATE OR REPLACE FUNCTION audit.consent_change_name(change smallint) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN (ARRAY['OPT_OUT', 'OPT_IN'])[change];
COMMENT ON FUNCTION audit.consent_change_name IS 'What a recipient said about texts to them, by the number that is stored.';

CREATE OR REPLACE FUNCTION audit.consent_source_name(source smallint) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN (ARRAY['KEYWORD', 'RECEIPT', 'RECORDED'])[source];
COMMENT ON FUNCTION audit.consent_source_name IS 'How it came, by the number that is stored.';

CREATE OR REPLACE FUNCTION audit.breaker_name(breaker smallint) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN (ARRAY['TRANSPORT', 'CARRIER'])[breaker];
COMMENT ON FUNCTION audit.breaker_name IS 'Which circuit breaker, by the number that is stored.';

CREATE OR REPLACE FUNCTION audit.breaker_state_name(state smallint) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN (ARRAY['CLOSED', 'OPEN', 'HALF_OPEN'])[state];
COMMENT ON FUNCTION audit.breaker_state_name IS 'How a circuit breaker stands, by the number that is stored.';

CREATE OR REPLACE FUNCTION audit.masked(number text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN regexp_replace(number, '[^+](?=..)', '*', 'g');
COMMENT ON FUNCTION audit.masked IS 'A number with its last two digits only, as logs and the API show it.';

-- Some callers name their contacts by number.
CREATE OR REPLACE FUNCTION audit.masked_contact(contact text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN contact ~ '^[+]?[0-9]{7,}$' THEN regexp_replace(contact, '[^+](?=..)', '*', 'g') ELSE contact END;
COMMENT ON FUNCTION audit.masked_contact IS 'A caller''s id of a contact; masked when it reads as a number.';

CREATE OR REPLACE FUNCTION audit.least_id(since timestamptz) RETURNS uuid LANGUAGE sql STABLE PARALLEL SAFE
RETURN (lpad(to_hex(floor(extract(epoch FROM since) * 1000)::bigint), 12, '0') || '70008000000000000000')::uuid;
COMMENT ON FUNCTION audit.least_id IS 'The least id that is made from a time on: ids of messages, webhooks and actions begin with their time, so `message_id >= audit.least_id(now() - interval ''1 day'')` reads no older ones.';

CREATE OR REPLACE FUNCTION audit.time_of(id uuid) RETURNS timestamptz LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN to_timestamp((('x' || lpad(replace(left(id::text, 13), '-', ''), 16, '0'))::bit(64)::bigint / 1000.0)::double precision);
COMMENT ON FUNCTION audit.time_of IS 'When an id was made, to the millisecond.';

-- Views --------------------------------------------------------------------------------------

CREATE VIEW audit.tenant WITH (security_barrier) AS
SELECT t.name AS tenant, t.tenant_id, t.profile, t.rate_per_s, t.keep_texts_days, t.keep_numbers_days, g.granted_at, g.granted_by
FROM auditor_tenant g JOIN tenant t ON t.tenant_id = g.tenant_id WHERE g.role_oid = (SELECT r.oid FROM pg_roles r WHERE r.rolname = current_user);
COMMENT ON VIEW audit.tenant IS 'The tenants that you may audit.';
COMMENT ON COLUMN audit.tenant.tenant IS 'Its name: the same in every view.';
COMMENT ON COLUMN audit.tenant.tenant_id IS 'Its id.';
COMMENT ON COLUMN audit.tenant.profile IS 'Which contract Genesys speaks with it: guide or platform.';
COMMENT ON COLUMN audit.tenant.rate_per_s IS 'Its licensed requests per second.';
COMMENT ON COLUMN audit.tenant.keep_texts_days IS 'Texts of its messages are erased after so many days; null: with the message.';
COMMENT ON COLUMN audit.tenant.keep_numbers_days IS 'The same of recipients'' numbers.';
COMMENT ON COLUMN audit.tenant.granted_at IS 'Since when you may.';
COMMENT ON COLUMN audit.tenant.granted_by IS 'The database user who granted it.';

CREATE VIEW audit.message WITH (security_barrier) AS
SELECT t.name AS tenant, m.message_id, m.accepted_at, m.request_id, m.conversation_id,
  audit.masked_contact(m.external_contact_id) AS external_contact_id, m.campaign_id, m.sender,
  audit.masked(m.recipient) AS recipient, (ARRAY['URGENT', 'NORMAL', 'BULK'])[m.priority] AS priority,
  (ARRAY['AT_MOST_ONCE', 'AT_LEAST_ONCE'])[m.duplicate_policy] AS duplicate_policy, m.not_before, m.expire_at,
  audit.state_name(m.state) AS state, m.final, m.updated_at, m.revision, m.attempt, audit.failure_name(m.failure) AS failure,
  m.provider_code, m.provider_message_id, m.correlation_id, m.provider_at, audit.hold_name(m.hold_reason) AS hold_reason,
  m.hold_until, m.body = '' AS text_erased, m.recipient = '' AS recipient_erased
FROM auditor_tenant g JOIN tenant t ON t.tenant_id = g.tenant_id JOIN message m ON m.tenant_id = g.tenant_id
WHERE g.role_oid = (SELECT r.oid FROM pg_roles r WHERE r.rolname = current_user);
COMMENT ON VIEW audit.message IS 'Every accepted message that is kept, as it stands now. By message_id, conversation_id or campaign_id it is found by index; by time with `message_id >= audit.least_id(TIME)`.';
COMMENT ON COLUMN audit.message.tenant IS 'Whose.';
COMMENT ON COLUMN audit.message.message_id IS 'Postrider''s id; begins with the time that it was accepted.';
COMMENT ON COLUMN audit.message.accepted_at IS 'When it was accepted.';
COMMENT ON COLUMN audit.message.request_id IS 'The caller''s idempotency key.';
COMMENT ON COLUMN audit.message.conversation_id IS 'The conversation it belongs to.';
COMMENT ON COLUMN audit.message.external_contact_id IS 'The caller''s id of the contact, masked when it reads as a number; empty when not given.';
COMMENT ON COLUMN audit.message.campaign_id IS 'As the caller gave it; empty when not.';
COMMENT ON COLUMN audit.message.sender IS 'The tenant''s number or name that it is from.';
COMMENT ON COLUMN audit.message.recipient IS 'Masked; empty when it was erased.';
COMMENT ON COLUMN audit.message.priority IS 'URGENT, NORMAL or BULK.';
COMMENT ON COLUMN audit.message.duplicate_policy IS 'AT_MOST_ONCE or AT_LEAST_ONCE.';
COMMENT ON COLUMN audit.message.not_before IS 'Does not leave before; null: at once.';
COMMENT ON COLUMN audit.message.expire_at IS 'Does not leave after; null: never expires.';
COMMENT ON COLUMN audit.message.state IS 'QUEUED, DISPATCHING, UNKNOWN, UNDETERMINED, SUBMITTED, SENT, DELIVERED, FAILED, REJECTED, CANCELLED, EXPIRED or SUPPRESSED.';
COMMENT ON COLUMN audit.message.final IS 'No further change is expected.';
COMMENT ON COLUMN audit.message.updated_at IS 'When its row last changed.';
COMMENT ON COLUMN audit.message.revision IS 'Number of its changes.';
COMMENT ON COLUMN audit.message.attempt IS 'The attempt that the state is of, from 1.';
COMMENT ON COLUMN audit.message.failure IS 'Why it did not get there; NONE.';
COMMENT ON COLUMN audit.message.provider_code IS 'Genesys'' or the carrier''s code, verbatim; empty when none.';
COMMENT ON COLUMN audit.message.provider_message_id IS 'Genesys'' id; empty until known.';
COMMENT ON COLUMN audit.message.correlation_id IS 'Genesys'' correlation id of the latest POST; empty when none.';
COMMENT ON COLUMN audit.message.provider_at IS 'Genesys'' time of the receipt in force; null when none.';
COMMENT ON COLUMN audit.message.hold_reason IS 'What a queued message waits for; NONE.';
COMMENT ON COLUMN audit.message.hold_until IS 'Until when it is held; null when it is not.';
COMMENT ON COLUMN audit.message.text_erased IS 'Its text is not kept any more.';
COMMENT ON COLUMN audit.message.recipient_erased IS 'Its recipient''s number is not kept any more.';

CREATE VIEW audit.request WITH (security_barrier) AS
SELECT t.name AS tenant, k.request_id, k.message_id, k.created_at
FROM auditor_tenant g JOIN tenant t ON t.tenant_id = g.tenant_id JOIN request_key k ON k.tenant_id = g.tenant_id
WHERE g.role_oid = (SELECT r.oid FROM pg_roles r WHERE r.rolname = current_user);
COMMENT ON VIEW audit.request IS 'The message of each idempotency key, as long as keys are kept: 30 days. Ask by request_id.';
COMMENT ON COLUMN audit.request.tenant IS 'Whose key.';
COMMENT ON COLUMN audit.request.request_id IS 'The caller''s key.';
COMMENT ON COLUMN audit.request.message_id IS 'The message that it made.';
COMMENT ON COLUMN audit.request.created_at IS 'When it was first used.';

CREATE VIEW audit.message_event WITH (security_barrier) AS
SELECT t.name AS tenant, e.message_id, e.revision, e.at, audit.state_name(e.previous) AS previous,
  audit.state_name(e.state) AS state, audit.cause_name(e.cause) AS cause, e.attempt, e.final, e.correction,
  audit.failure_name(e.failure) AS failure, e.provider_code, e.correlation_id, e.provider_at,
  audit.hold_name(e.hold_reason) AS hold_reason, e.hold_until, e.conversation_id, e.campaign_id
FROM auditor_tenant g JOIN tenant t ON t.tenant_id = g.tenant_id JOIN status_event e ON e.tenant_id = g.tenant_id
WHERE g.role_oid = (SELECT r.oid FROM pg_roles r WHERE r.rolname = current_user);
COMMENT ON VIEW audit.message_event IS 'Every change of every message, from its acceptance on. Ask by message_id.';
COMMENT ON COLUMN audit.message_event.tenant IS 'Whose.';
COMMENT ON COLUMN audit.message_event.message_id IS 'The message.';
COMMENT ON COLUMN audit.message_event.revision IS '1, 2, 3 ... of the message, without gaps.';
COMMENT ON COLUMN audit.message_event.at IS 'When it was recorded.';
COMMENT ON COLUMN audit.message_event.previous IS 'The state before; of the first change its own.';
COMMENT ON COLUMN audit.message_event.state IS 'The state after, as in audit.message.';
COMMENT ON COLUMN audit.message_event.cause IS 'What made the change: ACCEPTED, INTENDED, POST_ANSWERED, NOT_SENT, RECEIPT, CANCEL_REQUESTED, EXPIRY_PASSED, OPTED_OUT, OWNER_DIED, WINDOW_CLOSED, READ_ANSWERED, SENT_AGAIN or REPLAYED.';
COMMENT ON COLUMN audit.message_event.attempt IS 'The attempt that the state is of.';
COMMENT ON COLUMN audit.message_event.final IS 'No further change was expected.';
COMMENT ON COLUMN audit.message_event.correction IS 'A final state was replaced by a better informed one.';
COMMENT ON COLUMN audit.message_event.failure IS 'Why it did not get there; NONE.';
COMMENT ON COLUMN audit.message_event.provider_code IS 'Genesys'' or the carrier''s code, verbatim.';
COMMENT ON COLUMN audit.message_event.correlation_id IS 'Genesys'' correlation id.';
COMMENT ON COLUMN audit.message_event.provider_at IS 'Genesys'' time of the receipt; null when none.';
COMMENT ON COLUMN audit.message_event.hold_reason IS 'What it then waited for; NONE.';
COMMENT ON COLUMN audit.message_event.hold_until IS 'Until when; null when it did not wait.';
COMMENT ON COLUMN audit.message_event.conversation_id IS 'As in audit.message.';
COMMENT ON COLUMN audit.message_event.campaign_id IS 'As in audit.message.';

CREATE VIEW audit.attempt WITH (security_barrier) AS
SELECT t.name AS tenant, a.message_id, a.attempt, a.intended_at, a.outcome_at, audit.outcome_name(a.outcome) AS outcome,
  a.http_status, a.provider_code, a.provider_message_id, a.correlation_id, a.detail, a.replica_id, a.epoch,
  a.left_before_opt_out, audit.state_name(a.state) AS state, audit.failure_name(a.failure) AS failure, a.receipt_code, a.provider_at
FROM auditor_tenant g JOIN tenant t ON t.tenant_id = g.tenant_id JOIN attempt a ON a.tenant_id = g.tenant_id
WHERE g.role_oid = (SELECT r.oid FROM pg_roles r WHERE r.rolname = current_user);
COMMENT ON VIEW audit.attempt IS 'Every POST to Genesys, on record before it left. Ask by message_id, exactly or from a time on.';
COMMENT ON COLUMN audit.attempt.tenant IS 'Whose.';
COMMENT ON COLUMN audit.attempt.message_id IS 'The message.';
COMMENT ON COLUMN audit.attempt.attempt IS '1, 2, 3 ... of the message.';
COMMENT ON COLUMN audit.attempt.intended_at IS 'When the intent was recorded: nothing left before.';
COMMENT ON COLUMN audit.attempt.outcome_at IS 'When its outcome was recorded; null while it is open.';
COMMENT ON COLUMN audit.attempt.outcome IS 'ACCEPTED, NOT_SENT, REJECTED, HELD, UNKNOWN (it may have been sent) or TAKEN_BACK (never posted); null while it is open.';
COMMENT ON COLUMN audit.attempt.http_status IS 'Of the reply; 0 when there was none.';
COMMENT ON COLUMN audit.attempt.provider_code IS 'Genesys'' error code, verbatim.';
COMMENT ON COLUMN audit.attempt.provider_message_id IS 'Genesys'' id; empty until known.';
COMMENT ON COLUMN audit.attempt.correlation_id IS 'Genesys'' correlation id.';
COMMENT ON COLUMN audit.attempt.detail IS 'One line for people.';
COMMENT ON COLUMN audit.attempt.replica_id IS 'Which gateway process made it.';
COMMENT ON COLUMN audit.attempt.epoch IS 'Of the lease under which it was made.';
COMMENT ON COLUMN audit.attempt.left_before_opt_out IS 'It was intended before an opt-out of its recipient and may have left after it.';
COMMENT ON COLUMN audit.attempt.state IS 'What receipts said of it when the message shows another attempt; null: nothing beyond its outcome.';
COMMENT ON COLUMN audit.attempt.failure IS 'With state.';
COMMENT ON COLUMN audit.attempt.receipt_code IS 'With state: the carrier''s code, verbatim.';
COMMENT ON COLUMN audit.attempt.provider_at IS 'With state: Genesys'' time of the receipt in force.';

CREATE VIEW audit.timeline WITH (security_barrier) AS
SELECT t.name AS tenant, e.message_id, e.at, 'CHANGE' AS what, e.attempt, audit.state_name(e.state) AS state,
  audit.cause_name(e.cause) AS cause, audit.failure_name(e.failure) AS failure, e.provider_code AS code,
  CASE WHEN e.hold_reason > 0 THEN 'held: ' || audit.hold_name(e.hold_reason) WHEN e.correction THEN 'correction' ELSE '' END AS detail
FROM auditor_tenant g JOIN tenant t ON t.tenant_id = g.tenant_id JOIN status_event e ON e.tenant_id = g.tenant_id
WHERE g.role_oid = (SELECT r.oid FROM pg_roles r WHERE r.rolname = current_user)
UNION ALL
SELECT t.name, a.message_id, a.intended_at, 'POST_INTENDED', a.attempt, NULL, NULL, NULL, '', ''
FROM auditor_tenant g JOIN tenant t ON t.tenant_id = g.tenant_id JOIN attempt a ON a.tenant_id = g.tenant_id
WHERE g.role_oid = (SELECT r.oid FROM pg_roles r WHERE r.rolname = current_user)
UNION ALL
SELECT t.name, a.message_id, a.outcome_at, 'POST_' || audit.outcome_name(a.outcome), a.attempt, NULL, NULL, NULL,
  CASE WHEN a.http_status > 0 THEN a.http_status || ' ' ELSE '' END || a.provider_code, a.detail
FROM auditor_tenant g JOIN tenant t ON t.tenant_id = g.tenant_id JOIN attempt a ON a.tenant_id = g.tenant_id
WHERE g.role_oid = (SELECT r.oid FROM pg_roles r WHERE r.rolname = current_user) AND a.outcome IS NOT NULL
UNION ALL
SELECT t.name, r.message_id, r.applied_at, 'WEBHOOK_' || (ARRAY['APPLIED', 'DUPLICATE', 'DEAD_LETTER'])[r.verdict],
  NULL, NULL, NULL, NULL, '', r.inbox_id::text
FROM auditor_tenant g JOIN tenant t ON t.tenant_id = g.tenant_id JOIN receipt_applied r ON r.tenant_id = g.tenant_id
WHERE g.role_oid = (SELECT r.oid FROM pg_roles r WHERE r.rolname = current_user) AND r.message_id IS NOT NULL;
COMMENT ON VIEW audit.timeline IS 'All that happened to a message: its changes, its POSTs with their outcomes, the webhooks that named it. Ask by message_id.';
COMMENT ON COLUMN audit.timeline.tenant IS 'Whose.';
COMMENT ON COLUMN audit.timeline.message_id IS 'The message.';
COMMENT ON COLUMN audit.timeline.at IS 'When it was recorded.';
COMMENT ON COLUMN audit.timeline.what IS 'CHANGE; POST_INTENDED; POST_ and an outcome as in audit.attempt; WEBHOOK_ and APPLIED or DUPLICATE.';
COMMENT ON COLUMN audit.timeline.attempt IS 'The attempt; null of webhooks.';
COMMENT ON COLUMN audit.timeline.state IS 'Of a change: the state after.';
COMMENT ON COLUMN audit.timeline.cause IS 'Of a change: what made it.';
COMMENT ON COLUMN audit.timeline.failure IS 'Of a change: why it did not get there; NONE.';
COMMENT ON COLUMN audit.timeline.code IS 'Genesys'' or the carrier''s code, after the HTTP status of a POST.';
COMMENT ON COLUMN audit.timeline.detail IS 'One line for people; of a webhook its id.';

CREATE VIEW audit.conversation WITH (security_barrier) AS
SELECT t.name AS tenant, c.conversation_id, CASE left(c.contact_key, 2) WHEN 'x:' THEN 'EXTERNAL' ELSE 'NUMBER' END AS contact_kind,
  CASE left(c.contact_key, 2) WHEN 'x:' THEN audit.masked_contact(substr(c.contact_key, 3))
    ELSE audit.masked(substr(c.contact_key, 3)) END AS contact, s.address AS sender, c.created_at
FROM auditor_tenant g JOIN tenant t ON t.tenant_id = g.tenant_id JOIN conversation c ON c.tenant_id = g.tenant_id
  LEFT JOIN sender s ON s.tenant_id = c.tenant_id AND s.sender_id = c.sender_id
WHERE g.role_oid = (SELECT r.oid FROM pg_roles r WHERE r.rolname = current_user);
COMMENT ON VIEW audit.conversation IS 'One for each contact and sender, for ever.';
COMMENT ON COLUMN audit.conversation.tenant IS 'Whose.';
COMMENT ON COLUMN audit.conversation.conversation_id IS 'Its id.';
COMMENT ON COLUMN audit.conversation.contact_kind IS 'EXTERNAL: the contact is known by the caller''s id; NUMBER: by its number.';
COMMENT ON COLUMN audit.conversation.contact IS 'The caller''s id of the contact, masked when it reads as a number; or the number, masked.';
COMMENT ON COLUMN audit.conversation.sender IS 'The tenant''s number or name that speaks.';
COMMENT ON COLUMN audit.conversation.created_at IS 'When its first message was accepted.';

CREATE VIEW audit.conversation_message WITH (security_barrier) AS
SELECT t.name AS tenant, m.conversation_id, m.accepted_at AS at, 'OUT' AS direction, m.message_id AS id, m.sender,
  audit.masked(m.recipient) AS contact_number, m.campaign_id, audit.state_name(m.state) AS state, NULL AS keyword, m.body = '' AS text_erased
FROM auditor_tenant g JOIN tenant t ON t.tenant_id = g.tenant_id JOIN message m ON m.tenant_id = g.tenant_id
WHERE g.role_oid = (SELECT r.oid FROM pg_roles r WHERE r.rolname = current_user)
UNION ALL
SELECT t.name, i.conversation_id, i.received_at, 'IN', i.inbound_id, s.address, audit.masked(i.recipient), '', NULL,
  audit.keyword_name(i.keyword), i.body = ''
FROM auditor_tenant g JOIN tenant t ON t.tenant_id = g.tenant_id JOIN inbound_message i ON i.tenant_id = g.tenant_id
  LEFT JOIN sender s ON s.tenant_id = i.tenant_id AND s.sender_id = i.sender_id
WHERE g.role_oid = (SELECT r.oid FROM pg_roles r WHERE r.rolname = current_user);
COMMENT ON VIEW audit.conversation_message IS 'Both directions of conversations: messages and the texts that came in. Ask by conversation_id.';
COMMENT ON COLUMN audit.conversation_message.tenant IS 'Whose.';
COMMENT ON COLUMN audit.conversation_message.conversation_id IS 'The conversation.';
COMMENT ON COLUMN audit.conversation_message.at IS 'When it was accepted, or recorded.';
COMMENT ON COLUMN audit.conversation_message.direction IS 'OUT: a message; IN: a text from the contact.';
COMMENT ON COLUMN audit.conversation_message.id IS 'OUT: the message_id. IN: the inbox_id of the webhook that brought it.';
COMMENT ON COLUMN audit.conversation_message.sender IS 'The tenant''s number or name, of either direction.';
COMMENT ON COLUMN audit.conversation_message.contact_number IS 'The other side''s number, masked; empty when it was erased.';
COMMENT ON COLUMN audit.conversation_message.campaign_id IS 'OUT: as in audit.message.';
COMMENT ON COLUMN audit.conversation_message.state IS 'OUT: as in audit.message; else null.';
COMMENT ON COLUMN audit.conversation_message.keyword IS 'IN: what the text asks for by a word, NONE, OPT_OUT, OPT_IN or HELP; else null.';
COMMENT ON COLUMN audit.conversation_message.text_erased IS 'There is no text: it is not kept any more, or a picture came in.';

CREATE VIEW audit.send_day WITH (security_barrier) AS
SELECT t.name AS tenant, c.day, c.campaign_id,
  coalesce(sum(c.messages) FILTER (WHERE c.state = 0), 0)::bigint AS accepted,
  (coalesce(sum(c.messages) FILTER (WHERE c.state = 0), 0) - coalesce(sum(c.messages) FILTER (WHERE c.state > 0), 0))::bigint AS under_way,
  coalesce(sum(c.messages) FILTER (WHERE c.state = 7), 0)::bigint AS delivered,
  coalesce(sum(c.messages) FILTER (WHERE c.state = 6), 0)::bigint AS sent,
  coalesce(sum(c.messages) FILTER (WHERE c.state = 5), 0)::bigint AS submitted,
  coalesce(sum(c.messages) FILTER (WHERE c.state = 8), 0)::bigint AS failed,
  coalesce(sum(c.messages) FILTER (WHERE c.state = 9), 0)::bigint AS rejected,
  coalesce(sum(c.messages) FILTER (WHERE c.state = 4), 0)::bigint AS undetermined,
  coalesce(sum(c.messages) FILTER (WHERE c.state = 10), 0)::bigint AS cancelled,
  coalesce(sum(c.messages) FILTER (WHERE c.state = 11), 0)::bigint AS expired,
  coalesce(sum(c.messages) FILTER (WHERE c.state = 12), 0)::bigint AS suppressed
FROM auditor_tenant g JOIN tenant t ON t.tenant_id = g.tenant_id JOIN send_count c ON c.tenant_id = g.tenant_id
WHERE g.role_oid = (SELECT r.oid FROM pg_roles r WHERE r.rolname = current_user) GROUP BY t.tenant_id, t.name, c.day, c.campaign_id;
COMMENT ON VIEW audit.send_day IS 'Messages by tenant, campaign and the day that they were accepted, and how they stand now: accepted = under_way + all that follows. From counts that are kept: fast over any number of messages.';
COMMENT ON COLUMN audit.send_day.tenant IS 'Whose.';
COMMENT ON COLUMN audit.send_day.day IS 'The day that they were accepted, UTC.';
COMMENT ON COLUMN audit.send_day.campaign_id IS 'As in audit.message; empty: of none.';
COMMENT ON COLUMN audit.send_day.accepted IS 'All.';
COMMENT ON COLUMN audit.send_day.under_way IS 'Those that are not final, or are sent again by a replay.';
COMMENT ON COLUMN audit.send_day.delivered IS 'Those that were delivered.';
COMMENT ON COLUMN audit.send_day.sent IS 'Those that the carrier has, without news for as long as it is waited for.';
COMMENT ON COLUMN audit.send_day.submitted IS 'Those that Genesys has, without news for as long as it is waited for.';
COMMENT ON COLUMN audit.send_day.failed IS 'Those that failed on their way.';
COMMENT ON COLUMN audit.send_day.rejected IS 'Those that Genesys refused.';
COMMENT ON COLUMN audit.send_day.undetermined IS 'Those of which nobody knows whether they were sent.';
COMMENT ON COLUMN audit.send_day.cancelled IS 'Those that the caller cancelled.';
COMMENT ON COLUMN audit.send_day.expired IS 'Those that were too old to leave.';
COMMENT ON COLUMN audit.send_day.suppressed IS 'Those whose recipient had opted out when they were to leave.';

CREATE VIEW audit.dead_letter WITH (security_barrier) AS
SELECT t.name AS tenant, d.dead_letter_id, d.at, CASE d.source WHEN 'send' THEN 'SEND' ELSE 'WEBHOOK' END AS kind,
  CASE d.source WHEN 'send' THEN d.dead_letter_id END AS message_id, d.source, d.reason, d.detail,
  (ARRAY['DEAD', 'REPLAYED', 'DISCARDED', 'SETTLED'])[d.state] AS state, d.replays, d.only_by_id, d.action_id
FROM auditor_tenant g JOIN tenant t ON t.tenant_id = g.tenant_id JOIN dead_letter d ON d.tenant_id = g.tenant_id
WHERE g.role_oid = (SELECT r.oid FROM pg_roles r WHERE r.rolname = current_user);
COMMENT ON VIEW audit.dead_letter IS 'Webhooks that were answered 200 and could not be applied, and sends that failed, whatever became of them.';
COMMENT ON COLUMN audit.dead_letter.tenant IS 'Whose.';
COMMENT ON COLUMN audit.dead_letter.dead_letter_id IS 'The webhook''s id, or the message_id.';
COMMENT ON COLUMN audit.dead_letter.at IS 'When it was given up, the last time.';
COMMENT ON COLUMN audit.dead_letter.kind IS 'WEBHOOK or SEND.';
COMMENT ON COLUMN audit.dead_letter.message_id IS 'Of a send: the message.';
COMMENT ON COLUMN audit.dead_letter.source IS 'Of a webhook guide or platform; else send.';
COMMENT ON COLUMN audit.dead_letter.reason IS 'Of a webhook UNREADABLE, ORPHAN, POISON or UNKNOWN_SENDER; of a send the state that it ended in.';
COMMENT ON COLUMN audit.dead_letter.detail IS 'One line for people; of a send its failure and the provider''s code.';
COMMENT ON COLUMN audit.dead_letter.state IS 'DEAD; REPLAYED: it is on its way or has another end since; DISCARDED; SETTLED: a late status says that the send did not fail, or its message is gone.';
COMMENT ON COLUMN audit.dead_letter.replays IS 'How often it was replayed.';
COMMENT ON COLUMN audit.dead_letter.only_by_id IS 'An attempt of the send may have arrived: no replay takes it unless it names it.';
COMMENT ON COLUMN audit.dead_letter.action_id IS 'The operator''s action that replayed or discarded it last, in audit.operator_action; null: none did.';

CREATE VIEW audit.consent WITH (security_barrier) AS
SELECT t.name AS tenant, c.consent_id, c.said_at, c.recorded_at, audit.consent_change_name(c.change) AS change, s.address AS sender,
  audit.masked(c.recipient) AS recipient, audit.consent_source_name(c.source) AS source, c.evidence, c.actor, c.reason
FROM auditor_tenant g JOIN tenant t ON t.tenant_id = g.tenant_id JOIN consent_event c ON c.tenant_id = g.tenant_id
LEFT JOIN sender s ON s.tenant_id = c.tenant_id AND s.sender_id = c.sender_id
WHERE g.role_oid = (SELECT r.oid FROM pg_roles r WHERE r.rolname = current_user);
COMMENT ON VIEW audit.consent IS 'Every opt-out and opt-in. Of a recipient and a sender the one that was said last is in force.';
COMMENT ON COLUMN audit.consent.tenant IS 'Whose.';
COMMENT ON COLUMN audit.consent.consent_id IS 'What it came by: the id of a text that came in, of a message whose receipt said so, or of a call of an operator.';
COMMENT ON COLUMN audit.consent.said_at IS 'When the recipient said it, as far as is known.';
COMMENT ON COLUMN audit.consent.recorded_at IS 'When it was recorded.';
COMMENT ON COLUMN audit.consent.change IS 'OPT_OUT or OPT_IN.';
COMMENT ON COLUMN audit.consent.sender IS 'Of which sender; null: of all of the tenant.';
COMMENT ON COLUMN audit.consent.recipient IS 'Who, masked.';
COMMENT ON COLUMN audit.consent.source IS 'KEYWORD: a text that came in; RECEIPT: the carrier said so; RECORDED: by an operator.';
COMMENT ON COLUMN audit.consent.evidence IS 'The keyword, the carrier''s code, or what the operator gave.';
COMMENT ON COLUMN audit.consent.actor IS 'Name of the operator''s token; empty unless one recorded it.';
COMMENT ON COLUMN audit.consent.reason IS 'Why, in the operator''s words; the same.';

CREATE VIEW audit.opt_out WITH (security_barrier) AS
SELECT t.name AS tenant, s.address AS sender, audit.masked(convert_from(p.recipient_key, 'UTF8')) AS recipient, p.since, p.consent_id
FROM auditor_tenant g JOIN tenant t ON t.tenant_id = g.tenant_id JOIN suppression p ON p.tenant_id = g.tenant_id
LEFT JOIN sender s ON s.tenant_id = p.tenant_id AND s.sender_id = p.sender_id
WHERE g.role_oid = (SELECT r.oid FROM pg_roles r WHERE r.rolname = current_user);
COMMENT ON VIEW audit.opt_out IS 'Opt-outs in force: who gets nothing.';
COMMENT ON COLUMN audit.opt_out.tenant IS 'Whose.';
COMMENT ON COLUMN audit.opt_out.sender IS 'Of which sender; null: of all of the tenant.';
COMMENT ON COLUMN audit.opt_out.recipient IS 'Who, masked.';
COMMENT ON COLUMN audit.opt_out.since IS 'Since when it is in force.';
COMMENT ON COLUMN audit.opt_out.consent_id IS 'The row of audit.consent that put it in force; null when it is older than those.';

CREATE VIEW audit.operator_action WITH (security_barrier) AS
SELECT t.name AS tenant, o.action_id, o.at, o.actor, o.action, o.target, o.reason
FROM auditor_tenant g JOIN tenant t ON t.tenant_id = g.tenant_id JOIN operator_action o ON o.tenant_id = g.tenant_id
WHERE g.role_oid = (SELECT r.oid FROM pg_roles r WHERE r.rolname = current_user);
COMMENT ON VIEW audit.operator_action IS 'What operators did: pauses, overrides, replays, numbers that were unmasked, auditors who were granted.';
COMMENT ON COLUMN audit.operator_action.tenant IS 'To whom.';
COMMENT ON COLUMN audit.operator_action.action_id IS 'Its id.';
COMMENT ON COLUMN audit.operator_action.at IS 'When.';
COMMENT ON COLUMN audit.operator_action.actor IS 'Name of the operator''s token; of GRANT_AUDITOR and REVOKE_AUDITOR the database user.';
COMMENT ON COLUMN audit.operator_action.action IS 'PAUSE, RESUME, OVERRIDE_BREAKER, REPLAY, REPLAY_DEAD_LETTERS, DISCARD_DEAD_LETTERS, UNMASK_DEAD_LETTER, GRANT_AUDITOR, REVOKE_AUDITOR ...';
COMMENT ON COLUMN audit.operator_action.target IS 'Of what: tenant, a campaign, a sender, a breaker, a message, dead letters, an auditor.';
COMMENT ON COLUMN audit.operator_action.reason IS 'Why, in the operator''s words.';

CREATE VIEW audit.pause WITH (security_barrier) AS
SELECT t.name AS tenant, (ARRAY['TENANT', 'CAMPAIGN', 'SENDER'])[p.scope] AS scope,
  CASE WHEN p.scope = 3 THEN coalesce(s.address, p.target) ELSE p.target END AS target, 'OPERATOR' AS paused_by, p.actor, p.reason, p.since, p.until
FROM auditor_tenant g JOIN tenant t ON t.tenant_id = g.tenant_id JOIN dispatch_pause p ON p.tenant_id = g.tenant_id
  LEFT JOIN sender s ON s.tenant_id = p.tenant_id AND p.scope = 3 AND s.sender_id::text = p.target
WHERE g.role_oid = (SELECT r.oid FROM pg_roles r WHERE r.rolname = current_user) AND (p.until IS NULL OR p.until > now())
UNION ALL
SELECT t.name, 'TENANT', '', 'PROVIDER', '', 'Retry-After', NULL, p.until
FROM auditor_tenant g JOIN tenant t ON t.tenant_id = g.tenant_id JOIN tenant_pause p ON p.tenant_id = g.tenant_id
WHERE g.role_oid = (SELECT r.oid FROM pg_roles r WHERE r.rolname = current_user) AND p.until > now();
COMMENT ON VIEW audit.pause IS 'What is paused now. What was paused by operators is in audit.operator_action, what was told to wait by Genesys in audit.attempt (http_status 429).';
COMMENT ON COLUMN audit.pause.tenant IS 'Whose messages wait.';
COMMENT ON COLUMN audit.pause.scope IS 'TENANT: all of them; CAMPAIGN, SENDER: those of one.';
COMMENT ON COLUMN audit.pause.target IS 'The campaign, the sender''s address, or empty.';
COMMENT ON COLUMN audit.pause.paused_by IS 'OPERATOR, or PROVIDER: Genesys said so.';
COMMENT ON COLUMN audit.pause.actor IS 'Name of the operator''s token.';
COMMENT ON COLUMN audit.pause.reason IS 'Why, in the operator''s words; Retry-After.';
COMMENT ON COLUMN audit.pause.since IS 'When it began; null of the provider''s.';
COMMENT ON COLUMN audit.pause.until IS 'When it ends by itself; null: when it is resumed.';

CREATE VIEW audit.breaker WITH (security_barrier) AS
SELECT t.name AS tenant, audit.breaker_name(b.breaker) AS breaker, audit.breaker_state_name(b.state) AS state,
  nullif(b.changed_at, timestamptz 'epoch') AS changed_at, b.open_until, b.trips, b.cause,
  CASE WHEN b.override_until > now() THEN audit.breaker_state_name(b.override) END AS held, b.override_until AS held_until,
  b.override_actor AS held_by, b.override_reason AS held_because
FROM auditor_tenant g JOIN tenant t ON t.tenant_id = g.tenant_id JOIN breaker_state b ON b.tenant_id = g.tenant_id
WHERE g.role_oid = (SELECT r.oid FROM pg_roles r WHERE r.rolname = current_user);
COMMENT ON VIEW audit.breaker IS 'Circuit breakers since their last change; one without a row was closed always. What operators did to them is in audit.operator_action; openings before the last one are not kept.';
COMMENT ON COLUMN audit.breaker.tenant IS 'Whose.';
COMMENT ON COLUMN audit.breaker.breaker IS 'TRANSPORT judges by POSTs, CARRIER by final receipts.';
COMMENT ON COLUMN audit.breaker.state IS 'CLOSED, OPEN or HALF_OPEN, by itself.';
COMMENT ON COLUMN audit.breaker.changed_at IS 'Since when; null: always.';
COMMENT ON COLUMN audit.breaker.open_until IS 'While open: when the next canary goes.';
COMMENT ON COLUMN audit.breaker.trips IS 'Times that it opened since it was last closed.';
COMMENT ON COLUMN audit.breaker.cause IS 'Why it opened the last time, with the figures.';
COMMENT ON COLUMN audit.breaker.held IS 'CLOSED or OPEN: an operator''s word, which goes before state; null: none in force.';
COMMENT ON COLUMN audit.breaker.held_until IS 'When the operator''s word ends, or ended; null: there was none.';
COMMENT ON COLUMN audit.breaker.held_by IS 'Whose word it was.';
COMMENT ON COLUMN audit.breaker.held_because IS 'Why, in the operator''s words.';

CREATE VIEW audit.webhook_hour WITH (security_barrier) AS
SELECT t.name AS tenant, h.hour, i.received, a.applied, a.duplicates, a.dead_letters, p.parked, i.open,
  i.received = a.applied + a.duplicates + a.dead_letters + p.parked + i.open AS adds_up
FROM auditor_tenant g JOIN tenant t ON t.tenant_id = g.tenant_id,
  LATERAL (SELECT w.inbox_id FROM webhook_inbox w WHERE w.tenant_id = t.tenant_id ORDER BY w.tenant_id, w.inbox_id LIMIT 1) first,
  LATERAL (SELECT w.inbox_id FROM webhook_inbox w WHERE w.tenant_id = t.tenant_id ORDER BY w.tenant_id DESC, w.inbox_id DESC LIMIT 1) last,
  LATERAL generate_series(date_trunc('hour', audit.time_of(first.inbox_id), 'UTC'), audit.time_of(last.inbox_id), interval '1 hour') AS h(hour),
  LATERAL (SELECT count(*) AS received, count(*) FILTER (WHERE
      NOT EXISTS (SELECT FROM receipt_applied x WHERE x.tenant_id = w.tenant_id AND x.inbox_id = w.inbox_id OFFSET 0)
      AND NOT EXISTS (SELECT FROM receipt_parked x WHERE x.tenant_id = w.tenant_id AND x.inbox_id = w.inbox_id OFFSET 0)) AS open
    FROM webhook_inbox w WHERE w.tenant_id = t.tenant_id AND w.inbox_id >= audit.least_id(h.hour)
      AND w.inbox_id < audit.least_id(h.hour + interval '1 hour')) i,
  LATERAL (SELECT count(*) FILTER (WHERE x.verdict = 1) AS applied, count(*) FILTER (WHERE x.verdict = 2) AS duplicates,
      count(*) FILTER (WHERE x.verdict = 3) AS dead_letters
    FROM receipt_applied x WHERE x.tenant_id = t.tenant_id AND x.inbox_id >= audit.least_id(h.hour)
      AND x.inbox_id < audit.least_id(h.hour + interval '1 hour')) a,
  LATERAL (SELECT count(*) AS parked FROM receipt_parked x WHERE x.tenant_id = t.tenant_id AND x.inbox_id >= audit.least_id(h.hour)
      AND x.inbox_id < audit.least_id(h.hour + interval '1 hour')) p
WHERE g.role_oid = (SELECT r.oid FROM pg_roles r WHERE r.rolname = current_user) AND i.received + a.applied + a.duplicates + a.dead_letters + p.parked > 0;
COMMENT ON VIEW audit.webhook_hour IS 'What became of the webhooks that are kept, by the hour that they came in: received = applied + duplicates + dead_letters + parked + open. Each is counted for itself. Ask for some hours: they are counted when you ask.';
COMMENT ON COLUMN audit.webhook_hour.tenant IS 'Whose.';
COMMENT ON COLUMN audit.webhook_hour.hour IS 'When it began.';
COMMENT ON COLUMN audit.webhook_hour.received IS 'Webhooks that were answered 200.';
COMMENT ON COLUMN audit.webhook_hour.applied IS 'Those that changed something, or were news that was known already.';
COMMENT ON COLUMN audit.webhook_hour.duplicates IS 'Copies of others.';
COMMENT ON COLUMN audit.webhook_hour.dead_letters IS 'Given up, discarded ones too.';
COMMENT ON COLUMN audit.webhook_hour.parked IS 'For a message that nobody knows yet, or to be replayed.';
COMMENT ON COLUMN audit.webhook_hour.open IS 'Without an end: of the last seconds, unless something is wrong.';
COMMENT ON COLUMN audit.webhook_hour.adds_up IS 'Nothing is missing and nothing has two ends.';
