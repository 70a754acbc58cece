#include "server/store/migrate.h"

#include <algorithm>

#include "server/base/digest.h"
#include "server/base/log.h"
#include "server/base/status_macros.h"
#include "server/base/strings.h"
#include "server/base/worker.h"
#include "server/store/migrations_embedded.h"
#include "server/store/pg_ping.h"
#include "server/store/pqxx_compat.h"

namespace postrider {

namespace {

constexpr std::int64_t kMigratorLock = 7236728373;  // any number that nobody else uses
constexpr auto kLockPoll = std::chrono::milliseconds(100);

constexpr const char* kCreateLedger = R"(
CREATE SCHEMA IF NOT EXISTS postrider;
CREATE TABLE IF NOT EXISTS postrider.schema_migration (
  number     integer PRIMARY KEY,
  name       text NOT NULL,
  sha256     text NOT NULL,
  applied_at timestamptz NOT NULL DEFAULT now());
COMMENT ON TABLE postrider.schema_migration IS 'Which files of migrations/ were applied.';
COMMENT ON COLUMN postrider.schema_migration.number IS 'NNNN of the file.';
COMMENT ON COLUMN postrider.schema_migration.name IS 'The file''s name.';
COMMENT ON COLUMN postrider.schema_migration.sha256 IS 'Checksum of the file as it was applied.';
COMMENT ON COLUMN postrider.schema_migration.applied_at IS 'When.')";

/// Runs `body` on a connection of its own; libpqxx's exceptions end here.
template <typename Body>
absl::Status WithConnection(const std::string& conninfo, Body body) {
  try {
    pqxx::connection connection(WithNetworkLimits(conninfo));
    NeverReconnectSilently(connection);
    return body(connection);
  } catch (const pqxx::broken_connection& error) {
    return absl::UnavailableError(
        StrCat("cannot connect to the database: ", FirstLine(error.what())));
  } catch (const pqxx::sql_error& error) {
    return absl::FailedPreconditionError(
        StrCat(FirstLine(error.what()), " (SQLSTATE ", error.sqlstate(), ")"));
  } catch (const std::exception& error) {
    return absl::UnavailableError(FirstLine(error.what()));
  }
}

absl::Status CheckVersion(pqxx::connection& connection) {
  if (connection.server_version() >= 150000) return absl::OkStatus();
  return absl::FailedPreconditionError(StrCat("the database is PostgreSQL ",
                                              connection.server_version() / 10000,
                                              "; Postrider needs 15 or newer"));
}

std::vector<MigrationStatus> ReadLedger(pqxx::work& work) {
  std::vector<MigrationStatus> all;
  for (const Migration& migration : Migrations()) all.push_back({migration.number, migration.name});
  const bool made =
      work.exec("SELECT to_regclass('postrider.schema_migration') IS NOT NULL")[0][0].as<bool>();
  if (!made) return all;
  for (const auto& row :
       work.exec("SELECT number, name, sha256 FROM postrider.schema_migration ORDER BY 1")) {
    const int number = row[0].as<int>();
    const auto found =
        std::find_if(all.begin(), all.end(), [&](const auto& m) { return m.number == number; });
    if (found == all.end()) {
      all.push_back({number, row[1].as<std::string>(), true, false, true});
      continue;
    }
    found->applied = true;
    found->changed = Migrations()[static_cast<std::size_t>(found - all.begin())].sha256 !=
                     row[2].as<std::string>();
  }
  return all;
}

absl::Status CheckLedger(const std::vector<MigrationStatus>& ledger) {
  for (const MigrationStatus& migration : ledger) {
    if (migration.unknown) {
      return absl::FailedPreconditionError(StrCat(
          "the schema has migration ", migration.name,
          ", which this Postrider does not know: run the version that applied it, or newer"));
    }
    if (migration.changed) {
      return absl::FailedPreconditionError(
          StrCat("migration ", migration.name, " was applied from a file with another content"));
    }
  }
  return absl::OkStatus();
}

/// True when the turn came; the lock goes with the connection.
bool AwaitTurn(pqxx::connection& connection, const Clock& clock, std::chrono::seconds patience) {
  const MonotonicTime until = clock.Now() + patience;
  while (true) {
    pqxx::nontransaction work(connection);
    if (work.exec(StrCat("SELECT pg_try_advisory_lock(", kMigratorLock, ")"))[0][0].as<bool>())
      return true;
    if (clock.Now() >= until) return false;
    WaitOrStop(std::stop_token(), kLockPoll);
  }
}

absl::Status ApplyMissing(pqxx::connection& connection, int& applied) {
  std::vector<MigrationStatus> ledger;
  {
    pqxx::work work(connection);
    ledger = ReadLedger(work);
    if (absl::Status fine = CheckLedger(ledger); !fine.ok()) return fine;
    work.exec(kCreateLedger);
    work.commit();
  }
  for (std::size_t i = 0; i < Migrations().size(); ++i) {
    if (ledger[i].applied) continue;
    const Migration& migration = Migrations()[i];
    pqxx::work work(connection);
    work.exec(migration.sql);
    ExecOnce(work,
             "INSERT INTO postrider.schema_migration (number, name, sha256) VALUES ($1, $2, $3)",
             migration.number, migration.name, migration.sha256);
    work.commit();
    ++applied;
    PR_LOG(kInfo, "migration applied", {"migration", migration.name});
  }
  return absl::OkStatus();
}

}  // namespace

const std::vector<Migration>& Migrations() {
  static const auto* const all = [] {
    auto* made = new std::vector<Migration>;
    for (const EmbeddedMigration& file : kEmbeddedMigrations) {
      made->push_back({file.number, file.name, file.sql, HexOf(Sha256Bytes(file.sql))});
    }
    return made;
  }();
  return *all;
}

absl::StatusOr<int> MigrateUp(const std::string& conninfo, const Clock& clock,
                              std::chrono::seconds patience) {
  int applied = 0;
  PR_RETURN_IF_ERROR(WithConnection(conninfo, [&](pqxx::connection& connection) {
    PR_RETURN_IF_ERROR(CheckVersion(connection));
    if (!AwaitTurn(connection, clock, patience)) {
      return absl::UnavailableError("another migrator is at work on this database");
    }
    return ApplyMissing(connection, applied);
  }));
  return applied;
}

absl::StatusOr<std::vector<MigrationStatus>> ReadMigrations(const std::string& conninfo) {
  std::vector<MigrationStatus> ledger;
  PR_RETURN_IF_ERROR(WithConnection(conninfo, [&](pqxx::connection& connection) {
    PR_RETURN_IF_ERROR(CheckVersion(connection));
    pqxx::work work(connection);
    ledger = ReadLedger(work);
    return absl::OkStatus();
  }));
  return ledger;
}

absl::Status VerifySchema(const std::string& conninfo) {
  PR_ASSIGN_OR_RETURN(const std::vector<MigrationStatus> ledger, ReadMigrations(conninfo));
  PR_RETURN_IF_ERROR(CheckLedger(ledger));
  for (const MigrationStatus& migration : ledger) {
    if (!migration.applied) {
      return absl::FailedPreconditionError(
          StrCat("migration ", migration.name, " is not applied: run `postriderd migrate up`"));
    }
  }
  return absl::OkStatus();
}

}  // namespace postrider
