#pragma once

#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "server/base/clock.h"

namespace postrider {

/// One file of migrations/, compiled in.
struct Migration {
  int number;
  std::string name;  ///< "0001_foundation"
  std::string sql;
  std::string sha256;  ///< Hexadecimal, of the file.
};

/// All of them, by number.
const std::vector<Migration>& Migrations();

/// A migration as `postriderd migrate status` shows it.
struct MigrationStatus {
  int number;
  std::string name;
  bool applied = false;
  bool changed = false;  ///< Applied from a file with another checksum.
  bool unknown = false;  ///< Applied by a newer Postrider.
};

/// Applies what is missing, each in a transaction of its own, one migrator at a time: it polls
/// for its turn for `patience` at most (a blocking wait would deadlock with CREATE INDEX
/// CONCURRENTLY). Returns how many it applied.
/// UNAVAILABLE: the database is away, or another migrator is at it; FAILED_PRECONDITION: the
/// database is not one that this Postrider can migrate, and why.
absl::StatusOr<int> MigrateUp(const std::string& conninfo, const Clock& clock,
                              std::chrono::seconds patience = std::chrono::seconds(30));

/// What is applied and what is not. Errors as above.
absl::StatusOr<std::vector<MigrationStatus>> ReadMigrations(const std::string& conninfo);

/// OK when exactly the compiled-in migrations are applied, unchanged. UNAVAILABLE: it cannot be
/// connected to; FAILED_PRECONDITION says what to do. What the gateway asks before it serves.
absl::Status VerifySchema(const std::string& conninfo);

}  // namespace postrider
