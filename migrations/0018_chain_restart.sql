-- The template that a message was sent by. And the hash chain of 0012: a new one can be begun, by an
-- operator and in the open (`postriderd audit begin-chain`); what was recorded before a chain began
-- is put into it; seals that leave something out are found.

SET LOCAL search_path = postrider;

-- Templates ----------------------------------------------------------------------------------

ALTER TABLE message ADD COLUMN template_name text;
COMMENT ON COLUMN message.template_name IS 'The template that body was filled in from, as the caller named it; null: it was sent as text.';

CREATE OR REPLACE VIEW audit.message WITH (security_barrier) AS
SELECT t.name AS tenant, m.message_id, m.accepted_at, m.request_id, m.conversation_id,
  audit.masked_contact(m.external_contact_id) AS external_contact_id, m.campaign_id, m.sender,
  audit.masked(m.recipient) AS recipient, (ARRAY['URGENT', 'NORMAL', 'BULK'])[m.priority] AS priority,
  (ARRAY['AT_MOST_ONCE', 'AT_LEAST_ONCE'])[m.duplicate_policy] AS duplicate_policy, m.not_before, m.expire_at,
  audit.state_name(m.state) AS state, m.final, m.updated_at, m.revision, m.attempt, audit.failure_name(m.failure) AS failure,
  m.provider_code, m.provider_message_id, m.correlation_id, m.provider_at, audit.hold_name(m.hold_reason) AS hold_reason,
  m.hold_until, m.body = '' AS text_erased, m.recipient = '' AS recipient_erased, m.answers_opt_out,
  coalesce(m.template_name, '') AS template_name
FROM auditor_tenant g JOIN tenant t ON t.tenant_id = g.tenant_id JOIN message m ON m.tenant_id = g.tenant_id
WHERE g.role_oid = (SELECT r.oid FROM pg_roles r WHERE r.rolname = current_user);
COMMENT ON COLUMN audit.message.template_name IS 'The template that it was sent by; empty: it was sent as text.';

-- Which chain a row is of --------------------------------------------------------------------
-- Transactions are numbered anew in a database that is made from a dump. So the transaction alone
-- does not say where a row belongs: each has the number of the chain that was the last one when it
-- was recorded. The number is in no hash of 0012: it says which seals the row is in, and a seal that
-- has a row under another number than its own counts the number in (chain_member).

ALTER TABLE status_event ADD COLUMN chain_no integer NOT NULL DEFAULT 1;
COMMENT ON COLUMN status_event.chain_no IS 'The hash chain that had begun when it was recorded: chain_begin.';
ALTER TABLE consent_event ADD COLUMN chain_no integer NOT NULL DEFAULT 1;
COMMENT ON COLUMN consent_event.chain_no IS 'The hash chain that had begun when it was recorded: chain_begin.';
ALTER TABLE operator_action ADD COLUMN chain_no integer NOT NULL DEFAULT 1;
COMMENT ON COLUMN operator_action.chain_no IS 'The hash chain that had begun when it was recorded: chain_begin.';

CREATE TABLE chain_begin (
  chain_no   integer PRIMARY KEY,
  seal_no    bigint NOT NULL,
  begin_snap pg_snapshot NOT NULL,
  before_end pg_snapshot NOT NULL,
  begun_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
  actor      text NOT NULL,
  reason     text NOT NULL
);
COMMENT ON TABLE chain_begin IS 'Where each hash chain begins, and why. All tenants'' chains begin anew at once, each over the last link that it had.';
COMMENT ON COLUMN chain_begin.chain_no IS '1: of migration 0012; 2, 3 ...: begun by operators.';
COMMENT ON COLUMN chain_begin.seal_no IS 'Its first seal, in which every tenant that had a chain has a link over this row; 0: of the first chain, which began without.';
COMMENT ON COLUMN chain_begin.begin_snap IS 'Rows of this chain''s number that it shows, and rows of other numbers, are of before.';
COMMENT ON COLUMN chain_begin.before_end IS 'What is of before ends here: the seals of_before reach up to it.';
COMMENT ON COLUMN chain_begin.begun_at IS 'When.';
COMMENT ON COLUMN chain_begin.actor IS 'The database user who began it; empty: a migration.';
COMMENT ON COLUMN chain_begin.reason IS 'Why, in the operator''s words.';
INSERT INTO chain_begin (chain_no, seal_no, begin_snap, before_end, begun_at, actor, reason)
SELECT 1, 0, p.begin_snap, p.begin_snap, p.begun_at, '', 'the first chain' FROM chain_position p;

ALTER TABLE chain_seal
  ADD COLUMN chain_no integer NOT NULL DEFAULT 1,
  ADD COLUMN of_before boolean NOT NULL DEFAULT false;
COMMENT ON TABLE chain_seal IS 'What was sealed at once: all rows that to_snap shows and from_snap did not. Of a chain, and apart of what was recorded before it, each begins where the one before ended.';
COMMENT ON COLUMN chain_seal.seal_no IS '1, 2, 3 ... over all chains, without gaps.';
COMMENT ON COLUMN chain_seal.from_snap IS 'What was sealed before; 1:1: stands for nothing.';
COMMENT ON COLUMN chain_seal.to_snap IS 'What is sealed since: the snapshot of a tick, or a part of one.';
COMMENT ON COLUMN chain_seal.chain_no IS 'The chain that it is of.';
COMMENT ON COLUMN chain_seal.of_before IS 'It is over rows that were there when the chain began.';

ALTER TABLE chain_link
  DROP CONSTRAINT a_link_is_of_one_of_three_tables,
  ADD CONSTRAINT a_link_is_of_a_table_or_a_begin CHECK (kind BETWEEN 1 AND 4);
COMMENT ON COLUMN chain_link.kind IS 'Of which table: 1 status_event, 2 consent_event, 3 operator_action; 4: of the chain''s row of chain_begin. That one a new chain begins with, and the one of no tenant has it, too, when all of before is sealed.';
COMMENT ON COLUMN chain_link.rows IS 'How many; of kind 4 none.';

ALTER TABLE chain_position
  ADD COLUMN chain_no integer NOT NULL DEFAULT 1,
  ADD COLUMN before_sealed pg_snapshot NOT NULL DEFAULT '1:1:',
  ADD COLUMN before_snap pg_snapshot NOT NULL DEFAULT '1:1:';
COMMENT ON COLUMN chain_position.chain_no IS 'The chain that goes on: the last one.';
COMMENT ON COLUMN chain_position.before_sealed IS 'The end of the last seal of what was recorded before the chain began; 1:1: none is; chain_begin.before_end: all is.';
COMMENT ON COLUMN chain_position.before_snap IS 'Since that seal, nothing was there to be sealed up to here.';

CREATE OR REPLACE FUNCTION audit.begin_hash(b chain_begin) RETURNS bytea LANGUAGE sql STABLE PARALLEL SAFE
RETURN sha256(convert_to(ROW('chain_begin', b.chain_no, b.seal_no, b.begin_snap, b.before_end, extract(epoch FROM b.begun_at),
  b.actor, b.reason)::text, 'UTF8'));
COMMENT ON FUNCTION audit.begin_hash IS 'The hash of where a chain begins and why, over all its columns.';

CREATE OR REPLACE FUNCTION audit.chain_table_name(kind smallint) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN (ARRAY['status_event', 'consent_event', 'operator_action', 'chain_begin'])[kind];
COMMENT ON FUNCTION audit.chain_table_name IS 'Of which table a link is, by the number that is stored.';

-- What is sealed, and how it stands now: as in 0012, and by chains -----------------------------

CREATE OR REPLACE VIEW chain_row AS
SELECT 1::smallint AS kind, coalesce(e.tenant_id, e.tenant_id) AS tenant_id, e.xid, e.message_id AS id, e.at, audit.event_hash(e) AS hash,
  e.chain_no
FROM status_event e WHERE e.slot = ANY ('{0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15}'::smallint[])
UNION ALL
SELECT 2::smallint, coalesce(c.tenant_id, c.tenant_id), c.xid, c.consent_id, c.recorded_at, audit.consent_hash(c), c.chain_no FROM consent_event c
UNION ALL
SELECT 3::smallint, coalesce(o.tenant_id, o.tenant_id), o.xid, o.action_id, o.at, audit.action_hash(o), o.chain_no FROM operator_action o;
COMMENT ON COLUMN chain_row.chain_no IS 'The chain that had begun when it was recorded.';

-- Every row of whatever number and transaction is of one seal, once its time has come, or in
-- chain_stray: of before is what is of another chain or was there when this one began, up to
-- before_end; whatever is not shown by before_end is of the last chain's seals, under any number.
CREATE OR REPLACE VIEW chain_member AS
SELECT s.seal_no, r.kind, r.tenant_id, r.id, r.at,
  CASE WHEN s.of_before OR r.chain_no <> s.chain_no THEN sha256(r.hash || int4send(r.chain_no)) ELSE r.hash END AS hash, s.of_before
FROM (SELECT c.seal_no, c.from_snap, c.to_snap, c.chain_no, c.of_before FROM chain_seal c
    UNION ALL SELECT least(p.seal_no, 9223372036854775806) + 1, p.sealed_snap, p.snap, p.chain_no, false FROM chain_position p
    UNION ALL SELECT least(p.seal_no, 9223372036854775806) + 1, p.before_sealed, p.before_snap, p.chain_no, true FROM chain_position p) s
  JOIN chain_begin b ON b.chain_no = s.chain_no
  CROSS JOIN LATERAL (SELECT ARRAY(SELECT pg_snapshot_xip(s.from_snap)) AS late,
    b.chain_no = (SELECT n.chain_no FROM chain_begin n ORDER BY n.chain_no DESC LIMIT 1) AS is_last OFFSET 0) x
  CROSS JOIN LATERAL (
    SELECT r.* FROM chain_row r WHERE r.xid >= coalesce(nullif(pg_snapshot_xmax(s.from_snap), '1'), '0')
      AND r.xid < coalesce(nullif(pg_snapshot_xmax(s.to_snap), '1'), '0') AND pg_visible_in_snapshot(r.xid, s.to_snap)
      AND CASE WHEN s.of_before THEN r.chain_no <> b.chain_no OR pg_visible_in_snapshot(r.xid, b.begin_snap)
        ELSE r.chain_no = b.chain_no OR (x.is_last AND NOT pg_visible_in_snapshot(r.xid, b.before_end)) END
    UNION ALL
    SELECT r.* FROM chain_row r WHERE r.xid >= pg_snapshot_xmin(s.from_snap) AND r.xid < pg_snapshot_xmax(s.from_snap)
      AND r.xid = ANY (x.late) AND pg_visible_in_snapshot(r.xid, s.to_snap)
      AND CASE WHEN s.of_before THEN r.chain_no <> b.chain_no OR pg_visible_in_snapshot(r.xid, b.begin_snap)
        ELSE r.chain_no = b.chain_no OR (x.is_last AND NOT pg_visible_in_snapshot(r.xid, b.before_end)) END) r;
COMMENT ON COLUMN chain_member.hash IS 'Over all its columns; over its chain''s number, too, where that is not the seal''s own.';
COMMENT ON COLUMN chain_member.seal_no IS 'The seal; one more than the last: what is sealed next.';
COMMENT ON COLUMN chain_member.of_before IS 'As in chain_seal.';

CREATE OR REPLACE VIEW chain_group AS
SELECT m.tenant_id, m.seal_no, m.kind, count(*) AS rows, min(m.at) AS since, max(m.at) AS until,
  sha256(string_agg(m.hash, ''::bytea ORDER BY m.id, m.hash)) AS digest,
  string_agg(substr(m.hash, 1, 8), ''::bytea ORDER BY m.id, m.hash) AS marks, m.of_before
FROM chain_member m GROUP BY m.tenant_id, m.seal_no, m.kind, m.of_before;
COMMENT ON COLUMN chain_group.of_before IS 'As in chain_seal.';

-- For the last chain, as its rows may be of any transaction that has not begun; of those of before,
-- which a dump may have brought with them, what is not of before.
CREATE OR REPLACE VIEW chain_stray AS
SELECT r.tenant_id, r.kind, count(*) AS rows, min(r.at) AS since, max(r.at) AS until
FROM (
  SELECT coalesce(e.tenant_id, e.tenant_id) AS tenant_id, 1::smallint AS kind, e.at FROM status_event e WHERE e.slot < 0 AND e.xid >= '0'
  UNION ALL
  SELECT coalesce(e.tenant_id, e.tenant_id), 1::smallint, e.at FROM status_event e WHERE e.slot > 15 AND e.xid >= '0'
  UNION ALL
  SELECT c.tenant_id, c.kind, c.at FROM chain_row c WHERE c.xid >= greatest(pg_snapshot_xmax(pg_current_snapshot()),
    (SELECT pg_snapshot_xmax(p.snap) FROM chain_position p ORDER BY p.seal_no DESC LIMIT 1)) AND c.xid <= '18446744073709551615'
    AND (c.chain_no = (SELECT n.chain_no FROM chain_begin n ORDER BY n.chain_no DESC LIMIT 1)
      OR NOT pg_visible_in_snapshot(c.xid, (SELECT n.before_end FROM chain_begin n ORDER BY n.chain_no DESC LIMIT 1)))) r
GROUP BY r.tenant_id, r.kind;

CREATE OR REPLACE VIEW chain_check AS
SELECT b.tenant_id, b.seal_no, b.kind, (b.link).link_no, (b.link).hash, (b.link).rows, b.found,
  coalesce((b.link).since, (b.now).since) AS since, coalesce((b.link).until, (b.now).until) AS until,
  CASE WHEN b.link IS DISTINCT FROM NULL THEN coalesce((b.link).hash = audit.link_hash((b.link).before, b.tenant_id, (b.link).link_no,
      b.seal_no, b.kind, (b.link).rows, (b.link).since, (b.link).until, s.from_snap, s.to_snap, (b.link).digest, (b.link).marks)
    AND (b.link).before = CASE WHEN (b.link).link_no = 1 THEN ''::bytea ELSE (SELECT p.hash FROM chain_link p
      WHERE p.tenant_id = b.tenant_id AND p.link_no = greatest((b.link).link_no, -9223372036854775807) - 1) END
    AND (b.link).hash = coalesce((SELECT n.before FROM chain_link n WHERE n.tenant_id = b.tenant_id
        AND n.link_no = least((b.link).link_no, 9223372036854775806) + 1),
      (SELECT h.hash FROM chain_head h WHERE h.tenant_id = b.tenant_id AND h.link_no = (b.link).link_no)), false) END AS linked,
  coalesce((b.link).digest = (b.now).digest AND (b.link).marks = (b.now).marks AND (b.link).rows = (b.now).rows, false) AS same,
  CASE WHEN (b.link).marks IS NOT NULL AND (b.link).marks IS DISTINCT FROM (b.now).marks THEN ARRAY(SELECT m.id FROM chain_member m
    WHERE m.tenant_id = b.tenant_id AND m.seal_no = b.seal_no AND m.kind = b.kind AND substr(m.hash, 1, 8) NOT IN (
      SELECT substr((b.link).marks, 8 * n - 7, 8) FROM generate_series(1, octet_length((b.link).marks) / 8) n)
    ORDER BY m.id, m.hash LIMIT 100)
    ELSE '{}'::uuid[] END AS strangers
FROM (SELECT u.tenant_id, u.seal_no, u.kind, coalesce(sum(u.found), 0)::bigint AS found,
    (array_agg(u.link) FILTER (WHERE u.link IS DISTINCT FROM NULL))[1] AS link,
    (array_agg(u.now) FILTER (WHERE u.now IS DISTINCT FROM NULL))[1] AS now
  FROM (SELECT l.tenant_id, l.seal_no, l.kind, NULL::bigint AS found, l AS link, NULL::chain_group AS now FROM chain_link l
    UNION ALL SELECT g.tenant_id, g.seal_no, g.kind, g.rows, NULL::chain_link, g FROM chain_group g
    UNION ALL SELECT l.tenant_id, l.seal_no, l.kind, 0::bigint, NULL::chain_link,
      ROW(l.tenant_id, l.seal_no, l.kind, 0::bigint, b.begun_at, b.begun_at, audit.begin_hash(b), substr(audit.begin_hash(b), 1, 8), NULL::boolean)::chain_group
      FROM chain_link l JOIN chain_seal s ON s.seal_no = l.seal_no JOIN chain_begin b ON b.chain_no = s.chain_no WHERE l.kind = 4
    UNION ALL SELECT r.tenant_id, 0::bigint, r.kind, r.rows, NULL::chain_link,
      ROW(r.tenant_id, 0::bigint, r.kind, r.rows, r.since, r.until, NULL::bytea, NULL::bytea, NULL::boolean)::chain_group FROM chain_stray r) u
  GROUP BY u.tenant_id, u.seal_no, u.kind) b
LEFT JOIN chain_seal s ON s.seal_no = b.seal_no;

CREATE OR REPLACE VIEW chain_outside AS
SELECT r.tenant_id, r.kind, count(*) FILTER (WHERE r.before_chain) AS before_chain, count(*) FILTER (WHERE NOT r.before_chain) AS not_sealed
FROM chain_position p JOIN chain_begin b ON b.chain_no = p.chain_no CROSS JOIN LATERAL (
  SELECT r.tenant_id, r.kind, true AS before_chain FROM chain_row r
  WHERE r.xid >= coalesce(nullif(pg_snapshot_xmax(p.before_snap), '1'), '0') AND r.xid < pg_snapshot_xmax(b.before_end)
    AND pg_visible_in_snapshot(r.xid, b.before_end) AND (r.chain_no <> b.chain_no OR pg_visible_in_snapshot(r.xid, b.begin_snap))
  UNION ALL
  SELECT r.tenant_id, r.kind, false FROM chain_row r
  WHERE r.xid >= pg_snapshot_xmin(p.snap) AND NOT pg_visible_in_snapshot(r.xid, p.snap)
    AND r.xid < pg_snapshot_xmax(pg_current_snapshot())
    AND (r.chain_no = b.chain_no OR NOT pg_visible_in_snapshot(r.xid, b.before_end))) r
GROUP BY r.tenant_id, r.kind;
COMMENT ON VIEW chain_outside IS 'Rows that are in no link yet.';
COMMENT ON COLUMN chain_outside.before_chain IS 'Recorded before the chain began; put into it in parts, beside what is new.';

ALTER TABLE chain_position DROP COLUMN begin_snap, DROP COLUMN begun_at;

-- By what is sealed and by the last seals, not by what chain_position says of itself.
CREATE VIEW chain_fault AS
SELECT 'SEALS_APART' AS verdict, s.seal_no, s.sealed_at AS at, w.why
FROM chain_seal s
  LEFT JOIN chain_begin b ON b.chain_no = s.chain_no
  CROSS JOIN LATERAL (SELECT CASE
    WHEN s.seal_no < 1 OR (s.seal_no > 1 AND NOT EXISTS (SELECT FROM chain_seal o WHERE o.seal_no = s.seal_no - 1))
      THEN 'no seal has the number before it'
    WHEN s.chain_no IS DISTINCT FROM (SELECT n.chain_no FROM chain_begin n WHERE n.seal_no <= s.seal_no ORDER BY n.chain_no DESC LIMIT 1)
      THEN 'it is of another chain than the one that had begun'
    WHEN s.from_snap::text <> coalesce((SELECT o.to_snap FROM chain_seal o WHERE o.seal_no < s.seal_no AND o.chain_no = s.chain_no
        AND o.of_before = s.of_before ORDER BY o.seal_no DESC LIMIT 1), CASE WHEN s.of_before THEN '1:1:' ELSE b.begin_snap END)::text
      THEN 'it does not begin where the one before it ended'
    WHEN NOT EXISTS (SELECT FROM chain_link l WHERE l.seal_no = s.seal_no) THEN 'no link is of it' END AS why) w
WHERE w.why IS NOT NULL
UNION ALL
SELECT 'POSITION_WRONG', p.seal_no, now(), w.why
FROM (SELECT count(*) AS rows FROM chain_position) n
  LEFT JOIN chain_position p ON n.rows = 1
  LEFT JOIN (SELECT * FROM chain_begin ORDER BY chain_no DESC LIMIT 1) b ON true
  CROSS JOIN LATERAL (SELECT CASE
    WHEN n.rows = 0 THEN 'chain_position has no row, so nothing is sealed'
    WHEN n.rows > 1 THEN 'chain_position has more than one row'
    WHEN p.chain_no IS DISTINCT FROM b.chain_no THEN 'chain_position is of another chain than the last one'
    WHEN p.seal_no <> coalesce((SELECT o.seal_no FROM chain_seal o WHERE o.seal_no > 0 ORDER BY o.seal_no DESC LIMIT 1), 0)
      THEN 'chain_position is not at the last seal'
    WHEN p.sealed_snap::text <> coalesce((SELECT o.to_snap FROM chain_seal o WHERE o.seal_no > 0 AND o.chain_no = p.chain_no
        AND NOT o.of_before ORDER BY o.seal_no DESC LIMIT 1), b.begin_snap)::text
      OR p.before_sealed::text <> coalesce((SELECT o.to_snap FROM chain_seal o WHERE o.seal_no > 0 AND o.chain_no = p.chain_no
        AND o.of_before ORDER BY o.seal_no DESC LIMIT 1), '1:1:')::text
      THEN 'chain_position is not where the last seal ended'
    WHEN pg_snapshot_xmax(p.snap) > pg_snapshot_xmax(pg_current_snapshot())
      THEN 'chain_position is ahead of the database''s transactions: it was restored from a dump'
    WHEN p.tick_no > (SELECT t.tick_no FROM tick t ORDER BY t.tick_no DESC LIMIT 1)
      THEN 'chain_position is ahead of the ticks' END AS why) w
WHERE w.why IS NOT NULL;
COMMENT ON VIEW chain_fault IS 'What is wrong with the seals as a whole, beside what chain_check finds in links and rows.';
COMMENT ON COLUMN chain_fault.verdict IS 'SEALS_APART: something may lie between two seals; POSITION_WRONG: sealing does not go on, or not from where it ended.';
COMMENT ON COLUMN chain_fault.seal_no IS 'The later seal; of a position the seal that it says.';
COMMENT ON COLUMN chain_fault.at IS 'When the seal was made; of a position now.';
COMMENT ON COLUMN chain_fault.why IS 'In words.';

-- What auditors read -------------------------------------------------------------------------

COMMENT ON COLUMN audit.chain.table_name IS 'Rows of which table: status_event, consent_event or operator_action; chain_begin: of none, a new chain begins.';
COMMENT ON COLUMN audit.operator_action.action IS 'PUT_TENANT, CHANGE_WEBHOOK_KEY, CREATE_TOKEN, PAUSE, RESUME, OVERRIDE_BREAKER, RECORD_CONSENT, REPLAY, REPLAY_DEAD_LETTERS, DISCARD_DEAD_LETTERS, UNMASK_DEAD_LETTER, GRANT_AUDITOR, REVOKE_AUDITOR ... BEGIN_CHAIN is of no tenant: audit.chain_notice.';

-- Seals are of all tenants: what is told of them says nothing of anybody's rows.
CREATE VIEW audit.chain_notice WITH (security_barrier) AS
SELECT t.name AS tenant, n.verdict, n.at, n.seal_no, CASE WHEN n.chain_no IS NOT NULL THEN (SELECT min(l.link_no) FROM chain_link l
    WHERE l.tenant_id = t.tenant_id AND l.seal_no = n.seal_no AND l.kind = 4) END AS link_no, n.chain_no, n.actor, n.reason
FROM auditor_tenant g JOIN tenant t ON t.tenant_id = g.tenant_id CROSS JOIN (
  SELECT 'CHAIN_BEGINS' AS verdict, b.begun_at AS at, b.seal_no, b.chain_no, b.actor, b.reason FROM chain_begin b
  UNION ALL SELECT f.verdict, f.at, f.seal_no, NULL, NULL, f.why FROM chain_fault f) n
WHERE g.role_oid = (SELECT r.oid FROM pg_roles r WHERE r.rolname = current_user);
COMMENT ON VIEW audit.chain_notice IS 'What there is to know of the hash chain as a whole: where each begins, by whom and why; and what is wrong with seals, where something may lie between two of them.';
COMMENT ON COLUMN audit.chain_notice.tenant IS 'Whose chain: it is the same for all.';
COMMENT ON COLUMN audit.chain_notice.verdict IS 'CHAIN_BEGINS; or a fault: SEALS_APART, a seal does not begin where the one before it ended; POSITION_WRONG, sealing does not go on from where it ended.';
COMMENT ON COLUMN audit.chain_notice.at IS 'When it was begun; when the seal was made.';
COMMENT ON COLUMN audit.chain_notice.seal_no IS 'The seal, as in audit.chain; 0: of the first chain.';
COMMENT ON COLUMN audit.chain_notice.link_no IS 'Of a chain that begins the tenant''s link over this; null: the tenant had no chain before.';
COMMENT ON COLUMN audit.chain_notice.chain_no IS '1, 2, 3 ... of chains; null of a fault.';
COMMENT ON COLUMN audit.chain_notice.actor IS 'The database user who began it; empty: a migration.';
COMMENT ON COLUMN audit.chain_notice.reason IS 'Why it was begun; what is wrong.';

DROP FUNCTION audit.verify_chain(text, timestamptz, timestamptz, interval);
CREATE FUNCTION audit.verify_chain(of_tenant text DEFAULT NULL, sealed_since timestamptz DEFAULT '-infinity',
  sealed_until timestamptz DEFAULT 'infinity', kept interval DEFAULT interval '400 days')
RETURNS TABLE (tenant text, verdict text, table_name text, link_no bigint, links bigint, rows bigint, found bigint, since timestamptz,
  until timestamptz, strangers uuid[], detail text)
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
SELECT c.tenant, c.verdict, c.place, c.link_no, count(*), sum(c.rows)::bigint, sum(c.found)::bigint, min(c.since), max(c.until), c.strangers, NULL::text
FROM (SELECT k.tenant, v.verdict, CASE WHEN b.broken THEN k.table_name END AS place, CASE WHEN b.broken THEN k.link_no END AS link_no,
    CASE WHEN b.broken THEN k.seal_no END AS seal_no, CASE WHEN b.broken THEN k.strangers END AS strangers, k.rows, k.found, k.since, k.until
  FROM audit.chain_check k
    CROSS JOIN LATERAL (SELECT audit.chain_verdict(k.kind, k.linked, k.same, k.since, k.rows, k.found, cardinality(k.strangers)::bigint,
      now() - kept) AS verdict) v
    CROSS JOIN LATERAL (SELECT v.verdict NOT IN ('HOLDS', 'PAST_RETENTION') AS broken) b
  WHERE (of_tenant IS NULL OR k.tenant = of_tenant)
    AND k.seal_no >= (SELECT CASE WHEN sealed_since = '-infinity' THEN -9223372036854775807 ELSE coalesce(min(a.seal_no), 9223372036854775807) END
      FROM audit.chain a WHERE a.sealed_at >= sealed_since)
    AND k.seal_no <= (SELECT CASE WHEN sealed_until = 'infinity' THEN 9223372036854775807 ELSE coalesce(max(a.seal_no), 0) END
      FROM audit.chain a WHERE a.sealed_at < sealed_until)) c
GROUP BY c.tenant, c.verdict, c.place, c.link_no, c.seal_no, c.strangers
UNION ALL
SELECT n.tenant, n.verdict, NULL, n.link_no, NULL, NULL, NULL, n.at, n.at, NULL, n.reason
FROM audit.chain_notice n
WHERE (of_tenant IS NULL OR n.tenant = of_tenant) AND n.at >= sealed_since AND n.at < sealed_until AND n.chain_no IS DISTINCT FROM 1
ORDER BY 1, 2, 4;
END;
COMMENT ON FUNCTION audit.verify_chain IS 'Checks the chains of the tenants that you may audit, as `postriderd audit verify` does: one row for what HOLDS, one for what is PAST_RETENTION, one for each link that does not hold (audit.chain_verdict), and those of audit.chain_notice but the first chain''s begin. kept: as long as messages are kept here (--keep-messages-days).';
