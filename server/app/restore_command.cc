#include <filesystem>
#include <memory>
#include <string>
#include <system_error>

#include "server/app/command_line.h"
#include "server/app/commands.h"
#include "server/base/clock.h"
#include "server/base/random.h"
#include "server/base/status_macros.h"
#include "server/base/strings.h"
#include "server/store/after_restore.h"
#include "server/store/migrate.h"
#include "server/store/private_cluster.h"

namespace postrider {

namespace {

/// The restored database. One in the state directory is there for as long as this lives.
struct RestoredDatabase {
  std::unique_ptr<PrivateCluster> cluster;
  std::string url;

  static absl::StatusOr<RestoredDatabase> Open(const Config& config, const Clock& clock) {
    RestoredDatabase database;
    if (!config.database_url.empty()) {
      database.url = std::string(config.database_url.Reveal());
      PR_RETURN_IF_ERROR(VerifySchema(database.url));
      return database;
    }
    // One that is made here would be settled at once, and the restored one would not be.
    const std::string data = StrCat(config.state_dir, "/postgres/PG_VERSION");
    std::error_code unreadable;
    if (!std::filesystem::exists(data, unreadable)) {
      return absl::FailedPreconditionError(
          StrCat("there is no ", data,
                 ": restore it first, or give another --state-dir, or --database-url"));
    }
    PR_ASSIGN_OR_RETURN(database.cluster, PrivateCluster::Start(config.state_dir));
    database.url = database.cluster->database_url();
    PR_RETURN_IF_ERROR(MigrateUp(database.url, clock).status());
    return database;
  }
};

absl::Status Settle(const Config& config, const std::string& reason) {
  SystemClock clock;
  OsRandom random;
  PR_ASSIGN_OR_RETURN(const RestoredDatabase database, RestoredDatabase::Open(config, clock));
  PgPool pool(clock, random, {.conninfo = database.url, .max_sessions = 1});
  PR_ASSIGN_OR_RETURN(const RestoredQueue settled,
                      SettleRestoredQueue(pool, clock, random, reason));
  PrintLine(StrCat("paused     ", settled.paused, settled.paused == 1 ? " tenant" : " tenants",
                   ", until resumed; those that were stay so"));
  PrintLine(StrCat("unknown    ", settled.unknown,
                   " messages were queued, and may have left since the backup"));
  PrintLine(StrCat("scheduled  ", settled.scheduled,
                   " messages stay queued: their time is still to come"));
  PrintLine("README.md, under Backup, says what to do before `postrider admin resume`.");
  return absl::OkStatus();
}

}  // namespace

int RunAfterRestore(const std::vector<std::string>& arguments) {
  CLI::App app(
      "Before a gateway starts on a database that was restored from a backup: what is queued there "
      "may have left since. Pauses every tenant's dispatch and makes those messages UNKNOWN, so "
      "that none is sent as if it had not left. Until a tenant is resumed it may be repeated.",
      "postriderd after-restore");
  TakeOptions(app, "the one in --state-dir, which no gateway may use meanwhile");
  std::string reason;
  TakeReason(app, reason, "why, for operator_action: which backup, and what happened");
  Config config;
  if (const std::optional<int> done = ParseCommand(app, arguments, &config)) return *done;
  return PrintStatus(Settle(config, reason));
}

}  // namespace postrider
