#include "server/store/pg_breakers.h"

#include <utility>

#include "server/base/status_macros.h"
#include "server/base/strings.h"
#include "server/model/dispatch_limits.h"
#include "server/store/pg_message_rows.h"
#include "server/store/pg_queries.h"
#include "server/store/pg_store.h"

namespace postrider {

namespace {

// A row a session: sessions never wait for one another's counts.
constexpr Query kCount{
    "breaker_count",
    "INSERT INTO breaker_count AS c (tenant_id, breaker, bucket, writer, slot, calls, failures) "
    "SELECT r.tenant_id, r.breaker, floor(extract(epoch FROM clock_timestamp()) / $6::bigint), "
    "$7::smallint, r.slot, r.calls, r.failures "
    "FROM unnest($1::uuid[], $2::smallint[], $3::smallint[], $4::bigint[], $5::bigint[]) "
    "AS r(tenant_id, breaker, slot, calls, failures) ORDER BY 1, 2 "
    "ON CONFLICT (tenant_id, breaker, bucket, writer) DO UPDATE SET "
    "calls = c.calls + excluded.calls, failures = c.failures + excluded.failures"};

/// Of `b(tenant_id, breaker)`, with parameters $2 (seconds of a bucket) and $3 (buckets): what
/// ReadReadings reads, in its order. A closed breaker judges by what came since it was closed.
#define PR_BREAKER_READING \
  "SELECT b.tenant_id, b.breaker, coalesce(s.state, 1), coalesce(s.trips, 0), "                    \
  "coalesce(s.canaries, 0), " PR_US("s.changed_at") ", " PR_US("s.open_until")                     \
  ", coalesce(s.cause, ''), CASE WHEN s.override_until > now() THEN s.override END, "              \
  PR_US("s.override_until") ", s.override_actor, s.override_reason, coalesce(w.calls, 0), "        \
  "coalesce(w.failures, 0), " PR_US("now()")                                                       \
  " FROM b LEFT JOIN breaker_state s ON s.tenant_id = b.tenant_id AND s.breaker = b.breaker, "     \
  "LATERAL (SELECT sum(c.calls)::bigint AS calls, sum(c.failures)::bigint AS failures "            \
  "FROM breaker_count c WHERE c.tenant_id = b.tenant_id AND c.breaker = b.breaker "                \
  "AND c.bucket > greatest(floor(extract(epoch FROM now()) / $2::bigint)::bigint - $3::bigint, "   \
  "CASE WHEN s.state = 1 THEN floor(extract(epoch FROM s.changed_at) / $2::bigint)::bigint END)) " \
  "w ORDER BY 1, 2"

// A tenant without failures costs nothing here: failing ones stand in an index of their own.
constexpr Query kRead{
    "breakers_read",
    "WITH b AS MATERIALIZED (SELECT f.tenant_id, f.breaker FROM unnest($1::smallint[]) AS r(slot), "
    "LATERAL (SELECT c.tenant_id, c.breaker FROM breaker_count c WHERE c.slot = r.slot "
    "AND c.failures > 0 AND c.bucket > "
    "floor(extract(epoch FROM now()) / $2::bigint)::bigint - $3::bigint) f "
    "UNION SELECT s.tenant_id, s.breaker FROM breaker_state s "
    "WHERE s.slot = ANY($1::smallint[]) AND (s.state <> 1 OR s.override_until > "
    "now())) " PR_BREAKER_READING};

constexpr Query kReadOf{
    "breakers_of_tenants",
    "WITH b AS MATERIALIZED (SELECT DISTINCT t.tenant_id, n.breaker FROM unnest($1::uuid[]) "
    "AS t(tenant_id), (VALUES (1::smallint), (2::smallint)) AS n(breaker)) " PR_BREAKER_READING};

constexpr Query kOpen{
    "breakers_open",
    "SELECT s.tenant_id, s.breaker, "
    PR_US("CASE WHEN s.override_until > now() THEN s.override_until ELSE s.open_until END")
    " FROM breaker_state s WHERE (s.state = 2 OR s.override = 2) "
    "AND CASE WHEN s.override_until > now() THEN s.override = 2 "
    "ELSE s.state = 2 AND s.open_until > now() END"};

// FOR KEY SHARE: as in hold_leases. A stale owner's lease is not there, so it stores nothing.
constexpr Query kPut{
    "breakers_put",
    "WITH l AS MATERIALIZED (SELECT l.slot FROM unnest($2::smallint[], $3::bigint[]) AS "
    "r(slot, epoch) JOIN slot_lease l ON l.slot = r.slot AND l.epoch = r.epoch "
    "WHERE l.owner = $1::uuid FOR KEY SHARE OF l) "
    "INSERT INTO breaker_state AS s (tenant_id, breaker, slot, state, trips, canaries, changed_at, "
    "open_until, cause) SELECT r.tenant_id, r.breaker, r.slot, r.state, r.trips, r.canaries, "
    "timestamptz 'epoch' + r.changed_us * interval '1 microsecond', "
    "timestamptz 'epoch' + r.until_us * interval '1 microsecond', r.cause "
    "FROM unnest($4::uuid[], $5::smallint[], $6::smallint[], $7::smallint[], $8::integer[], "
    "$9::integer[], $10::bigint[], $11::bigint[], $12::text[]) AS r(tenant_id, breaker, slot, "
    "state, trips, canaries, changed_us, until_us, cause) WHERE r.slot IN (SELECT l.slot FROM l) "
    "ORDER BY 1, 2 ON CONFLICT (tenant_id, breaker) DO UPDATE SET state = excluded.state, "
    "trips = excluded.trips, canaries = excluded.canaries, changed_at = excluded.changed_at, "
    "open_until = excluded.open_until, cause = excluded.cause "
    "RETURNING s.tenant_id, s.breaker"};

// A breaker that never changed has no row yet: it is closed, always was.
constexpr Query kOverride{
    "breaker_override",
    "INSERT INTO breaker_state AS s (tenant_id, breaker, slot, state, trips, canaries, changed_at, "
    "override, override_until, override_actor, override_reason) "
    "VALUES ($1::uuid, $2::smallint, $3::smallint, 1, 0, 0, timestamptz 'epoch', $4::smallint, "
    "timestamptz 'epoch' + $5::bigint * interval '1 microsecond', $6::text, $7::text) "
    "ON CONFLICT (tenant_id, breaker) DO UPDATE SET override = excluded.override, "
    "override_until = excluded.override_until, override_actor = excluded.override_actor, "
    "override_reason = excluded.override_reason"};

constexpr Query kOverrideShown{
    "breaker_override_shown",
    "SELECT jsonb_build_object('held', audit.breaker_state_name(s.override), 'until', "
    "s.override_until, 'actor', s.override_actor, 'reason', s.override_reason)::text "
    "FROM breaker_state s WHERE s.tenant_id = $1::uuid AND s.breaker = $2::smallint "
    "AND s.override_until > clock_timestamp()"};

constexpr Query kCanaries{
    "canary_statuses",
    "SELECT m.tenant_id, m.message_id, m.state, m.failure "
    "FROM unnest($1::uuid[], $2::uuid[]) AS r(tenant_id, message_id) JOIN message m "
    "ON m.tenant_id = r.tenant_id AND m.message_id = r.message_id"};

BreakerReadings ReadReadings(const PgRows& rows) {
  BreakerReadings read;
  for (int row = 0; row < rows.size(); ++row) {
    BreakerReading& b = read.breakers.emplace_back();
    b.key = {{rows.UuidAt(row, 0)}, static_cast<Breaker>(rows.Int(row, 1))};
    b.standing.state = static_cast<BreakerState>(rows.Int(row, 2));
    b.standing.trips = static_cast<int>(rows.Int(row, 3));
    b.standing.canaries = static_cast<int>(rows.Int(row, 4));
    b.standing.changed_at = rows.Time(row, 5);
    b.standing.open_until = rows.Time(row, 6);
    b.standing.cause = rows.Text(row, 7);
    if (!rows.IsNull(row, 8)) {
      b.override_in_force = BreakerOverride{.state = static_cast<BreakerState>(rows.Int(row, 8)),
                                            .until = rows.Time(row, 9),
                                            .actor = std::string(rows.Text(row, 10)),
                                            .reason = std::string(rows.Text(row, 11))};
    }
    b.calls = rows.Int(row, 12);
    b.failures = rows.Int(row, 13);
    read.now = rows.Time(row, 14);
  }
  return read;
}

PgParams& AddWindow(PgParams& params) {
  return params.Add(std::int64_t{kBreakerBucket.count()}).Add(std::int64_t{kBreakerBuckets});
}

}  // namespace

void BreakerCounts::Count(TenantId tenant, Breaker breaker, BreakerVerdict verdict) {
  if (verdict == BreakerVerdict::kNothing) return;
  Sum& sum = sums_[{tenant, breaker}];
  ++sum.calls;
  if (verdict == BreakerVerdict::kFailed) ++sum.failures;
}

void BreakerCounts::Write(PgTransaction& transaction) const {
  if (sums_.empty()) return;
  const std::vector<std::pair<BreakerKey, Sum>> rows(sums_.begin(), sums_.end());
  PgParams params;
  using Row = const std::pair<BreakerKey, Sum>&;
  AddColumn(params, rows, [](auto& to, Row r) { AppendUuid(to, r.first.tenant_id.uuid); });
  AddColumn(params, rows,
            [](auto& to, Row r) { StrAppend(to, static_cast<int>(r.first.breaker)); });
  AddColumn(params, rows, [](auto& to, Row r) { StrAppend(to, SlotOf(r.first.tenant_id)); });
  AddColumn(params, rows, [](auto& to, Row r) { StrAppend(to, r.second.calls); });
  AddColumn(params, rows, [](auto& to, Row r) { StrAppend(to, r.second.failures); });
  params.Add(std::int64_t{kBreakerBucket.count()}).Add(std::int64_t{transaction.session()});
  transaction.Run(kCount, params);
}

BreakerReadings ReadBreakersOf(PgTransaction& transaction, std::span<const TenantId> tenants) {
  PgParams params;
  AddColumn(params, tenants, [](auto& to, TenantId tenant) { AppendUuid(to, tenant.uuid); });
  AddWindow(params);
  return ReadReadings(transaction.Run(kReadOf, params));
}

absl::StatusOr<BreakerReadings> PgStore::ReadBreakers(std::span<const int> slots) {
  BreakerReadings read;
  PgParams params;
  AddColumn(params, slots, [](auto& to, int slot) { StrAppend(to, slot); });
  AddWindow(params);
  PR_RETURN_IF_ERROR(pool_.Read("breakers_read", [&](PgTransaction& transaction) {
    read = ReadReadings(transaction.Run(kRead, params));
    return absl::OkStatus();
  }));
  return read;
}

absl::StatusOr<BreakerReadings> PgStore::BreakersOf(std::span<const TenantId> tenants) {
  BreakerReadings read;
  PR_RETURN_IF_ERROR(pool_.Read("breakers_of_tenants", [&](PgTransaction& transaction) {
    read = ReadBreakersOf(transaction, tenants);
    return absl::OkStatus();
  }));
  return read;
}

absl::StatusOr<std::vector<OpenBreaker>> PgStore::OpenBreakers() {
  std::vector<OpenBreaker> open;
  PR_RETURN_IF_ERROR(pool_.Read("breakers_open", [&](PgTransaction& transaction) {
    open.clear();
    const PgRows rows = transaction.Run(kOpen, {});
    for (int row = 0; row < rows.size(); ++row) {
      open.push_back(
          {{{rows.UuidAt(row, 0)}, static_cast<Breaker>(rows.Int(row, 1))}, rows.Time(row, 2)});
    }
    return absl::OkStatus();
  }));
  return open;
}

absl::StatusOr<std::vector<BreakerKey>> PgStore::StoreBreakers(
    ReplicaId replica, std::span<const Lease> leases, std::span<const BreakerChange> changes) {
  std::vector<BreakerKey> stored;
  using Change = const BreakerChange&;
  PgParams params;
  params.Add(replica.uuid);
  AddColumn(params, leases, [](auto& to, const Lease& l) { StrAppend(to, l.slot); });
  AddColumn(params, leases, [](auto& to, const Lease& l) { StrAppend(to, l.epoch); });
  const auto numbers = [&](auto value_of) {
    AddColumn(params, changes,
              [&](auto& to, Change c) { StrAppend(to, static_cast<int>(value_of(c))); });
  };
  AddColumn(params, changes, [](auto& to, Change c) { AppendUuid(to, c.key.tenant_id.uuid); });
  numbers([](Change c) { return c.key.breaker; });
  numbers([](Change c) { return SlotOf(c.key.tenant_id); });
  numbers([](Change c) { return c.standing.state; });
  numbers([](Change c) { return c.standing.trips; });
  numbers([](Change c) { return c.standing.canaries; });
  AddColumn(params, changes,
            [](auto& to, Change c) { StrAppend(to, MicrosecondsOf(c.standing.changed_at)); });
  AddColumn(params, changes, [](auto& to, Change c) { AppendTime(to, c.standing.open_until); });
  AddColumn(params, changes, [](auto& to, Change c) { AppendText(to, c.standing.cause); });
  PR_RETURN_IF_ERROR(pool_.Transact("breakers_put", [&](PgTransaction& transaction) {
    stored.clear();
    const PgRows rows = transaction.Run(kPut, params);
    for (int row = 0; row < rows.size(); ++row) {
      stored.push_back({{rows.UuidAt(row, 0)}, static_cast<Breaker>(rows.Int(row, 1))});
    }
    return absl::OkStatus();
  }));
  return stored;
}

absl::Status PgStore::OverrideBreaker(const BreakerKey& key, std::optional<BreakerState> state,
                                      WallTime until, const OperatorAction& action) {
  PgParams put;
  put.Add(key.tenant_id.uuid)
      .Add(static_cast<std::int64_t>(key.breaker))
      .Add(std::int64_t{SlotOf(key.tenant_id)});
  if (state) {
    put.Add(static_cast<std::int64_t>(*state)).Add(MicrosecondsOf(until));
    put.Add(action.actor).Add(action.reason);
  } else {
    put.AddNull().AddNull().Add("").Add("");
  }
  const std::string target = StrCat(NameOf(key.breaker), " ", state ? NameOf(*state) : "NONE");
  PgParams of;
  of.Add(key.tenant_id.uuid).Add(static_cast<std::int64_t>(key.breaker));
  return pool_.Transact("breaker_override", [&](PgTransaction& transaction) {
    const auto shown = [&] {
      const PgRows rows = transaction.Run(kOverrideShown, of);
      return rows.size() == 0 ? std::string() : std::string(rows.Text(0, 0));
    };
    const std::string before = shown();
    transaction.Run(kOverride, put);
    RecordAction(transaction, key.tenant_id, action, "OVERRIDE_BREAKER", target, {before, shown()});
    return absl::OkStatus();
  });
}

absl::StatusOr<std::vector<CanaryStatus>> PgStore::CanaryStatuses(
    std::span<const MessageKey> keys) {
  std::vector<CanaryStatus> found;
  PgParams params;
  AddKeys(params, keys);
  PR_RETURN_IF_ERROR(pool_.Read("canary_statuses", [&](PgTransaction& transaction) {
    found.clear();
    const PgRows rows = transaction.Run(kCanaries, params);
    for (int row = 0; row < rows.size(); ++row) {
      found.push_back({{{rows.UuidAt(row, 0)}, {rows.UuidAt(row, 1)}},
                       static_cast<MessageState>(rows.Int(row, 2)),
                       static_cast<FailureReason>(rows.Int(row, 3))});
    }
    return absl::OkStatus();
  }));
  return found;
}

std::vector<Query> BreakerQueries() {
  return {kCount, kRead, kReadOf, kOpen, kPut, kOverride, kOverrideShown, kCanaries};
}

}  // namespace postrider
