-- What keeps dispatch within its promises: how a tenant wants doubt and busy conversations handled,
-- bounds on its queue and quota, pauses by operators, circuit breakers, and what operators did.

SET LOCAL search_path = postrider;

-- Tenants ------------------------------------------------------------------------------------

ALTER TABLE tenant DROP CONSTRAINT a_profile_is_one_that_the_gateway_speaks;
ALTER TABLE tenant ADD CONSTRAINT a_profile_is_one_that_the_gateway_speaks CHECK (profile IN ('guide', 'platform'));
ALTER TABLE tenant
  ADD COLUMN active_conversation smallint NOT NULL DEFAULT 1
    CONSTRAINT an_active_conversation_means_fail_join_or_hold CHECK (active_conversation BETWEEN 1 AND 3),
  ADD COLUMN refused_at_edge boolean NOT NULL DEFAULT false,
  ADD COLUMN queue_limit bigint CONSTRAINT a_queue_holds_at_least_one CHECK (queue_limit >= 1),
  ADD COLUMN daily_quota bigint CONSTRAINT a_quota_is_not_negative CHECK (daily_quota >= 0);
COMMENT ON COLUMN tenant.active_conversation IS 'Profile platform, when the pair has a connected conversation: 1 fail, 2 join it, 3 hold and try again.';
COMMENT ON COLUMN tenant.refused_at_edge IS 'A 503 was refused at Genesys'' edge and not sent; false: it may have been sent.';
COMMENT ON COLUMN tenant.queue_limit IS 'Messages that may wait at most; null: what the rate drains in an hour, and 1000 at least.';
COMMENT ON COLUMN tenant.daily_quota IS 'Messages that may be accepted a day (UTC); null: no limit.';

ALTER TABLE api_token ADD COLUMN daily_quota bigint CONSTRAINT a_quota_is_not_negative CHECK (daily_quota >= 0);
COMMENT ON COLUMN api_token.daily_quota IS 'Messages that this caller may have accepted a day (UTC); null: no limit of its own.';

ALTER TABLE sender ADD COLUMN segments_per_s double precision
  CONSTRAINT a_rate_is_above_zero CHECK (segments_per_s > 0 AND segments_per_s <= 100000);
COMMENT ON COLUMN sender.segments_per_s IS 'Segments a second that the carriers take from it; null: by the kind of number.';

CREATE TABLE quota_used (
  tenant_id    uuid NOT NULL,
  day          date NOT NULL,
  token_sha256 bytea NOT NULL,
  used         bigint NOT NULL,
  PRIMARY KEY (tenant_id, day, token_sha256)
) WITH (fillfactor = 50);
COMMENT ON TABLE quota_used IS 'Messages accepted a day, of tenants and callers that have a quota: counted under the row''s lock, in the transaction that accepts.';
COMMENT ON COLUMN quota_used.tenant_id IS 'Whose.';
COMMENT ON COLUMN quota_used.day IS 'The day, UTC.';
COMMENT ON COLUMN quota_used.token_sha256 IS 'The caller''s token; empty: all of the tenant''s.';
COMMENT ON COLUMN quota_used.used IS 'Messages accepted that day.';
CREATE INDEX quota_used_of_a_day ON quota_used (day);

-- Pauses by operators --------------------------------------------------------------------------

CREATE TABLE dispatch_pause (
  tenant_id uuid NOT NULL,
  scope     smallint NOT NULL CONSTRAINT a_pause_is_of_a_tenant_a_campaign_or_a_sender CHECK (scope BETWEEN 1 AND 3),
  target    text NOT NULL,
  reason    text NOT NULL,
  actor     text NOT NULL,
  since     timestamptz NOT NULL DEFAULT clock_timestamp(),
  until     timestamptz,
  PRIMARY KEY (tenant_id, scope, target)
);
COMMENT ON TABLE dispatch_pause IS 'What operators have paused: no intent begins for it, on any replica.';
COMMENT ON COLUMN dispatch_pause.tenant_id IS 'Whose messages wait.';
COMMENT ON COLUMN dispatch_pause.scope IS '1 all of the tenant''s, 2 a campaign''s, 3 a sender''s.';
COMMENT ON COLUMN dispatch_pause.target IS 'Empty, the campaign_id, or the sender_id as text.';
COMMENT ON COLUMN dispatch_pause.reason IS 'Why, in the operator''s words.';
COMMENT ON COLUMN dispatch_pause.actor IS 'Who did it.';
COMMENT ON COLUMN dispatch_pause.since IS 'When.';
COMMENT ON COLUMN dispatch_pause.until IS 'When it ends by itself; null: when it is resumed.';

-- Expiry goes on while something else holds a message.
CREATE INDEX dispatch_queue_expiring ON dispatch_queue (slot, expire_at) WHERE expire_at IS NOT NULL;

-- Circuit breakers ---------------------------------------------------------------------------

CREATE TABLE breaker_count (
  tenant_id uuid NOT NULL,
  breaker   smallint NOT NULL CONSTRAINT a_breaker_is_transport_or_carrier CHECK (breaker BETWEEN 1 AND 2),
  bucket    bigint NOT NULL,
  writer    smallint NOT NULL,
  slot      smallint NOT NULL,
  calls     bigint NOT NULL,
  failures  bigint NOT NULL,
  PRIMARY KEY (tenant_id, breaker, bucket, writer)
) WITH (fillfactor = 50);
COMMENT ON TABLE breaker_count IS 'What a breaker judges by: outcomes and receipts in buckets of 10 s, counted in the transaction that records them.';
COMMENT ON COLUMN breaker_count.tenant_id IS 'Whose.';
COMMENT ON COLUMN breaker_count.breaker IS '1 transport (POSTs), 2 carrier (final receipts).';
COMMENT ON COLUMN breaker_count.bucket IS 'Seconds since the epoch divided by 10.';
COMMENT ON COLUMN breaker_count.writer IS 'Which database session counted; spreads the contention.';
COMMENT ON COLUMN breaker_count.slot IS 'As in message.';
COMMENT ON COLUMN breaker_count.calls IS 'What counted, failures included.';
COMMENT ON COLUMN breaker_count.failures IS 'What failed by the other side''s fault.';
CREATE INDEX breaker_count_with_failures ON breaker_count (slot, bucket) WHERE failures > 0;

CREATE TABLE breaker_state (
  tenant_id      uuid NOT NULL,
  breaker        smallint NOT NULL CONSTRAINT a_breaker_is_transport_or_carrier CHECK (breaker BETWEEN 1 AND 2),
  slot           smallint NOT NULL,
  state          smallint NOT NULL CONSTRAINT a_breaker_is_closed_open_or_half_open CHECK (state BETWEEN 1 AND 3),
  trips          integer NOT NULL,
  canaries       integer NOT NULL,
  changed_at     timestamptz NOT NULL,
  open_until     timestamptz,
  cause          text NOT NULL DEFAULT '',
  override       smallint CONSTRAINT an_override_is_closed_or_open CHECK (override BETWEEN 1 AND 2),
  override_until timestamptz,
  override_actor text NOT NULL DEFAULT '',
  override_reason text NOT NULL DEFAULT '',
  PRIMARY KEY (tenant_id, breaker)
);
COMMENT ON TABLE breaker_state IS 'Breakers as their owners left them: stored on change, inherited by the next owner of the slot.';
COMMENT ON COLUMN breaker_state.tenant_id IS 'Whose.';
COMMENT ON COLUMN breaker_state.breaker IS '1 transport, 2 carrier.';
COMMENT ON COLUMN breaker_state.slot IS 'As in message.';
COMMENT ON COLUMN breaker_state.state IS '1 closed, 2 open, 3 half-open.';
COMMENT ON COLUMN breaker_state.trips IS 'Times that it opened since it was last closed: doubles the wait.';
COMMENT ON COLUMN breaker_state.canaries IS 'Messages let through at once while half-open: 1, 2, 4.';
COMMENT ON COLUMN breaker_state.changed_at IS 'When state changed.';
COMMENT ON COLUMN breaker_state.open_until IS 'While open: when the next canary goes.';
COMMENT ON COLUMN breaker_state.cause IS 'Why it opened, with the figures: one line for people.';
COMMENT ON COLUMN breaker_state.override IS 'An operator''s word: 1 held closed, 2 held open; null: none.';
COMMENT ON COLUMN breaker_state.override_until IS 'When the override ends.';
COMMENT ON COLUMN breaker_state.override_actor IS 'Who set it.';
COMMENT ON COLUMN breaker_state.override_reason IS 'Why, in the operator''s words.';
CREATE INDEX breaker_state_of_a_slot ON breaker_state (slot);

-- Doubt ----------------------------------------------------------------------------------------

ALTER TABLE message ADD COLUMN opened integer NOT NULL DEFAULT 0;
COMMENT ON COLUMN message.attempt IS 'The attempt that the state is of: the best one, or the one that a queued message waits for.';
COMMENT ON COLUMN message.opened IS 'The latest attempt that was intended; 0 none.';

ALTER TABLE attempt
  ADD COLUMN state smallint CONSTRAINT an_attempts_state_is_from_submitted_on CHECK (state BETWEEN 5 AND 9),
  ADD COLUMN failure smallint,
  ADD COLUMN receipt_code text,
  ADD COLUMN provider_at timestamptz,
  ADD COLUMN receipt_hash bytea;
COMMENT ON COLUMN attempt.state IS 'What receipts said of it when the message shows another attempt; null: nothing beyond its outcome.';
COMMENT ON COLUMN attempt.failure IS 'With state: FailureReason.';
COMMENT ON COLUMN attempt.receipt_code IS 'With state: the carrier''s code, verbatim.';
COMMENT ON COLUMN attempt.provider_at IS 'With state: Genesys'' time of the receipt in force.';
COMMENT ON COLUMN attempt.receipt_hash IS 'With state: SHA-256 of the receipt in force.';

ALTER TABLE reconcile_queue
  ADD COLUMN next_read_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  ADD COLUMN reads integer NOT NULL DEFAULT 0,
  ADD COLUMN absent integer NOT NULL DEFAULT 0,
  ADD COLUMN kind smallint NOT NULL DEFAULT 1 CONSTRAINT doubt_is_unknown_or_accepted CHECK (kind BETWEEN 1 AND 2);
CREATE INDEX reconcile_queue_next_of_a_slot ON reconcile_queue (slot, kind, next_read_at);
COMMENT ON COLUMN reconcile_queue.kind IS '1 it may have been sent, 2 it was accepted: 1 is looked for first.';
COMMENT ON TABLE reconcile_queue IS 'Messages that wait for news: UNKNOWN, and SUBMITTED or SENT without a final receipt. Settled by a receipt or a read, or closed when the receipt window has passed.';
COMMENT ON COLUMN reconcile_queue.since IS 'Since when it waits: its last change.';
COMMENT ON COLUMN reconcile_queue.next_read_at IS 'When it is read at Genesys next, where that can be.';
COMMENT ON COLUMN reconcile_queue.reads IS 'Reads so far.';
COMMENT ON COLUMN reconcile_queue.absent IS 'Reads in a row that found nothing.';

-- Operators ------------------------------------------------------------------------------------

CREATE TABLE operator_action (
  tenant_id uuid NOT NULL,
  action_id uuid NOT NULL,
  actor     text NOT NULL,
  action    text NOT NULL,
  target    text NOT NULL DEFAULT '',
  reason    text NOT NULL,
  at        timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (tenant_id, action_id)
);
COMMENT ON TABLE operator_action IS 'What operators did: who, when, why. Written in the transaction of the action.';
COMMENT ON COLUMN operator_action.tenant_id IS 'To whom.';
COMMENT ON COLUMN operator_action.action_id IS 'UUIDv7.';
COMMENT ON COLUMN operator_action.actor IS 'Name of the operator''s token.';
COMMENT ON COLUMN operator_action.action IS 'PAUSE, RESUME, OVERRIDE_BREAKER, REPLAY ...';
COMMENT ON COLUMN operator_action.target IS 'Of what: a campaign, a sender, a breaker, a message.';
COMMENT ON COLUMN operator_action.reason IS 'Why, in the operator''s words.';
COMMENT ON COLUMN operator_action.at IS 'When.';

ALTER TABLE api_token ALTER COLUMN tenant_id DROP NOT NULL;
ALTER TABLE api_token ADD CONSTRAINT an_operators_token_has_no_tenant_and_every_other_one
  CHECK ((tenant_id IS NULL) = ('operator' = ANY (scopes)));
COMMENT ON COLUMN api_token.tenant_id IS 'Whose calls it makes; null: an operator''s, who names a tenant in each call.';
COMMENT ON COLUMN api_token.scopes IS 'What it may do: send, read; or operator.';
