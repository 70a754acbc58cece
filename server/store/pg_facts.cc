#include "server/base/status_macros.h"
#include "server/model/limits.h"
#include "server/store/pg_message_rows.h"
#include "server/store/pg_queries.h"
#include "server/store/pg_store.h"

namespace postrider {

namespace {

// Ranges where equality would do: of what is equal no order is asked, and then a plan could go by
// another index.
constexpr Query kFacts{"store_facts", R"(
SELECT (SELECT count(*) FROM unnest($1::uuid[]) AS t(tenant_id), LATERAL (
    SELECT FROM receipt_parked p WHERE p.tenant_id >= t.tenant_id AND p.tenant_id <= t.tenant_id
    ORDER BY p.tenant_id, p.inbox_id LIMIT $2::integer) p),
  (SELECT count(*) FROM unnest($1::uuid[]) AS t(tenant_id), LATERAL (
    SELECT FROM dead_letter d WHERE d.tenant_id >= t.tenant_id AND d.tenant_id <= t.tenant_id
      AND d.state >= 1::smallint AND d.state <= 1::smallint AND d.source <> 'send'
    ORDER BY d.tenant_id, d.state, d.at LIMIT $2::integer) d),
  (SELECT count(*) FROM unnest($1::uuid[]) AS t(tenant_id), LATERAL (
    SELECT FROM dead_letter d WHERE d.tenant_id >= t.tenant_id AND d.tenant_id <= t.tenant_id
      AND d.state >= 1::smallint AND d.state <= 1::smallint
    ORDER BY d.tenant_id, d.state, d.at LIMIT $2::integer) d),
  (SELECT coalesce(extract(epoch FROM max(clock_timestamp() - a.xact_start)) * 1000000, 0)::bigint
    FROM pg_stat_activity a WHERE a.datname = current_database()
      AND a.backend_type = 'client backend' AND a.application_name <> 'postriderd'))"};

}  // namespace

absl::StatusOr<StoreFacts> PgStore::ReadFacts(std::span<const TenantId> tenants) {
  StoreFacts facts;
  PgParams params;
  AddColumn(params, tenants, [](auto& to, const TenantId& t) { AppendUuid(to, t.uuid); });
  params.Add(std::int64_t{kMostCounted});
  PR_RETURN_IF_ERROR(pool_.Read("store_facts", [&](PgTransaction& transaction) {
    const PgRows rows = transaction.Run(kFacts, params);
    facts.parked = rows.Int(0, 0);
    facts.dead_letters = rows.Int(0, 1);
    facts.dead_sends = rows.Int(0, 2) - facts.dead_letters;
    facts.foreign_transaction = std::chrono::microseconds(rows.Int(0, 3));
    return absl::OkStatus();
  }));
  PR_ASSIGN_OR_RETURN(facts.unaccounted, account_.Count(tenants));
  return facts;
}

std::vector<Query> FactQueries() { return {kFacts}; }

}  // namespace postrider
