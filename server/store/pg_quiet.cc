#include <algorithm>
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

constexpr Query kCursors{
    "quiet_cursors",
    "SELECT t.tenant_id, coalesce(c.passed, '00000000-0000-0000-0000-000000000000'), "
    PR_US("now()") " FROM tenant t "
    "LEFT JOIN quiet_cursor c ON c.tenant_id = t.tenant_id ORDER BY t.tenant_id"};

// Once for each message, 60 s after it was accepted: most are still in the database's memory.
constexpr Query kPass{"quiet_pass", R"(
SELECT r.ord, m.message_id, m.state, m.final FROM
  unnest($1::uuid[], $2::uuid[]) WITH ORDINALITY AS r(tenant_id, passed, ord), LATERAL (
    SELECT m.message_id, m.state, m.final FROM message m
    WHERE m.tenant_id = r.tenant_id AND m.message_id > r.passed AND m.message_id < $3::uuid
    ORDER BY m.tenant_id, m.message_id LIMIT $4::integer) m
LIMIT $4::integer)"};

constexpr Query kMoveCursors{
    "quiet_move_cursors",
    "INSERT INTO quiet_cursor (tenant_id, passed) SELECT * FROM unnest($1::uuid[], $2::uuid[]) "
    "ORDER BY 1 ON CONFLICT (tenant_id) DO UPDATE SET passed = excluded.passed"};

/// How far the messages of a tenant have been passed.
struct Cursor {
  TenantId tenant_id;
  Uuid passed;
  bool moved = false;
};

/// The cursors of tenants of `held` slots, and the store's time.
std::vector<Cursor> ReadCursors(PgTransaction& transaction, const std::map<int, Lease>& held,
                                WallTime& now) {
  std::vector<Cursor> cursors;
  const PgRows rows = transaction.Run(kCursors, {});
  for (int row = 0; row < rows.size(); ++row) {
    const TenantId tenant{rows.UuidAt(row, 0)};
    now = rows.Time(row, 2);
    if (held.contains(SlotOf(tenant))) cursors.push_back({tenant, rows.UuidAt(row, 1)});
  }
  return cursors;
}

void MoveCursors(PgTransaction& transaction, std::span<const Cursor> cursors) {
  std::vector<Cursor> moved;
  std::copy_if(cursors.begin(), cursors.end(), std::back_inserter(moved),
               [](const Cursor& cursor) { return cursor.moved; });
  if (moved.empty()) return;
  PgParams params;
  AddColumn(params, moved, [](auto& to, const Cursor& c) { AppendUuid(to, c.tenant_id.uuid); });
  AddColumn(params, moved, [](auto& to, const Cursor& c) { AppendUuid(to, c.passed); });
  transaction.Run(kMoveCursors, params);
}

}  // namespace

absl::StatusOr<int> PgStore::CollectQuiet(ReplicaId replica, std::span<const Lease> leases,
                                          const DoubtTimes& times) {
  int passed = 0;
  PR_RETURN_IF_ERROR(pool_.Transact("collect_quiet", [&](PgTransaction& transaction) {
    passed = 0;
    WallTime now{};
    std::vector<Cursor> cursors =
        ReadCursors(transaction, HoldLeases(transaction, replica, leases), now);
    if (cursors.empty()) return absl::OkStatus();
    const Uuid before = LeastUuidV7(now - times.QuietAfter());
    PgParams params;
    AddColumn(params, cursors, [](auto& to, const Cursor& c) { AppendUuid(to, c.tenant_id.uuid); });
    AddColumn(params, cursors, [](auto& to, const Cursor& c) { AppendUuid(to, c.passed); });
    params.Add(before).Add(std::int64_t{kQuietRows});
    const PgRows rows = transaction.Run(kPass, params);
    passed = rows.size();

    std::vector<Awaited> quiet;
    for (int row = 0; row < rows.size(); ++row) {
      Cursor& cursor = cursors[static_cast<std::size_t>(rows.Int(row, 0) - 1)];
      cursor.passed = std::max(cursor.passed, rows.UuidAt(row, 1));
      cursor.moved = true;
      MessageStatus status;
      status.state = static_cast<MessageState>(rows.Int(row, 2));
      status.final = rows.Bool(row, 3);
      if (!AwaitsFinalStatus(status)) continue;
      quiet.push_back({.key = {cursor.tenant_id, {rows.UuidAt(row, 1)}},
                       .slot = SlotOf(cursor.tenant_id),
                       .accepted = true});
    }
    // Where nothing was found, now and then: else the search begins further and further back.
    const Uuid far_behind = LeastUuidV7(now - times.QuietAfter() - kQuietCursorBehind);
    for (Cursor& cursor : cursors) {
      if (passed == kQuietRows || cursor.moved || cursor.passed >= far_behind) continue;
      cursor.passed = before;
      cursor.moved = true;
    }
    AddToReconcile(transaction, quiet);
    MoveCursors(transaction, cursors);
    return absl::OkStatus();
  }));
  return passed;
}

std::vector<Query> QuietQueries() { return {kCursors, kPass, kMoveCursors}; }

}  // namespace postrider
