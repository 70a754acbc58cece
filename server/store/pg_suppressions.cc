#include "server/base/status_macros.h"
#include "server/model/consent_limits.h"
#include "server/store/pg_message_rows.h"
#include "server/store/pg_queries.h"
#include "server/store/pg_store.h"

namespace postrider {

namespace {

#define PR_SUPPRESSION_COLUMNS \
  "convert_from(s.recipient_key, 'UTF8'), s.sender_id, " PR_US("s.since") ", s.suppression_id"

// As conversations_list does it: so many of the tenant's are looked at, and which of them are the
// sender's is told of each; the last one is told in any case.
constexpr Query kListSuppressions{
    "suppressions_list",
    "WITH s AS MATERIALIZED (SELECT s.* FROM suppression s WHERE s.tenant_id = $1::uuid "
    "AND (s.since, s.suppression_id) < (timestamptz 'epoch' + $2::bigint * interval "
    "'1 microsecond', $3::uuid) "
    "ORDER BY s.tenant_id DESC, s.since DESC, s.suppression_id DESC LIMIT $5::integer), "
    "w AS (SELECT s.*, $4::uuid IN (s.sender_id, '00000000-0000-0000-0000-000000000000') AS "
    "wanted, row_number() OVER (ORDER BY s.since DESC, s.suppression_id DESC) AS place FROM s) "
    "SELECT " PR_SUPPRESSION_COLUMNS
    ", s.wanted, s.place FROM w s WHERE s.wanted OR s.place = $5::integer "
    "ORDER BY s.since DESC, s.suppression_id DESC LIMIT $6::integer"};

// One for each sender at most.
constexpr Query kSuppressionsOfNumber{
    "suppressions_list_of_recipient",
    "SELECT " PR_SUPPRESSION_COLUMNS
    ", true, 0 FROM (SELECT * FROM suppression s WHERE s.tenant_id = $1::uuid "
    "AND s.recipient_key >= $5::bytea AND s.recipient_key <= $5::bytea "
    "ORDER BY s.tenant_id, s.recipient_key, s.sender_id OFFSET 0) s "
    "WHERE $4::uuid IN (s.sender_id, '00000000-0000-0000-0000-000000000000') "
    "AND (s.since, s.suppression_id) < (timestamptz 'epoch' + $2::bigint * interval "
    "'1 microsecond', $3::uuid) ORDER BY s.since DESC, s.suppression_id DESC LIMIT $6::integer"};

constexpr int kWanted = 4;
constexpr int kPlace = 5;

}  // namespace

absl::StatusOr<SuppressionPage> PgStore::ListSuppressions(const SuppressionFilter& filter,
                                                          const SuppressionPlace& place,
                                                          int limit) {
  const bool of_number = !filter.recipient.empty();
  const int scanned = filter.sender_id.IsNil() ? limit + 1 : kSuppressionsScanned;
  PgParams params;
  params.Add(filter.tenant_id.uuid).Add(MicrosecondsOf(place.since)).Add(place.suppression_id);
  params.Add(filter.sender_id.uuid);
  if (of_number) {
    params.AddBytes(filter.recipient);
  } else {
    params.Add(std::int64_t{scanned});
  }
  params.Add(std::int64_t{limit} + 1);
  SuppressionPage page;
  PR_RETURN_IF_ERROR(pool_.Read("list_suppressions", [&](PgTransaction& transaction) {
    page = {};
    const PgRows rows =
        transaction.Run(of_number ? kSuppressionsOfNumber : kListSuppressions, params);
    for (int row = 0; row < rows.size(); ++row) {
      if (static_cast<int>(page.suppressions.size()) == limit) {
        const ListedSuppression& last = page.suppressions.back();
        page.next = SuppressionPlace{last.since, last.suppression_id};
        break;
      }
      ListedSuppression one{.recipient = std::string(rows.Text(row, 0)),
                            .sender_id = {rows.UuidAt(row, 1)},
                            .since = rows.Time(row, 2),
                            .suppression_id = rows.UuidAt(row, 3)};
      if (!of_number && rows.Int(row, kPlace) == scanned) {
        page.next = SuppressionPlace{one.since, one.suppression_id};
      }
      if (rows.Bool(row, kWanted)) page.suppressions.push_back(std::move(one));
    }
    return absl::OkStatus();
  }));
  return page;
}

std::vector<Query> SuppressionQueries() { return {kListSuppressions, kSuppressionsOfNumber}; }

}  // namespace postrider
