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

// By what was sealed: chain_position says only where sealing goes on, and may have been set back.
constexpr Query kChainEnd{"chain_end",
                          "SELECT coalesce(greatest((SELECT c.seal_no FROM chain_seal c "
                          "WHERE c.seal_no > 0 ORDER BY c.seal_no DESC LIMIT 1), "
                          "(SELECT l.seal_no FROM chain_link l WHERE l.seal_no > 0 "
                          "ORDER BY l.seal_no DESC LIMIT 1)), 0)"};

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

}  // namespace

absl::StatusOr<ChainReport> VerifyChains(PgPool& pool, const ChainQuestion& question) {
  ChainReport report;
  Chains chains;
  Asked asked;
  std::int64_t end = 0;
  PR_RETURN_IF_ERROR(pool.Read("chain_begin", [&](PgTransaction& transaction) -> absl::Status {
    PR_ASSIGN_OR_RETURN(asked, FindChain(transaction, question.tenant));
    if (asked) chains[*asked].tenant = question.tenant;
    ReadHeads(transaction, asked, chains);
    end = transaction.Run(kChainEnd, {}).Int(0, 0);
    return absl::OkStatus();
  }));
  for (std::int64_t first = 0; first <= end; first += kSealsCheckedAtOnce) {
    // The first and the last take in whatever stands outside: no number leaves a seal unchecked.
    const bool last = end - first < kSealsCheckedAtOnce;
    PgParams params;
    params.Add(first == 0 ? kLeastSeal : first);
    params.Add(last ? kMostSeal : first + kSealsCheckedAtOnce - 1);
    params.Add(MicrosecondsOf(question.kept_since));
    if (asked) params.Add(*asked);
    PR_RETURN_IF_ERROR(pool.Read("chain_check", [&](PgTransaction& transaction) {
      const PgRows rows = transaction.Run(asked ? kCheckSealsOf : kCheckAllSeals, params);
      AddSeals(rows, chains, report.faults);
      return absl::OkStatus();
    }));
  }
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
  return {kChainTenant,  kChainHeads, kChainEnd,  kCheckAllSeals,
          kCheckSealsOf, kOutside,    kOutsideOf, kLinkOfHash};
}

}  // namespace postrider
