-- Texts that recipients send.

SET LOCAL search_path = postrider;

CREATE TABLE inbound_message (
  tenant_id                uuid NOT NULL,
  inbound_id               uuid NOT NULL,
  conversation_id          uuid NOT NULL,
  sender_id                uuid NOT NULL,
  recipient                text NOT NULL,
  recipient_key            bytea NOT NULL,
  body                     text NOT NULL,
  keyword                  smallint NOT NULL CONSTRAINT a_keyword_is_none_out_in_or_help CHECK (keyword BETWEEN 0 AND 3),
  provider_message_id      text NOT NULL,
  provider_conversation_id text NOT NULL,
  provider_at              timestamptz,
  dedupe_key               bytea NOT NULL,
  received_at              timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (tenant_id, inbound_id),
  CONSTRAINT a_text_comes_in_once UNIQUE (tenant_id, dedupe_key)
);
COMMENT ON TABLE inbound_message IS 'Texts from recipients: the other direction of a conversation.';
COMMENT ON COLUMN inbound_message.tenant_id IS 'Whose sender it was sent to.';
COMMENT ON COLUMN inbound_message.inbound_id IS 'The inbox row that brought it: a UUIDv7.';
COMMENT ON COLUMN inbound_message.conversation_id IS 'The one that the recipient last had with this sender.';
COMMENT ON COLUMN inbound_message.sender_id IS 'Which of the tenant''s senders it was sent to.';
COMMENT ON COLUMN inbound_message.recipient IS 'Whose text it is: E.164.';
COMMENT ON COLUMN inbound_message.recipient_key IS 'As in message.';
COMMENT ON COLUMN inbound_message.body IS 'The text; empty for a picture or the like.';
COMMENT ON COLUMN inbound_message.keyword IS 'What the text asks for by a word: 0 nothing, 1 opt out, 2 opt in, 3 help.';
COMMENT ON COLUMN inbound_message.provider_message_id IS 'As Genesys names it; empty when it does not.';
COMMENT ON COLUMN inbound_message.provider_conversation_id IS 'Genesys'' conversation; empty when not told.';
COMMENT ON COLUMN inbound_message.provider_at IS 'When it was sent, as Genesys says; null when it does not.';
COMMENT ON COLUMN inbound_message.dedupe_key IS 'SHA-256 of the provider''s id, else of the webhook''s body: copies share it.';
COMMENT ON COLUMN inbound_message.received_at IS 'When it was recorded.';
CREATE INDEX inbound_message_of_a_conversation ON inbound_message (tenant_id, conversation_id, inbound_id);

CREATE INDEX conversation_of_a_recipient ON conversation (tenant_id, recipient_key, sender_id);

COMMENT ON COLUMN receipt_applied.message_id IS 'The message it was for; null for a dead letter and for a text that came in.';
COMMENT ON COLUMN dead_letter.reason IS 'UNREADABLE, ORPHAN, POISON or UNKNOWN_SENDER.';
