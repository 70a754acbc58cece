#include "server/store/chain_begin.h"

#include "absl/strings/match.h"

#include "server/base/strings.h"
#include "server/base/worker.h"
#include "server/model/chain_limits.h"
#include "server/store/chain_links.h"
#include "server/store/pg_message_rows.h"
#include "server/store/pg_partitions.h"
#include "server/store/pg_queries.h"

namespace postrider {

namespace {

/// The sealer waits, or is waited for. After it the tables: whoever writes to them has ended, and
/// whoever comes writes rows of the new chain. That is what makes the cut exact.
constexpr const char* kLockPosition = "LOCK TABLE chain_position IN ACCESS EXCLUSIVE MODE";
constexpr const char* kCovered[] = {"status_event", "consent_event", "operator_action"};

constexpr Query kNextChain{"chain_next",
                           "SELECT coalesce(max(b.chain_no), 0) + 1 FROM chain_begin b"};

// This transaction is in progress in the new chain's first snapshot, as all are that end later.
// What is of before ends behind every row that is there: in a database from a dump that may be far
// ahead.
constexpr Query kPutBegin{"chain_put_begin", R"(
WITH me AS MATERIALIZED (SELECT pg_current_xact_id() AS xid, pg_current_snapshot() AS snap),
begin AS (
  SELECT CASE WHEN pg_visible_in_snapshot(me.xid, me.snap)
    THEN (pg_snapshot_xmin(me.snap) || ':' || pg_snapshot_xmax(me.snap) || ':' || (
      SELECT string_agg(x.xid::text, ',' ORDER BY x.xid) FROM (
        SELECT pg_snapshot_xip(me.snap) AS xid UNION SELECT me.xid) x))::pg_snapshot
    ELSE me.snap END AS snap FROM me),
last AS (
  SELECT e.xid FROM generate_series(0, 15) AS s(slot), LATERAL (SELECT e.xid FROM status_event e
    WHERE e.slot = s.slot ORDER BY e.slot DESC, e.xid DESC LIMIT 1) e
  UNION ALL (SELECT c.xid FROM consent_event c WHERE c.xid >= '0' ORDER BY c.xid DESC LIMIT 1)
  UNION ALL (SELECT o.xid FROM operator_action o WHERE o.xid >= '0' ORDER BY o.xid DESC LIMIT 1)),
ending AS (
  SELECT greatest(pg_snapshot_xmax(begin.snap)::text::numeric,
    (SELECT l.xid::text::numeric + 1 FROM last l ORDER BY l.xid DESC LIMIT 1)) AS xid FROM begin)
INSERT INTO chain_begin (chain_no, seal_no, begin_snap, before_end, actor, reason)
SELECT $1::integer, greatest((SELECT s.seal_no FROM chain_seal s
    WHERE s.seal_no < 4611686018427387904 ORDER BY s.seal_no DESC LIMIT 1), 0) + 1,
  begin.snap, (ending.xid || ':' || ending.xid || ':')::pg_snapshot, session_user, $2::text
FROM begin, ending)"};

constexpr Query kDropPosition{"chain_drop_position", "DELETE FROM chain_position"};

constexpr Query kPutPosition{"chain_put_position", R"(
INSERT INTO chain_position (seal_no, sealed_snap, snap, tick_no, tick_at, chain_no)
SELECT b.seal_no - 1, b.begin_snap, b.begin_snap, t.tick_no, clock_timestamp(), b.chain_no
FROM chain_begin b, (SELECT t.tick_no FROM tick t ORDER BY t.tick_no DESC LIMIT 1) t
WHERE b.chain_no = $1::integer)"};

void Begin(PgTransaction& transaction, const OperatorAction& action, BegunChain& begun) {
  WaitBriefly(transaction);
  transaction.RunOnce(kLockPosition);
  const std::int64_t next = transaction.Run(kNextChain, {}).Int(0, 0);
  begun.chain_no = static_cast<int>(next);
  for (const char* table : kCovered) {
    transaction.RunOnce(StrCat("ALTER TABLE ", table, " ALTER COLUMN chain_no SET DEFAULT ", next));
  }
  transaction.Run(kPutBegin, PgParams().Add(next).Add(std::string_view(action.reason)));
  transaction.Run(kDropPosition, {});
  transaction.Run(kPutPosition, PgParams().Add(next));
  begun.links = LinkBegin(transaction, SealOf::kNew, true);
  EndSeal(transaction, SealOf::kNew);
  OperatorAction recorded = action;
  recorded.actor.clear();
  RecordAction(transaction, TenantId(), recorded, "BEGIN_CHAIN", StrCat("chain ", next));
}

bool IsState(const absl::Status& status, const char* code) {
  return absl::StrContains(status.message(), StrCat("SQLSTATE ", code));
}

}  // namespace

absl::StatusOr<BegunChain> BeginChain(PgPool& pool, const OperatorAction& action) {
  BegunChain begun;
  absl::Status status;
  for (int tries = 0; tries < kBeginTries; ++tries) {
    if (tries > 0) WaitOrStop(std::stop_token(), kBeginPause);
    status = pool.Transact("begin_chain", [&](PgTransaction& transaction) {
      begun = {};
      Begin(transaction, action, begun);
      return absl::OkStatus();
    });
    if (!IsState(status, "55P03")) break;
  }
  if (status.ok()) return begun;
  if (IsState(status, "55P03")) {
    return absl::UnavailableError(
        StrCat("somebody reads or writes what is on record all the time (a verification, a dump, a "
               "long query?): end that, then repeat this (",
               ToStd(status.message()), ")"));
  }
  if (IsState(status, "42501")) {
    return absl::FailedPreconditionError(
        StrCat("the database user must own status_event, consent_event and operator_action: repeat "
               "this as who ran `postriderd migrate up` (",
               ToStd(status.message()), ")"));
  }
  return status;
}

std::vector<Query> ChainBeginQueries() {
  return {kNextChain, kPutBegin, kDropPosition, kPutPosition};
}

}  // namespace postrider
