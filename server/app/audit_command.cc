#include "server/app/command_line.h"
#include "server/app/commands.h"
#include "server/base/clock.h"
#include "server/base/random.h"
#include "server/base/status_macros.h"
#include "server/base/strings.h"
#include "server/store/auditors.h"
#include "server/store/migrate.h"

namespace postrider {

namespace {

/// What a change of an auditor needs.
struct AuditorChange {
  std::string role;
  std::string tenant;
  std::string reason;
};

/// The database, for one command.
struct AuditDatabase {
  SystemClock clock;
  OsRandom random;
  std::unique_ptr<PgPool> pool;

  static absl::StatusOr<std::unique_ptr<AuditDatabase>> Open(const Config& config) {
    PR_ASSIGN_OR_RETURN(const std::string url, DatabaseUrl(config));
    PR_RETURN_IF_ERROR(VerifySchema(url));
    auto opened = std::make_unique<AuditDatabase>();
    opened->pool = std::make_unique<PgPool>(opened->clock, opened->random,
                                            PgPool::Options{.conninfo = url, .max_sessions = 1});
    return opened;
  }

  OperatorAction Action(const AuditorChange& change) {
    return {.action_id = MakeUuidV7(clock.Wall(), random), .actor = "", .reason = change.reason};
  }
};

absl::Status Grant(const Config& config, const AuditorChange& change) {
  PR_ASSIGN_OR_RETURN(const std::unique_ptr<AuditDatabase> open, AuditDatabase::Open(config));
  PR_ASSIGN_OR_RETURN(const bool granted,
                      GrantAuditor(*open->pool, change.role, change.tenant, open->Action(change)));
  PrintLine(StrCat(change.role, granted ? " sees " : " saw ", change.tenant,
                   granted ? "" : " already", " in schema audit"));
  return absl::OkStatus();
}

absl::Status Revoke(const Config& config, const AuditorChange& change) {
  PR_ASSIGN_OR_RETURN(const std::unique_ptr<AuditDatabase> open, AuditDatabase::Open(config));
  PR_ASSIGN_OR_RETURN(const bool revoked,
                      RevokeAuditor(*open->pool, change.role, change.tenant, open->Action(change)));
  PrintLine(StrCat(change.role, revoked ? " sees " : " did not see ", change.tenant,
                   revoked ? " no more" : ""));
  return absl::OkStatus();
}

absl::Status List(const Config& config) {
  PR_ASSIGN_OR_RETURN(const std::unique_ptr<AuditDatabase> open, AuditDatabase::Open(config));
  PR_ASSIGN_OR_RETURN(const std::vector<AuditorRow> auditors, ListAuditors(*open->pool));
  for (const AuditorRow& auditor : auditors) {
    const char* note = !auditor.exists     ? "  the role is gone"
                       : !auditor.may_read ? "  is no member of postrider_auditor: grant it again"
                                           : "";
    PrintLine(
        StrCat(auditor.role, "  ", auditor.tenant, "  granted by ", auditor.granted_by, note));
  }
  if (auditors.size() == kMostAuditorsShown) {
    PrintLine("there may be more: see postrider.auditor_tenant");
  }
  return absl::OkStatus();
}

void AddChangeOptions(CLI::App& command, AuditorChange& change) {
  command.add_option("--role", change.role, "the auditor's database role, which logs in")
      ->required();
  command.add_option("--tenant", change.tenant, "whose record")->required();
  command.add_option("--reason", change.reason, "why, for operator_action")->required();
}

}  // namespace

int RunAudit(const std::vector<std::string>& arguments) {
  CLI::App app("Auditors: which database roles may read whose record, in schema audit.",
               "postriderd audit");
  TakeOptions(app);
  AuditorChange change;
  CLI::App* grant = app.add_subcommand("grant", "let a role see a tenant");
  AddChangeOptions(*grant, change);
  CLI::App* revoke = app.add_subcommand("revoke", "let it see the tenant no more");
  AddChangeOptions(*revoke, change);
  app.add_subcommand("list", "who sees whom");
  app.require_subcommand(1);
  Config config;
  if (const std::optional<int> done = ParseCommand(app, arguments, &config)) return *done;
  if (grant->parsed()) return PrintStatus(Grant(config, change));
  if (revoke->parsed()) return PrintStatus(Revoke(config, change));
  return PrintStatus(List(config));
}

}  // namespace postrider
