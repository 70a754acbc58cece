#include "server/store/chain_links.h"

#include "server/store/pg_queries.h"

namespace postrider {

namespace {

// The seal that is under way: its number, and from where to where.
#define PR_CHAIN_SEAL(of_before)                                     \
  "p AS MATERIALIZED (SELECT p.seal_no + 1 AS seal_no, p.chain_no, " \
  "CASE WHEN " of_before                                             \
  " THEN p.before_sealed ELSE p.sealed_snap END AS from_snap, "      \
  "CASE WHEN " of_before " THEN p.before_snap ELSE p.snap END AS to_snap FROM chain_position p)"

// What is made of links, in whichever way.
#define PR_CHAIN_HEADS                                       \
  "h AS (INSERT INTO chain_head (tenant_id, link_no, hash) " \
  "SELECT l.tenant_id, l.link_no, l.hash FROM l "            \
  "ON CONFLICT (tenant_id) DO UPDATE SET link_no = excluded.link_no, hash = excluded.hash) "

// For each kind in turn: of a tenant the next link is over the one before.
constexpr Query kMakeLinks{"chain_make_links", "WITH " PR_CHAIN_SEAL("$2::boolean") R"(,
g AS MATERIALIZED (
  SELECT g.* FROM chain_group g WHERE g.seal_no = (SELECT seal_no FROM p)
  AND g.kind = $1::smallint AND g.of_before = $2::boolean),
l AS (
  INSERT INTO chain_link (tenant_id, link_no, seal_no, kind, rows, since, until, digest, before,
    hash, marks)
  SELECT g.tenant_id, coalesce(h.link_no, 0) + 1, g.seal_no, g.kind, g.rows, g.since, g.until,
    g.digest, coalesce(h.hash, ''), audit.link_hash(coalesce(h.hash, ''), g.tenant_id,
      coalesce(h.link_no, 0) + 1, g.seal_no, g.kind, g.rows, g.since, g.until, p.from_snap,
      p.to_snap, g.digest, g.marks), g.marks
  FROM p CROSS JOIN g LEFT JOIN LATERAL (
    SELECT h.link_no, h.hash FROM chain_head h WHERE h.tenant_id = g.tenant_id LIMIT 1) h ON true
  ORDER BY g.tenant_id
  RETURNING tenant_id, link_no, hash, rows),
)" PR_CHAIN_HEADS "SELECT count(*), coalesce(sum(l.rows), 0)::bigint FROM l"};

// Over the last links themselves: a head that was lost is there again.
constexpr Query kLinkBegin{"chain_link_begin", "WITH " PR_CHAIN_SEAL("$1::boolean") R"(,
b AS MATERIALIZED (
  SELECT b.begun_at, audit.begin_hash(b) AS digest, substr(audit.begin_hash(b), 1, 8) AS marks
  FROM chain_begin b WHERE b.chain_no = (SELECT chain_no FROM p)),
w AS MATERIALIZED (
  SELECT w.tenant_id, o.link_no, o.hash FROM (
    SELECT '00000000-0000-0000-0000-000000000000'::uuid AS tenant_id
    UNION SELECT t.tenant_id FROM tenant t WHERE $2::boolean
    UNION SELECT h.tenant_id FROM chain_head h WHERE $2::boolean) w
  LEFT JOIN LATERAL (SELECT o.link_no, o.hash FROM chain_link o WHERE o.tenant_id = w.tenant_id
    ORDER BY o.tenant_id DESC, o.link_no DESC LIMIT 1) o ON true
  WHERE o.hash IS NOT NULL OR w.tenant_id = '00000000-0000-0000-0000-000000000000'),
l AS (
  INSERT INTO chain_link (tenant_id, link_no, seal_no, kind, rows, since, until, digest, before,
    hash, marks)
  SELECT w.tenant_id, coalesce(w.link_no, 0) + 1, p.seal_no, 4, 0, b.begun_at, b.begun_at, b.digest,
    coalesce(w.hash, ''), audit.link_hash(coalesce(w.hash, ''), w.tenant_id,
      coalesce(w.link_no, 0) + 1, p.seal_no, 4::smallint, 0, b.begun_at, b.begun_at, p.from_snap,
      p.to_snap, b.digest, b.marks), b.marks
  FROM p CROSS JOIN b CROSS JOIN w ORDER BY w.tenant_id
  RETURNING tenant_id, link_no, hash),
)" PR_CHAIN_HEADS "SELECT count(*) FROM l"};

constexpr Query kEndSeal{"chain_end_seal", "WITH " PR_CHAIN_SEAL("$1::boolean") R"(,
s AS (
  INSERT INTO chain_seal (seal_no, from_snap, to_snap, chain_no, of_before)
  SELECT p.seal_no, p.from_snap, p.to_snap, p.chain_no, $1::boolean FROM p)
UPDATE chain_position SET seal_no = seal_no + 1,
  sealed_snap = CASE WHEN $1::boolean THEN sealed_snap ELSE snap END,
  before_sealed = CASE WHEN $1::boolean THEN before_snap ELSE before_sealed END)"};

constexpr std::int64_t kKinds = 3;

std::string_view BooleanOf(SealOf of) { return of == SealOf::kBefore ? "true" : "false"; }

}  // namespace

MadeLinks LinkRows(PgTransaction& transaction, SealOf of) {
  MadeLinks made;
  for (std::int64_t kind = 1; kind <= kKinds; ++kind) {
    const PgRows rows = transaction.Run(kMakeLinks, PgParams().Add(kind).Add(BooleanOf(of)));
    made.links += rows.Int(0, 0);
    made.rows += rows.Int(0, 1);
  }
  return made;
}

std::int64_t LinkBegin(PgTransaction& transaction, SealOf of, bool of_all) {
  PgParams params;
  params.Add(BooleanOf(of)).Add(of_all ? "true" : "false");
  return transaction.Run(kLinkBegin, params).Int(0, 0);
}

void EndSeal(PgTransaction& transaction, SealOf of) {
  transaction.Run(kEndSeal, PgParams().Add(BooleanOf(of)));
}

std::vector<Query> ChainLinkQueries() { return {kMakeLinks, kLinkBegin, kEndSeal}; }

}  // namespace postrider
