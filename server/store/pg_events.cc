#include <array>

#include "server/base/status_macros.h"
#include "server/base/strings.h"
#include "server/model/dispatch_limits.h"
#include "server/store/pg_message_rows.h"
#include "server/store/pg_queries.h"
#include "server/store/pg_store.h"

namespace postrider {

namespace {

// Not more often than every 20 ms, whoever asks; a lost race is no error.
constexpr Query kMakeTick{"make_tick", R"(
INSERT INTO tick AS n (tick_no, snap, nonce)
SELECT t.tick_no + 1, pg_current_snapshot(), gen_random_uuid() FROM tick t
WHERE t.tick_no = (SELECT max(tick_no) FROM tick)
  AND t.at < clock_timestamp() - interval '20 ms'
ON CONFLICT (tick_no) DO NOTHING
RETURNING n.tick_no, n.nonce, )" PR_US("n.at")};

constexpr Query kLastTick{"last_tick", "SELECT t.tick_no, t.nonce, " PR_US(
                                           "t.at") " FROM tick t ORDER BY t.tick_no DESC LIMIT 1"};

constexpr Query kFindTick{"find_tick", "SELECT t.tick_no, t.nonce, " PR_US("t.at")
                                       " FROM tick t WHERE t.tick_no = $1::bigint "
                                       "AND t.nonce = $2::uuid"};

// Of those given, what is no longer there, or is another since a restore.
constexpr Query kTicksGone{"ticks_gone",
                           "SELECT r.tick_no FROM unnest($1::bigint[], $2::uuid[]) AS "
                           "r(tick_no, nonce) WHERE NOT EXISTS (SELECT FROM tick t "
                           "WHERE t.tick_no = r.tick_no AND t.nonce = r.nonce OFFSET 0)"};

constexpr Query kOldestTick{"oldest_tick", "SELECT t.tick_no, t.nonce, " PR_US(
                                               "t.at") " FROM tick t ORDER BY t.tick_no LIMIT 1"};

// Backwards from the newest: ticks of the last minute or so. Their times do not go back but where a
// clock did, and then a younger or older one does no harm.
constexpr Query kTickOfAge{"tick_of_age",
                           "SELECT t.tick_no, t.nonce, " PR_US("t.at") R"( FROM tick t
WHERE t.at <= clock_timestamp() - $1::bigint * interval '1 second' ORDER BY t.tick_no DESC LIMIT 1)"};

// Forwards from the reader's tick: backwards from the newest, each step of a long catch-up would
// read all that is still ahead.
constexpr Query kNextTick{"next_tick", R"(
WITH first AS MATERIALIZED (
  SELECT t.tick_no, t.at FROM tick t WHERE t.tick_no > $1::bigint ORDER BY t.tick_no LIMIT 1),
beyond AS MATERIALIZED (
  SELECT t.tick_no FROM tick t WHERE t.tick_no > $1::bigint
  AND t.at > (SELECT at FROM first) + $2::bigint * interval '1 millisecond'
  ORDER BY t.tick_no LIMIT 1)
SELECT t.tick_no, t.nonce, )" PR_US("t.at") R"( FROM tick t
WHERE t.tick_no > $1::bigint
  AND t.tick_no < coalesce((SELECT tick_no FROM beyond), 9223372036854775807)
ORDER BY t.tick_no DESC LIMIT 1)"};

// What tick b shows and tick a does not: transactions that began after a was taken, and those
// that were in progress then. Source: PostgreSQL manual, 9.27.
constexpr Query kEventsBetween{"events_between", "SELECT " PR_EVENT_COLUMNS R"( FROM (
SELECT * FROM status_event e WHERE e.slot = ANY($1::smallint[])
  AND e.xid >= (SELECT pg_snapshot_xmax(snap) FROM tick WHERE tick_no = $2::bigint)
  AND e.xid < (SELECT pg_snapshot_xmax(snap) FROM tick WHERE tick_no = $3::bigint)
  AND pg_visible_in_snapshot(e.xid, (SELECT snap FROM tick WHERE tick_no = $3::bigint))
UNION ALL
SELECT * FROM status_event e WHERE e.slot = ANY($1::smallint[])
  AND e.xid >= (SELECT pg_snapshot_xmin(snap) FROM tick WHERE tick_no = $2::bigint)
  AND e.xid < (SELECT pg_snapshot_xmax(snap) FROM tick WHERE tick_no = $2::bigint)
  AND e.xid = ANY(ARRAY(SELECT pg_snapshot_xip(snap) FROM tick WHERE tick_no = $2::bigint))
  AND pg_visible_in_snapshot(e.xid, (SELECT snap FROM tick WHERE tick_no = $3::bigint))
) e WHERE $4::uuid IS NULL OR e.tenant_id = $4::uuid
ORDER BY e.message_id, e.revision)"};

// The current state of a message, as its last event: one statement for each way in, so that
// each goes by its own index.
#define PR_CURRENT_STATE \
  "SELECT m.tenant_id, m.message_id, m.revision, e.previous, m.state, coalesce(e.cause, 1), "    \
  "m.attempt, m.final, coalesce(e.correction, false), m.failure, m.provider_code, "              \
  "m.correlation_id, " PR_US("m.provider_at") ", m.hold_reason, " PR_US("m.hold_until")          \
  ", m.conversation_id, m.external_contact_id, m.campaign_id, " PR_US("coalesce(e.at, m.updated_at)")
#define PR_LAST_EVENT                                                                       \
  " LEFT JOIN LATERAL (SELECT e.previous, e.cause, e.correction, e.at FROM status_event e " \
  "WHERE e.tenant_id = m.tenant_id AND e.message_id = m.message_id "                        \
  "AND e.revision = m.revision LIMIT 1) e ON true ORDER BY m.message_id"

// DISTINCT also keeps tenant and id together: the whole key comes from one place, so that no plan
// goes by the tenant alone. Ranges of rows, because only the index meant here gives their order.
constexpr Query kCurrentById{
    "current_states_by_id", PR_CURRENT_STATE
    " FROM (SELECT m.* FROM (SELECT DISTINCT $1::uuid AS tenant_id, id FROM unnest($4::uuid[]) "
    "AS id) w JOIN message m ON m.tenant_id = w.tenant_id AND m.message_id = w.id "
    "WHERE m.message_id > $2::uuid ORDER BY m.message_id LIMIT $3::integer) m" PR_LAST_EVENT};
constexpr Query kCurrentByConversation{
    "current_states_by_conversation", PR_CURRENT_STATE
    " FROM (SELECT m.* FROM (SELECT DISTINCT id FROM unnest($4::uuid[]) AS id) w, LATERAL ("
    "SELECT m.* FROM message m WHERE m.tenant_id = $1::uuid AND m.conversation_id <= w.id "
    "AND (m.conversation_id, m.message_id) > (w.id, $2::uuid) "
    "ORDER BY m.tenant_id, m.conversation_id, m.message_id LIMIT $3::integer) m "
    "ORDER BY m.message_id LIMIT $3::integer) m" PR_LAST_EVENT};
constexpr Query kCurrentByContact{
    "current_states_by_contact", PR_CURRENT_STATE
    " FROM (SELECT m.* FROM (SELECT DISTINCT $1::uuid AS tenant_id, 'x:' || id AS contact_key "
    "FROM unnest($4::text[]) AS id) w, LATERAL (SELECT m.* "
    "FROM conversation c, LATERAL (SELECT m.* FROM message m WHERE m.tenant_id = $1::uuid "
    "AND m.conversation_id <= c.conversation_id "
    "AND (m.conversation_id, m.message_id) > (c.conversation_id, $2::uuid) "
    "ORDER BY m.tenant_id, m.conversation_id, m.message_id LIMIT $3::integer) m "
    "WHERE c.tenant_id = w.tenant_id AND c.contact_key = w.contact_key) m "
    "ORDER BY m.message_id LIMIT $3::integer) m" PR_LAST_EVENT};
constexpr Query kCurrentByCampaign{
    "current_states_by_campaign", PR_CURRENT_STATE
    " FROM (SELECT m.* FROM message m WHERE m.tenant_id = $1::uuid AND m.campaign_id <> '' "
    "AND m.campaign_id <= $4::text AND (m.campaign_id, m.message_id) > ($4::text, $2::uuid) "
    "ORDER BY m.tenant_id, m.campaign_id, m.message_id LIMIT $3::integer) m" PR_LAST_EVENT};
constexpr Query kCurrentOfTenant{
    "current_states_of_tenant", PR_CURRENT_STATE
    " FROM (SELECT m.* FROM message m WHERE m.tenant_id = $1::uuid "
    "AND m.message_id > $2::uuid ORDER BY m.message_id LIMIT $3::integer) m" PR_LAST_EVENT};

Tick ReadTick(const PgRows& rows, int row) {
  return {.number = rows.Int(row, 0), .nonce = rows.UuidAt(row, 1), .at = rows.Time(row, 2)};
}

absl::Status NoTick() { return absl::InternalError("no tick: the schema is damaged"); }

/// The narrowest way to what `filter` wants.
const Query& WayTo(const EventFilter& filter, PgParams& params) {
  const auto add_ids = [&](const auto& ids) {
    AddColumn(params, ids, [](auto& to, const auto& id) { AppendUuid(to, id.uuid); });
  };
  if (!filter.message_ids.empty()) {
    add_ids(filter.message_ids);
    return kCurrentById;
  }
  if (!filter.conversation_ids.empty()) {
    add_ids(filter.conversation_ids);
    return kCurrentByConversation;
  }
  if (!filter.external_contact_ids.empty()) {
    AddColumn(params, filter.external_contact_ids,
              [](auto& to, const std::string& id) { AppendText(to, id); });
    return kCurrentByContact;
  }
  if (!filter.campaign_id.empty()) {
    params.Add(filter.campaign_id);
    return kCurrentByCampaign;
  }
  return kCurrentOfTenant;
}

}  // namespace

absl::StatusOr<Tick> PgStore::MakeTick() {
  Tick last;
  PR_RETURN_IF_ERROR(pool_.Transact("make_tick", [&](PgTransaction& transaction) {
    PgRows rows = transaction.Run(kMakeTick, {});
    if (rows.size() == 0) rows = transaction.Run(kLastTick, {});
    if (rows.size() == 0) return NoTick();
    last = ReadTick(rows, 0);
    return absl::OkStatus();
  }));
  seen_.NoteTick(last);
  return last;
}

absl::StatusOr<Tick> PgStore::FindTick(std::int64_t number, const Uuid& nonce) {
  Tick tick;
  PgParams params;
  params.Add(number).Add(nonce);
  PR_RETURN_IF_ERROR(pool_.Read("find_tick", [&](PgTransaction& transaction) {
    const PgRows rows = transaction.Run(kFindTick, params);
    if (rows.size() == 0) return absl::OutOfRangeError(StrCat("tick ", number, " is gone"));
    tick = ReadTick(rows, 0);
    return absl::OkStatus();
  }));
  return tick;
}

absl::StatusOr<Tick> PgStore::TickOfAge(std::chrono::seconds age) {
  Tick found;
  PgParams params;
  params.Add(std::int64_t{age.count()});
  PR_RETURN_IF_ERROR(pool_.Read("tick_of_age", [&](PgTransaction& transaction) {
    PgRows rows = transaction.Run(kTickOfAge, params);
    if (rows.size() == 0) rows = transaction.Run(kOldestTick, {});
    if (rows.size() == 0) return NoTick();
    found = ReadTick(rows, 0);
    return absl::OkStatus();
  }));
  return found;
}

absl::StatusOr<Tick> PgStore::OldestTick() {
  Tick oldest;
  PR_RETURN_IF_ERROR(pool_.Read("oldest_tick", [&](PgTransaction& transaction) {
    const PgRows rows = transaction.Run(kOldestTick, {});
    if (rows.size() == 0) return NoTick();
    oldest = ReadTick(rows, 0);
    return absl::OkStatus();
  }));
  return oldest;
}

absl::StatusOr<Tick> PgStore::NextTick(const Tick& from, std::chrono::milliseconds range) {
  Tick tick = from;
  PgParams params;
  params.Add(from.number).Add(std::int64_t{range.count()});
  PR_RETURN_IF_ERROR(pool_.Read("next_tick", [&](PgTransaction& transaction) {
    const PgRows rows = transaction.Run(kNextTick, params);
    tick = rows.size() == 1 ? ReadTick(rows, 0) : from;
    return absl::OkStatus();
  }));
  return tick;
}

absl::StatusOr<std::vector<StatusEvent>> PgStore::EventsBetween(const Tick& a, const Tick& b,
                                                                std::optional<TenantId> tenant) {
  std::vector<StatusEvent> events;
  std::vector<int> slots;
  for (int slot = 0; slot < kSlots; ++slot) {
    if (!tenant || SlotOf(*tenant) == slot) slots.push_back(slot);
  }
  PgParams params;
  AddColumn(params, slots, [](auto& to, int slot) { StrAppend(to, slot); });
  params.Add(a.number).Add(b.number);
  if (tenant) {
    params.Add(tenant->uuid);
  } else {
    params.AddNull();
  }
  const std::array ends = {a, b};
  PgParams ticks;
  AddColumn(ticks, ends, [](auto& to, const Tick& tick) { StrAppend(to, tick.number); });
  AddColumn(ticks, ends, [](auto& to, const Tick& tick) { AppendUuid(to, tick.nonce); });
  PR_RETURN_IF_ERROR(pool_.Read("events_between", [&](PgTransaction& transaction) {
    events.clear();
    const PgRows rows = transaction.Run(kEventsBetween, params);
    // A tick that is gone makes both halves empty: that must not look like "nothing happened".
    // One that is there afterwards was there.
    const PgRows gone = transaction.Run(kTicksGone, ticks);
    if (gone.size() > 0) {
      return absl::OutOfRangeError(StrCat("tick ", gone.Int(0, 0), " is gone"));
    }
    events.reserve(static_cast<std::size_t>(rows.size()));
    for (int row = 0; row < rows.size(); ++row) events.push_back(ReadEvent(rows, row));
    return absl::OkStatus();
  }));
  return events;
}

absl::StatusOr<std::vector<StatusEvent>> PgStore::CurrentStates(const EventFilter& filter,
                                                                MessageId after, int limit) {
  std::vector<StatusEvent> matching;
  MessageId position = after;
  // Rows that another part of the filter refuses do not count towards `limit`.
  while (static_cast<int>(matching.size()) < limit) {
    PgParams params;
    params.Add(filter.tenant_id.uuid).Add(position.uuid).Add(std::int64_t{limit});
    const Query& query = WayTo(filter, params);
    int seen = 0;
    PR_RETURN_IF_ERROR(pool_.Read("current_states", [&](PgTransaction& transaction) {
      const PgRows rows = transaction.Run(query, params);
      seen = rows.size();
      for (int row = 0; row < seen && static_cast<int>(matching.size()) < limit; ++row) {
        StatusEvent event = ReadEvent(rows, row);
        position = event.message_id;
        if (Matches(filter, event)) matching.push_back(std::move(event));
      }
      return absl::OkStatus();
    }));
    if (seen < limit) break;
  }
  return matching;
}

std::vector<Query> EventQueries() {
  return {
      kMakeTick,         kLastTick,          kFindTick,       kTicksGone,   kOldestTick,
      kTickOfAge,        kNextTick,          kEventsBetween,  kCurrentById, kCurrentByConversation,
      kCurrentByContact, kCurrentByCampaign, kCurrentOfTenant};
}

}  // namespace postrider
