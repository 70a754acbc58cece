#include <algorithm>
#include <map>

#include "absl/container/flat_hash_map.h"

#include "server/base/status_macros.h"
#include "server/base/strings.h"
#include "server/model/dispatch_limits.h"
#include "server/store/pg_fence.h"
#include "server/store/pg_message_rows.h"
#include "server/store/pg_open_attempts.h"
#include "server/store/pg_pauses.h"
#include "server/store/pg_queries.h"
#include "server/store/pg_store.h"

namespace postrider {

namespace {

// A loose index scan: DISTINCT would read every queued row. The next flow is the first row above
// the last one's key; after as many of a priority as are wanted, above all of that priority.
constexpr Query kFlowsWithWork{"flows_with_work", R"(
SELECT f.tenant_id, f.priority, f.campaign_id, f.sender_id
FROM unnest($1::smallint[]) AS s(slot), LATERAL (
  WITH RECURSIVE f AS (
    (SELECT q.tenant_id, q.priority, q.campaign_id, q.sender_id, q.due_at, 1 AS n
     FROM dispatch_queue q WHERE q.slot >= s.slot AND q.slot <= s.slot
     ORDER BY q.slot, q.tenant_id, q.priority, q.campaign_id, q.sender_id, q.due_at LIMIT 1)
    UNION ALL
    SELECT x.* FROM f, LATERAL (
      SELECT q.tenant_id, q.priority, q.campaign_id, q.sender_id, q.due_at,
        CASE WHEN q.tenant_id = f.tenant_id AND q.priority = f.priority THEN f.n + 1 ELSE 1 END
      FROM dispatch_queue q
      WHERE (q.slot, q.tenant_id, q.priority, q.campaign_id, q.sender_id) > (s.slot, f.tenant_id,
          CASE WHEN f.n < $2::integer THEN f.priority ELSE f.priority + 1::smallint END,
          CASE WHEN f.n < $2::integer THEN f.campaign_id ELSE '' END,
          CASE WHEN f.n < $2::integer THEN f.sender_id
               ELSE '00000000-0000-0000-0000-000000000000' END)
        AND q.slot <= s.slot
      ORDER BY q.slot, q.tenant_id, q.priority, q.campaign_id, q.sender_id, q.due_at LIMIT 1) x)
  SELECT * FROM f LIMIT $3::integer) f
WHERE f.due_at <= now() AND NOT )" PR_PAUSED("f.tenant_id", "f.campaign_id", "f.sender_id")};

constexpr Query kPausesInForce{
    "pauses_in_force",
    "SELECT p.tenant_id, (extract(epoch FROM p.until - clock_timestamp()) * 1000000)::bigint "
    "FROM tenant_pause p WHERE p.slot = ANY($1::smallint[]) AND p.until > clock_timestamp()"};

// Costs what it finds: the index holds a flow's rows by due_at.
constexpr Query kChooseDue{"choose_due", R"(
SELECT d.message_id, r.n FROM unnest($1::smallint[], $2::uuid[], $3::smallint[], $4::text[],
  $5::uuid[], $6::integer[]) WITH ORDINALITY
  AS r(slot, tenant_id, priority, campaign_id, sender_id, room, n), LATERAL (
  SELECT q.message_id FROM dispatch_queue q
  WHERE q.slot = r.slot AND q.tenant_id = r.tenant_id AND q.priority = r.priority
    AND q.campaign_id = r.campaign_id AND q.sender_id = r.sender_id AND q.due_at <= now()
  ORDER BY q.slot, q.tenant_id, q.priority, q.campaign_id, q.sender_id, q.due_at
  LIMIT r.room) d WHERE NOT )" PR_PAUSED("r.tenant_id", "r.campaign_id", "r.sender_id") R"(
ORDER BY r.n)"};

// The queue's row decides: whoever deletes it, this or a cancel, wins. Found by a range of its key
// and in its order, which one index only gives, also when the queue looked empty to the planner.
// What somebody holds at the moment is being ended; to wait for it would stall all tenants.
constexpr Query kTakeFromQueue{
    "intend_take_from_queue",
    R"(
DELETE FROM dispatch_queue q WHERE q.ctid = ANY(ARRAY(
  SELECT d.ctid FROM unnest($1::uuid[], $2::uuid[]) AS r(tenant_id, message_id), LATERAL (
    SELECT d.ctid FROM dispatch_queue d WHERE d.tenant_id = r.tenant_id
      AND d.message_id >= r.message_id AND d.message_id <= r.message_id
      AND d.slot = ANY($3::smallint[]) AND NOT )" PR_PAUSED(
        "d.tenant_id", "d.campaign_id",
        "d.sender_id") R"( ORDER BY d.message_id LIMIT 1 FOR UPDATE SKIP LOCKED) d))
RETURNING q.tenant_id, q.message_id, coalesce(q.expire_at <= clock_timestamp(), false),
  NOT q.answers_opt_out AND EXISTS (SELECT FROM suppression s WHERE s.tenant_id = q.tenant_id
    AND s.recipient_key = q.recipient_key
    AND s.sender_id IN (q.sender_id, '00000000-0000-0000-0000-000000000000')))"};

/// What a row that was taken from the queue says about its message.
struct Taken {
  bool expired = false;
  bool suppressed = false;
};

std::map<MessageKey, Taken> TakeFromQueue(PgTransaction& transaction,
                                          const std::map<int, Lease>& held,
                                          std::span<const MessageKey> batch) {
  std::vector<MessageKey> keys(batch.begin(), batch.end());
  std::sort(keys.begin(), keys.end());
  PgParams params;
  AddKeys(params, keys);
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

absl::StatusOr<std::vector<Flow>> PgStore::FlowsWithWork(std::span<const int> slots) {
  std::vector<Flow> flows;
  PgParams params;
  AddColumn(params, slots, [](auto& to, int slot) { StrAppend(to, slot); });
  params.Add(std::int64_t{kFlowsOfPriority}).Add(std::int64_t{kFlowsOfSlot});
  PR_RETURN_IF_ERROR(pool_.Read("flows_with_work", [&](PgTransaction& transaction) {
    flows.clear();
    const PgRows rows = transaction.Run(kFlowsWithWork, params);
    for (int row = 0; row < rows.size(); ++row) {
      flows.push_back({.tenant_id = {rows.UuidAt(row, 0)},
                       .priority = static_cast<Priority>(rows.Int(row, 1)),
                       .campaign_id = std::string(rows.Text(row, 2)),
                       .sender_id = {rows.UuidAt(row, 3)}});
    }
    return absl::OkStatus();
  }));
  return flows;
}

absl::StatusOr<std::vector<TenantPause>> PgStore::PausesInForce(std::span<const int> slots) {
  std::vector<TenantPause> pauses;
  PgParams params;
  AddColumn(params, slots, [](auto& to, int slot) { StrAppend(to, slot); });
  PR_RETURN_IF_ERROR(pool_.Read("pauses_in_force", [&](PgTransaction& transaction) {
    pauses.clear();
    const PgRows rows = transaction.Run(kPausesInForce, params);
    for (int row = 0; row < rows.size(); ++row) {
      pauses.push_back({{rows.UuidAt(row, 0)}, std::chrono::microseconds(rows.Int(row, 1))});
    }
    return absl::OkStatus();
  }));
  return pauses;
}

absl::StatusOr<std::vector<DueMessage>> PgStore::ChooseDue(std::span<const FlowRoom> rooms) {
  std::vector<DueMessage> due;
  PgParams params;
  AddColumn(params, rooms,
            [](auto& to, const FlowRoom& r) { StrAppend(to, SlotOf(r.flow.tenant_id)); });
  AddColumn(params, rooms,
            [](auto& to, const FlowRoom& r) { AppendUuid(to, r.flow.tenant_id.uuid); });
  AddColumn(params, rooms,
            [](auto& to, const FlowRoom& r) { StrAppend(to, static_cast<int>(r.flow.priority)); });
  AddColumn(params, rooms, [](auto& to, const FlowRoom& r) { AppendText(to, r.flow.campaign_id); });
  AddColumn(params, rooms,
            [](auto& to, const FlowRoom& r) { AppendUuid(to, r.flow.sender_id.uuid); });
  AddColumn(params, rooms, [](auto& to, const FlowRoom& r) { StrAppend(to, r.room); });
  PR_RETURN_IF_ERROR(pool_.Read("choose_due", [&](PgTransaction& transaction) {
    due.clear();
    const PgRows rows = transaction.Run(kChooseDue, params);
    for (int row = 0; row < rows.size(); ++row) {
      const auto of = static_cast<std::size_t>(rows.Int(row, 1) - 1);
      due.push_back({{rooms[of].flow.tenant_id, {rows.UuidAt(row, 0)}}, of});
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
        changes.push_back(ChangeOf(key, now, OpenAttempt(now), Cause::kIntended));
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
  const auto posted = std::find_if(intents.begin(), intents.end(), [](const Intent& intent) {
    return intent.kind == Intent::Kind::kPost;
  });
  if (posted != intents.end()) seen_.NoteIntent(posted->key, posted->attempt);
  return intents;
}

std::vector<Query> DispatchQueries() {
  return {kFlowsWithWork, kPausesInForce, kChooseDue, kTakeFromQueue};
}

}  // namespace postrider
