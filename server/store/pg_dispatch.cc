#include <algorithm>
#include <map>

#include "absl/container/flat_hash_map.h"

#include "server/base/status_macros.h"
#include "server/base/strings.h"
#include "server/model/limits.h"
#include "server/store/pg_message_rows.h"
#include "server/store/pg_queries.h"
#include "server/store/pg_store.h"

namespace postrider {

namespace {

// Loose index scans: DISTINCT would read every queued row. Ranges where equality would do: of
// what is equal no order is asked, and then a plan could go by another index.
constexpr Query kTenantsWithWork{"tenants_with_work", R"(
SELECT t.tenant_id FROM unnest($1::smallint[]) AS s(slot), LATERAL (
  WITH RECURSIVE f AS (
    (SELECT q.tenant_id FROM dispatch_queue q WHERE q.slot >= s.slot AND q.slot <= s.slot
     ORDER BY q.slot, q.tenant_id LIMIT 1)
    UNION ALL
    SELECT n.tenant_id FROM f, LATERAL (
      SELECT q.tenant_id FROM dispatch_queue q
      WHERE (q.slot, q.tenant_id) > (s.slot, f.tenant_id) AND q.slot <= s.slot
      ORDER BY q.slot, q.tenant_id LIMIT 1) n)
  SELECT f.tenant_id FROM f) t)"};

constexpr Query kPausesInForce{
    "pauses_in_force",
    "SELECT p.tenant_id, (extract(epoch FROM p.until - clock_timestamp()) * 1000000)::bigint "
    "FROM tenant_pause p WHERE p.slot = ANY($1::smallint[]) AND p.until > clock_timestamp()"};

constexpr Query kChooseDue{"choose_due", R"(
SELECT r.tenant_id, d.message_id, d.priority
FROM unnest($1::smallint[], $2::uuid[], $3::integer[]) AS r(slot, tenant_id, room), LATERAL (
  WITH RECURSIVE f AS (
    (SELECT q.priority, q.campaign_id, q.sender_id FROM dispatch_queue q
     WHERE q.slot = r.slot AND q.tenant_id = r.tenant_id
     ORDER BY q.slot, q.tenant_id, q.priority, q.campaign_id, q.sender_id LIMIT 1)
    UNION ALL
    SELECT n.* FROM f, LATERAL (
      SELECT q.priority, q.campaign_id, q.sender_id FROM dispatch_queue q
      WHERE q.slot = r.slot AND q.tenant_id = r.tenant_id
        AND (q.priority, q.campaign_id, q.sender_id) > (f.priority, f.campaign_id, f.sender_id)
      ORDER BY q.slot, q.tenant_id, q.priority, q.campaign_id, q.sender_id LIMIT 1) n)
  SELECT w.message_id, f.priority FROM (SELECT * FROM f LIMIT $4::integer) f, LATERAL (
    SELECT q.message_id, row_number() OVER (ORDER BY q.due_at) AS turn FROM dispatch_queue q
    WHERE q.slot = r.slot AND q.tenant_id = r.tenant_id AND q.priority = f.priority
      AND q.campaign_id = f.campaign_id AND q.sender_id = f.sender_id AND q.due_at <= now()
    ORDER BY q.due_at LIMIT r.room) w
  ORDER BY f.priority, w.turn LIMIT r.room) d)"};

// FOR KEY SHARE: a take-over, which changes the key (slot, epoch), waits for this transaction;
// an owner's own renewal, which does not, is not held up.
constexpr Query kHoldLeases{"hold_leases",
                            "SELECT l.slot, l.epoch FROM unnest($2::smallint[], $3::bigint[]) AS "
                            "r(slot, epoch) JOIN slot_lease l ON l.slot = r.slot "
                            "AND l.epoch = r.epoch WHERE l.owner = $1::uuid FOR KEY SHARE OF l"};

// The queue's row decides: whoever deletes it, this or a cancel, wins. Found by a range of its key
// and in its order, which one index only gives, also when the queue looked empty to the planner.
constexpr Query kTakeFromQueue{"intend_take_from_queue", R"(
DELETE FROM dispatch_queue q WHERE q.ctid = ANY(ARRAY(
  SELECT d.ctid FROM unnest($1::uuid[], $2::uuid[]) AS r(tenant_id, message_id), LATERAL (
    SELECT d.ctid FROM dispatch_queue d WHERE d.tenant_id = r.tenant_id
      AND d.message_id >= r.message_id AND d.message_id <= r.message_id
      AND d.slot = ANY($3::smallint[]) ORDER BY d.message_id LIMIT 1) d))
RETURNING q.tenant_id, q.message_id, coalesce(q.expire_at <= clock_timestamp(), false),
  EXISTS (SELECT FROM suppression s WHERE s.tenant_id = q.tenant_id
    AND s.recipient_key = q.recipient_key
    AND s.sender_id IN (q.sender_id, '00000000-0000-0000-0000-000000000000')))"};

constexpr Query kOpenAttempts{
    "intend_open_attempts",
    "INSERT INTO attempt (tenant_id, message_id, attempt, slot, epoch, replica_id) "
    "SELECT r.*, $6::uuid FROM unnest($1::uuid[], $2::uuid[], $3::integer[], $4::smallint[], "
    "$5::bigint[]) AS r"};

/// What a row that was taken from the queue says about its message.
struct Taken {
  bool expired = false;
  bool suppressed = false;
};

struct OpenedAttempt {
  MessageKey key;
  int attempt = 1;
  Lease lease;
};

void InsertAttempts(PgTransaction& transaction, ReplicaId replica,
                    std::span<const OpenedAttempt> opened) {
  if (opened.empty()) return;
  PgParams params;
  AddKeys(params, opened);
  AddColumn(params, opened, [](auto& to, const auto& o) { StrAppend(to, o.attempt); });
  AddColumn(params, opened, [](auto& to, const auto& o) { StrAppend(to, o.lease.slot); });
  AddColumn(params, opened, [](auto& to, const auto& o) { StrAppend(to, o.lease.epoch); });
  params.Add(replica.uuid);
  transaction.Run(kOpenAttempts, params);
}

/// The leases of `wanted` that are still held, by slot; locked until the transaction ends.
std::map<int, Lease> HoldLeases(PgTransaction& transaction, ReplicaId replica,
                                std::span<const Lease> wanted) {
  PgParams params;
  params.Add(replica.uuid);
  AddColumn(params, wanted, [](auto& to, const Lease& l) { StrAppend(to, l.slot); });
  AddColumn(params, wanted, [](auto& to, const Lease& l) { StrAppend(to, l.epoch); });
  const PgRows rows = transaction.Run(kHoldLeases, params);
  std::map<int, Lease> held;
  for (int row = 0; row < rows.size(); ++row) {
    const int slot = static_cast<int>(rows.Int(row, 0));
    held[slot] = {slot, rows.Int(row, 1)};
  }
  return held;
}

std::map<MessageKey, Taken> TakeFromQueue(PgTransaction& transaction,
                                          const std::map<int, Lease>& held,
                                          std::span<const MessageKey> batch) {
  std::vector<MessageKey> keys(batch.begin(), batch.end());
  std::sort(keys.begin(), keys.end());
  PgParams params;
  AddColumn(params, keys, [](auto& to, const auto& key) { AppendUuid(to, key.tenant_id.uuid); });
  AddColumn(params, keys, [](auto& to, const auto& key) { AppendUuid(to, key.message_id.uuid); });
  const std::vector<std::pair<int, Lease>> slots(held.begin(), held.end());
  AddColumn(params, slots, [](auto& to, const auto& slot) { StrAppend(to, slot.first); });
  const PgRows rows = transaction.Run(kTakeFromQueue, params);
  std::map<MessageKey, Taken> taken;
  for (int row = 0; row < rows.size(); ++row) {
    taken[{{rows.UuidAt(row, 0)}, {rows.UuidAt(row, 1)}}] = {rows.Bool(row, 2), rows.Bool(row, 3)};
  }
  return taken;
}

}  // namespace

absl::StatusOr<std::vector<TenantId>> PgStore::TenantsWithWork(std::span<const int> slots) {
  std::vector<TenantId> tenants;
  PgParams params;
  AddColumn(params, slots, [](auto& to, int slot) { StrAppend(to, slot); });
  PR_RETURN_IF_ERROR(pool_.Transact("tenants_with_work", [&](PgTransaction& transaction) {
    tenants.clear();
    const PgRows rows = transaction.Run(kTenantsWithWork, params);
    for (int row = 0; row < rows.size(); ++row) tenants.push_back({rows.UuidAt(row, 0)});
    return absl::OkStatus();
  }));
  return tenants;
}

absl::StatusOr<std::vector<TenantPause>> PgStore::PausesInForce(std::span<const int> slots) {
  std::vector<TenantPause> pauses;
  PgParams params;
  AddColumn(params, slots, [](auto& to, int slot) { StrAppend(to, slot); });
  PR_RETURN_IF_ERROR(pool_.Transact("pauses_in_force", [&](PgTransaction& transaction) {
    pauses.clear();
    const PgRows rows = transaction.Run(kPausesInForce, params);
    for (int row = 0; row < rows.size(); ++row) {
      pauses.push_back({{rows.UuidAt(row, 0)}, std::chrono::microseconds(rows.Int(row, 1))});
    }
    return absl::OkStatus();
  }));
  return pauses;
}

absl::StatusOr<std::vector<DueMessage>> PgStore::ChooseDue(std::span<const TenantRoom> rooms) {
  std::vector<DueMessage> due;
  PgParams params;
  AddColumn(params, rooms,
            [](auto& to, const TenantRoom& r) { StrAppend(to, SlotOf(r.tenant_id)); });
  AddColumn(params, rooms, [](auto& to, const TenantRoom& r) { AppendUuid(to, r.tenant_id.uuid); });
  AddColumn(params, rooms, [](auto& to, const TenantRoom& r) { StrAppend(to, r.room); });
  params.Add(static_cast<std::int64_t>(kMaxFlowsPerStep));
  PR_RETURN_IF_ERROR(pool_.Transact("choose_due", [&](PgTransaction& transaction) {
    due.clear();
    const PgRows rows = transaction.Run(kChooseDue, params);
    for (int row = 0; row < rows.size(); ++row) {
      due.push_back({.key = {{rows.UuidAt(row, 0)}, {rows.UuidAt(row, 1)}},
                     .priority = static_cast<Priority>(rows.Int(row, 2))});
    }
    return absl::OkStatus();
  }));
  return due;
}

absl::StatusOr<std::vector<Intent>> PgStore::Intend(ReplicaId replica,
                                                    std::span<const Lease> leases,
                                                    std::span<const MessageKey> batch) {
  std::vector<Intent> intents;
  PR_RETURN_IF_ERROR(TransactWithEvents("intend", [&](PgTransaction& transaction) {
    absl::flat_hash_map<MessageKey, Intent> by_key;
    const std::map<int, Lease> held = HoldLeases(transaction, replica, leases);
    const std::map<MessageKey, Taken> taken = TakeFromQueue(transaction, held, batch);
    std::vector<MessageKey> keys;
    for (const auto& [key, row] : taken) keys.push_back(key);

    DepthChanges depth;
    std::vector<MessageChange> changes;
    std::vector<OpenedAttempt> opened;
    for (StoredMessage& stored : LockMessages(transaction, keys)) {
      const MessageKey key = stored.Key();
      const Taken& row = taken.at(key);
      const MessageStatus& now = stored.message.status;
      --depth[key.tenant_id];
      if (now.state != MessageState::kQueued) continue;  // a late receipt has settled it
      Intent intent{.key = key, .kind = Intent::Kind::kEnded, .request = {}};
      if (row.suppressed) {
        changes.push_back(
            ChangeOf(key, now, Advance(now, MessageState::kSuppressed), Cause::kOptedOut));
      } else if (row.expired) {
        changes.push_back(
            ChangeOf(key, now, Advance(now, MessageState::kExpired), Cause::kExpiryPassed));
      } else {
        changes.push_back(
            ChangeOf(key, now, Advance(now, MessageState::kDispatching), Cause::kIntended));
        opened.push_back({key, now.attempt, held.at(stored.slot)});
        intent.kind = Intent::Kind::kPost;
        intent.attempt = now.attempt;
        intent.request = std::move(stored.message.request);
      }
      by_key.emplace(key, std::move(intent));
    }
    WriteChanges(transaction, changes);
    InsertAttempts(transaction, replica, opened);
    AddDepth(transaction, depth);

    intents.clear();
    for (const MessageKey& key : batch) {
      const auto found = by_key.find(key);
      intents.push_back(found == by_key.end()
                            ? Intent{.key = key, .kind = Intent::Kind::kGone, .request = {}}
                            : std::move(found->second));
    }
    return absl::OkStatus();
  }));
  return intents;
}

std::vector<Query> DispatchQueries() {
  return {kTenantsWithWork, kPausesInForce, kChooseDue, kHoldLeases, kTakeFromQueue, kOpenAttempts};
}

}  // namespace postrider
