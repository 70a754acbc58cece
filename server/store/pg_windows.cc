#include <map>

#include "server/base/status_macros.h"
#include "server/base/strings.h"
#include "server/model/dispatch_limits.h"
#include "server/store/pg_fence.h"
#include "server/store/pg_message_rows.h"
#include "server/store/pg_queries.h"
#include "server/store/pg_store.h"

namespace postrider {

namespace {

// Without a lock: the messages are locked first, as everywhere.
constexpr Query kOld{"windows_old", R"(
SELECT o.tenant_id, o.message_id FROM unnest($1::smallint[]) AS s(slot), LATERAL (
  SELECT q.tenant_id, q.message_id FROM reconcile_queue q
  WHERE q.slot = s.slot AND q.since < now() - $2::bigint * interval '1 second'
  ORDER BY q.slot, q.since LIMIT $3::integer) o LIMIT $3::integer)"};

constexpr Query kMove{"windows_move", R"(
UPDATE reconcile_queue q SET since = timestamptz 'epoch' + r.since_us * interval '1 microsecond'
FROM (SELECT k.ctid AS place, r.since_us
  FROM unnest($1::uuid[], $2::uuid[], $3::bigint[]) AS r(tenant_id, message_id, since_us),
  LATERAL (SELECT k.ctid FROM reconcile_queue k WHERE k.tenant_id = r.tenant_id
    AND k.message_id >= r.message_id AND k.message_id <= r.message_id
    ORDER BY k.message_id LIMIT 1) k) r
WHERE q.ctid = r.place)"};

/// What the end of the window does to messages that wait.
struct Closed {
  std::vector<MessageChange> changes;
  std::vector<MessageKey> settled;
  std::vector<std::pair<MessageKey, WallTime>> moved;  ///< Not yet over: counts from then.
  DoubtEnds ends;
};

void CloseOne(const StoredMessage& stored, const DoubtTimes& times, Closed& out) {
  const MessageStatus& now = stored.message.status;
  const bool under_way =
      now.state == MessageState::kQueued || now.state == MessageState::kDispatching;
  if (under_way) {
    out.moved.emplace_back(stored.Key(), stored.store_now);
    return;
  }
  const std::optional<MessageStatus> after = AfterWindow(now);
  if (!after) {
    out.settled.push_back(stored.Key());
    return;
  }
  if (stored.message.updated_at + times.window > stored.store_now) {
    out.moved.emplace_back(stored.Key(), stored.message.updated_at);
    return;
  }
  out.changes.push_back(ChangeOf(stored.Key(), now, *after, Cause::kWindowClosed));
  out.settled.push_back(stored.Key());
  ++(now.state == MessageState::kUnknown ? out.ends.undetermined : out.ends.closed);
}

void Move(PgTransaction& transaction, std::span<const std::pair<MessageKey, WallTime>> moved) {
  if (moved.empty()) return;
  PgParams params;
  AddColumn(params, moved, [](auto& to, const auto& m) { AppendUuid(to, m.first.tenant_id.uuid); });
  AddColumn(params, moved,
            [](auto& to, const auto& m) { AppendUuid(to, m.first.message_id.uuid); });
  AddColumn(params, moved, [](auto& to, const auto& m) { AppendTime(to, m.second); });
  transaction.Run(kMove, params);
}

}  // namespace

absl::StatusOr<DoubtEnds> PgStore::CloseWindows(ReplicaId replica, std::span<const Lease> leases,
                                                const DoubtTimes& times) {
  DoubtEnds ends;
  PR_RETURN_IF_ERROR(TransactWithEvents("close_windows", [&](PgTransaction& transaction) {
    const std::map<int, Lease> held = HoldLeases(transaction, replica, leases);
    const std::vector<std::pair<int, Lease>> slots(held.begin(), held.end());
    PgParams params;
    AddColumn(params, slots, [](auto& to, const auto& slot) { StrAppend(to, slot.first); });
    params.Add(std::int64_t{times.window.count()}).Add(static_cast<std::int64_t>(kIntentRows));
    const PgRows old = transaction.Run(kOld, params);
    std::vector<MessageKey> keys;
    for (int row = 0; row < old.size(); ++row) {
      keys.push_back({{old.UuidAt(row, 0)}, {old.UuidAt(row, 1)}});
    }
    Closed closed;
    for (const StoredMessage& stored : LockMessages(transaction, keys)) {
      CloseOne(stored, times, closed);
    }
    WriteChanges(transaction, closed.changes);
    Move(transaction, closed.moved);
    RemoveFromReconcile(transaction, closed.settled);
    ends = closed.ends;
    return absl::OkStatus();
  }));
  return ends;
}

std::vector<Query> WindowQueries() { return {kOld, kMove}; }

}  // namespace postrider
