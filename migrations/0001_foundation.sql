-- What the way of one message needs: tenants and their callers, conversations, messages, the
-- dispatch queue with its owners, attempts, events and ticks, webhooks and receipts.
--
-- Rules of this schema: tenant_id leads every primary and unique key (but those of tenant,
-- api_token, tick, replica, slot_lease); no trigger, no stored business logic, no foreign key from
-- tenant to tenant; times are timestamptz by the database's clock; states and reasons are small
-- integers whose names server/model/state.h gives (the audit views show the names).

CREATE SCHEMA IF NOT EXISTS postrider;
COMMENT ON SCHEMA postrider IS 'Postrider''s own tables. Written by the gateway only.';
SET LOCAL search_path = postrider;

-- Tenants and their callers ------------------------------------------------------------------

CREATE TABLE tenant (
  tenant_id          uuid PRIMARY KEY,
  name               text NOT NULL CONSTRAINT a_tenant_has_a_name_of_its_own UNIQUE
                     CONSTRAINT a_tenant_name_is_1_to_64_of_lower_case_digits_and_dashes CHECK (name ~ '^[a-z0-9-]{1,64}$'),
  profile            text NOT NULL DEFAULT 'guide'
                     CONSTRAINT a_profile_is_one_that_the_gateway_speaks CHECK (profile IN ('guide')),
  base_url           text NOT NULL,
  send_path          text NOT NULL,
  token_url          text NOT NULL,
  client_id          text NOT NULL,
  client_secret_file text NOT NULL,
  ca_file            text NOT NULL DEFAULT '',
  webhook_key        text NOT NULL CONSTRAINT a_webhook_key_leads_to_one_tenant UNIQUE,
  rate_per_s         double precision NOT NULL DEFAULT 4.9
                     CONSTRAINT a_rate_is_above_zero CHECK (rate_per_s > 0 AND rate_per_s <= 100000),
  burst              integer NOT NULL DEFAULT 5 CONSTRAINT a_burst_is_at_least_one CHECK (burst >= 1),
  strict             boolean NOT NULL DEFAULT false,
  created_at         timestamptz NOT NULL DEFAULT now(),
  CONSTRAINT two_tenants_never_share_a_genesys_organisation UNIQUE (base_url, client_id)
);
COMMENT ON TABLE tenant IS 'Who sends: one Genesys organisation, one rate, one set of callers.';
COMMENT ON COLUMN tenant.tenant_id IS 'UUIDv4; decides the slot.';
COMMENT ON COLUMN tenant.name IS 'For people: 1 to 64 of a-z, 0-9 and dashes.';
COMMENT ON COLUMN tenant.profile IS 'Which HTTP contract Genesys speaks with this tenant.';
COMMENT ON COLUMN tenant.base_url IS 'Scheme and host of the Genesys API.';
COMMENT ON COLUMN tenant.send_path IS 'Path of the send call below base_url.';
COMMENT ON COLUMN tenant.token_url IS 'Where OAuth tokens come from.';
COMMENT ON COLUMN tenant.client_id IS 'OAuth client id.';
COMMENT ON COLUMN tenant.client_secret_file IS 'File on the gateway that holds the OAuth client secret; the secret itself is never stored here.';
COMMENT ON COLUMN tenant.ca_file IS 'PEM file of the authorities to trust; empty: the system''s.';
COMMENT ON COLUMN tenant.webhook_key IS 'Unguessable last part of the tenant''s webhook path: a credential.';
COMMENT ON COLUMN tenant.rate_per_s IS 'Licensed requests per second.';
COMMENT ON COLUMN tenant.burst IS 'Requests that may leave at once after a pause.';
COMMENT ON COLUMN tenant.strict IS 'SendMessage must name a conversation.';
COMMENT ON COLUMN tenant.created_at IS 'When it was made.';

CREATE TABLE api_token (
  token_sha256 bytea PRIMARY KEY CONSTRAINT a_token_is_kept_as_its_sha256 CHECK (length(token_sha256) = 32),
  tenant_id    uuid NOT NULL REFERENCES tenant,
  name         text NOT NULL,
  scopes       text[] NOT NULL,
  created_at   timestamptz NOT NULL DEFAULT now(),
  expires_at   timestamptz,
  revoked_at   timestamptz
);
COMMENT ON TABLE api_token IS 'Callers'' tokens. A token is shown once, when it is made; only its SHA-256 is kept.';
COMMENT ON COLUMN api_token.token_sha256 IS 'SHA-256 of the token''s text.';
COMMENT ON COLUMN api_token.tenant_id IS 'Whose calls it makes.';
COMMENT ON COLUMN api_token.name IS 'For people: which service holds it.';
COMMENT ON COLUMN api_token.scopes IS 'What it may do: send, read.';
COMMENT ON COLUMN api_token.created_at IS 'When it was made.';
COMMENT ON COLUMN api_token.expires_at IS 'Not valid from then on; null: never expires.';
COMMENT ON COLUMN api_token.revoked_at IS 'Not valid from then on; null: not revoked.';

CREATE TABLE sender (
  tenant_id  uuid NOT NULL REFERENCES tenant,
  sender_id  uuid NOT NULL,
  address    text NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (tenant_id, sender_id),
  CONSTRAINT a_tenant_registers_an_address_once UNIQUE (tenant_id, address)
);
COMMENT ON TABLE sender IS 'Numbers and names that a tenant may send from.';
COMMENT ON COLUMN sender.tenant_id IS 'Whose it is.';
COMMENT ON COLUMN sender.sender_id IS 'UUIDv4.';
COMMENT ON COLUMN sender.address IS 'E.164 number, short code or alphanumeric name, as Genesys knows it.';
COMMENT ON COLUMN sender.created_at IS 'When it was registered.';

-- Conversations and messages -----------------------------------------------------------------

CREATE TABLE conversation (
  tenant_id       uuid NOT NULL,
  conversation_id uuid NOT NULL,
  contact_key     text NOT NULL,
  sender_id       uuid NOT NULL,
  recipient_key   bytea NOT NULL,
  created_at      timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (tenant_id, conversation_id),
  CONSTRAINT a_contact_has_one_conversation_a_sender UNIQUE (tenant_id, contact_key, sender_id)
);
COMMENT ON TABLE conversation IS 'One for each contact and sender, for ever.';
COMMENT ON COLUMN conversation.tenant_id IS 'Whose it is.';
COMMENT ON COLUMN conversation.conversation_id IS 'UUID: the caller''s, else made by the gateway (v4).';
COMMENT ON COLUMN conversation.contact_key IS 'x: and the external contact id, or n: and the recipient''s number.';
COMMENT ON COLUMN conversation.sender_id IS 'Which of the tenant''s senders speaks.';
COMMENT ON COLUMN conversation.recipient_key IS 'The number of the first message, or its keyed hash.';
COMMENT ON COLUMN conversation.created_at IS 'When its first message was accepted.';

CREATE TABLE request_key (
  tenant_id   uuid NOT NULL,
  request_id  text NOT NULL,
  message_id  uuid NOT NULL,
  fingerprint bytea NOT NULL,
  created_at  timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (tenant_id, request_id)
);
COMMENT ON TABLE request_key IS 'Callers'' idempotency keys, kept 30 days.';
COMMENT ON COLUMN request_key.tenant_id IS 'Whose key.';
COMMENT ON COLUMN request_key.request_id IS 'The caller''s key.';
COMMENT ON COLUMN request_key.message_id IS 'The message it made.';
COMMENT ON COLUMN request_key.fingerprint IS 'SHA-256 of the normalised request.';
COMMENT ON COLUMN request_key.created_at IS 'When it was first used.';
CREATE INDEX request_key_to_forget_the_old ON request_key (created_at);

CREATE TABLE message (
  tenant_id                uuid NOT NULL,
  message_id               uuid NOT NULL,
  slot                     smallint NOT NULL,
  first_xid                xid8 NOT NULL DEFAULT pg_current_xact_id(),
  request_id               text NOT NULL,
  conversation_id          uuid NOT NULL,
  external_contact_id      text NOT NULL,
  campaign_id              text NOT NULL,
  sender_id                uuid NOT NULL,
  sender                   text NOT NULL,
  recipient                text NOT NULL,
  recipient_key            bytea NOT NULL,
  body                     text NOT NULL,
  metadata                 jsonb NOT NULL,
  priority                 smallint NOT NULL,
  duplicate_policy         smallint NOT NULL,
  not_before               timestamptz,
  expire_at                timestamptz,
  time_zone                text NOT NULL,
  accepted_at              timestamptz NOT NULL DEFAULT now(),
  updated_at               timestamptz NOT NULL DEFAULT now(),
  state                    smallint NOT NULL CONSTRAINT a_state_is_one_of_the_twelve CHECK (state BETWEEN 1 AND 12),
  revision                 integer NOT NULL,
  attempt                  integer NOT NULL,
  final                    boolean NOT NULL,
  failure                  smallint NOT NULL,
  provider_code            text NOT NULL,
  correlation_id           text NOT NULL,
  provider_at              timestamptz,
  receipt_hash             bytea NOT NULL,
  hold_reason              smallint NOT NULL,
  hold_until               timestamptz,
  provider_message_id      text NOT NULL DEFAULT '',
  provider_conversation_id text NOT NULL DEFAULT ''
) PARTITION BY RANGE (message_id);
COMMENT ON TABLE message IS 'Every accepted message and its current state. Partitioned by message_id, whose first 48 bits are the time.';
COMMENT ON COLUMN message.tenant_id IS 'Whose it is.';
COMMENT ON COLUMN message.message_id IS 'UUIDv7, made by the gateway.';
COMMENT ON COLUMN message.slot IS '0 to 15, by the tenant: whose owner dispatches it.';
COMMENT ON COLUMN message.first_xid IS 'The transaction that accepted it: its events are not older.';
COMMENT ON COLUMN message.request_id IS 'The caller''s idempotency key.';
COMMENT ON COLUMN message.conversation_id IS 'The conversation it belongs to.';
COMMENT ON COLUMN message.external_contact_id IS 'As given; empty when not.';
COMMENT ON COLUMN message.campaign_id IS 'As given; empty when not.';
COMMENT ON COLUMN message.sender_id IS 'Which of the tenant''s senders.';
COMMENT ON COLUMN message.sender IS 'The sender''s address when it was accepted.';
COMMENT ON COLUMN message.recipient IS 'E.164.';
COMMENT ON COLUMN message.recipient_key IS 'The number, or its keyed hash: what look-ups by number use.';
COMMENT ON COLUMN message.body IS 'The text.';
COMMENT ON COLUMN message.metadata IS 'The caller''s pairs: an object of strings.';
COMMENT ON COLUMN message.priority IS '1 urgent, 2 normal, 3 bulk.';
COMMENT ON COLUMN message.duplicate_policy IS '1 at most once, 2 at least once.';
COMMENT ON COLUMN message.not_before IS 'Does not leave before; null: at once.';
COMMENT ON COLUMN message.expire_at IS 'Does not leave after; null: never expires.';
COMMENT ON COLUMN message.time_zone IS 'The caller''s hint; empty when not given.';
COMMENT ON COLUMN message.accepted_at IS 'When it was accepted.';
COMMENT ON COLUMN message.updated_at IS 'When its row last changed.';
COMMENT ON COLUMN message.state IS '1 queued, 2 dispatching, 3 unknown, 4 undetermined, 5 submitted, 6 sent, 7 delivered, 8 failed, 9 rejected, 10 cancelled, 11 expired, 12 suppressed.';
COMMENT ON COLUMN message.revision IS 'Of the latest change: 1, 2, 3 ... without gaps.';
COMMENT ON COLUMN message.attempt IS 'The attempt that the state is of, from 1.';
COMMENT ON COLUMN message.final IS 'No further change is expected; once true it stays true.';
COMMENT ON COLUMN message.failure IS 'FailureReason; 0 none.';
COMMENT ON COLUMN message.provider_code IS 'Genesys'' or the carrier''s code, verbatim; empty when none.';
COMMENT ON COLUMN message.correlation_id IS 'Genesys'' correlation id of the latest POST; empty when none.';
COMMENT ON COLUMN message.provider_at IS 'Genesys'' time of the receipt in force; null when none.';
COMMENT ON COLUMN message.receipt_hash IS 'SHA-256 of the receipt in force; empty when none.';
COMMENT ON COLUMN message.hold_reason IS 'HoldReason of a queued message; 0 none.';
COMMENT ON COLUMN message.hold_until IS 'Until when it is held; null when it is not.';
COMMENT ON COLUMN message.provider_message_id IS 'Genesys'' id; empty until known.';
COMMENT ON COLUMN message.provider_conversation_id IS 'Genesys'' conversation; empty until known.';
CREATE INDEX message_of_a_conversation ON message (tenant_id, conversation_id, message_id);
CREATE INDEX message_of_a_campaign ON message (tenant_id, campaign_id, message_id) WHERE campaign_id <> '';
-- Last: over an empty table all indexes cost the same, and the youngest is taken. Look-ups by key
-- must not be planned over an index that shares the tenant only.
ALTER TABLE message ADD PRIMARY KEY (tenant_id, message_id);

CREATE TABLE suppression (
  tenant_id     uuid NOT NULL,
  recipient_key bytea NOT NULL,
  sender_id     uuid NOT NULL,
  since         timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (tenant_id, recipient_key, sender_id)
);
COMMENT ON TABLE suppression IS 'Opt-outs in force: nothing is accepted for, or leaves to, such a recipient.';
COMMENT ON COLUMN suppression.tenant_id IS 'Whose messages it stops.';
COMMENT ON COLUMN suppression.recipient_key IS 'Who opted out.';
COMMENT ON COLUMN suppression.sender_id IS 'Of which sender''s messages; the nil UUID: of all of the tenant''s.';
COMMENT ON COLUMN suppression.since IS 'When the opt-out was committed.';

-- The dispatch queue and its owners ----------------------------------------------------------

CREATE TABLE dispatch_queue (
  tenant_id     uuid NOT NULL,
  message_id    uuid NOT NULL,
  slot          smallint NOT NULL,
  priority      smallint NOT NULL,
  campaign_id   text NOT NULL DEFAULT '',
  sender_id     uuid NOT NULL,
  recipient_key bytea NOT NULL,
  due_at        timestamptz NOT NULL,
  expire_at     timestamptz
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 2000,
        autovacuum_vacuum_cost_delay = 0);
COMMENT ON TABLE dispatch_queue IS 'QUEUED messages and nothing else: a row goes when its intent is recorded.';
COMMENT ON COLUMN dispatch_queue.tenant_id IS 'Whose it is.';
COMMENT ON COLUMN dispatch_queue.message_id IS 'The message.';
COMMENT ON COLUMN dispatch_queue.slot IS 'As in message.';
COMMENT ON COLUMN dispatch_queue.priority IS 'As in message.';
COMMENT ON COLUMN dispatch_queue.campaign_id IS 'As in message.';
COMMENT ON COLUMN dispatch_queue.sender_id IS 'As in message.';
COMMENT ON COLUMN dispatch_queue.recipient_key IS 'As in message: an opt-out finds its rows by it.';
COMMENT ON COLUMN dispatch_queue.due_at IS 'Not before this time.';
COMMENT ON COLUMN dispatch_queue.expire_at IS 'As in message.';
CREATE INDEX dispatch_queue_flows_of_a_slot ON dispatch_queue (slot, tenant_id, priority, campaign_id, sender_id, due_at);
CREATE INDEX dispatch_queue_of_a_recipient ON dispatch_queue (tenant_id, recipient_key);
ALTER TABLE dispatch_queue ADD PRIMARY KEY (tenant_id, message_id);  -- last, as in message

CREATE TABLE tenant_pause (
  tenant_id uuid PRIMARY KEY,
  slot      smallint NOT NULL,
  until     timestamptz NOT NULL
);
COMMENT ON TABLE tenant_pause IS 'Until when the provider told a tenant to wait: a new owner of its slot keeps it.';
COMMENT ON COLUMN tenant_pause.tenant_id IS 'Who waits.';
COMMENT ON COLUMN tenant_pause.slot IS 'As in message.';
COMMENT ON COLUMN tenant_pause.until IS 'Nothing of it leaves before.';

CREATE TABLE queue_depth (
  tenant_id uuid NOT NULL,
  writer    smallint NOT NULL,
  depth     bigint NOT NULL,
  PRIMARY KEY (tenant_id, writer)
) WITH (fillfactor = 50);
COMMENT ON TABLE queue_depth IS 'How many rows a tenant has in dispatch_queue: the sum over writers is exact.';
COMMENT ON COLUMN queue_depth.tenant_id IS 'Whose queue.';
COMMENT ON COLUMN queue_depth.writer IS 'Which database session counted; spreads the contention.';
COMMENT ON COLUMN queue_depth.depth IS 'Added minus removed by this writer; may be negative.';

CREATE TABLE replica (
  replica_id uuid PRIMARY KEY,
  name       text NOT NULL,
  started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  expires_at timestamptz NOT NULL,
  fenced     boolean NOT NULL DEFAULT false
);
COMMENT ON TABLE replica IS 'Gateway processes that live, or lived.';
COMMENT ON COLUMN replica.replica_id IS 'UUIDv4, new at each start.';
COMMENT ON COLUMN replica.name IS 'For people: host and process.';
COMMENT ON COLUMN replica.started_at IS 'When it first renewed.';
COMMENT ON COLUMN replica.expires_at IS 'Lives until then by this clock, unless it renews.';
COMMENT ON COLUMN replica.fenced IS 'Declared dead: it may own nothing more.';

CREATE TABLE slot_lease (
  slot  smallint PRIMARY KEY,
  owner uuid,
  epoch bigint NOT NULL DEFAULT 0,
  CONSTRAINT an_epoch_of_a_slot_has_one_owner UNIQUE (slot, epoch)
);
COMMENT ON TABLE slot_lease IS 'Which replica dispatches which slot. The unique key makes a change of epoch wait for intents that hold the row FOR KEY SHARE.';
COMMENT ON COLUMN slot_lease.slot IS '0 to 15.';
COMMENT ON COLUMN slot_lease.owner IS 'The owning replica; null: free.';
COMMENT ON COLUMN slot_lease.epoch IS 'One more with every change of owner: fences the last one.';
INSERT INTO slot_lease (slot) SELECT generate_series(0, 15);

CREATE TABLE attempt (
  tenant_id                uuid NOT NULL,
  message_id               uuid NOT NULL,
  attempt                  integer NOT NULL,
  slot                     smallint NOT NULL,
  epoch                    bigint NOT NULL,
  replica_id               uuid NOT NULL,
  intended_at              timestamptz NOT NULL DEFAULT clock_timestamp(),
  outcome_at               timestamptz,
  outcome                  smallint CONSTRAINT an_outcome_is_one_of_the_six CHECK (outcome BETWEEN 1 AND 6),
  http_status              integer NOT NULL DEFAULT 0,
  provider_code            text NOT NULL DEFAULT '',
  provider_message_id      text NOT NULL DEFAULT '',
  provider_conversation_id text NOT NULL DEFAULT '',
  correlation_id           text NOT NULL DEFAULT '',
  detail                   text NOT NULL DEFAULT '',
  PRIMARY KEY (tenant_id, message_id, attempt)
) PARTITION BY RANGE (message_id);
COMMENT ON TABLE attempt IS 'Every POST, on record before its first byte leaves; updated once, by its outcome.';
COMMENT ON COLUMN attempt.tenant_id IS 'Whose message.';
COMMENT ON COLUMN attempt.message_id IS 'The message.';
COMMENT ON COLUMN attempt.attempt IS '1, 2, 3 ...';
COMMENT ON COLUMN attempt.slot IS 'As in message.';
COMMENT ON COLUMN attempt.epoch IS 'Of the slot''s lease under which it was intended.';
COMMENT ON COLUMN attempt.replica_id IS 'Who intended it.';
COMMENT ON COLUMN attempt.intended_at IS 'When the intent was recorded.';
COMMENT ON COLUMN attempt.outcome_at IS 'When the outcome was recorded; null while open.';
COMMENT ON COLUMN attempt.outcome IS '1 accepted, 2 not sent, 3 rejected, 4 held, 5 unknown, 6 taken back; null while open.';
COMMENT ON COLUMN attempt.http_status IS 'Of the reply; 0 when there was none.';
COMMENT ON COLUMN attempt.provider_code IS 'Genesys'' error code, verbatim.';
COMMENT ON COLUMN attempt.provider_message_id IS 'Genesys'' id; empty until known.';
COMMENT ON COLUMN attempt.provider_conversation_id IS 'Genesys'' conversation; empty until known.';
COMMENT ON COLUMN attempt.correlation_id IS 'Genesys'' correlation id.';
COMMENT ON COLUMN attempt.detail IS 'One line for people.';
CREATE INDEX attempt_open ON attempt (slot) WHERE outcome IS NULL;
CREATE INDEX attempt_of_a_provider_id ON attempt (tenant_id, provider_message_id) WHERE provider_message_id <> '';

CREATE TABLE reconcile_queue (
  tenant_id  uuid NOT NULL,
  message_id uuid NOT NULL,
  slot       smallint NOT NULL,
  since      timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (tenant_id, message_id)
);
COMMENT ON TABLE reconcile_queue IS 'UNKNOWN messages: to be settled by a receipt, or closed when the receipt window has passed.';
COMMENT ON COLUMN reconcile_queue.tenant_id IS 'Whose message.';
COMMENT ON COLUMN reconcile_queue.message_id IS 'The message.';
COMMENT ON COLUMN reconcile_queue.slot IS 'As in message.';
COMMENT ON COLUMN reconcile_queue.since IS 'When it became UNKNOWN.';
CREATE INDEX reconcile_queue_oldest_of_a_slot ON reconcile_queue (slot, since);

-- Events and ticks ---------------------------------------------------------------------------

CREATE TABLE status_event (
  xid                 xid8 NOT NULL DEFAULT pg_current_xact_id(),
  slot                smallint NOT NULL,
  tenant_id           uuid NOT NULL,
  message_id          uuid NOT NULL,
  revision            integer NOT NULL,
  previous            smallint NOT NULL,
  state               smallint NOT NULL,
  cause               smallint NOT NULL,
  attempt             integer NOT NULL,
  final               boolean NOT NULL,
  correction          boolean NOT NULL DEFAULT false,
  failure             smallint NOT NULL DEFAULT 0,
  provider_code       text NOT NULL DEFAULT '',
  correlation_id      text NOT NULL DEFAULT '',
  provider_at         timestamptz,
  hold_reason         smallint NOT NULL DEFAULT 0,
  hold_until          timestamptz,
  conversation_id     uuid NOT NULL,
  external_contact_id text NOT NULL,
  campaign_id         text NOT NULL,
  at                  timestamptz NOT NULL DEFAULT clock_timestamp()
) PARTITION BY RANGE (xid);
COMMENT ON TABLE status_event IS 'Every state change: the history that auditors read and the one road to every stream. Written in the transaction of the change.';
COMMENT ON COLUMN status_event.xid IS 'The transaction of the change: tells between which two ticks it became visible.';
COMMENT ON COLUMN status_event.slot IS 'As in message.';
COMMENT ON COLUMN status_event.tenant_id IS 'Whose message.';
COMMENT ON COLUMN status_event.message_id IS 'The message.';
COMMENT ON COLUMN status_event.revision IS '1, 2, 3 ... per message, without gaps.';
COMMENT ON COLUMN status_event.previous IS 'The state before; equal to state in the first event.';
COMMENT ON COLUMN status_event.state IS 'The state after.';
COMMENT ON COLUMN status_event.cause IS 'What made the change: Cause.';
COMMENT ON COLUMN status_event.attempt IS 'The attempt that the state is of.';
COMMENT ON COLUMN status_event.final IS 'No further change is expected.';
COMMENT ON COLUMN status_event.correction IS 'A final state was replaced by a better informed one.';
COMMENT ON COLUMN status_event.failure IS 'FailureReason; 0 none.';
COMMENT ON COLUMN status_event.provider_code IS 'Genesys'' or the carrier''s code, verbatim.';
COMMENT ON COLUMN status_event.correlation_id IS 'Genesys'' correlation id.';
COMMENT ON COLUMN status_event.provider_at IS 'Genesys'' time of the receipt.';
COMMENT ON COLUMN status_event.hold_reason IS 'HoldReason; 0 none.';
COMMENT ON COLUMN status_event.hold_until IS 'Until when it is held.';
COMMENT ON COLUMN status_event.conversation_id IS 'As in message.';
COMMENT ON COLUMN status_event.external_contact_id IS 'As in message.';
COMMENT ON COLUMN status_event.campaign_id IS 'As in message.';
COMMENT ON COLUMN status_event.at IS 'When it was recorded.';
CREATE INDEX status_event_tail ON status_event (slot, xid);
CREATE INDEX status_event_history ON status_event (tenant_id, message_id, revision);

CREATE TABLE tick (
  tick_no bigint PRIMARY KEY,
  snap    pg_snapshot NOT NULL,
  nonce   uuid NOT NULL,
  at      timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE tick IS 'Snapshots by number. What tick b shows and tick a does not is what was committed in between, late commits included.';
COMMENT ON COLUMN tick.tick_no IS '1, 2, 3 ..., never given out twice.';
COMMENT ON COLUMN tick.snap IS 'What was visible.';
COMMENT ON COLUMN tick.nonce IS 'Tells this tick from one of the same number in a restored database.';
COMMENT ON COLUMN tick.at IS 'When it was taken.';
INSERT INTO tick (tick_no, snap, nonce) VALUES (1, pg_current_snapshot(), gen_random_uuid());

-- Webhooks and receipts ----------------------------------------------------------------------

CREATE TABLE webhook_inbox (
  tenant_id   uuid NOT NULL,
  inbox_id    uuid NOT NULL,
  profile     text NOT NULL,
  body        bytea NOT NULL,
  received_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (tenant_id, inbox_id)
) PARTITION BY RANGE (inbox_id);
COMMENT ON TABLE webhook_inbox IS 'Webhooks as they came, kept before they are answered 200.';
COMMENT ON COLUMN webhook_inbox.tenant_id IS 'Whose path it came to.';
COMMENT ON COLUMN webhook_inbox.inbox_id IS 'UUIDv7, made before the insert.';
COMMENT ON COLUMN webhook_inbox.profile IS 'Which shape the body has.';
COMMENT ON COLUMN webhook_inbox.body IS 'The bytes, unchanged.';
COMMENT ON COLUMN webhook_inbox.received_at IS 'When it was stored.';

CREATE TABLE receipt_applied (
  tenant_id  uuid NOT NULL,
  inbox_id   uuid NOT NULL,
  verdict    smallint NOT NULL CONSTRAINT a_verdict_is_applied_duplicate_or_dead CHECK (verdict BETWEEN 1 AND 3),
  message_id uuid,
  dedupe_key bytea NOT NULL,
  applied_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (tenant_id, inbox_id)
) PARTITION BY RANGE (inbox_id);
COMMENT ON TABLE receipt_applied IS 'What became of an inbox row: a row here is its completion.';
COMMENT ON COLUMN receipt_applied.tenant_id IS 'Whose.';
COMMENT ON COLUMN receipt_applied.inbox_id IS 'The inbox row.';
COMMENT ON COLUMN receipt_applied.verdict IS '1 applied, 2 duplicate, 3 dead letter.';
COMMENT ON COLUMN receipt_applied.message_id IS 'The message it was for; null for a dead letter.';
COMMENT ON COLUMN receipt_applied.dedupe_key IS 'SHA-256 of the body: copies of a receipt share it.';
COMMENT ON COLUMN receipt_applied.applied_at IS 'When.';
-- Without the tenant: no look-up by (tenant_id, inbox_id) can be planned over it.
CREATE INDEX receipt_applied_of_a_message ON receipt_applied (message_id, dedupe_key);

CREATE TABLE receipt_parked (
  tenant_id   uuid NOT NULL,
  inbox_id    uuid NOT NULL,
  profile     text NOT NULL,
  body        bytea NOT NULL,
  parked_at   timestamptz NOT NULL DEFAULT now(),
  next_try_at timestamptz NOT NULL DEFAULT now() + interval '1 second',
  PRIMARY KEY (tenant_id, inbox_id)
);
COMMENT ON TABLE receipt_parked IS 'Receipts that name a message nobody knows yet: a receipt can outrun the POST''s answer. After 15 minutes they become dead letters.';
COMMENT ON COLUMN receipt_parked.tenant_id IS 'Whose.';
COMMENT ON COLUMN receipt_parked.inbox_id IS 'The inbox row.';
COMMENT ON COLUMN receipt_parked.profile IS 'As in webhook_inbox.';
COMMENT ON COLUMN receipt_parked.body IS 'As in webhook_inbox.';
COMMENT ON COLUMN receipt_parked.parked_at IS 'Since when it waits.';
COMMENT ON COLUMN receipt_parked.next_try_at IS 'When it is tried again.';
CREATE INDEX receipt_parked_next ON receipt_parked (next_try_at);

CREATE TABLE dead_letter (
  tenant_id uuid NOT NULL,
  inbox_id  uuid NOT NULL,
  reason    text NOT NULL,
  detail    text NOT NULL,
  profile   text NOT NULL,
  body      bytea NOT NULL,
  at        timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (tenant_id, inbox_id)
);
COMMENT ON TABLE dead_letter IS 'Webhooks that were answered 200 and could not be applied, with their raw bytes.';
COMMENT ON COLUMN dead_letter.tenant_id IS 'Whose.';
COMMENT ON COLUMN dead_letter.inbox_id IS 'The inbox row.';
COMMENT ON COLUMN dead_letter.reason IS 'UNREADABLE, ORPHAN or POISON.';
COMMENT ON COLUMN dead_letter.detail IS 'One line for people.';
COMMENT ON COLUMN dead_letter.profile IS 'As in webhook_inbox.';
COMMENT ON COLUMN dead_letter.body IS 'As in webhook_inbox.';
COMMENT ON COLUMN dead_letter.at IS 'When it was given up.';

-- First partitions; the gateway makes the following ones ahead of time --------------------------

CREATE TABLE message_default PARTITION OF message DEFAULT WITH (fillfactor = 60);
CREATE TABLE attempt_default PARTITION OF attempt DEFAULT;
CREATE TABLE status_event_default PARTITION OF status_event DEFAULT;
CREATE TABLE webhook_inbox_default PARTITION OF webhook_inbox DEFAULT;
CREATE TABLE receipt_applied_default PARTITION OF receipt_applied DEFAULT;
