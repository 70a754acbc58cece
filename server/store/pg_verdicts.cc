#include "server/store/pg_verdicts.h"

#include "server/base/status_macros.h"
#include "server/base/strings.h"
#include "server/policy/compliance_rules.h"
#include "server/store/pg_message_rows.h"
#include "server/store/pg_queries.h"

namespace postrider {

namespace {

// One by one: of a list the planner may look through all of a campaign's.
constexpr Query kFindVerdicts{
    "verdicts_find",
    "SELECT v.fingerprint, v.approved, "
    "ARRAY(SELECT e.key FROM jsonb_each_text(v.violations) e ORDER BY e.key), "
    "ARRAY(SELECT e.value FROM jsonb_each_text(v.violations) e ORDER BY e.key), "
    "(extract(epoch FROM v.expires_at - now()) * 1000000)::bigint "
    "FROM unnest($4::bytea[]) AS f(fingerprint), LATERAL (SELECT x.* FROM content_approval x "
    "WHERE x.tenant_id = $1::uuid AND x.campaign_id = $2::text AND x.campaign_version = $3::bytea "
    "AND x.fingerprint = f.fingerprint AND x.expires_at > now() OFFSET 0) v"};

constexpr Query kKeepVerdict{
    "verdicts_keep",
    "INSERT INTO content_approval AS v (tenant_id, campaign_id, campaign_version, fingerprint, "
    "approved, violations, expires_at) VALUES ($1::uuid, $2::text, $3::bytea, $4::bytea, "
    "$5::boolean, $6::jsonb, now() + $7::bigint * interval '1 second') "
    "ON CONFLICT (tenant_id, campaign_id, campaign_version, fingerprint) DO UPDATE SET "
    "approved = excluded.approved, violations = excluded.violations, "
    "checked_at = excluded.checked_at, expires_at = excluded.expires_at"};

// A transaction that waited for the row may bring an older minute than is there: it counts in that
// one. A minute further ahead is of a clock that was set back, and counts no more.
constexpr Query kTakeAsk{
    "verdicts_take_ask",
    "INSERT INTO compliance_asked AS a (tenant_id, minute, asked) "
    "VALUES ($1::uuid, floor(extract(epoch FROM now()) / 60)::bigint, 1) "
    "ON CONFLICT (tenant_id) DO UPDATE SET "
    "minute = CASE WHEN a.minute = excluded.minute + 1 THEN a.minute ELSE excluded.minute END, "
    "asked = CASE WHEN a.minute - excluded.minute BETWEEN 0 AND 1 THEN a.asked + 1 ELSE 1 END "
    "WHERE a.minute - excluded.minute NOT BETWEEN 0 AND 1 OR a.asked < $2::bigint"};

constexpr Query kAccountWaits{
    "verdicts_account_waits",
    "SELECT (extract(epoch FROM p.until - clock_timestamp()) * 1000000)::bigint "
    "FROM tenant_pause p WHERE p.tenant_id = $1::uuid AND p.until > clock_timestamp()"};

constexpr Query kNextMinute{
    "verdicts_next_minute",
    "SELECT ((60 - extract(epoch FROM clock_timestamp())::numeric % 60) * 1000000)::bigint"};

#define PR_CHECK_COLUMNS "c.tenant_id, c.url, c.expire_after_s, c.per_minute, c.when_unavailable"

constexpr Query kComplianceChecks{"compliance_checks",
                                  "SELECT " PR_CHECK_COLUMNS
                                  " FROM compliance_check c ORDER BY c.tenant_id"};
constexpr Query kComplianceCheckOf{"compliance_check_of",
                                   "SELECT " PR_CHECK_COLUMNS
                                   " FROM compliance_check c WHERE c.tenant_id = $1::uuid"};
constexpr Query kDropComplianceCheck{"compliance_check_drop",
                                     "DELETE FROM compliance_check c WHERE c.tenant_id = $1::uuid"};
constexpr Query kPutComplianceCheck{
    "compliance_check_put",
    "INSERT INTO compliance_check AS c (tenant_id, url, expire_after_s, per_minute, "
    "when_unavailable) VALUES ($1::uuid, $2::text, $3::integer, $4::integer, $5::smallint) "
    "ON CONFLICT (tenant_id) DO UPDATE SET url = excluded.url, "
    "expire_after_s = excluded.expire_after_s, per_minute = excluded.per_minute, "
    "when_unavailable = excluded.when_unavailable, changed_at = excluded.changed_at "
    "WHERE (c.url, c.expire_after_s, c.per_minute, c.when_unavailable) IS DISTINCT FROM "
    "(excluded.url, excluded.expire_after_s, excluded.per_minute, excluded.when_unavailable)"};
constexpr Query kAccountOf{
    "compliance_account",
    "SELECT t.base_url, t.rate_per_s::text, t.burst, t.requests_per_minute FROM tenant t "
    "WHERE t.tenant_id = $1::uuid"};

ComplianceCheck ReadCheck(const PgRows& rows, int row) {
  return {.url = std::string(rows.Text(row, 1)),
          .verdicts_expire_after = std::chrono::seconds(rows.Int(row, 2)),
          .checks_per_minute = rows.Int(row, 3),
          .when_unavailable = static_cast<WhenUnavailable>(rows.Int(row, 4))};
}

PgParams KeyParams(const VerdictKey& key) {
  PgParams params;
  params.Add(key.tenant_id.uuid).Add(key.campaign_id).AddBytes(key.campaign_version);
  return params;
}

}  // namespace

absl::StatusOr<std::vector<StoredVerdict>> PgVerdictStore::FindVerdicts(
    const VerdictKey& key, const std::vector<std::string>& fingerprints) {
  PgParams params = KeyParams(key);
  AddColumn(params, fingerprints, [](auto& to, const auto& one) { AppendBytes(to, one); });
  std::vector<StoredVerdict> found;
  PR_RETURN_IF_ERROR(pool_.Read("find_verdicts", [&](PgTransaction& transaction) {
    found.clear();
    const PgRows rows = transaction.Run(kFindVerdicts, params);
    for (int row = 0; row < rows.size(); ++row) {
      StoredVerdict& one = found.emplace_back();
      one.fingerprint = rows.Bytes(row, 0);
      one.verdict.approved = rows.Bool(row, 1);
      const std::vector<std::string> rules = rows.Texts(row, 2);
      const std::vector<std::string> whys = rows.Texts(row, 3);
      for (std::size_t i = 0; i < rules.size(); ++i) one.verdict.violations[rules[i]] = whys[i];
      one.left = std::chrono::microseconds(rows.Int(row, 4));
    }
    return absl::OkStatus();
  }));
  return found;
}

absl::StatusOr<AskTurn> PgVerdictStore::TakeAsk(TenantId tenant, std::int64_t most,
                                                bool of_account) {
  AskTurn turn;
  PgParams params;
  params.Add(tenant.uuid).Add(most);
  PR_RETURN_IF_ERROR(pool_.Transact("take_ask", [&](PgTransaction& transaction) {
    turn = {};
    if (of_account) {
      const PgRows waits = transaction.Run(kAccountWaits, PgParams().Add(tenant.uuid));
      if (waits.size() > 0) {
        turn.next_in = std::chrono::microseconds(waits.Int(0, 0) + 1);
        return absl::OkStatus();
      }
    }
    turn.granted = transaction.Run(kTakeAsk, params).affected() > 0;
    if (turn.granted) return absl::OkStatus();
    turn.next_in = std::chrono::microseconds(transaction.Run(kNextMinute, {}).Int(0, 0));
    return absl::OkStatus();
  }));
  return turn;
}

absl::Status PgVerdictStore::KeepAccountWaits(TenantId tenant, std::chrono::nanoseconds wait) {
  return pool_.Transact("keep_account_waits", [&](PgTransaction& transaction) {
    const std::pair<TenantId, WallTime> until = {
        tenant, StoreNow(transaction) + std::chrono::duration_cast<WallTime::duration>(wait)};
    PauseTenants(transaction, {&until, 1});
    return absl::OkStatus();
  });
}

absl::Status PgVerdictStore::KeepVerdict(const VerdictKey& key, const std::string& fingerprint,
                                         const ComplianceVerdict& verdict,
                                         std::chrono::seconds life) {
  PgParams params = KeyParams(key);
  params.AddBytes(fingerprint).Add(verdict.approved ? "true" : "false");
  params.Add(JsonOf(verdict.violations)).Add(std::int64_t{life.count()});
  return pool_.Transact("keep_verdict", [&](PgTransaction& transaction) {
    transaction.Run(kKeepVerdict, params);
    return absl::OkStatus();
  });
}

std::map<TenantId, ComplianceCheck> ReadComplianceChecks(PgTransaction& transaction) {
  std::map<TenantId, ComplianceCheck> checks;
  const PgRows rows = transaction.Run(kComplianceChecks, {});
  for (int row = 0; row < rows.size(); ++row) {
    checks[{rows.UuidAt(row, 0)}] = ReadCheck(rows, row);
  }
  return checks;
}

ComplianceCheck ReadComplianceCheck(PgTransaction& transaction, TenantId tenant) {
  const PgRows rows = transaction.Run(kComplianceCheckOf, PgParams().Add(tenant.uuid));
  return rows.size() == 0 ? ComplianceCheck() : ReadCheck(rows, 0);
}

void PutComplianceCheck(PgTransaction& transaction, TenantId tenant, const ComplianceCheck& check) {
  PgParams params;
  params.Add(tenant.uuid);
  if (check.url.empty()) {
    transaction.Run(kDropComplianceCheck, params);
    return;
  }
  params.Add(check.url).Add(std::int64_t{check.verdicts_expire_after.count()});
  params.Add(check.checks_per_minute).Add(static_cast<std::int64_t>(check.when_unavailable));
  transaction.Run(kPutComplianceCheck, params);
}

std::vector<SetupViolation> ComplianceViolations(PgTransaction& transaction, TenantId tenant,
                                                 const ComplianceCheck& check) {
  if (check.url.empty()) return {};
  const PgRows rows = transaction.Run(kAccountOf, PgParams().Add(tenant.uuid));
  if (rows.size() == 0) return {};
  AccountRate account{.base_url = std::string(rows.Text(0, 0)),
                      .rate_per_s = std::stod(std::string(rows.Text(0, 1))),
                      .burst = static_cast<int>(rows.Int(0, 2))};
  if (!rows.IsNull(0, 3)) account.requests_per_minute = rows.Int(0, 3);
  return CheckComplianceFits(check, account);
}

std::vector<Query> VerdictQueries() {
  return {kFindVerdicts,       kKeepVerdict,      kTakeAsk,           kAccountWaits,
          kNextMinute,         kComplianceChecks, kComplianceCheckOf, kDropComplianceCheck,
          kPutComplianceCheck, kAccountOf};
}

}  // namespace postrider
