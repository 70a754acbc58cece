#include <algorithm>
#include <utility>

#include "server/base/log.h"
#include "server/base/strings.h"
#include "server/store/audit_chain.h"
#include "server/store/chain_links.h"
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
// days: it is sealed in parts. A part is what that tick shows of transactions up to a number, so
// one that is open all the time makes no part larger.
#define PR_PART_OF(snap, part)                                                              \
  "least(pg_snapshot_xmin(" snap ")::text::numeric, " part ") || ':' || " part              \
  " || ':' || "                                                                             \
  "coalesce((SELECT string_agg(i.xid::text, ',' ORDER BY i.xid) FROM pg_snapshot_xip(" snap \
  ") "                                                                                      \
  "AS i(xid) WHERE i.xid::text::numeric < " part "), '')"
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
  CASE WHEN NOT EXISTS (SELECT FROM near) AND x.part < pg_snapshot_xmax(t.snap)::text::numeric
    THEN )" PR_PART_OF("t.snap", "x.part") R"( END,
  pg_snapshot_xmax(t.snap)::text::bigint - pg_snapshot_xmin(t.snap)::text::bigint
FROM (SELECT p.snap, pg_snapshot_xmax(p.snap)::text::numeric + $1::bigint * $2::bigint AS part
    FROM p) x
  CROSS JOIN tick t
WHERE t.tick_no = coalesce((SELECT tick_no FROM near), (SELECT tick_no FROM far)))"};

// No tick is ahead: either there is nothing to do, or the position waits for one for ever.
constexpr Query kIsAhead{"chain_is_ahead",
                         "SELECT p.tick_no > (SELECT t.tick_no FROM tick t "
                         "ORDER BY t.tick_no DESC LIMIT 1) FROM chain_position p"};

constexpr Query kMovePosition{
    "chain_move_position",
    "UPDATE chain_position SET snap = t.snap, tick_no = t.tick_no, tick_at = t.at "
    "FROM tick t WHERE t.tick_no = $1::bigint"};

constexpr Query kMovePart{"chain_move_part",
                          "UPDATE chain_position SET snap = $1::text::pg_snapshot"};

// The next part of what was there: so many transactions, counted from the first that has a row. No
// row when all of it is sealed; null for the last part.
constexpr Query kNextBefore{"chain_next_before", R"(
WITH p AS MATERIALIZED (
  SELECT b.before_end, coalesce(nullif(pg_snapshot_xmax(p.before_snap), '1'), '0') AS xid
  FROM chain_position p JOIN chain_begin b ON b.chain_no = p.chain_no
  WHERE p.before_sealed::text <> b.before_end::text),
next AS MATERIALIZED (
  SELECT e.xid FROM p, generate_series(0, 15) AS s(slot), LATERAL (SELECT e.xid FROM status_event e
    WHERE e.slot = s.slot AND e.xid >= p.xid ORDER BY e.slot, e.xid LIMIT 1) e
  UNION ALL SELECT c.xid FROM p, LATERAL (SELECT c.xid FROM consent_event c
    WHERE c.xid >= p.xid ORDER BY c.xid LIMIT 1) c
  UNION ALL SELECT o.xid FROM p, LATERAL (SELECT o.xid FROM operator_action o
    WHERE o.xid >= p.xid ORDER BY o.xid LIMIT 1) o),
x AS MATERIALIZED (
  SELECT p.before_end, greatest(coalesce((SELECT n.xid FROM next n ORDER BY n.xid LIMIT 1),
    pg_snapshot_xmax(p.before_end))::text::numeric, 2) + $1::bigint * $2::bigint AS part FROM p)
SELECT CASE WHEN x.part < pg_snapshot_xmax(x.before_end)::text::numeric
  THEN )" PR_PART_OF("x.before_end", "x.part") R"( END FROM x)"};

constexpr Query kMoveBefore{
    "chain_move_before",
    "UPDATE chain_position p SET before_snap = coalesce($1::text::pg_snapshot, b.before_end) "
    "FROM chain_begin b WHERE b.chain_no = p.chain_no"};

absl::Status CannotGoOn(const char* why) {
  return absl::FailedPreconditionError(
      StrCat(why,
             "; `postriderd audit verify` says more, and `postriderd audit begin-chain` begins "
             "a new hash chain"));
}

}  // namespace

ChainSealer::ChainSealer(PgPool& pool, const Clock& clock, Metrics& metrics)
    : pool_(pool),
      clock_(clock),
      lag_seconds_(metrics.GaugeOf(
          "postrider_chain_lag_seconds",
          "Age of the tick up to which all that is on record is in the hash chain.")),
      failing_(metrics.GaugeOf("postrider_chain_failing",
                               "1: the last try to put what is on record into the hash chain "
                               "failed; the log says why.")),
      held_back_(metrics.GaugeOf("postrider_chain_held_back_transactions",
                                 "Transactions since the oldest that was still open at the tick "
                                 "that was sealed last: what "
                                 "it wrote is sealed when it ends.")),
      rows_total_(metrics.CounterOf("postrider_chain_rows_total",
                                    "Rows that this replica put into the hash chain.")) {}

void ChainSealer::Start() {
  worker_ = std::make_unique<Worker>("seal", [this](std::stop_token stop) {
    if (!Step()) WaitOrStop(stop, kSealEvery);
  });
}

absl::Status ChainSealer::SealNew(PgTransaction& transaction, SealedRows& sealed) {
  const PgRows position = transaction.Run(kTakePosition, {});
  if (position.size() == 0) {
    sealed.at_it = false;
    const PgRows held = transaction.Run(kReadPosition, {});
    if (held.size() == 0) return CannotGoOn("chain_position has no row, so nothing is sealed");
    sealed_until_ = held.Time(0, 0);
    return absl::OkStatus();
  }
  sealed_until_ = position.Time(0, 0);
  PgParams up_to;
  up_to.Add(ticks_).Add(kTransactionsOfTick);
  const PgRows tick = transaction.Run(kSealUpTo, up_to);
  if (tick.size() == 0) {
    if (!transaction.Run(kIsAhead, {}).Bool(0, 0)) return absl::OkStatus();
    return CannotGoOn("the hash chain waits for a tick that is far ahead");
  }
  if (tick.Bool(0, 3)) {
    return CannotGoOn(
        "the hash chain is ahead of the database's transactions: was it restored from a dump?");
  }
  const bool whole = tick.IsNull(0, 4);
  sealed.more = tick.Bool(0, 2) || !whole;
  sealed.held_back = tick.Int(0, 5);
  if (whole) {
    transaction.Run(kMovePosition, PgParams().Add(tick.Int(0, 0)));
  } else {
    transaction.Run(kMovePart, PgParams().Add(tick.Text(0, 4)));
  }
  const MadeLinks made = LinkRows(transaction, SealOf::kNew);
  sealed.links += made.links;
  sealed.rows += made.rows;
  if (made.links > 0) EndSeal(transaction, SealOf::kNew);
  if (whole) sealed_until_ = tick.Time(0, 1);
  return absl::OkStatus();
}

absl::Status ChainSealer::SealBefore(PgTransaction& transaction, SealedRows& sealed) const {
  if (transaction.Run(kTakePosition, {}).size() == 0) return absl::OkStatus();
  PgParams next;
  next.Add(before_ticks_).Add(kTransactionsOfTick);
  const PgRows part = transaction.Run(kNextBefore, next);
  if (part.size() == 0) return absl::OkStatus();
  const bool last = part.IsNull(0, 0);
  PgParams to;
  last ? to.AddNull() : to.Add(part.Text(0, 0));
  transaction.Run(kMoveBefore, to);
  MadeLinks made = LinkRows(transaction, SealOf::kBefore);
  // The last seal is made in any case: nothing can be put behind it any more.
  if (last) made.links += LinkBegin(transaction, SealOf::kBefore, false);
  if (made.links > 0) EndSeal(transaction, SealOf::kBefore);
  sealed.links += made.links;
  sealed.rows += made.rows;
  sealed.more = !last;
  return absl::OkStatus();
}

absl::StatusOr<SealedRows> ChainSealer::Seal() {
  const auto next_ticks = [](std::int64_t ticks, bool done) {
    return done ? std::min(ticks * 2, kSealTicks) : std::max<std::int64_t>(ticks / 2, 1);
  };
  SealedRows sealed;
  const WallTime before = sealed_until_;
  absl::Status done = pool_.Transact("chain_seal", [&](PgTransaction& transaction) {
    sealed = {};
    return SealNew(transaction, sealed);
  });
  ticks_ = next_ticks(ticks_, done.ok());
  if (!done.ok()) {
    sealed_until_ = before;
    return done;
  }
  if (!sealed.at_it || sealed.more) return sealed;
  const SealedRows so_far = sealed;
  done = pool_.Transact("chain_seal_before", [&](PgTransaction& transaction) {
    sealed = so_far;
    return SealBefore(transaction, sealed);
  });
  before_ticks_ = next_ticks(before_ticks_, done.ok());
  if (!done.ok()) return done;
  return sealed;
}

bool ChainSealer::Step() {
  const absl::StatusOr<SealedRows> sealed = Seal();
  if (sealed_until_ != WallTime{}) {
    const std::chrono::duration<double> lag = clock_.Wall() - sealed_until_;
    lag_seconds_.Set(std::max(lag.count(), 0.0));
  }
  failing_.Set(sealed.ok() ? 0 : 1);
  if (!sealed.ok()) {
    LogFailure(failures_, "what is on record not put into the hash chain", sealed.status());
    return false;
  }
  LogWorksAgain(failures_, "what is on record is put into the hash chain again");
  rows_total_.Add(static_cast<double>(sealed->rows));
  if (sealed->at_it && sealed->held_back > 0) {
    held_back_.Set(static_cast<double>(sealed->held_back));
  }
  return sealed->more && sealed->at_it;
}

std::vector<Query> ChainSealQueries() {
  return {kTakePosition, kReadPosition, kSealUpTo,   kIsAhead,
          kMovePosition, kMovePart,     kNextBefore, kMoveBefore};
}

}  // namespace postrider
