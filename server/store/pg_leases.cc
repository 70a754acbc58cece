#include <algorithm>
#include <map>
#include <set>

#include "server/base/log.h"
#include "server/base/status_macros.h"
#include "server/base/strings.h"
#include "server/model/dispatch_limits.h"
#include "server/store/pg_message_rows.h"
#include "server/store/pg_open_attempts.h"
#include "server/store/pg_queries.h"
#include "server/store/pg_store.h"

namespace postrider {

namespace {

constexpr std::string_view kOwnerDied = "the replica that was posting it went away";

// A renewal follows each second: what cannot be locked is left for the next time.
constexpr const char* kWaitLittle = "SET LOCAL lock_timeout = '300ms'";

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

// How many live, how many of them started before this one, and when the first of the others ends.
constexpr Query kLiveReplicas{
    "live_replicas",
    "SELECT count(*), count(*) FILTER (WHERE (r.started_at, r.replica_id) < "
    "(m.started_at, m.replica_id)), (extract(epoch FROM min(r.expires_at) "
    "FILTER (WHERE r.replica_id <> m.replica_id) - clock_timestamp()) * 1000000)::bigint "
    "FROM replica m, replica r WHERE m.replica_id = $1::uuid "
    "AND NOT r.fenced AND (r.expires_at >= clock_timestamp() OR r.replica_id = m.replica_id)"};

// SKIP LOCKED: an owner that froze in the midst of a transaction holds its slots until the database
// ends it. Whoever waited for that could not renew its own life.
constexpr Query kTakeSlot{"take_slot",
                          "UPDATE slot_lease SET owner = $2::uuid, epoch = epoch + 1 "
                          "WHERE slot = (SELECT l.slot FROM slot_lease l "
                          "WHERE l.slot = $1::smallint AND l.epoch = $3::bigint "
                          "FOR UPDATE SKIP LOCKED) RETURNING epoch"};

constexpr Query kReleaseSlots{"release_slots",
                              "UPDATE slot_lease l SET owner = NULL, epoch = l.epoch + 1 "
                              "FROM unnest($2::smallint[], $3::bigint[]) AS r(slot, epoch) "
                              "WHERE l.slot = r.slot AND l.epoch = r.epoch AND l.owner = $1::uuid"};

// Two statements: attempts that were intended while the first one waited are seen by the second.
constexpr Query kHoldToRelease{"hold_slots_to_release",
                               "SELECT l.slot FROM unnest($2::smallint[], $3::bigint[]) AS "
                               "r(slot, epoch) JOIN slot_lease l ON l.slot = r.slot "
                               "AND l.epoch = r.epoch WHERE l.owner = $1::uuid "
                               "FOR UPDATE OF l SKIP LOCKED"};

constexpr Query kReleaseIdle{
    "release_idle_slots",
    "UPDATE slot_lease l SET owner = NULL, epoch = l.epoch + 1 FROM unnest($2::smallint[]) AS "
    "r(slot) WHERE l.slot = r.slot AND l.owner = $1::uuid AND NOT EXISTS "
    "(SELECT FROM attempt a WHERE a.slot = r.slot AND a.outcome IS NULL) RETURNING l.slot"};

constexpr Query kRetireReplica{"retire_replica", "DELETE FROM replica WHERE replica_id = $1::uuid"};

constexpr Query kLeftOpen{
    "open_attempts",
    "SELECT a.tenant_id, a.message_id, a.attempt FROM attempt a WHERE a.slot = ANY($1::smallint[]) "
    "AND a.outcome IS NULL AND a.epoch < (SELECT l.epoch FROM slot_lease l WHERE l.slot = a.slot) "
    "LIMIT $2::integer"};

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

absl::StatusOr<SlotShare> PgStore::AcquireSlots(ReplicaId replica) {
  SlotShare share;
  int taken = 0;
  PR_RETURN_IF_ERROR(pool_.Transact("acquire_slots", [&](PgTransaction& transaction) {
    share = {};
    taken = 0;
    transaction.RunOnce(kWaitLittle);
    transaction.Run(kFenceDead, {});
    PgParams me;
    me.Add(replica.uuid);
    if (transaction.Run(kIsLive, me).size() == 0) return absl::OkStatus();
    const PgRows counts = transaction.Run(kLiveReplicas, me);
    const auto live = static_cast<int>(counts.Int(0, 0));
    share.fair = kSlots / live + (counts.Int(0, 1) < kSlots % live ? 1 : 0);
    if (!counts.IsNull(0, 2)) share.other_ends_in = std::chrono::microseconds(counts.Int(0, 2));
    const PgRows slots = transaction.Run(kSlotsAndOwners, me);
    for (int row = 0; row < slots.size(); ++row) {
      if (slots.Bool(row, 2))
        share.owned.push_back({static_cast<int>(slots.Int(row, 0)), slots.Int(row, 1)});
    }
    for (int row = 0; row < slots.size() && std::ssize(share.owned) < share.fair; ++row) {
      if (!slots.Bool(row, 3)) continue;
      PgParams params;
      params.Add(slots.Int(row, 0)).Add(replica.uuid).Add(slots.Int(row, 1));
      const PgRows raised = transaction.Run(kTakeSlot, params);
      if (raised.size() == 0) {
        share.contended = true;  // or another replica was quicker
        continue;
      }
      ++taken;
      share.owned.push_back({static_cast<int>(slots.Int(row, 0)), raised.Int(0, 0)});
    }
    return absl::OkStatus();
  }));
  if (taken > 0) PR_LOG(kInfo, "took slots", {"slots", taken}, {"owned", share.owned.size()});
  std::sort(share.owned.begin(), share.owned.end());
  std::vector<int> owned;
  for (const Lease& lease : share.owned) owned.push_back(lease.slot);
  // Of all, not only of those just taken: it may not have worked the last time. What waits in these
  // slots need not wait for it.
  const absl::Status resolved = owned.empty() ? absl::OkStatus() : ResolveOpenAttempts(owned);
  if (!resolved.ok()) {
    PR_LOG(kWarning, "attempts of former owners are not closed yet",
           {"error", ToStd(resolved.message())});
  }
  return share;
}

absl::Status PgStore::ResolveOpenAttempts(std::span<const int> slots) {
  PgParams params;
  AddColumn(params, slots, [](auto& to, int slot) { StrAppend(to, slot); });
  params.Add(static_cast<std::int64_t>(kIntentRows));
  int closed = 1;
  while (closed > 0) {
    const auto close = [&](PgTransaction& transaction) {
      transaction.RunOnce(kWaitLittle);
      const PgRows open = transaction.Run(kLeftOpen, params);
      OpenAttempts attempts;
      for (int row = 0; row < open.size(); ++row) {
        attempts[{{open.UuidAt(row, 0)}, {open.UuidAt(row, 1)}}] =
            static_cast<int>(open.Int(row, 2));
      }
      closed = attempts.empty() ? 0 : CloseAsUnknown(transaction, attempts, kOwnerDied);
      return absl::OkStatus();
    };
    // Most often there is nothing: streams are told only of what was written.
    const absl::Status status = pool_.Transact("resolve_open_attempts", close);
    if (closed > 0) on_events_();
    PR_RETURN_IF_ERROR(status);
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

absl::StatusOr<std::vector<Lease>> PgStore::ReleaseIdleSlots(ReplicaId replica,
                                                             std::span<const Lease> leases) {
  std::vector<Lease> released;
  PR_RETURN_IF_ERROR(pool_.Transact("release_idle_slots", [&](PgTransaction& transaction) {
    PgParams mine;
    mine.Add(replica.uuid);
    AddColumn(mine, leases, [](auto& to, const Lease& l) { StrAppend(to, l.slot); });
    AddColumn(mine, leases, [](auto& to, const Lease& l) { StrAppend(to, l.epoch); });
    const PgRows held = transaction.Run(kHoldToRelease, mine);
    std::vector<int> slots;
    for (int row = 0; row < held.size(); ++row) slots.push_back(static_cast<int>(held.Int(row, 0)));
    PgParams params;
    params.Add(replica.uuid);
    AddColumn(params, slots, [](auto& to, int slot) { StrAppend(to, slot); });
    transaction.Run(kReleaseIdle, params);
    std::set<Lease> kept;
    const PgRows rows = transaction.Run(kSlotsAndOwners, PgParams().Add(replica.uuid));
    for (int row = 0; row < rows.size(); ++row) {
      if (rows.Bool(row, 2)) kept.insert({static_cast<int>(rows.Int(row, 0)), rows.Int(row, 1)});
    }
    released.clear();
    for (const Lease& lease : leases) {
      if (!kept.contains(lease)) released.push_back(lease);
    }
    return absl::OkStatus();
  }));
  return released;
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
  return {kRenewReplica, kFenceDead,     kIsLive,      kSlotsAndOwners, kLiveReplicas, kTakeSlot,
          kReleaseSlots, kHoldToRelease, kReleaseIdle, kRetireReplica,  kLeftOpen};
}

}  // namespace postrider
