-- A hash chain over what is on record: every change of a message, every consent event and every
-- action of an operator. It is built beside traffic, from tick to tick (server/store/audit_chain.h),
-- and `postriderd audit verify` and audit.verify_chain() find what was changed, removed or added.
--
-- Every column of a row counts, in one canonical text that no setting of a session changes. Who
-- adds a column to one of these tables adds it to the function that hashes its rows, so that rows
-- without it have the hash that they had: a test changes every column and wants to be told.

SET LOCAL search_path = postrider;

-- What the chain needs of the tables that it is over ------------------------------------------

-- Rows of before have 0: they are of before the chain.
ALTER TABLE consent_event ADD COLUMN xid xid8 NOT NULL DEFAULT '0';
ALTER TABLE consent_event ALTER COLUMN xid SET DEFAULT pg_current_xact_id();
COMMENT ON COLUMN consent_event.xid IS 'The transaction that recorded it, as in status_event; 0: it was recorded before the chain began.';
CREATE INDEX consent_event_tail ON consent_event (xid);

ALTER TABLE operator_action
  ADD COLUMN before jsonb,
  ADD COLUMN after jsonb,
  ADD COLUMN xid xid8 NOT NULL DEFAULT '0';
ALTER TABLE operator_action ALTER COLUMN xid SET DEFAULT pg_current_xact_id();
COMMENT ON COLUMN operator_action.before IS 'What was changed, as it was: an object of what differs; null when nothing was there or nothing is to compare. Secrets are not in it.';
COMMENT ON COLUMN operator_action.after IS 'The same as it is since; null when it is there no more.';
COMMENT ON COLUMN operator_action.xid IS 'The transaction that recorded it, as in status_event; 0: it was recorded before the chain began.';
COMMENT ON COLUMN operator_action.actor IS 'Name of the operator''s token; of what is done beside the gateway (tenants, tokens, auditors) the database user.';
COMMENT ON COLUMN operator_action.action IS 'PUT_TENANT, CHANGE_WEBHOOK_KEY, CREATE_TOKEN, PAUSE, RESUME, OVERRIDE_BREAKER, RECORD_CONSENT, REPLAY, REPLAY_DEAD_LETTERS, UNMASK_DEAD_LETTER, GRANT_AUDITOR, REVOKE_AUDITOR ...';
COMMENT ON COLUMN operator_action.target IS 'Of what: tenant, a token, a campaign, a sender, a breaker, a message, dead letters, an auditor.';
COMMENT ON COLUMN operator_action.reason IS 'Why, in the operator''s words; empty of settings and tokens.';
COMMENT ON COLUMN operator_action.tenant_id IS 'To whom; the nil UUID: to no tenant, such as a token of an operator.';
CREATE INDEX operator_action_tail ON operator_action (xid);

-- The chain ----------------------------------------------------------------------------------

-- chain_seal and chain_position are of all tenants, as tick is: no tenant_id leads their keys.
CREATE TABLE chain_seal (
  seal_no   bigint PRIMARY KEY,
  from_snap pg_snapshot NOT NULL,
  to_snap   pg_snapshot NOT NULL,
  sealed_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE chain_seal IS 'What was sealed at once: all rows that to_snap shows and from_snap did not. Each begins where the one before ended.';
COMMENT ON COLUMN chain_seal.seal_no IS '1, 2, 3 ...';
COMMENT ON COLUMN chain_seal.from_snap IS 'What was sealed before.';
COMMENT ON COLUMN chain_seal.to_snap IS 'What is sealed since: the snapshot of a tick.';
COMMENT ON COLUMN chain_seal.sealed_at IS 'When: for people, and in no hash.';

CREATE TABLE chain_link (
  tenant_id uuid NOT NULL,
  link_no   bigint NOT NULL,
  seal_no   bigint NOT NULL,
  kind      smallint NOT NULL CONSTRAINT a_link_is_of_one_of_three_tables CHECK (kind BETWEEN 1 AND 3),
  rows      bigint NOT NULL,
  since     timestamptz NOT NULL,
  until     timestamptz NOT NULL,
  digest    bytea NOT NULL,
  before    bytea NOT NULL,
  hash      bytea NOT NULL,
  marks     bytea NOT NULL,
  PRIMARY KEY (tenant_id, link_no)
);
COMMENT ON TABLE chain_link IS 'The chain of each tenant: a link is over the rows of one table in one seal. Kept for ever.';
COMMENT ON COLUMN chain_link.tenant_id IS 'Whose rows; the nil UUID: actions of operators that are of no tenant.';
COMMENT ON COLUMN chain_link.link_no IS '1, 2, 3 ... of the tenant, without gaps.';
COMMENT ON COLUMN chain_link.seal_no IS 'The seal that says from where to where.';
COMMENT ON COLUMN chain_link.kind IS 'Of which table: 1 status_event, 2 consent_event, 3 operator_action.';
COMMENT ON COLUMN chain_link.rows IS 'How many.';
COMMENT ON COLUMN chain_link.since IS 'The oldest row''s time.';
COMMENT ON COLUMN chain_link.until IS 'The newest row''s time.';
COMMENT ON COLUMN chain_link.digest IS 'SHA-256 of the rows'' hashes, in the order of their ids and then of the hashes.';
COMMENT ON COLUMN chain_link.before IS 'The hash of the link before it; empty in the first one.';
COMMENT ON COLUMN chain_link.hash IS 'SHA-256 of all of this and of the seal''s snapshots: audit.link_hash.';
COMMENT ON COLUMN chain_link.marks IS 'The first 8 bytes of each row''s hash, in the same order: tells which row it is that does not hold.';
CREATE INDEX chain_link_of_a_seal ON chain_link (seal_no);

CREATE TABLE chain_head (
  tenant_id uuid PRIMARY KEY,
  link_no   bigint NOT NULL,
  hash      bytea NOT NULL
);
COMMENT ON TABLE chain_head IS 'The last link of each tenant.';
COMMENT ON COLUMN chain_head.tenant_id IS 'As in chain_link.';
COMMENT ON COLUMN chain_head.link_no IS 'Its number.';
COMMENT ON COLUMN chain_head.hash IS 'Its hash.';

CREATE TABLE chain_position (
  seal_no     bigint PRIMARY KEY,
  begin_snap  pg_snapshot NOT NULL,
  begun_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
  sealed_snap pg_snapshot NOT NULL,
  snap        pg_snapshot NOT NULL,
  tick_no     bigint NOT NULL,
  tick_at     timestamptz NOT NULL
);
COMMENT ON TABLE chain_position IS 'One row: how far is sealed. Who seals locks it.';
COMMENT ON COLUMN chain_position.seal_no IS 'The last seal; 0: none.';
COMMENT ON COLUMN chain_position.begin_snap IS 'Rows that it shows are of before the chain.';
COMMENT ON COLUMN chain_position.begun_at IS 'When the chain began.';
COMMENT ON COLUMN chain_position.sealed_snap IS 'The end of the last seal.';
COMMENT ON COLUMN chain_position.snap IS 'The snapshot of tick_no, or of a part of what lies between it and the next tick: since the last seal, nothing was there to be sealed up to here.';
COMMENT ON COLUMN chain_position.tick_no IS 'The tick up to which all is sealed.';
COMMENT ON COLUMN chain_position.tick_at IS 'When that tick was taken.';
INSERT INTO chain_position (seal_no, begin_snap, sealed_snap, snap, tick_no, tick_at)
SELECT 0, s, s, s, t.tick_no, t.at FROM pg_current_snapshot() s, (SELECT * FROM tick ORDER BY tick_no DESC LIMIT 1) t;

-- Hashes -------------------------------------------------------------------------------------

CREATE OR REPLACE FUNCTION audit.event_hash(e status_event) RETURNS bytea LANGUAGE sql STABLE PARALLEL SAFE
RETURN sha256(convert_to(ROW('status_event', e.xid, e.slot, e.tenant_id, e.message_id, e.revision, e.previous, e.state, e.cause,
  e.attempt, e.final, e.correction, e.failure, e.provider_code, e.correlation_id, extract(epoch FROM e.provider_at), e.hold_reason,
  extract(epoch FROM e.hold_until), e.conversation_id, e.external_contact_id, e.campaign_id, extract(epoch FROM e.at))::text, 'UTF8'));
COMMENT ON FUNCTION audit.event_hash IS 'The hash of a change of a message, over all its columns.';

CREATE OR REPLACE FUNCTION audit.consent_hash(c consent_event) RETURNS bytea LANGUAGE sql STABLE PARALLEL SAFE
RETURN sha256(convert_to(ROW('consent_event', c.xid, c.tenant_id, c.consent_id, encode(c.recipient_key, 'hex'), c.sender_id,
  c.recipient, c.change, c.source, c.evidence, c.actor, c.reason, extract(epoch FROM c.said_at), extract(epoch FROM c.recorded_at))::text,
  'UTF8'));
COMMENT ON FUNCTION audit.consent_hash IS 'The hash of a consent event, over all its columns.';

CREATE OR REPLACE FUNCTION audit.action_hash(o operator_action) RETURNS bytea LANGUAGE sql STABLE PARALLEL SAFE
RETURN sha256(convert_to(ROW('operator_action', o.xid, o.tenant_id, o.action_id, o.actor, o.action, o.target, o.reason,
  extract(epoch FROM o.at), o.before, o.after)::text, 'UTF8'));
COMMENT ON FUNCTION audit.action_hash IS 'The hash of what an operator did, over all its columns.';

CREATE OR REPLACE FUNCTION audit.link_hash(before bytea, tenant_id uuid, link_no bigint, seal_no bigint, kind smallint, rows bigint,
  since timestamptz, until timestamptz, from_snap pg_snapshot, to_snap pg_snapshot, digest bytea, marks bytea)
RETURNS bytea LANGUAGE sql STABLE PARALLEL SAFE
RETURN sha256(convert_to(ROW('chain_link', encode(before, 'hex'), tenant_id, link_no, seal_no, kind, rows, extract(epoch FROM since),
  extract(epoch FROM until), from_snap, to_snap, encode(digest, 'hex'), encode(sha256(marks), 'hex'))::text, 'UTF8'));
COMMENT ON FUNCTION audit.link_hash IS 'The hash of a link of the chain, over the hash of the one before.';

CREATE OR REPLACE FUNCTION audit.chain_table_name(kind smallint) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN (ARRAY['status_event', 'consent_event', 'operator_action'])[kind];
COMMENT ON FUNCTION audit.chain_table_name IS 'Of which table a link is, by the number that is stored.';

-- A row that is old enough may have gone with its message; one that is there must be as it was.
CREATE OR REPLACE FUNCTION audit.chain_verdict(kind smallint, linked boolean, same boolean, since timestamptz, rows bigint,
  found bigint, strangers bigint, kept_since timestamptz) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN linked IS NULL THEN 'ROWS_IN_NO_LINK' WHEN NOT linked THEN 'LINK_BROKEN' WHEN same THEN 'HOLDS'
  WHEN kind = 1 AND since < kept_since AND found < rows AND strangers = 0 THEN 'PAST_RETENTION'
  WHEN found < rows AND strangers = 0 THEN 'ROWS_MISSING' ELSE 'ROWS_CHANGED' END;
COMMENT ON FUNCTION audit.chain_verdict IS 'What became of a link: HOLDS; PAST_RETENTION: rows of it are kept no longer, the link itself holds; LINK_BROKEN: it was changed, or the one before or after it is not the one that it was; ROWS_MISSING, ROWS_CHANGED: rows were removed, changed or added; ROWS_IN_NO_LINK: rows were added to what was sealed.';

-- What is sealed, and how it stands now -------------------------------------------------------
-- These views are for the gateway: it makes links by the same statement that checks them.

-- coalesce: a seal's rows are found by their transactions, not by an index of the tenant, which would
-- read all of the tenant's rows for each seal.
CREATE VIEW chain_row AS
SELECT 1::smallint AS kind, coalesce(e.tenant_id, e.tenant_id) AS tenant_id, e.xid, e.message_id AS id, e.at, audit.event_hash(e) AS hash FROM status_event e
WHERE e.slot = ANY ('{0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15}'::smallint[])
UNION ALL
SELECT 2::smallint, coalesce(c.tenant_id, c.tenant_id), c.xid, c.consent_id, c.recorded_at, audit.consent_hash(c) FROM consent_event c
UNION ALL
SELECT 3::smallint, coalesce(o.tenant_id, o.tenant_id), o.xid, o.action_id, o.at, audit.action_hash(o) FROM operator_action o;
COMMENT ON VIEW chain_row IS 'All rows that the chain is over. Those of a slot that there is not are none: one that got such a number is missing, and in chain_stray.';
COMMENT ON COLUMN chain_row.kind IS 'As in chain_link.';
COMMENT ON COLUMN chain_row.tenant_id IS 'Whose.';
COMMENT ON COLUMN chain_row.xid IS 'The transaction that recorded it.';
COMMENT ON COLUMN chain_row.id IS 'The message, the consent event or the action.';
COMMENT ON COLUMN chain_row.at IS 'When it was recorded.';
COMMENT ON COLUMN chain_row.hash IS 'Over all its columns.';

-- As the feed of events reads from tick to tick; see server/store/pg_events.cc. After the last seal
-- comes what was looked through and is not sealed: that is what is sealed next, or nothing.
CREATE VIEW chain_member AS
SELECT s.seal_no, r.kind, r.tenant_id, r.id, r.at, r.hash
FROM (SELECT c.seal_no, c.from_snap, c.to_snap FROM chain_seal c
    UNION ALL SELECT p.seal_no + 1, p.sealed_snap, p.snap FROM chain_position p) s
  CROSS JOIN LATERAL (SELECT ARRAY(SELECT pg_snapshot_xip(s.from_snap)) AS late OFFSET 0) x
  CROSS JOIN LATERAL (
    SELECT r.* FROM chain_row r WHERE r.xid >= pg_snapshot_xmax(s.from_snap) AND r.xid < pg_snapshot_xmax(s.to_snap)
      AND pg_visible_in_snapshot(r.xid, s.to_snap)
    UNION ALL
    SELECT r.* FROM chain_row r WHERE r.xid >= pg_snapshot_xmin(s.from_snap) AND r.xid < pg_snapshot_xmax(s.from_snap)
      AND r.xid = ANY (x.late) AND pg_visible_in_snapshot(r.xid, s.to_snap)) r;
COMMENT ON VIEW chain_member IS 'The rows of each seal, as they are now.';
COMMENT ON COLUMN chain_member.seal_no IS 'The seal; one more than the last: what is sealed next.';
COMMENT ON COLUMN chain_member.kind IS 'As in chain_link.';
COMMENT ON COLUMN chain_member.tenant_id IS 'Whose.';
COMMENT ON COLUMN chain_member.id IS 'As in chain_row.';
COMMENT ON COLUMN chain_member.at IS 'When it was recorded.';
COMMENT ON COLUMN chain_member.hash IS 'Over all its columns.';

CREATE VIEW chain_group AS
SELECT m.tenant_id, m.seal_no, m.kind, count(*) AS rows, min(m.at) AS since, max(m.at) AS until,
  sha256(string_agg(m.hash, ''::bytea ORDER BY m.id, m.hash)) AS digest,
  string_agg(substr(m.hash, 1, 8), ''::bytea ORDER BY m.id, m.hash) AS marks
FROM chain_member m GROUP BY m.tenant_id, m.seal_no, m.kind;
COMMENT ON VIEW chain_group IS 'What the links of each seal would be, were it sealed now.';
COMMENT ON COLUMN chain_group.tenant_id IS 'Whose.';
COMMENT ON COLUMN chain_group.seal_no IS 'As in chain_member.';
COMMENT ON COLUMN chain_group.kind IS 'As in chain_link.';
COMMENT ON COLUMN chain_group.rows IS 'As in chain_link.';
COMMENT ON COLUMN chain_group.since IS 'As in chain_link.';
COMMENT ON COLUMN chain_group.until IS 'As in chain_link.';
COMMENT ON COLUMN chain_group.digest IS 'As in chain_link.';
COMMENT ON COLUMN chain_group.marks IS 'As in chain_link.';

-- No tick ever shows a transaction that has not begun, and no event has another slot than 0 to 15. So
-- these would be in no link for ever. A database that was made from a dump numbers its transactions
-- anew: what was looked through there is no stray. By xid, too, and up to the highest one, so that the
-- planner expects a stretch of the index.
CREATE VIEW chain_stray AS
SELECT r.tenant_id, r.kind, count(*) AS rows, min(r.at) AS since, max(r.at) AS until
FROM (
  SELECT coalesce(e.tenant_id, e.tenant_id) AS tenant_id, 1::smallint AS kind, e.at FROM status_event e WHERE e.slot < 0 AND e.xid >= '0'
  UNION ALL
  SELECT coalesce(e.tenant_id, e.tenant_id), 1::smallint, e.at FROM status_event e WHERE e.slot > 15 AND e.xid >= '0'
  UNION ALL
  SELECT c.tenant_id, c.kind, c.at FROM chain_row c WHERE c.xid >= greatest(pg_snapshot_xmax(pg_current_snapshot()),
    (SELECT pg_snapshot_xmax(p.snap) FROM chain_position p ORDER BY p.seal_no DESC LIMIT 1)) AND c.xid <= '18446744073709551615') r
GROUP BY r.tenant_id, r.kind;
COMMENT ON VIEW chain_stray IS 'Rows that no seal will ever have: of a slot that there is not, or of a transaction that has not begun. The gateway makes none.';
COMMENT ON COLUMN chain_stray.tenant_id IS 'Whose.';
COMMENT ON COLUMN chain_stray.kind IS 'As in chain_link.';
COMMENT ON COLUMN chain_stray.rows IS 'How many.';
COMMENT ON COLUMN chain_stray.since IS 'The oldest row''s time.';
COMMENT ON COLUMN chain_stray.until IS 'The newest row''s time.';

-- Grouped, not joined: so conditions on tenant and seal reach the rows, and rows without a link are
-- found in the same pass. Strays stand at seal 0, which there is not.
CREATE VIEW chain_check AS
SELECT b.tenant_id, b.seal_no, b.kind, (b.link).link_no, (b.link).hash, (b.link).rows, b.found,
  coalesce((b.link).since, (b.now).since) AS since, coalesce((b.link).until, (b.now).until) AS until,
  CASE WHEN b.link IS DISTINCT FROM NULL THEN coalesce((b.link).hash = audit.link_hash((b.link).before, b.tenant_id, (b.link).link_no,
      b.seal_no, b.kind, (b.link).rows, (b.link).since, (b.link).until, s.from_snap, s.to_snap, (b.link).digest, (b.link).marks)
    AND (b.link).before = CASE WHEN (b.link).link_no = 1 THEN ''::bytea ELSE (SELECT p.hash FROM chain_link p
      WHERE p.tenant_id = b.tenant_id AND p.link_no = (b.link).link_no - 1) END
    AND (b.link).hash = coalesce((SELECT n.before FROM chain_link n WHERE n.tenant_id = b.tenant_id AND n.link_no = (b.link).link_no + 1),
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
    UNION ALL SELECT r.tenant_id, 0::bigint, r.kind, r.rows, NULL::chain_link,
      ROW(r.tenant_id, 0::bigint, r.kind, r.rows, r.since, r.until, NULL::bytea, NULL::bytea)::chain_group FROM chain_stray r) u
  GROUP BY u.tenant_id, u.seal_no, u.kind) b
LEFT JOIN chain_seal s ON s.seal_no = b.seal_no;
COMMENT ON VIEW chain_check IS 'Every link with what its rows are now, and rows that no link has: in what is sealed, and of chain_stray.';
COMMENT ON COLUMN chain_check.tenant_id IS 'Whose.';
COMMENT ON COLUMN chain_check.seal_no IS 'As in chain_member; 0: the rows of chain_stray.';
COMMENT ON COLUMN chain_check.kind IS 'As in chain_link.';
COMMENT ON COLUMN chain_check.link_no IS 'As in chain_link; null: no link has these rows.';
COMMENT ON COLUMN chain_check.hash IS 'As in chain_link.';
COMMENT ON COLUMN chain_check.rows IS 'As in chain_link.';
COMMENT ON COLUMN chain_check.found IS 'How many rows there are now.';
COMMENT ON COLUMN chain_check.since IS 'As in chain_link; of rows in no link their own.';
COMMENT ON COLUMN chain_check.until IS 'The same.';
COMMENT ON COLUMN chain_check.linked IS 'The link is as it was made, and stands between the two that it stood between; null without a link.';
COMMENT ON COLUMN chain_check.same IS 'The rows are those that it was made of.';
COMMENT ON COLUMN chain_check.strangers IS 'Ids of rows that it was not made of, 100 at most.';

CREATE VIEW chain_outside AS
SELECT r.tenant_id, r.kind, count(*) FILTER (WHERE r.before_chain) AS before_chain, count(*) FILTER (WHERE NOT r.before_chain) AS not_sealed
FROM chain_position p CROSS JOIN LATERAL (
  SELECT r.tenant_id, r.kind, true AS before_chain FROM chain_row r
  WHERE r.xid < pg_snapshot_xmax(p.begin_snap) AND pg_visible_in_snapshot(r.xid, p.begin_snap)
  UNION ALL
  SELECT r.tenant_id, r.kind, false FROM chain_row r
  WHERE r.xid >= pg_snapshot_xmin(p.snap) AND NOT pg_visible_in_snapshot(r.xid, p.snap)
    AND r.xid < pg_snapshot_xmax(pg_current_snapshot())) r
GROUP BY r.tenant_id, r.kind;
COMMENT ON VIEW chain_outside IS 'Rows that are in no link and need not be.';
COMMENT ON COLUMN chain_outside.tenant_id IS 'Whose.';
COMMENT ON COLUMN chain_outside.kind IS 'As in chain_link.';
COMMENT ON COLUMN chain_outside.before_chain IS 'Recorded before the chain began.';
COMMENT ON COLUMN chain_outside.not_sealed IS 'So new that they are not sealed yet; those of chain_stray are none.';

-- What auditors read -------------------------------------------------------------------------

CREATE OR REPLACE VIEW audit.operator_action WITH (security_barrier) AS
SELECT t.name AS tenant, o.action_id, o.at, o.actor, o.action, o.target, o.reason, o.before, o.after
FROM auditor_tenant g JOIN tenant t ON t.tenant_id = g.tenant_id JOIN operator_action o ON o.tenant_id = g.tenant_id
WHERE g.role_oid = (SELECT r.oid FROM pg_roles r WHERE r.rolname = current_user);
COMMENT ON VIEW audit.operator_action IS 'What operators did: settings of a tenant, tokens, pauses, overrides, replays, numbers that were unmasked, auditors who were granted.';
COMMENT ON COLUMN audit.operator_action.actor IS 'Name of the operator''s token; of what is done beside the gateway (tenants, tokens, auditors) the database user.';
COMMENT ON COLUMN audit.operator_action.action IS 'PUT_TENANT, CHANGE_WEBHOOK_KEY, CREATE_TOKEN, PAUSE, RESUME, OVERRIDE_BREAKER, RECORD_CONSENT, REPLAY, REPLAY_DEAD_LETTERS, DISCARD_DEAD_LETTERS, UNMASK_DEAD_LETTER, GRANT_AUDITOR, REVOKE_AUDITOR ...';
COMMENT ON COLUMN audit.operator_action.target IS 'Of what: tenant, a token, a campaign, a sender, a breaker, a message, dead letters, an auditor.';
COMMENT ON COLUMN audit.operator_action.before IS 'What was changed, as it was; null: nothing was there, or nothing is to compare. Keys of webhooks are shown by their hash.';
COMMENT ON COLUMN audit.operator_action.after IS 'The same as it is since; null: it is there no more.';

CREATE VIEW audit.chain WITH (security_barrier) AS
SELECT t.name AS tenant, l.link_no, audit.chain_table_name(l.kind) AS table_name, l.rows, l.since, l.until, s.sealed_at, l.seal_no,
  encode(l.hash, 'hex') AS hash
FROM auditor_tenant g JOIN tenant t ON t.tenant_id = g.tenant_id JOIN chain_link l ON l.tenant_id = g.tenant_id
  LEFT JOIN chain_seal s ON s.seal_no = l.seal_no
WHERE g.role_oid = (SELECT r.oid FROM pg_roles r WHERE r.rolname = current_user);
COMMENT ON VIEW audit.chain IS 'The hash chain over changes, consent events and operators'' actions: each link is over rows of one table and over the link before. Note the last hash somewhere else: who can rewrite the whole database can make another chain.';
COMMENT ON COLUMN audit.chain.tenant IS 'Whose chain.';
COMMENT ON COLUMN audit.chain.link_no IS '1, 2, 3 ... of the tenant.';
COMMENT ON COLUMN audit.chain.table_name IS 'Rows of which table: status_event, consent_event or operator_action.';
COMMENT ON COLUMN audit.chain.rows IS 'How many.';
COMMENT ON COLUMN audit.chain.since IS 'The oldest row''s time.';
COMMENT ON COLUMN audit.chain.until IS 'The newest row''s time.';
COMMENT ON COLUMN audit.chain.sealed_at IS 'When the link was made.';
COMMENT ON COLUMN audit.chain.seal_no IS 'Which seal it is of.';
COMMENT ON COLUMN audit.chain.hash IS 'Its hash, SHA-256: the head of the chain is the last one''s.';

CREATE VIEW audit.chain_check WITH (security_barrier) AS
SELECT t.name AS tenant, c.link_no, audit.chain_table_name(c.kind) AS table_name, c.kind, c.since, c.until, c.seal_no, c.rows, c.found,
  c.linked, c.same, c.strangers
FROM auditor_tenant g JOIN tenant t ON t.tenant_id = g.tenant_id JOIN chain_check c ON c.tenant_id = g.tenant_id
  AND c.tenant_id = ANY (ARRAY(SELECT a.tenant_id FROM auditor_tenant a WHERE a.role_oid =
    (SELECT r.oid FROM pg_roles r WHERE r.rolname = current_user)))
WHERE g.role_oid = (SELECT r.oid FROM pg_roles r WHERE r.rolname = current_user);
COMMENT ON VIEW audit.chain_check IS 'Each link of audit.chain beside the rows as they are now. Reads all of the rows: ask by seal_no, or use audit.verify_chain().';
COMMENT ON COLUMN audit.chain_check.tenant IS 'Whose.';
COMMENT ON COLUMN audit.chain_check.link_no IS 'As in audit.chain; null: no link has these rows.';
COMMENT ON COLUMN audit.chain_check.table_name IS 'As in audit.chain.';
COMMENT ON COLUMN audit.chain_check.kind IS 'The same as a number.';
COMMENT ON COLUMN audit.chain_check.since IS 'As in audit.chain.';
COMMENT ON COLUMN audit.chain_check.until IS 'As in audit.chain.';
COMMENT ON COLUMN audit.chain_check.seal_no IS 'As in audit.chain.';
COMMENT ON COLUMN audit.chain_check.rows IS 'How many rows the link was made of.';
COMMENT ON COLUMN audit.chain_check.found IS 'How many there are now.';
COMMENT ON COLUMN audit.chain_check.linked IS 'The link is as it was made, and stands between the two that it stood between.';
COMMENT ON COLUMN audit.chain_check.same IS 'The rows are those that it was made of.';
COMMENT ON COLUMN audit.chain_check.strangers IS 'Ids of messages, consent events or actions whose rows are not those that it was made of.';

CREATE OR REPLACE FUNCTION audit.verify_chain(of_tenant text DEFAULT NULL, sealed_since timestamptz DEFAULT '-infinity',
  sealed_until timestamptz DEFAULT 'infinity', kept interval DEFAULT interval '400 days')
RETURNS TABLE (tenant text, verdict text, table_name text, link_no bigint, links bigint, rows bigint, found bigint, since timestamptz,
  until timestamptz, strangers uuid[])
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
SELECT c.tenant, c.verdict, c.place, c.link_no, count(*), sum(c.rows)::bigint, sum(c.found)::bigint, min(c.since), max(c.until), c.strangers
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
ORDER BY c.tenant, c.verdict, c.link_no;
END;
COMMENT ON FUNCTION audit.verify_chain IS 'Checks the chains of the tenants that you may audit, as `postriderd audit verify` does: one row for what HOLDS, one for what is PAST_RETENTION, and one for each link that does not hold (audit.chain_verdict). kept: as long as messages are kept here (--keep-messages-days).';
