#include "server/store/after_restore.h"

#include <functional>
#include <map>
#include <vector>

#include "server/base/status_macros.h"
#include "server/base/strings.h"
#include "server/model/dispatch_limits.h"
#include "server/store/operator_action.h"
#include "server/store/pg_message_rows.h"
#include "server/store/pg_open_attempts.h"
#include "server/store/pg_pauses.h"
#include "server/store/pg_queries.h"

namespace postrider {

namespace {

constexpr const char* kMayHaveLeft =
    "it may have left after the backup was made that this database was restored from";

constexpr std::string_view kWhy = "after a restore: ";

constexpr Query kWhoAndWhom{"restore_tenants",
                            "SELECT session_user::text, t.tenant_id FROM tenant t "
                            "ORDER BY t.tenant_id"};

// Of a run before, which was cut off or is repeated.
constexpr Query kOwnPause{"restore_own_pause",
                          "SELECT " PR_US("p.since") " FROM dispatch_pause p "
                          "WHERE p.tenant_id = $1::uuid AND p.scope = 1 AND p.target = '' "
                          "AND p.until IS NULL AND starts_with(p.reason, $2::text)"};

constexpr Query kNextQueued{
    "restore_next_queued",
    "SELECT d.tenant_id, d.message_id, d.slot, l.epoch FROM dispatch_queue d "
    "JOIN slot_lease l ON l.slot = d.slot "
    "WHERE (d.tenant_id, d.message_id) > ($1::uuid, $2::uuid) "
    "ORDER BY d.tenant_id, d.message_id LIMIT $3::integer FOR UPDATE OF d"};

// By a range of the key and in its order, as intend_take_from_queue does.
constexpr Query kTake{"restore_take_from_queue", R"(
DELETE FROM dispatch_queue q WHERE q.ctid = ANY(ARRAY(
  SELECT d.ctid FROM unnest($1::uuid[], $2::uuid[]) AS r(tenant_id, message_id), LATERAL (
    SELECT d.ctid FROM dispatch_queue d WHERE d.tenant_id = r.tenant_id
      AND d.message_id >= r.message_id AND d.message_id <= r.message_id
    ORDER BY d.message_id LIMIT 1) d)))"};

/// Who does it, and to whom.
struct Everybody {
  std::string actor;
  std::vector<TenantId> tenants;
};

absl::StatusOr<Everybody> ReadTenants(PgPool& pool) {
  Everybody all;
  PR_RETURN_IF_ERROR(pool.Read("restore_tenants", [&](PgTransaction& transaction) {
    all = {};
    const PgRows rows = transaction.Run(kWhoAndWhom, {});
    for (int row = 0; row < rows.size(); ++row) {
      all.actor = rows.Text(row, 0);
      all.tenants.push_back({rows.UuidAt(row, 1)});
    }
    return absl::OkStatus();
  }));
  return all;
}

/// Since when a tenant is paused by this.
struct OwnPause {
  WallTime since{};
  bool is_new = false;
};

/// Pauses it, in place of another pause, unless a run before has.
absl::StatusOr<OwnPause> Pause(PgPool& pool, TenantId tenant, const OperatorAction& action) {
  OwnPause own;
  PauseTarget whole;
  whole.tenant_id = tenant;
  PR_RETURN_IF_ERROR(pool.Transact("restore_pause", [&](PgTransaction& transaction) {
    HoldSlot(transaction, tenant);
    const PgRows before = transaction.Run(kOwnPause, PgParams().Add(tenant.uuid).Add(kWhy));
    own.is_new = before.size() == 0;
    own.since =
        own.is_new ? PutPause(transaction, whole, WallTime{}, action).since : before.Time(0, 0);
    return absl::OkStatus();
  }));
  return own;
}

/// It waits for a time that is still to come, and that nobody can bring forward.
bool IsScheduled(const StoredMessage& stored) {
  const MessageStatus& now = stored.message.status;
  const bool by_the_clock =
      now.hold_reason == HoldReason::kSchedule || now.hold_reason == HoldReason::kQuietHours;
  return stored.message.request.not_before > stored.store_now ||
         (by_the_clock && now.hold_until > stored.store_now);
}

/// What a run does it with.
struct Run {
  std::function<OperatorAction()> action;
  std::map<TenantId, WallTime> paused_since;  ///< What changed later is not of the backup.
};

/// Some messages of the queue, in the order of their keys.
struct Page {
  int rows = 0;
  int scheduled = 0;
  int unknown = 0;
  MessageKey last = {};
};

void RemoveFromQueue(PgTransaction& transaction, std::span<const MessageKey> keys) {
  if (keys.empty()) return;
  PgParams params;
  AddKeys(params, keys);
  transaction.Run(kTake, params);
  DepthChanges depth;
  for (const MessageKey& key : keys) --depth[key.tenant_id];
  AddDepth(transaction, depth);
}

/// An intent of each message that is QUEUED, of a replica that there is not, under the lease of its
/// slot; then what follows where a replica went away.
Page SettlePage(PgTransaction& transaction, const MessageKey& after, const Run& run) {
  PgParams params;
  params.Add(after.tenant_id.uuid).Add(after.message_id.uuid).Add(std::int64_t{kRestoredAtOnce});
  const PgRows rows = transaction.Run(kNextQueued, params);
  Page page{.rows = rows.size()};
  std::map<MessageKey, Lease> leases;
  std::vector<MessageKey> keys;
  for (int row = 0; row < rows.size(); ++row) {
    page.last = {{rows.UuidAt(row, 0)}, {rows.UuidAt(row, 1)}};
    keys.push_back(page.last);
    leases[page.last] = {.slot = static_cast<int>(rows.Int(row, 2)), .epoch = rows.Int(row, 3)};
  }

  std::vector<MessageKey> taken;
  std::vector<MessageChange> changes;
  std::vector<OpenedAttempt> opened;
  OpenAttempts open;
  for (const StoredMessage& stored : LockMessages(transaction, keys)) {
    const MessageStatus& now = stored.message.status;
    const auto since = run.paused_since.find(stored.Key().tenant_id);
    if (since == run.paused_since.end() || stored.message.updated_at >= since->second) continue;
    const bool queued = now.state == MessageState::kQueued;  // else a late receipt has settled it
    if (queued && IsScheduled(stored)) {
      ++page.scheduled;
      continue;
    }
    taken.push_back(stored.Key());
    if (!queued) continue;
    changes.push_back(ChangeOf(stored.Key(), now, OpenAttempt(now), Cause::kIntended));
    opened.push_back({stored.Key(), now.attempt, leases.at(stored.Key())});
    open[stored.Key()] = now.attempt;
  }
  RemoveFromQueue(transaction, taken);
  WriteChanges(transaction, changes);
  InsertAttempts(transaction, ReplicaId(), opened);
  if (!open.empty()) page.unknown = CloseAsUnknown(transaction, open, kMayHaveLeft);
  std::map<TenantId, int> of_tenants;
  for (const auto& [key, attempt] : open) ++of_tenants[key.tenant_id];
  for (const auto& [tenant, messages] : of_tenants) {
    RecordAction(transaction, tenant, run.action(), "AFTER_RESTORE",
                 StrCat(messages, messages == 1 ? " message" : " messages"));
  }
  return page;
}

}  // namespace

absl::StatusOr<RestoredQueue> SettleRestoredQueue(PgPool& pool, const Clock& clock, Random& random,
                                                  const std::string& reason) {
  RestoredQueue settled;
  PR_ASSIGN_OR_RETURN(const Everybody all, ReadTenants(pool));
  Run run{.action =
              [&] {
                return OperatorAction{.action_id = MakeUuidV7(clock.Wall(), random),
                                      .actor = all.actor,
                                      .reason = StrCat(kWhy, reason)};
              },
          .paused_since = {}};
  for (const TenantId tenant : all.tenants) {
    PR_ASSIGN_OR_RETURN(const OwnPause own, Pause(pool, tenant, run.action()));
    run.paused_since[tenant] = own.since;
    if (own.is_new) ++settled.paused;
  }
  Page page;
  do {
    const MessageKey after = page.last;
    PR_RETURN_IF_ERROR(pool.Transact("restore_settle", [&](PgTransaction& transaction) {
      page = SettlePage(transaction, after, run);
      return absl::OkStatus();
    }));
    settled.unknown += page.unknown;
    settled.scheduled += page.scheduled;
  } while (page.rows == kRestoredAtOnce);
  return settled;
}

std::vector<Query> RestoreQueries() { return {kWhoAndWhom, kOwnPause, kNextQueued, kTake}; }

}  // namespace postrider
