#include <algorithm>
#include <map>

#include "server/base/log.h"
#include "server/base/status_macros.h"
#include "server/base/strings.h"
#include "server/model/dispatch_limits.h"
#include "server/store/pg_message_rows.h"
#include "server/store/pg_queries.h"
#include "server/store/pg_store.h"

namespace postrider {

namespace {

constexpr Query kRenewReplica{
    "renew_replica",
    "INSERT INTO replica (replica_id, name, expires_at) "
    "VALUES ($1::uuid, $2::text, clock_timestamp() + $3::bigint * interval '1 millisecond') "
    "ON CONFLICT (replica_id) DO UPDATE SET expires_at = excluded.expires_at "
    "WHERE NOT replica.fenced RETURNING replica_id"};

// Take-over: first the dead replica's row, so that it cannot come back to life; then its slots.
constexpr Query kFenceDead{"fence_dead_replicas",
                           "UPDATE replica SET fenced = true WHERE replica_id IN ("
                           "SELECT l.owner FROM slot_lease l WHERE l.owner IS NOT NULL) "
                           "AND expires_at < clock_timestamp() AND NOT fenced"};

constexpr Query kIsLive{"replica_is_live",
                        "SELECT FROM replica WHERE replica_id = $1::uuid AND NOT fenced "
                        "FOR KEY SHARE"};

constexpr Query kSlotsAndOwners{
    "slots_and_owners",
    "SELECT l.slot, l.epoch, coalesce(l.owner = $1::uuid, false), "
    "l.owner IS NULL OR NOT EXISTS (SELECT FROM replica r WHERE r.replica_id = l.owner "
    "AND NOT r.fenced) FROM slot_lease l ORDER BY l.slot"};

constexpr Query kLiveReplicas{"live_replicas",
                              "SELECT count(*) FROM replica r WHERE NOT r.fenced "
                              "AND r.expires_at >= clock_timestamp()"};

constexpr Query kTakeSlot{"take_slot",
                          "UPDATE slot_lease SET owner = $2::uuid, epoch = epoch + 1 "
                          "WHERE slot = $1::smallint AND epoch = $3::bigint RETURNING epoch"};

constexpr Query kReleaseSlots{"release_slots",
                              "UPDATE slot_lease l SET owner = NULL, epoch = l.epoch + 1 "
                              "FROM unnest($2::smallint[], $3::bigint[]) AS r(slot, epoch) "
                              "WHERE l.slot = r.slot AND l.epoch = r.epoch AND l.owner = $1::uuid"};

constexpr Query kRetireReplica{"retire_replica", "DELETE FROM replica WHERE replica_id = $1::uuid"};

constexpr Query kOpenAttempts{
    "open_attempts",
    "SELECT a.tenant_id, a.message_id, a.attempt FROM attempt a WHERE a.slot = ANY($1::smallint[]) "
    "AND a.outcome IS NULL AND a.epoch < (SELECT l.epoch FROM slot_lease l WHERE l.slot = a.slot) "
    "LIMIT $2::integer"};

// coalesce: IS NULL would offer the index of all open attempts, without a condition.
constexpr Query kCloseAttemptsUnknown{
    "close_attempts_unknown",
    "UPDATE attempt a SET outcome = 5, outcome_at = clock_timestamp(), "
    "detail = 'the replica that was posting it went away' "
    "FROM unnest($1::uuid[], $2::uuid[], $3::integer[]) AS r(tenant_id, message_id, attempt) "
    "WHERE a.tenant_id = r.tenant_id AND a.message_id = r.message_id AND a.attempt = r.attempt "
    "AND coalesce(a.outcome, 0) = 0 RETURNING a.tenant_id, a.message_id, a.attempt"};

using OpenAttempts = std::map<MessageKey, int>;

/// Closes `open` attempts as unknown; returns how many there still were.
int CloseAsUnknown(PgTransaction& transaction, const OpenAttempts& open) {
  std::vector<MessageKey> keys;
  for (const auto& [key, attempt] : open) keys.push_back(key);
  const std::vector<StoredMessage> messages = LockMessages(transaction, keys);
  PgParams params;
  AddColumn(params, keys, [](auto& to, const auto& key) { AppendUuid(to, key.tenant_id.uuid); });
  AddColumn(params, keys, [](auto& to, const auto& key) { AppendUuid(to, key.message_id.uuid); });
  AddColumn(params, keys, [&](auto& to, const auto& key) { StrAppend(to, open.at(key)); });
  const PgRows closed = transaction.Run(kCloseAttemptsUnknown, params);

  std::vector<MessageChange> changes;
  std::vector<std::pair<MessageKey, int>> unknown;
  for (int row = 0; row < closed.size(); ++row) {
    const MessageKey key{{closed.UuidAt(row, 0)}, {closed.UuidAt(row, 1)}};
    const auto found = std::find_if(messages.begin(), messages.end(),
                                    [&](const StoredMessage& m) { return m.Key() == key; });
    const auto after = AfterOwnerDied(found->message.status, static_cast<int>(closed.Int(row, 2)));
    if (!after) continue;
    unknown.emplace_back(key, found->slot);
    changes.push_back(ChangeOf(key, found->message.status, *after, Cause::kOwnerDied));
  }
  WriteChanges(transaction, changes);
  AddToReconcile(transaction, unknown);
  return closed.size();
}

}  // namespace

absl::StatusOr<bool> PgStore::RenewReplica(ReplicaId replica, const std::string& name) {
  bool alive = false;
  PgParams params;
  params.Add(replica.uuid).Add(name).Add(std::int64_t{kLeaseTime.count()});
  PR_RETURN_IF_ERROR(pool_.Transact("renew_replica", [&](PgTransaction& transaction) {
    alive = transaction.Run(kRenewReplica, params).size() == 1;
    return absl::OkStatus();
  }));
  return alive;
}

absl::StatusOr<std::vector<Lease>> PgStore::AcquireSlots(ReplicaId replica) {
  std::vector<Lease> owned;
  std::vector<int> taken;
  PR_RETURN_IF_ERROR(pool_.Transact("acquire_slots", [&](PgTransaction& transaction) {
    owned.clear();
    taken.clear();
    transaction.Run(kFenceDead, {});
    PgParams me;
    me.Add(replica.uuid);
    if (transaction.Run(kIsLive, me).size() == 0) return absl::OkStatus();
    const auto live = std::max<std::int64_t>(1, transaction.Run(kLiveReplicas, {}).Int(0, 0));
    const auto fair_share = static_cast<std::size_t>((kSlots + live - 1) / live);
    const PgRows slots = transaction.Run(kSlotsAndOwners, me);
    for (int row = 0; row < slots.size(); ++row) {
      if (slots.Bool(row, 2))
        owned.push_back({static_cast<int>(slots.Int(row, 0)), slots.Int(row, 1)});
    }
    for (int row = 0; row < slots.size() && owned.size() < fair_share; ++row) {
      if (!slots.Bool(row, 3)) continue;
      PgParams params;
      params.Add(slots.Int(row, 0)).Add(replica.uuid).Add(slots.Int(row, 1));
      const PgRows raised = transaction.Run(kTakeSlot, params);
      if (raised.size() == 0) continue;  // another replica was quicker
      taken.push_back(static_cast<int>(slots.Int(row, 0)));
      owned.push_back({taken.back(), raised.Int(0, 0)});
    }
    return absl::OkStatus();
  }));
  if (!taken.empty()) {
    PR_LOG(kInfo, "took slots", {"slots", taken.size()}, {"owned", owned.size()});
    PR_RETURN_IF_ERROR(ResolveOpenAttempts(taken));
  }
  std::sort(owned.begin(), owned.end());
  return owned;
}

absl::Status PgStore::ResolveOpenAttempts(std::span<const int> slots) {
  PgParams params;
  AddColumn(params, slots, [](auto& to, int slot) { StrAppend(to, slot); });
  params.Add(static_cast<std::int64_t>(kIntentRows));
  int closed = 1;
  while (closed > 0) {
    PR_RETURN_IF_ERROR(TransactWithEvents("resolve_open_attempts", [&](PgTransaction& transaction) {
      const PgRows open = transaction.Run(kOpenAttempts, params);
      OpenAttempts attempts;
      for (int row = 0; row < open.size(); ++row) {
        attempts[{{open.UuidAt(row, 0)}, {open.UuidAt(row, 1)}}] =
            static_cast<int>(open.Int(row, 2));
      }
      closed = attempts.empty() ? 0 : CloseAsUnknown(transaction, attempts);
      return absl::OkStatus();
    }));
    if (closed > 0) {
      PR_LOG(kWarning, "attempts of a replica that went away are unknown", {"attempts", closed});
    }
  }
  return absl::OkStatus();
}

absl::Status PgStore::ReleaseSlots(ReplicaId replica, std::span<const Lease> leases) {
  PgParams params;
  params.Add(replica.uuid);
  AddColumn(params, leases, [](auto& to, const Lease& l) { StrAppend(to, l.slot); });
  AddColumn(params, leases, [](auto& to, const Lease& l) { StrAppend(to, l.epoch); });
  return pool_.Transact("release_slots", [&](PgTransaction& transaction) {
    transaction.Run(kReleaseSlots, params);
    return absl::OkStatus();
  });
}

absl::Status PgStore::RetireReplica(ReplicaId replica) {
  PgParams params;
  params.Add(replica.uuid);
  return pool_.Transact("retire_replica", [&](PgTransaction& transaction) {
    transaction.Run(kRetireReplica, params);
    return absl::OkStatus();
  });
}

std::vector<Query> LeaseQueries() {
  return {kRenewReplica, kFenceDead,    kIsLive,        kSlotsAndOwners, kLiveReplicas,
          kTakeSlot,     kReleaseSlots, kRetireReplica, kOpenAttempts,   kCloseAttemptsUnknown};
}

}  // namespace postrider
