-- Dead letters are replayed or discarded; what became of webhooks adds up.

SET LOCAL search_path = postrider;

ALTER TABLE dead_letter
  ADD COLUMN state smallint NOT NULL DEFAULT 1
    CONSTRAINT a_letter_is_dead_replayed_or_discarded CHECK (state BETWEEN 1 AND 3),
  ADD COLUMN replays integer NOT NULL DEFAULT 0,
  ADD COLUMN action_id uuid;
COMMENT ON COLUMN dead_letter.state IS '1 dead, 2 replayed: it is parked or has another end since, 3 discarded.';
COMMENT ON COLUMN dead_letter.replays IS 'How often it was replayed.';
COMMENT ON COLUMN dead_letter.action_id IS 'The operator''s action that replayed or discarded it last; null: none did.';
COMMENT ON COLUMN dead_letter.at IS 'When it was given up, the last time.';
CREATE INDEX dead_letter_in_order ON dead_letter (tenant_id, state, at, inbox_id);

COMMENT ON TABLE receipt_parked IS 'Webhooks whose turn comes later: receipts of a message that nobody knows yet (a receipt can outrun the POST''s answer), which become dead letters after 15 minutes, and dead letters that are replayed.';

CREATE VIEW webhook_account AS
SELECT i.tenant_id,
  count(*) AS received,
  count(*) FILTER (WHERE a.verdict = 1) AS applied,
  count(*) FILTER (WHERE a.verdict = 2) AS duplicates,
  count(p.inbox_id) AS parked,
  count(d.inbox_id) AS dead_letters,
  count(*) FILTER (WHERE a.inbox_id IS NULL AND p.inbox_id IS NULL AND d.inbox_id IS NULL) AS waiting
FROM webhook_inbox i
LEFT JOIN receipt_applied a ON a.tenant_id = i.tenant_id AND a.inbox_id = i.inbox_id
LEFT JOIN receipt_parked p ON p.tenant_id = i.tenant_id AND p.inbox_id = i.inbox_id
LEFT JOIN dead_letter d ON d.tenant_id = i.tenant_id AND d.inbox_id = i.inbox_id AND d.state <> 2
GROUP BY i.tenant_id;
COMMENT ON VIEW webhook_account IS 'What became of each tenant''s webhooks that are still kept: received = applied + duplicates + parked + dead_letters + waiting.';
COMMENT ON COLUMN webhook_account.tenant_id IS 'Whose.';
COMMENT ON COLUMN webhook_account.received IS 'Webhooks that were answered 200.';
COMMENT ON COLUMN webhook_account.applied IS 'Those that changed something, or were news that was known already.';
COMMENT ON COLUMN webhook_account.duplicates IS 'Copies of others.';
COMMENT ON COLUMN webhook_account.parked IS 'For a message that nobody knows yet, or to be replayed.';
COMMENT ON COLUMN webhook_account.dead_letters IS 'Given up, discarded ones too.';
COMMENT ON COLUMN webhook_account.waiting IS 'Not looked at yet: some milliseconds usually.';
