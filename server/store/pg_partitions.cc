#include "server/store/pg_partitions.h"

#include <algorithm>

#include "absl/time/time.h"

#include "server/base/strings.h"
#include "server/model/limits.h"
#include "server/model/retention_limits.h"

namespace postrider {

namespace {

constexpr std::int64_t kRetentionTurn = 7236728374;  // any number that nobody else uses

}  // namespace

std::vector<KnownPartition> PartitionsOf(PgTransaction& transaction, const std::string& parent) {
  const PgRows rows = transaction.RunOnce(
      StrCat("SELECT c.relname, substring(b.bound FROM 'FROM \\(''([^'']*)''\\)'), "
             "substring(b.bound FROM 'TO \\(''([^'']*)''\\)') FROM pg_inherits i "
             "JOIN pg_class c ON c.oid = i.inhrelid, "
             "LATERAL (SELECT pg_get_expr(c.relpartbound, c.oid) AS bound) b "
             "WHERE i.inhparent = '",
             parent, "'::regclass AND NOT i.inhdetachpending"));
  std::vector<KnownPartition> partitions;
  for (int row = 0; row < rows.size(); ++row) {
    if (rows.IsNull(row, 1) || rows.IsNull(row, 2)) continue;  // the default one
    partitions.push_back({parent, std::string(rows.Text(row, 0)), std::string(rows.Text(row, 1)),
                          std::string(rows.Text(row, 2))});
  }
  // UUIDs are of one length, and shorter numbers are less.
  std::sort(partitions.begin(), partitions.end(),
            [](const KnownPartition& a, const KnownPartition& b) {
              return std::pair(a.from.size(), a.from) < std::pair(b.from.size(), b.from);
            });
  return partitions;
}

std::vector<std::string> DetachedOf(PgTransaction& transaction, const std::string& parent,
                                    WallTime before) {
  const std::string day = absl::FormatTime("%Y%m%d", absl::FromChrono(before), absl::UTCTimeZone());
  const PgRows rows = transaction.RunOnce(
      StrCat("SELECT c.relname FROM pg_class c WHERE c.relnamespace = 'postrider'::regnamespace "
             "AND c.relkind = 'r' AND NOT c.relispartition AND c.relname ~ '^",
             parent, "[0-9]{8}$' AND right(c.relname, 8) < '", day, "' ORDER BY 1"));
  std::vector<std::string> names;
  for (int row = 0; row < rows.size(); ++row) names.emplace_back(rows.Text(row, 0));
  return names;
}

bool TakeRetentionTurn(PgTransaction& transaction) {
  return transaction.RunOnce(StrCat("SELECT pg_try_advisory_xact_lock(", kRetentionTurn, ")"))
      .Bool(0, 0);
}

bool IsPartition(PgTransaction& transaction, const std::string& parent, const std::string& name) {
  return transaction
             .RunOnce(StrCat("SELECT FROM pg_inherits i WHERE i.inhparent = '", parent,
                             "'::regclass AND i.inhrelid = to_regclass('", name, "')"))
             .size() > 0;
}

bool IsTable(PgTransaction& transaction, const std::string& name) {
  return transaction.RunOnce(StrCat("SELECT to_regclass('", name, "') IS NOT NULL")).Bool(0, 0);
}

void WaitBriefly(PgTransaction& transaction) {
  transaction.RunOnce(StrCat("SET LOCAL lock_timeout = '", kDropLockWait.count(),
                             "ms'; SET LOCAL statement_timeout = '", kDropLongest.count(), "ms'"));
}

}  // namespace postrider
