-- What is kept for how long: texts and numbers by tenant.

SET LOCAL search_path = postrider;

ALTER TABLE tenant
  ADD COLUMN keep_texts_days integer
    CONSTRAINT texts_are_kept_31_to_3650_days CHECK (keep_texts_days BETWEEN 31 AND 3650),
  ADD COLUMN keep_numbers_days integer
    CONSTRAINT numbers_are_kept_31_to_3650_days CHECK (keep_numbers_days BETWEEN 31 AND 3650);
COMMENT ON COLUMN tenant.keep_texts_days IS 'Texts and metadata of its messages are erased after so many days; null: they are kept as long as the message.';
COMMENT ON COLUMN tenant.keep_numbers_days IS 'Recipients'' numbers in its messages are erased after so many days; null: they are kept as long as the message.';

CREATE TABLE erasure_cursor (
  tenant_id uuid NOT NULL,
  kind      smallint NOT NULL CONSTRAINT an_erasure_is_of_one_of_six_kinds CHECK (kind BETWEEN 1 AND 6),
  passed    uuid NOT NULL,
  PRIMARY KEY (tenant_id, kind)
);
COMMENT ON TABLE erasure_cursor IS 'How far each tenant''s rows have been looked through for what is to be erased.';
COMMENT ON COLUMN erasure_cursor.tenant_id IS 'Whose.';
COMMENT ON COLUMN erasure_cursor.kind IS '1 texts of messages, 2 numbers of messages, 3 texts that came in, 4 numbers of those, 5 raw webhooks, 6 raw dead letters.';
COMMENT ON COLUMN erasure_cursor.passed IS 'The latest id that was looked at: each is once, when it is old enough.';

CREATE TABLE erasure_waiting (
  tenant_id   uuid NOT NULL,
  kind        smallint NOT NULL CONSTRAINT an_erasure_is_of_one_of_six_kinds CHECK (kind BETWEEN 1 AND 6),
  id          uuid NOT NULL,
  next_try_at timestamptz NOT NULL DEFAULT now() + interval '1 hour'
);
COMMENT ON TABLE erasure_waiting IS 'What was old enough to be erased and still needed: messages that may yet be sent, webhooks without their end.';
COMMENT ON COLUMN erasure_waiting.tenant_id IS 'Whose.';
COMMENT ON COLUMN erasure_waiting.kind IS 'As in erasure_cursor.';
COMMENT ON COLUMN erasure_waiting.id IS 'The message_id or inbox_id.';
COMMENT ON COLUMN erasure_waiting.next_try_at IS 'When it is looked at again.';
CREATE INDEX erasure_waiting_next ON erasure_waiting (kind, next_try_at);
ALTER TABLE erasure_waiting ADD PRIMARY KEY (tenant_id, kind, id);  -- last, as in message

COMMENT ON COLUMN message.body IS 'The text; empty when it was erased (tenant.keep_texts_days).';
COMMENT ON COLUMN message.metadata IS 'The caller''s pairs: an object of strings; empty when the text was erased.';
COMMENT ON COLUMN message.recipient IS 'E.164; empty when it was erased (tenant.keep_numbers_days).';
COMMENT ON COLUMN message.recipient_key IS 'The number, or its keyed hash: what look-ups by number use; empty when the number was erased.';
COMMENT ON COLUMN inbound_message.body IS 'The text; empty for a picture or the like, and when it was erased.';
COMMENT ON COLUMN inbound_message.recipient IS 'Whose text it is: E.164; empty when it was erased.';
COMMENT ON COLUMN webhook_inbox.body IS 'The bytes, unchanged; empty when they were erased.';
COMMENT ON COLUMN dead_letter.body IS 'Of a webhook as in webhook_inbox; of a send empty.';
COMMENT ON COLUMN dead_letter.state IS '1 dead, 2 replayed: it is on its way or has another end since, 3 discarded, by an operator or because its bytes or its message were erased, 4 settled: a late status says that the send did not fail, or its message is gone.';
