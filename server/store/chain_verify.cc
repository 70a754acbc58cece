#include <algorithm>
#include <limits>
#include <map>
#include <utility>

#include "server/base/status_macros.h"
#include "server/base/strings.h"
#include "server/store/audit_chain.h"
#include "server/store/pg_message_rows.h"
#include "server/store/pg_queries.h"

namespace postrider {

namespace {

constexpr Query kChainTenant{"chain_tenant",
                             "SELECT t.tenant_id FROM tenant t WHERE t.name = $1::text"};

constexpr Query kChainHeads{"chain_heads",
                            "SELECT h.tenant_id, t.name, encode(h.hash, 'hex') FROM chain_head h "
                            "LEFT JOIN tenant t ON t.tenant_id = h.tenant_id ORDER BY h.tenant_id"};

// The last of the next seals that there are, and how many those are: by what was sealed, not by
// what chain_position says, and not by their numbers, which may be any.
constexpr Query kNextSeals{
    "chain_next_seals",
    "SELECT max(s.seal_no), count(*) FROM (SELECT c.seal_no FROM chain_seal c "
    "WHERE c.seal_no >= $1::bigint ORDER BY c.seal_no LIMIT $2::bigint) s"};

#define PR_SEAL_FAULTS(where) \
  "SELECT f.verdict, f.seal_no, " PR_US("f.at") ", f.why FROM chain_fault f WHERE " where

constexpr Query kPositionFault{"chain_position_fault",
                               PR_SEAL_FAULTS("f.verdict = 'POSITION_WRONG'")};
constexpr Query kSealFaults{"chain_seal_faults",
                            PR_SEAL_FAULTS("f.verdict = 'SEALS_APART' AND f.seal_no >= $1::bigint "
                                           "AND f.seal_no <= $2::bigint ORDER BY f.seal_no")};

constexpr Query kChainBegins{"chain_begins",
                             "SELECT b.chain_no, " PR_US(
                                 "b.begun_at") ", b.actor, b.reason FROM chain_begin b "
                                               "WHERE b.chain_no <> 1 ORDER BY b.chain_no"};

// One row for the links that hold, one for each that does not.
#define PR_CHECK_SEALS(where) \
  "SELECT c.tenant_id, c.verdict, CASE WHEN c.broken THEN audit.chain_table_name(c.kind) END, "   \
  "CASE WHEN c.broken THEN c.link_no END, count(*), sum(c.rows)::bigint, sum(c.found)::bigint, "  \
  PR_US("min(c.since)") ", " PR_US("max(c.until)") ", "                                           \
  "sum(cardinality(c.strangers))::bigint, min(c.strangers[1]::text), min(c.seal_no) FROM ("        \
  "SELECT k.*, v.verdict, v.verdict NOT IN ('HOLDS', 'PAST_RETENTION') AS broken "                \
  "FROM chain_check k CROSS JOIN LATERAL (SELECT audit.chain_verdict(k.kind, k.linked, k.same, "  \
  "k.since, k.rows, k.found, cardinality(k.strangers)::bigint, "                                  \
  "timestamptz 'epoch' + $3::bigint * interval '1 microsecond') AS verdict) v "                   \
  "WHERE k.seal_no >= $1::bigint AND k.seal_no <= $2::bigint" where ") c "                        \
  "GROUP BY c.tenant_id, c.verdict, 3, 4, CASE WHEN c.broken THEN c.seal_no END, "                \
  "CASE WHEN c.broken THEN c.kind END ORDER BY 1, 12, 4"

constexpr Query kCheckAllSeals{"chain_check_all", PR_CHECK_SEALS("")};
constexpr Query kCheckSealsOf{"chain_check_tenant", PR_CHECK_SEALS(" AND k.tenant_id = $4::uuid")};

constexpr Query kOutside{"chain_outside_all",
                         "SELECT o.tenant_id, t.name, sum(o.before_chain)::bigint, "
                         "sum(o.not_sealed)::bigint FROM chain_outside o LEFT JOIN tenant t "
                         "ON t.tenant_id = o.tenant_id GROUP BY 1, 2"};
constexpr Query kOutsideOf{"chain_outside_tenant",
                           "SELECT o.tenant_id, '', sum(o.before_chain)::bigint, "
                           "sum(o.not_sealed)::bigint FROM chain_outside o "
                           "WHERE o.tenant_id = $1::uuid GROUP BY 1"};

constexpr Query kLinkOfHash{"chain_link_of_hash",
                            "SELECT l.link_no FROM chain_link l WHERE l.tenant_id = $1::uuid "
                            "AND l.link_no > 0 AND l.hash = decode($2::text, 'hex') "
                            "ORDER BY l.tenant_id, l.link_no LIMIT 1"};

using Chains = std::map<Uuid, ChainState>;

constexpr std::int64_t kLeastSeal = std::numeric_limits<std::int64_t>::min();
constexpr std::int64_t kMostSeal = std::numeric_limits<std::int64_t>::max();

std::string ChainNameOf(const Uuid& tenant, const PgRows& rows, int row, int column) {
  if (!rows.IsNull(row, column)) return std::string(rows.Text(row, column));
  return tenant == Uuid{} ? "" : tenant.ToString();
}

void Widen(ChainState& chain, WallTime since, WallTime until) {
  if (chain.since == WallTime{} || since < chain.since) chain.since = since;
  chain.until = std::max(chain.until, until);
}

void AddSeals(const PgRows& rows, Chains& chains, std::vector<ChainFault>& faults) {
  for (int row = 0; row < rows.size(); ++row) {
    const Uuid tenant = rows.UuidAt(row, 0);
    const auto [found, is_new] = chains.try_emplace(tenant);
    ChainState& chain = found->second;
    // Made since the heads were read, or without one.
    if (is_new && tenant != Uuid{}) chain.tenant = tenant.ToString();
    const std::string_view verdict = rows.Text(row, 1);
    const bool in_links = verdict != "ROWS_IN_NO_LINK";
    if (in_links) chain.links += rows.Int(row, 4);
    Widen(chain, rows.Time(row, 7), rows.Time(row, 8));
    if (verdict == "HOLDS") {
      chain.rows += rows.Int(row, 5);
    } else if (verdict == "PAST_RETENTION") {
      chain.past_retention += rows.Int(row, 4);
    } else {
      ++chain.faults;
      if (faults.size() == kMostChainFaults) continue;
      faults.push_back({.tenant = chain.tenant,
                        .verdict = std::string(verdict),
                        .table = std::string(rows.Text(row, 2)),
                        .link_no = rows.Int(row, 3),
                        .rows = rows.Int(row, 5),
                        .found = rows.Int(row, 6),
                        .strangers = rows.Int(row, 9),
                        .stranger = std::string(rows.Text(row, 10)),
                        .since = rows.Time(row, 7),
                        .until = rows.Time(row, 8)});
    }
  }
}

/// The chain that is asked for; nothing: all.
using Asked = std::optional<Uuid>;

absl::StatusOr<Asked> FindChain(PgTransaction& transaction, const std::string& name) {
  if (name.empty()) return Asked();
  const PgRows rows = transaction.Run(kChainTenant, PgParams().Add(std::string_view(name)));
  if (rows.size() == 1) return Asked(rows.UuidAt(0, 0));
  return absl::NotFoundError(
      StrCat("there is no tenant ", name, "; `postriderd tenant list` shows which there are"));
}

void ReadHeads(PgTransaction& transaction, const Asked& asked, Chains& chains) {
  const PgRows heads = transaction.Run(kChainHeads, {});
  for (int row = 0; row < heads.size(); ++row) {
    const Uuid tenant = heads.UuidAt(row, 0);
    if (asked && tenant != *asked) continue;
    ChainState& chain = chains[tenant];
    chain.tenant = ChainNameOf(tenant, heads, row, 1);
    chain.head = heads.Text(row, 2);
  }
}

void AddSealFaults(const PgRows& rows, ChainReport& report) {
  report.seal_faults += rows.size();
  for (int row = 0; row < rows.size(); ++row) {
    if (report.faults.size() == kMostChainFaults) return;
    report.faults.push_back({.verdict = std::string(rows.Text(row, 0)),
                             .seal_no = rows.Int(row, 1),
                             .since = rows.Time(row, 2),
                             .until = rows.Time(row, 2),
                             .why = std::string(rows.Text(row, 3))});
  }
}

void ReadBegins(PgTransaction& transaction, ChainReport& report) {
  const PgRows begins = transaction.Run(kChainBegins, {});
  for (int row = 0; row < begins.size(); ++row) {
    report.begins.push_back({.chain_no = static_cast<int>(begins.Int(row, 0)),
                             .at = begins.Time(row, 1),
                             .actor = std::string(begins.Text(row, 2)),
                             .reason = std::string(begins.Text(row, 3))});
  }
}

void CountOutside(PgTransaction& transaction, const Asked& asked, Chains& chains) {
  const PgRows rows =
      asked ? transaction.Run(kOutsideOf, PgParams().Add(*asked)) : transaction.Run(kOutside, {});
  for (int row = 0; row < rows.size(); ++row) {
    const Uuid tenant = rows.UuidAt(row, 0);
    const auto [found, is_new] = chains.try_emplace(tenant);
    if (is_new) found->second.tenant = ChainNameOf(tenant, rows, row, 1);
    found->second.before_chain = rows.Int(row, 2);
    found->second.not_sealed = rows.Int(row, 3);
  }
}

/// Looks through the seals that there are, some at a time. The first and the last statement take in
/// whatever stands outside: no number leaves a seal unchecked.
absl::Status CheckSeals(PgPool& pool, const Asked& asked, WallTime kept_since, Chains& chains,
                        ChainReport& report) {
  std::int64_t first = kLeastSeal;
  for (bool last = false; !last;) {
    PR_RETURN_IF_ERROR(pool.Read("chain_check", [&](PgTransaction& transaction) {
      PgParams next;
      next.Add(first).Add(kSealsCheckedAtOnce);
      const PgRows seals = transaction.Run(kNextSeals, next);
      last = seals.Int(0, 1) < kSealsCheckedAtOnce || seals.Int(0, 0) == kMostSeal;
      const std::int64_t end = last ? kMostSeal : seals.Int(0, 0);
      PgParams params;
      params.Add(first).Add(end);
      AddSealFaults(transaction.Run(kSealFaults, params), report);
      params.Add(MicrosecondsOf(kept_since));
      if (asked) params.Add(*asked);
      const PgRows rows = transaction.Run(asked ? kCheckSealsOf : kCheckAllSeals, params);
      AddSeals(rows, chains, report.faults);
      first = last ? end : end + 1;
      return absl::OkStatus();
    }));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<ChainReport> VerifyChains(PgPool& pool, const ChainQuestion& question) {
  ChainReport report;
  Chains chains;
  Asked asked;
  PR_RETURN_IF_ERROR(pool.Read("chain_begin", [&](PgTransaction& transaction) -> absl::Status {
    PR_ASSIGN_OR_RETURN(asked, FindChain(transaction, question.tenant));
    if (asked) chains[*asked].tenant = question.tenant;
    ReadHeads(transaction, asked, chains);
    ReadBegins(transaction, report);
    AddSealFaults(transaction.Run(kPositionFault, {}), report);
    return absl::OkStatus();
  }));
  PR_RETURN_IF_ERROR(CheckSeals(pool, asked, question.kept_since, chains, report));
  PR_RETURN_IF_ERROR(pool.Read("chain_rest", [&](PgTransaction& transaction) {
    CountOutside(transaction, asked, chains);
    if (!asked || question.expect_head.empty()) return absl::OkStatus();
    PgParams params;
    params.Add(*asked).Add(std::string_view(question.expect_head));
    const PgRows link = transaction.Run(kLinkOfHash, params);
    if (link.size() > 0) report.expected_link = link.Int(0, 0);
    return absl::OkStatus();
  }));
  for (auto& [tenant, chain] : chains) report.chains.push_back(std::move(chain));
  std::sort(report.chains.begin(), report.chains.end(),
            [](const ChainState& a, const ChainState& b) { return a.tenant < b.tenant; });
  return report;
}

std::vector<Query> ChainVerifyQueries() {
  return {kChainTenant,   kChainHeads,   kNextSeals, kPositionFault, kSealFaults, kChainBegins,
          kCheckAllSeals, kCheckSealsOf, kOutside,   kOutsideOf,     kLinkOfHash};
}

}  // namespace postrider
