#include "server/store/pg_refusals.h"

#include "server/store/pg_message_rows.h"
#include "server/store/pg_queries.h"

namespace postrider {

namespace {

// A request may be in a batch twice: grouped, since one statement changes a row once.
constexpr Query kRecordRefusals{"refusals_record", R"(
WITH r AS MATERIALIZED (
  SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[],
    $7::text[]) WITH ORDINALITY
  AS r(tenant_id, request_id, reason, recipient, sender, campaign_id, detail, ord)),
last AS (
  SELECT DISTINCT ON (r.tenant_id, r.request_id, r.reason, r.recipient, r.sender, r.campaign_id)
    r.*, count(*) OVER (PARTITION BY r.tenant_id, r.request_id, r.reason, r.recipient, r.sender,
      r.campaign_id) AS times
  FROM r ORDER BY r.tenant_id, r.request_id, r.reason, r.recipient, r.sender, r.campaign_id,
    r.ord DESC)
INSERT INTO refusal AS f (tenant_id, request_id, reason, times, recipient, sender, campaign_id,
  detail)
SELECT tenant_id, request_id, reason, times, recipient, sender, campaign_id, detail FROM last
ORDER BY tenant_id, request_id, reason, recipient, sender, campaign_id
ON CONFLICT (tenant_id, request_id, reason, recipient, sender, campaign_id)
DO UPDATE SET times = f.times + excluded.times, last_at = excluded.last_at,
  detail = excluded.detail)"};

}  // namespace

absl::Status PgRefusalStore::RecordRefusals(std::span<const RefusalRow> batch) {
  if (batch.empty()) return absl::OkStatus();
  PgParams params;
  const auto column = [&](auto text_of) {
    AddColumn(params, batch, [&](std::string& to, const RefusalRow& refusal) {
      AppendText(to, text_of(refusal));
    });
  };
  AddColumn(params, batch,
            [](auto& to, const RefusalRow& refusal) { AppendUuid(to, refusal.tenant_id.uuid); });
  column([](const RefusalRow& r) { return r.request_id; });
  column([](const RefusalRow& r) { return r.reason; });
  column([](const RefusalRow& r) { return r.recipient; });
  column([](const RefusalRow& r) { return r.sender; });
  column([](const RefusalRow& r) { return r.campaign_id; });
  column([](const RefusalRow& r) { return r.detail; });
  return pool_.Transact("record_refusals", [&](PgTransaction& transaction) {
    transaction.Run(kRecordRefusals, params);
    return absl::OkStatus();
  });
}

std::vector<Query> RefusalQueries() { return {kRecordRefusals}; }

}  // namespace postrider
