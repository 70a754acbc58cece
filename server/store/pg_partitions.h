#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "server/model/retention_limits.h"
#include "server/store/pg_session.h"

namespace postrider {

// Partitions as the database's catalogs have them; shared by the files of PgStore.

/// A partition and the values that it is for: UUIDs, or transaction ids in decimal digits.
struct KnownPartition {
  std::string parent;
  std::string name;
  std::string from;
  std::string to;  ///< Not included.
};

/// Those of `parent` but its default one, by the lower bound.
std::vector<KnownPartition> PartitionsOf(PgTransaction& transaction, const std::string& parent);
/// Tables named as partitions of `parent` by day that are none any more, of days before that of
/// `before`. A younger one was detached by somebody else, who has a reason.
std::vector<std::string> DetachedOf(PgTransaction& transaction, const std::string& parent,
                                    WallTime before);

/// False when another replica drops or erases at the moment; else nobody else does until the
/// transaction ends.
bool TakeRetentionTurn(PgTransaction& transaction);
/// Whether `name` is a partition of `parent` still.
bool IsPartition(PgTransaction& transaction, const std::string& parent, const std::string& name);
bool IsTable(PgTransaction& transaction, const std::string& name);
/// From here on the transaction waits for a lock no longer than kDropLockWait.
void WaitBriefly(PgTransaction& transaction);

}  // namespace postrider
