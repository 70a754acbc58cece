#include "absl/time/civil_time.h"
#include "absl/time/time.h"

#include "server/base/log.h"
#include "server/base/status_macros.h"
#include "server/base/strings.h"
#include "server/model/limits.h"
#include "server/store/pg_queries.h"
#include "server/store/pg_store.h"

namespace postrider {

namespace {

constexpr std::int64_t kXidsAPartition = 4'000'000;
constexpr int kXidPartitionsAhead = 2;
constexpr std::int64_t kForgottenAtOnce = 5000;

/// A partition that should exist: its name, and its bounds as SQL literals.
struct Partition {
  std::string parent;
  std::string name;
  std::string from;
  std::string to;
  int fillfactor = 100;
};

/// A message changes some five times in its life: with room in its page the new version needs no
/// new index entries. Half a page is room for all of its rows at once, as an opt-out ends them: all
/// 100,000, where it was 69 of 100 at 60; and of 10,000 lives' updates 73 of 100 instead of 66.
constexpr int kMessageFillfactor = 50;

std::string LeastIdOn(absl::CivilDay day) {
  return StrCat(
      "'", LeastUuidV7(absl::ToChronoTime(absl::FromCivil(day, absl::UTCTimeZone()))).ToString(),
      "'");
}

/// This and the next `ahead` partitions of `days` days each; weeks begin on Monday.
void AddByDay(std::vector<Partition>& wanted, const std::string& parent, absl::CivilDay today,
              int days, int ahead, int fillfactor = 100) {
  absl::CivilDay from = days == 7 ? absl::PrevWeekday(today + 1, absl::Weekday::monday) : today;
  for (int i = 0; i <= ahead; ++i, from += days) {
    wanted.push_back({parent, StrCat(parent, absl::FormatCivilTime(from)), LeastIdOn(from),
                      LeastIdOn(from + days), fillfactor});
    std::erase(wanted.back().name, '-');
  }
}

void AddByXid(std::vector<Partition>& wanted, std::int64_t xid) {
  const std::int64_t current = xid / kXidsAPartition;
  for (std::int64_t n = current; n <= current + kXidPartitionsAhead; ++n) {
    wanted.push_back({"status_event", StrCat("status_event", n),
                      StrCat("'", n * kXidsAPartition, "'"),
                      StrCat("'", (n + 1) * kXidsAPartition, "'")});
  }
}

constexpr Query kForgetRequestKeys{
    "forget_request_keys",
    "DELETE FROM request_key WHERE ctid = ANY(ARRAY(SELECT k.ctid FROM request_key k "
    "WHERE k.created_at < now() - interval '30 days' ORDER BY k.created_at LIMIT $1::bigint))"};

// Only the lowest numbers are looked at: ages grow with numbers, and there is no index by age. The
// newest tick stays, however old: numbers go on from it.
constexpr Query kForgetTicks{
    "forget_ticks",
    "DELETE FROM tick WHERE tick_no = ANY(ARRAY(SELECT l.tick_no FROM (SELECT t.tick_no, t.at "
    "FROM tick t ORDER BY t.tick_no LIMIT $1::bigint) l WHERE l.at < now() - interval '72 hours' "
    "AND l.tick_no < (SELECT max(n.tick_no) FROM tick n)))"};

constexpr Query kForgetReplicas{"forget_replicas",
                                "DELETE FROM replica WHERE replica_id = ANY(ARRAY(SELECT "
                                "r.replica_id FROM replica r WHERE r.expires_at < now() - interval "
                                "'30 days' LIMIT $1::bigint))"};

constexpr Query kForgetQuotas{
    "forget_quotas",
    "DELETE FROM quota_used WHERE ctid = ANY(ARRAY(SELECT u.ctid FROM quota_used u "
    "WHERE u.day < (now() AT TIME ZONE 'UTC')::date - 35 ORDER BY u.day LIMIT $1::bigint))"};

constexpr Query kForgetVerdicts{
    "forget_verdicts",
    "DELETE FROM content_approval WHERE ctid = ANY(ARRAY(SELECT v.ctid FROM content_approval v "
    "WHERE v.expires_at < now() ORDER BY v.expires_at LIMIT $1::bigint)) AND expires_at < now()"};

// Twice the window: nobody reads older ones. Tenant by tenant, by the key: an index by age would be
// one more to write at each count.
constexpr Query kForgetBreakerCounts{
    "forget_breaker_counts",
    "DELETE FROM breaker_count WHERE ctid = ANY(ARRAY(SELECT o.ctid FROM tenant t, "
    "(VALUES (1::smallint), (2::smallint)) AS b(breaker), LATERAL (SELECT c.ctid "
    "FROM breaker_count c WHERE c.tenant_id = t.tenant_id AND c.breaker = b.breaker AND c.bucket < "
    "floor(extract(epoch FROM now() - interval '10 minutes') / 10)::bigint LIMIT $1::bigint) o "
    "LIMIT $1::bigint))"};

}  // namespace

absl::Status PgStore::Maintain() {
  std::vector<Partition> missing;
  PR_RETURN_IF_ERROR(pool_.Transact("find_missing_partitions", [&](PgTransaction& transaction) {
    const PgRows now =
        transaction.RunOnce("SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint");
    const absl::CivilDay today =
        absl::ToCivilDay(absl::FromChrono(clock_.Wall()), absl::UTCTimeZone());
    std::vector<Partition> wanted;
    AddByDay(wanted, "message", today, 7, 1, kMessageFillfactor);
    AddByDay(wanted, "attempt", today, 7, 1);
    AddByDay(wanted, "webhook_inbox", today, 1, 2);
    AddByDay(wanted, "receipt_applied", today, 1, 2);
    AddByXid(wanted, now.Int(0, 0));
    for (Partition& partition : wanted) {
      const PgRows found =
          transaction.RunOnce(StrCat("SELECT to_regclass('", partition.name, "') IS NULL"));
      if (found.Bool(0, 0)) missing.push_back(std::move(partition));
    }
    return absl::OkStatus();
  }));

  for (const Partition& partition : missing) {
    // Its own transaction and a short lock_timeout: the parent's lock must not queue up traffic.
    // When it fails, rows go to the default partition; nothing is lost.
    const absl::Status made = pool_.Transact("make_partition", [&](PgTransaction& transaction) {
      transaction.RunOnce("SET LOCAL lock_timeout = '500ms'");
      transaction.RunOnce(StrCat("CREATE TABLE IF NOT EXISTS ", partition.name, " PARTITION OF ",
                                 partition.parent, " FOR VALUES FROM (", partition.from, ") TO (",
                                 partition.to, ") WITH (fillfactor = ", partition.fillfactor, ")"));
      return absl::OkStatus();
    });
    if (!made.ok()) {
      PR_LOG(kWarning, "a partition could not be made; rows go to the default partition",
             {"partition", partition.name}, {"error", ToStd(made.message())});
    }
  }
  return ForgetSome().status();
}

absl::StatusOr<bool> PgStore::ForgetSome() {
  bool more = false;
  for (const Query& query : MaintenanceQueries()) {
    PR_RETURN_IF_ERROR(pool_.Transact(query.name, [&](PgTransaction& transaction) {
      const int deleted = transaction.Run(query, PgParams().Add(kForgottenAtOnce)).affected();
      // Less than half: those that came of age meanwhile. They wait for the next time.
      more = more || deleted >= kForgottenAtOnce / 2;
      return absl::OkStatus();
    }));
  }
  return more;
}

std::vector<Query> MaintenanceQueries() {
  return {kForgetRequestKeys, kForgetTicks,         kForgetReplicas,
          kForgetQuotas,      kForgetBreakerCounts, kForgetVerdicts};
}

}  // namespace postrider
