#include <algorithm>
#include <utility>

#include "server/base/log.h"
#include "server/base/status_macros.h"
#include "server/store/audit_chain.h"
#include "server/store/pg_message_rows.h"
#include "server/store/pg_queries.h"

namespace postrider {

namespace {

// Whoever has it seals; nobody waits for it.
constexpr Query kTakePosition{"chain_take_position",
                              "SELECT " PR_US("p.tick_at") " FROM chain_position p "
                              "FOR UPDATE SKIP LOCKED"};

constexpr Query kReadPosition{"chain_read_position",
                              "SELECT " PR_US("p.tick_at") " FROM chain_position p"};

// Ticks may have been forgotten since: then the next one that is there. What lies before it may be
// days: it is sealed in parts, up to transactions that had all ended when that tick was taken.
constexpr Query kSealUpTo{"chain_seal_up_to", R"(
WITH p AS MATERIALIZED (SELECT p.snap, p.tick_no FROM chain_position p),
near AS MATERIALIZED (
  SELECT t.tick_no FROM tick t WHERE t.tick_no > (SELECT tick_no FROM p)
  AND t.tick_no <= (SELECT tick_no FROM p) + $1::bigint ORDER BY t.tick_no DESC LIMIT 1),
far AS MATERIALIZED (
  SELECT t.tick_no FROM tick t WHERE t.tick_no > (SELECT tick_no FROM p)
  ORDER BY t.tick_no LIMIT 1)
SELECT t.tick_no, )" PR_US("t.at") R"(, t.tick_no < (SELECT max(tick_no) FROM tick),
  pg_snapshot_xmax(t.snap) < pg_snapshot_xmax(x.snap),
  CASE WHEN NOT EXISTS (SELECT FROM near) AND x.part < pg_snapshot_xmin(t.snap)::text::numeric
    THEN x.part || ':' || x.part || ':' END
FROM (SELECT p.snap, pg_snapshot_xmax(p.snap)::text::numeric + $1::bigint * 50 AS part FROM p) x
  CROSS JOIN tick t
WHERE t.tick_no = coalesce((SELECT tick_no FROM near), (SELECT tick_no FROM far)))"};

constexpr Query kMovePosition{
    "chain_move_position",
    "UPDATE chain_position SET snap = t.snap, tick_no = t.tick_no, tick_at = t.at "
    "FROM tick t WHERE t.tick_no = $1::bigint"};

constexpr Query kMovePart{"chain_move_part",
                          "UPDATE chain_position SET snap = $1::text::pg_snapshot"};

// For each kind in turn: of a tenant the next link is over the one before.
constexpr Query kMakeLinks{"chain_make_links", R"(
WITH p AS MATERIALIZED (
  SELECT p.seal_no + 1 AS seal_no, p.sealed_snap, p.snap FROM chain_position p),
g AS MATERIALIZED (
  SELECT g.* FROM chain_group g
  WHERE g.seal_no = (SELECT seal_no FROM p) AND g.kind = $1::smallint),
l AS (
  INSERT INTO chain_link (tenant_id, link_no, seal_no, kind, rows, since, until, digest, before,
    hash, marks)
  SELECT g.tenant_id, coalesce(h.link_no, 0) + 1, g.seal_no, g.kind, g.rows, g.since, g.until,
    g.digest, coalesce(h.hash, ''), audit.link_hash(coalesce(h.hash, ''), g.tenant_id,
      coalesce(h.link_no, 0) + 1, g.seal_no, g.kind, g.rows, g.since, g.until, p.sealed_snap, p.snap,
      g.digest, g.marks), g.marks
  FROM p CROSS JOIN g LEFT JOIN LATERAL (
    SELECT h.link_no, h.hash FROM chain_head h WHERE h.tenant_id = g.tenant_id LIMIT 1) h ON true
  ORDER BY g.tenant_id
  RETURNING tenant_id, link_no, hash, rows),
h AS (
  INSERT INTO chain_head (tenant_id, link_no, hash) SELECT l.tenant_id, l.link_no, l.hash FROM l
  ON CONFLICT (tenant_id) DO UPDATE SET link_no = excluded.link_no, hash = excluded.hash)
SELECT count(*), coalesce(sum(l.rows), 0)::bigint FROM l)"};

constexpr Query kEndSeal{"chain_end_seal", R"(
WITH s AS (
  INSERT INTO chain_seal (seal_no, from_snap, to_snap)
  SELECT p.seal_no + 1, p.sealed_snap, p.snap FROM chain_position p)
UPDATE chain_position SET seal_no = seal_no + 1, sealed_snap = snap)"};

constexpr std::int64_t kKinds = 3;

}  // namespace

ChainSealer::ChainSealer(PgPool& pool, const Clock& clock, Metrics& metrics)
    : pool_(pool),
      clock_(clock),
      lag_seconds_(metrics.GaugeOf(
          "postrider_chain_lag_seconds",
          "Age of the tick up to which all that is on record is in the hash chain.")),
      rows_total_(metrics.CounterOf("postrider_chain_rows_total",
                                    "Rows that this replica put into the hash chain.")) {}

void ChainSealer::Start() {
  worker_ = std::make_unique<Worker>("seal", [this](std::stop_token stop) {
    if (!Step()) WaitOrStop(stop, kSealEvery);
  });
}

absl::Status ChainSealer::SealInto(PgTransaction& transaction, SealedRows& sealed) {
  const PgRows position = transaction.Run(kTakePosition, {});
  if (position.size() == 0) {
    sealed.at_it = false;
    sealed_until_ = transaction.Run(kReadPosition, {}).Time(0, 0);
    return absl::OkStatus();
  }
  sealed_until_ = position.Time(0, 0);
  const PgRows tick = transaction.Run(kSealUpTo, PgParams().Add(ticks_));
  if (tick.size() == 0) return absl::OkStatus();
  if (tick.Bool(0, 3)) {
    return absl::FailedPreconditionError(
        "the hash chain is ahead of the database's transactions: was it restored from a dump?");
  }
  const bool whole = tick.IsNull(0, 4);
  sealed.more = tick.Bool(0, 2) || !whole;
  if (whole) {
    transaction.Run(kMovePosition, PgParams().Add(tick.Int(0, 0)));
  } else {
    transaction.Run(kMovePart, PgParams().Add(tick.Text(0, 4)));
  }
  for (std::int64_t kind = 1; kind <= kKinds; ++kind) {
    const PgRows made = transaction.Run(kMakeLinks, PgParams().Add(kind));
    sealed.links += made.Int(0, 0);
    sealed.rows += made.Int(0, 1);
  }
  if (sealed.links > 0) transaction.Run(kEndSeal, {});
  if (whole) sealed_until_ = tick.Time(0, 1);
  return absl::OkStatus();
}

absl::StatusOr<SealedRows> ChainSealer::Seal() {
  SealedRows sealed;
  const WallTime before = sealed_until_;
  const absl::Status done = pool_.Transact("chain_seal", [&](PgTransaction& transaction) {
    sealed = {};
    return SealInto(transaction, sealed);
  });
  if (done.ok()) {
    ticks_ = std::min(ticks_ * 2, kSealTicks);
    return sealed;
  }
  sealed_until_ = before;
  ticks_ = std::max<std::int64_t>(ticks_ / 2, 1);
  return done;
}

bool ChainSealer::Step() {
  const absl::StatusOr<SealedRows> sealed = Seal();
  if (sealed_until_ != WallTime{}) {
    const std::chrono::duration<double> lag = clock_.Wall() - sealed_until_;
    lag_seconds_.Set(std::max(lag.count(), 0.0));
  }
  if (!sealed.ok()) {
    LogFailure(failures_, "what is on record not put into the hash chain", sealed.status());
    return false;
  }
  LogWorksAgain(failures_, "what is on record is put into the hash chain again");
  rows_total_.Add(static_cast<double>(sealed->rows));
  return sealed->more && sealed->at_it;
}

std::vector<Query> ChainSealQueries() {
  return {kTakePosition, kReadPosition, kSealUpTo, kMovePosition, kMovePart, kMakeLinks, kEndSeal};
}

}  // namespace postrider
