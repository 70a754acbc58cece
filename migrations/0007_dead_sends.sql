-- Sends that failed for the last time are dead letters, as webhooks that could not be applied are.

SET LOCAL search_path = postrider;

ALTER TABLE dead_letter RENAME COLUMN inbox_id TO dead_letter_id;
ALTER TABLE dead_letter RENAME COLUMN profile TO source;
-- Indexes keep the old name of a column otherwise.
ALTER TABLE dead_letter_pkey RENAME COLUMN inbox_id TO dead_letter_id;
ALTER TABLE dead_letter_in_order RENAME COLUMN inbox_id TO dead_letter_id;
ALTER TABLE dead_letter
  ADD COLUMN only_by_id boolean NOT NULL DEFAULT false,
  DROP CONSTRAINT a_letter_is_dead_replayed_or_discarded,
  ADD CONSTRAINT a_letter_is_dead_replayed_discarded_or_settled CHECK (state BETWEEN 1 AND 4);
-- What is to be mended is counted often, and is little beside what carriers refuse.
CREATE INDEX dead_letter_of_webhooks ON dead_letter (tenant_id, state, at) WHERE source <> 'send';

COMMENT ON TABLE dead_letter IS 'Webhooks that were answered 200 and could not be applied, with their raw bytes; and sends that ended REJECTED, FAILED or UNDETERMINED.';
COMMENT ON COLUMN dead_letter.dead_letter_id IS 'The webhook''s inbox_id, or the message''s message_id.';
COMMENT ON COLUMN dead_letter.reason IS 'Of a webhook UNREADABLE, ORPHAN, POISON or UNKNOWN_SENDER; of a send the state that it ended in.';
COMMENT ON COLUMN dead_letter.detail IS 'One line for people; of a send its failure and the provider''s code.';
COMMENT ON COLUMN dead_letter.source IS 'Of a webhook guide or platform, as in webhook_inbox.profile; else send.';
COMMENT ON COLUMN dead_letter.body IS 'Of a webhook its bytes; of a send empty.';
COMMENT ON COLUMN dead_letter.only_by_id IS 'An attempt of the send may have arrived: no replay takes it unless it names it.';
COMMENT ON COLUMN dead_letter.state IS '1 dead, 2 replayed: it is on its way or has another end since, 3 discarded, 4 settled: a late status says that the send did not fail, or its message is gone.';

COMMENT ON COLUMN api_token.scopes IS 'What it may do: send, read; or operator, and then unmask: see numbers of dead letters in clear.';
COMMENT ON COLUMN operator_action.action IS 'PAUSE, RESUME, OVERRIDE_BREAKER, REPLAY, REPLAY_DEAD_LETTERS, UNMASK_DEAD_LETTER ...';
COMMENT ON COLUMN operator_action.target IS 'Of what: a campaign, a sender, a breaker, a message, dead letters.';
