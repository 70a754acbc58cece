#include <algorithm>

#include "server/base/status_macros.h"
#include "server/base/strings.h"
#include "server/model/dispatch_limits.h"
#include "server/model/limits.h"
#include "server/store/pg_breakers.h"
#include "server/store/pg_message_rows.h"
#include "server/store/pg_pauses.h"
#include "server/store/pg_queries.h"
#include "server/store/pg_store.h"

// What operators see, and where a message stands in the queue.
namespace postrider {

namespace {

/// The flows of a tenant's queue by a loose index scan: f(priority, campaign_id, sender_id).
#define PR_FLOWS(slot, tenant_id)                                                              \
  "WITH RECURSIVE f AS ((SELECT q.priority, q.campaign_id, q.sender_id FROM dispatch_queue q " \
  "WHERE q.slot = " slot " AND q.tenant_id = " tenant_id                                       \
  " ORDER BY q.slot, q.tenant_id, q.priority, q.campaign_id, q.sender_id LIMIT 1) "            \
  "UNION ALL SELECT n.* FROM f, LATERAL (SELECT q.priority, q.campaign_id, q.sender_id "       \
  "FROM dispatch_queue q WHERE q.slot = " slot " AND q.tenant_id = " tenant_id                 \
  " AND (q.priority, q.campaign_id, q.sender_id) > (f.priority, f.campaign_id, f.sender_id) "  \
  "ORDER BY q.slot, q.tenant_id, q.priority, q.campaign_id, q.sender_id LIMIT 1) n) "

constexpr Query kTenantFacts{"control_tenants",
                             "SELECT coalesce((SELECT sum(d.depth) FROM queue_depth d "
                             "WHERE d.tenant_id = r.tenant_id), 0)::bigint, "
                             "(" PR_FLOWS("r.slot", "r.tenant_id")
                             "SELECT " PR_US("min(w.due_at)")
                             " FROM (SELECT * FROM f LIMIT $3::integer) f, LATERAL ("
                             "SELECT q.due_at FROM dispatch_queue q WHERE q.slot = r.slot "
                             "AND q.tenant_id = r.tenant_id AND q.priority = f.priority "
                             "AND q.campaign_id = f.campaign_id AND q.sender_id = f.sender_id "
                             "ORDER BY q.due_at LIMIT 1) w), "
                             "(SELECT " PR_US("t.until")
                             " FROM tenant_pause t WHERE t.tenant_id = r.tenant_id "
                             "AND t.until > clock_timestamp()) "
                             "FROM unnest($1::uuid[], $2::smallint[]) WITH ORDINALITY "
                             "AS r(tenant_id, slot, ord) ORDER BY r.ord"};

#define PR_PAUSE_COLUMNS \
  "p.tenant_id, p.scope, p.target, p.reason, p.actor, " PR_US("p.since") ", " PR_US("p.until")

constexpr Query kPauses{"control_pauses",
                        "SELECT " PR_PAUSE_COLUMNS
                        " FROM dispatch_pause p WHERE p.tenant_id = ANY($1::uuid[]) "
                        "AND (p.until IS NULL OR p.until > clock_timestamp()) "
                        "ORDER BY p.tenant_id, p.scope, p.target LIMIT $2::integer"};

constexpr Query kPausesOfFlow{
    "control_pauses_of_flow",
    "SELECT " PR_PAUSE_COLUMNS
    " FROM (VALUES (1::smallint, ''), (2::smallint, $2::text), (3::smallint, $3::uuid::text)) "
    "AS held(scope, target) JOIN dispatch_pause p ON p.tenant_id = $1::uuid "
    "AND p.scope = held.scope AND p.target = held.target "
    "WHERE p.until IS NULL OR p.until > clock_timestamp() ORDER BY p.scope"};

constexpr Query kLeases{"control_slots",
                        "SELECT l.slot, l.owner, l.epoch, (SELECT count(*) FROM attempt a "
                        "WHERE a.slot = l.slot AND a.outcome IS NULL) "
                        "FROM slot_lease l ORDER BY l.slot"};

// Those that live are the last to expire.
constexpr Query kReplicas{
    "control_replicas",
    "SELECT r.replica_id, r.name, " PR_US("r.started_at") ", " PR_US("r.expires_at")
    ", NOT r.fenced AND r.expires_at >= clock_timestamp() FROM replica r "
    "ORDER BY r.expires_at DESC LIMIT $1::integer"};

constexpr Query kQueueRow{
    "place_queue_row",
    "SELECT q.slot, q.priority, q.campaign_id, q.sender_id, " PR_US("q.due_at") ", " PR_US(
        "clock_timestamp()") ", " PR_US("t.until")
        ", r.name, r.replica_id FROM dispatch_queue q "
        "LEFT JOIN tenant_pause t ON t.tenant_id = q.tenant_id AND t.until > clock_timestamp() "
        "LEFT JOIN slot_lease l ON l.slot = q.slot "
        "LEFT JOIN replica r ON r.replica_id = l.owner AND NOT r.fenced "
        "AND r.expires_at >= clock_timestamp() "
        "WHERE q.tenant_id = $1::uuid AND q.message_id >= $2::uuid AND q.message_id <= $2::uuid "
        "ORDER BY q.message_id LIMIT 1"};

// What one transaction accepted is due at one time, and leaves in the order of message_id.
constexpr Query kAheadInFlow{
    "place_ahead_in_flow",
    "SELECT count(*) FROM (SELECT FROM dispatch_queue q WHERE q.slot = $1::smallint "
    "AND q.tenant_id = $2::uuid AND q.priority = $3::smallint AND q.campaign_id = $4::text "
    "AND q.sender_id = $5::uuid AND q.due_at <= timestamptz 'epoch' + $6::bigint * interval "
    "'1 microsecond' AND (q.message_id < $8::uuid OR q.due_at < timestamptz 'epoch' + "
    "$6::bigint * interval '1 microsecond') ORDER BY q.slot, q.tenant_id, q.priority, "
    "q.campaign_id, q.sender_id, "
    "q.due_at "
    "LIMIT $7::integer) ahead"};

// Flows take turns: of each other flow as many are ahead as of its own. What is more urgent is
// ahead with all it has. The inner limits stop the scan; the outer one stops all of it.
constexpr Query kAheadElsewhere{
    "place_ahead_elsewhere",
    PR_FLOWS("$1::smallint", "$2::uuid")
    "SELECT count(*) FROM (SELECT FROM (SELECT * FROM f WHERE CASE WHEN $10::boolean "
    "THEN f.priority < $3::smallint ELSE f.priority = $3::smallint END "
    "AND (f.priority, f.campaign_id, f.sender_id) <> ($3::smallint, $4::text, $5::uuid) AND NOT "
    PR_PAUSED("$2::uuid", "f.campaign_id", "f.sender_id")
    " LIMIT $9::integer) f, LATERAL (SELECT FROM dispatch_queue q WHERE q.slot = $1::smallint "
    "AND q.tenant_id = $2::uuid AND q.priority = f.priority AND q.campaign_id = f.campaign_id "
    "AND q.sender_id = f.sender_id AND q.due_at <= greatest(now(), timestamptz 'epoch' + "
    "$6::bigint * interval '1 microsecond') "
    "ORDER BY q.slot, q.tenant_id, q.priority, q.campaign_id, q.sender_id, q.due_at "
    "LIMIT CASE WHEN $10::boolean THEN $7::integer ELSE least($7::integer, $8::integer) END) w "
    "LIMIT $7::integer) ahead"};

DispatchPause ReadPause(const PgRows& rows, int row) {
  return {.of = {.tenant_id = {rows.UuidAt(row, 0)},
                 .scope = static_cast<PauseScope>(rows.Int(row, 1)),
                 .target = std::string(rows.Text(row, 2))},
          .reason = std::string(rows.Text(row, 3)),
          .actor = std::string(rows.Text(row, 4)),
          .since = rows.Time(row, 5),
          .until = rows.Time(row, 6)};
}

void ReadTenants(PgTransaction& transaction, std::span<const TenantId> tenants,
                 ControlFacts& facts) {
  PgParams params;
  AddColumn(params, tenants, [](auto& to, const TenantId& t) { AppendUuid(to, t.uuid); });
  AddColumn(params, tenants, [](auto& to, const TenantId& t) { StrAppend(to, SlotOf(t)); });
  params.Add(static_cast<std::int64_t>(kFlowsOfSlot));
  const PgRows rows = transaction.Run(kTenantFacts, params);
  for (int row = 0; row < rows.size(); ++row) {
    facts.tenants.push_back({.tenant_id = tenants[static_cast<std::size_t>(row)],
                             .queue_depth = rows.Int(row, 0),
                             .oldest_due = rows.Time(row, 1),
                             .retry_after = rows.Time(row, 2)});
  }
}

void ReadOwners(PgTransaction& transaction, ControlFacts& facts) {
  const PgRows slots = transaction.Run(kLeases, {});
  for (int row = 0; row < slots.size(); ++row) {
    facts.slots.push_back({.slot = static_cast<int>(slots.Int(row, 0)),
                           .owner = {slots.UuidAt(row, 1)},
                           .epoch = slots.Int(row, 2),
                           .open_attempts = static_cast<int>(slots.Int(row, 3))});
  }
  PgParams params;
  params.Add(static_cast<std::int64_t>(kMaxReplicasShown));
  const PgRows replicas = transaction.Run(kReplicas, params);
  for (int row = 0; row < replicas.size(); ++row) {
    facts.replicas.push_back({.replica_id = {replicas.UuidAt(row, 0)},
                              .name = std::string(replicas.Text(row, 1)),
                              .started_at = replicas.Time(row, 2),
                              .expires_at = replicas.Time(row, 3),
                              .alive = replicas.Bool(row, 4)});
  }
}

void CountAhead(PgTransaction& transaction, const PgRows& queued, const MessageKey& key, int most,
                QueuePlace& place) {
  PgParams flow;
  flow.Add(queued.Int(0, 0)).Add(key.tenant_id.uuid).Add(queued.Int(0, 1)).Add(queued.Text(0, 2));
  flow.Add(queued.UuidAt(0, 3)).Add(queued.Int(0, 4)).Add(std::int64_t{most} + 1);
  const auto counted = [&](const PgRows& rows) {
    const auto count = static_cast<int>(rows.Int(0, 0));
    place.capped = place.capped || count > most;
    return std::min(count, most);
  };
  PgParams own = flow;
  place.ahead_in_flow = counted(transaction.Run(kAheadInFlow, own.Add(key.message_id.uuid)));
  flow.Add(std::int64_t{place.ahead_in_flow} + 1).Add(static_cast<std::int64_t>(kFlowsOfSlot));
  const auto others = [&](const char* urgent) {
    PgParams params = flow;
    return counted(transaction.Run(kAheadElsewhere, params.Add(std::string_view(urgent))));
  };
  place.ahead_elsewhere = others("false");
  place.ahead_urgent = others("true");
}

}  // namespace

absl::StatusOr<ControlFacts> PgStore::ReadControl(std::span<const TenantId> tenants) {
  ControlFacts facts;
  PR_RETURN_IF_ERROR(pool_.Transact("read_control", [&](PgTransaction& transaction) {
    facts = {};
    facts.at = StoreNow(transaction);
    ReadTenants(transaction, tenants, facts);
    PgParams params;
    AddColumn(params, tenants, [](auto& to, const TenantId& t) { AppendUuid(to, t.uuid); });
    params.Add(static_cast<std::int64_t>(kMaxPausesShown));
    const PgRows pauses = transaction.Run(kPauses, params);
    for (int row = 0; row < pauses.size(); ++row) facts.pauses.push_back(ReadPause(pauses, row));
    facts.breakers = ReadBreakersOf(transaction, tenants).breakers;
    ReadOwners(transaction, facts);
    return absl::OkStatus();
  }));
  return facts;
}

absl::StatusOr<QueuePlace> PgStore::FindQueuePlace(const MessageKey& key, int most) {
  QueuePlace place;
  PR_RETURN_IF_ERROR(pool_.Transact("find_queue_place", [&](PgTransaction& transaction) {
    place = {};
    PgParams params;
    params.Add(key.tenant_id.uuid).Add(key.message_id.uuid);
    const PgRows queued = transaction.Run(kQueueRow, params);
    if (queued.size() == 0) return absl::NotFoundError("not in the queue");
    place.due_at = queued.Time(0, 4);
    place.at = queued.Time(0, 5);
    place.retry_after = queued.Time(0, 6);
    place.owner = queued.Text(0, 7);
    place.owner_id = {queued.UuidAt(0, 8)};
    PgParams flow;
    flow.Add(key.tenant_id.uuid).Add(queued.Text(0, 2)).Add(queued.UuidAt(0, 3));
    const PgRows pauses = transaction.Run(kPausesOfFlow, flow);
    for (int row = 0; row < pauses.size(); ++row) place.pauses.push_back(ReadPause(pauses, row));
    place.breakers = ReadBreakersOf(transaction, {&key.tenant_id, 1}).breakers;
    CountAhead(transaction, queued, key, most, place);
    return absl::OkStatus();
  }));
  return place;
}

std::vector<Query> ControlReadQueries() {
  return {kTenantFacts, kPauses,   kPausesOfFlow, kLeases,
          kReplicas,    kQueueRow, kAheadInFlow,  kAheadElsewhere};
}

}  // namespace postrider
