-- Opt-outs and consent: how each came, and what it has still to reach.

SET LOCAL search_path = postrider;

ALTER TABLE tenant
  ADD COLUMN opt_out_scope smallint NOT NULL DEFAULT 1
    CONSTRAINT an_opt_out_is_of_a_sender_or_the_tenant CHECK (opt_out_scope BETWEEN 1 AND 2);
COMMENT ON COLUMN tenant.opt_out_scope IS 'What a keyword or a receipt opts a recipient out of: 1 the sender it is about, 2 all senders of the tenant.';

CREATE TABLE consent_event (
  tenant_id     uuid NOT NULL,
  consent_id    uuid NOT NULL,
  recipient_key bytea NOT NULL,
  sender_id     uuid NOT NULL,
  recipient     text NOT NULL,
  change        smallint NOT NULL CONSTRAINT a_consent_event_opts_out_or_in CHECK (change BETWEEN 1 AND 2),
  source        smallint NOT NULL CONSTRAINT a_consent_event_has_one_of_three_sources CHECK (source BETWEEN 1 AND 3),
  evidence      text NOT NULL,
  actor         text NOT NULL,
  reason        text NOT NULL,
  said_at       timestamptz NOT NULL,
  recorded_at   timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (tenant_id, consent_id, recipient_key, sender_id)
);
COMMENT ON TABLE consent_event IS 'Every opt-out and opt-in, for ever. Of a recipient and a sender the one that was said last counts: it is what suppression holds.';
COMMENT ON COLUMN consent_event.tenant_id IS 'Whose.';
COMMENT ON COLUMN consent_event.consent_id IS 'What it came by: the inbound_id of a text, the message_id of a receipt (of a later attempt a UUIDv8 made of it), or one for each recipient of a call of an operator.';
COMMENT ON COLUMN consent_event.recipient_key IS 'As in message.';
COMMENT ON COLUMN consent_event.sender_id IS 'Of which sender; the nil UUID: of all senders of the tenant.';
COMMENT ON COLUMN consent_event.recipient IS 'Who: E.164.';
COMMENT ON COLUMN consent_event.change IS '1 opt-out, 2 opt-in.';
COMMENT ON COLUMN consent_event.source IS '1 a keyword that came in, 2 a receipt or an answer of Genesys, 3 recorded by an operator.';
COMMENT ON COLUMN consent_event.evidence IS 'The words of the text, the provider''s code, or what the operator gave.';
COMMENT ON COLUMN consent_event.actor IS 'Name of the operator''s token; empty unless recorded by one.';
COMMENT ON COLUMN consent_event.reason IS 'In the operator''s words; empty unless recorded by one.';
COMMENT ON COLUMN consent_event.said_at IS 'When the recipient said it, as far as is known; never in the future.';
COMMENT ON COLUMN consent_event.recorded_at IS 'When it was recorded.';
CREATE INDEX consent_event_last_said ON consent_event (tenant_id, recipient_key, sender_id, said_at);

ALTER TABLE suppression ADD COLUMN consent_id uuid;
COMMENT ON COLUMN suppression.consent_id IS 'The consent event that put it in force; null when it is older than those.';

CREATE TABLE opt_out_queue (
  tenant_id     uuid NOT NULL,
  recipient_key bytea NOT NULL,
  sender_id     uuid NOT NULL,
  slot          smallint NOT NULL,
  since         timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (tenant_id, recipient_key, sender_id)
);
COMMENT ON TABLE opt_out_queue IS 'Opt-outs that have yet to reach what was queued before them.';
COMMENT ON COLUMN opt_out_queue.tenant_id IS 'Whose.';
COMMENT ON COLUMN opt_out_queue.recipient_key IS 'As in suppression.';
COMMENT ON COLUMN opt_out_queue.sender_id IS 'As in suppression.';
COMMENT ON COLUMN opt_out_queue.slot IS 'The tenant''s: its owner works it off.';
COMMENT ON COLUMN opt_out_queue.since IS 'When it came in force.';
CREATE INDEX opt_out_queue_oldest_of_a_slot ON opt_out_queue (slot, since);

ALTER TABLE attempt ADD COLUMN left_before_opt_out boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN attempt.left_before_opt_out IS 'It was intended before an opt-out of its recipient and may have left after it.';
