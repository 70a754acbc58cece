#include <algorithm>

#include "absl/time/time.h"

#include "server/app/command_line.h"
#include "server/app/commands.h"
#include "server/base/clock.h"
#include "server/base/random.h"
#include "server/base/status_macros.h"
#include "server/base/strings.h"
#include "server/store/audit_chain.h"
#include "server/store/auditors.h"
#include "server/store/chain_begin.h"
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

  /// `patience`: of a statement.
  static absl::StatusOr<std::unique_ptr<AuditDatabase>> Open(
      const Config& config, std::chrono::milliseconds patience = std::chrono::seconds(15)) {
    PR_ASSIGN_OR_RETURN(const std::string url, DatabaseUrl(config));
    PR_RETURN_IF_ERROR(VerifySchema(url));
    auto opened = std::make_unique<AuditDatabase>();
    opened->pool = std::make_unique<PgPool>(
        opened->clock, opened->random,
        PgPool::Options{
            .conninfo = url,
            .max_sessions = 1,
            .statement_timeout = patience,
            .watchdog = std::max<std::chrono::milliseconds>(kLongestTransaction, 2 * patience)});
    return opened;
  }

  OperatorAction Action(const std::string& reason) {
    return {.action_id = MakeUuidV7(clock.Wall(), random), .actor = "", .reason = reason};
  }
};

absl::Status Grant(const Config& config, const AuditorChange& change) {
  PR_ASSIGN_OR_RETURN(const std::unique_ptr<AuditDatabase> open, AuditDatabase::Open(config));
  PR_ASSIGN_OR_RETURN(const bool granted, GrantAuditor(*open->pool, change.role, change.tenant,
                                                       open->Action(change.reason)));
  PrintLine(StrCat(change.role, granted ? " sees " : " saw ", change.tenant,
                   granted ? "" : " already", " in schema audit"));
  return absl::OkStatus();
}

absl::Status Revoke(const Config& config, const AuditorChange& change) {
  PR_ASSIGN_OR_RETURN(const std::unique_ptr<AuditDatabase> open, AuditDatabase::Open(config));
  PR_ASSIGN_OR_RETURN(const bool revoked, RevokeAuditor(*open->pool, change.role, change.tenant,
                                                        open->Action(change.reason)));
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

/// All seals that are checked at once: far more than it takes.
constexpr auto kVerifyPatience = std::chrono::hours(1);
constexpr std::size_t kHeadDigits = 64;

/// What of the record `audit verify` looks at.
struct VerifyOptions {
  std::string tenant;
  std::string expect_head;
};

std::string SecondOf(WallTime at) {
  return absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", absl::FromChrono(at), absl::UTCTimeZone());
}

std::string ChainName(const std::string& tenant) {
  return tenant.empty() ? "(of no tenant)" : tenant;
}

void PrintChain(const ChainState& chain) {
  std::string line =
      StrCat(ChainName(chain.tenant), chain.faults == 0 ? "  holds" : "  DOES NOT HOLD", "  links ",
             chain.links, "  rows ", chain.rows);
  if (chain.since != WallTime{}) {
    StrAppend(line, "  from ", SecondOf(chain.since), " to ", SecondOf(chain.until));
  }
  if (!chain.head.empty()) StrAppend(line, "  head ", chain.head);
  if (chain.past_retention > 0) {
    StrAppend(line, "; ", chain.past_retention,
              " links whose rows are past retention: the links themselves hold");
  }
  if (chain.before_chain > 0) {
    StrAppend(line, "; ", chain.before_chain, " rows of before the chain began, not sealed yet");
  }
  if (chain.not_sealed > 0) StrAppend(line, "; ", chain.not_sealed, " rows not sealed yet");
  PrintLine(line);
}

void PrintSealFault(const ChainFault& fault) {
  PrintLine(StrCat("  (of all tenants)  ", fault.verdict, "  seal ", fault.seal_no, "  ",
                   SecondOf(fault.since), ": ", fault.why));
}

void PrintFault(const ChainFault& fault) {
  if (!fault.why.empty()) return PrintSealFault(fault);
  std::string line = StrCat("  ", ChainName(fault.tenant), "  ", fault.verdict, "  ", fault.table);
  if (fault.link_no > 0) StrAppend(line, "  link ", fault.link_no, " of ", fault.rows, " rows");
  StrAppend(line, "  ", SecondOf(fault.since), " to ", SecondOf(fault.until), ": ");
  if (fault.verdict == "LINK_BROKEN") {
    StrAppend(line, "it is not the link that was made, or the one before or after it is not");
  } else if (fault.link_no == 0) {
    StrAppend(line, fault.found, " rows that no link has");
  } else {
    StrAppend(line, fault.found, " are there");
    if (fault.strangers > 0) {
      StrAppend(line, ", ", fault.strangers, " of them not as they were: ", fault.stranger);
    }
  }
  PrintLine(line);
}

absl::Status Verify(const Config& config, const VerifyOptions& options) {
  PR_ASSIGN_OR_RETURN(const std::unique_ptr<AuditDatabase> open,
                      AuditDatabase::Open(config, kVerifyPatience));
  PR_ASSIGN_OR_RETURN(
      const ChainReport report,
      VerifyChains(*open->pool, {.tenant = options.tenant,
                                 .kept_since = open->clock.Wall() - config.keep.messages,
                                 .expect_head = options.expect_head}));
  for (const ChainBegin& begin : report.begins) {
    PrintLine(StrCat("chain ", begin.chain_no, " was begun anew at ", SecondOf(begin.at), " by ",
                     begin.actor, ": ", begin.reason));
  }
  std::int64_t faults = report.seal_faults;
  for (const ChainState& chain : report.chains) {
    PrintChain(chain);
    faults += chain.faults;
  }
  for (const ChainFault& fault : report.faults) PrintFault(fault);
  if (faults > std::ssize(report.faults)) {
    PrintLine(StrCat("  and ", faults - std::ssize(report.faults), " more"));
  }
  if (!options.expect_head.empty() && report.expected_link > 0) {
    PrintLine(StrCat("the head that was noted is link ", report.expected_link));
  }
  if (faults > 0)
    return absl::DataLossError(
        StrCat("the record does not hold in ", faults, faults == 1 ? " place" : " places"));
  if (options.expect_head.empty() || report.expected_link > 0) return absl::OkStatus();
  return absl::DataLossError(
      StrCat("no link of ", options.tenant, " has the head that was noted: it is another chain"));
}

absl::Status BeginAnew(const Config& config, const std::string& reason) {
  PR_ASSIGN_OR_RETURN(const std::unique_ptr<AuditDatabase> open, AuditDatabase::Open(config));
  PR_ASSIGN_OR_RETURN(const BegunChain begun, BeginChain(*open->pool, open->Action(reason)));
  PrintLine(StrCat("chain ", begun.chain_no, " has begun, over the last links of ", begun.links,
                   begun.links == 1 ? " chain" : " chains",
                   "; what was recorded before is put into it while a gateway runs"));
  return absl::OkStatus();
}

void AddVerifyOptions(CLI::App& verify, VerifyOptions& options) {
  CLI::Option* tenant =
      verify.add_option("--tenant", options.tenant, "whose record; else everybody's");
  verify
      .add_option("--expect-head", options.expect_head,
                  "with --tenant: a head that was noted, which the chain must still have")
      ->needs(tenant)
      ->check([](const std::string& head) {
        const bool good = head.size() == kHeadDigits &&
                          head.find_first_not_of("0123456789abcdef") == std::string::npos;
        return good ? std::string() : std::string("is not 64 hexadecimal digits");
      });
}

void AddChangeOptions(CLI::App& command, AuditorChange& change) {
  command.add_option("--role", change.role, "the auditor's database role, which logs in")
      ->required();
  command.add_option("--tenant", change.tenant, "whose record")->required();
  command.add_option("--reason", change.reason, "why, for operator_action")->required();
}

}  // namespace

int RunAudit(const std::vector<std::string>& arguments) {
  CLI::App app("The record: which database roles may read whose, and whether it is as it was made.",
               "postriderd audit");
  TakeOptions(app);
  AuditorChange change;
  CLI::App* grant = app.add_subcommand("grant", "let a role see a tenant");
  AddChangeOptions(*grant, change);
  CLI::App* revoke = app.add_subcommand("revoke", "let it see the tenant no more");
  AddChangeOptions(*revoke, change);
  app.add_subcommand("list", "who sees whom");
  VerifyOptions verify_options;
  CLI::App* verify = app.add_subcommand(
      "verify",
      "check that nothing on record was changed, removed or added since it was sealed; "
      "--keep-messages-days must be the shortest that ever applied, else what was dropped in its "
      "time is told as missing");
  AddVerifyOptions(*verify, verify_options);
  std::string begin_reason;
  CLI::App* begin = app.add_subcommand(
      "begin-chain",
      "begin a new hash chain over the last links, where the old one cannot go on: after a restore "
      "from a dump, or when verify says POSITION_WRONG; it is on record, and hides nothing");
  TakeReason(*begin, begin_reason, "why, for operator_action and for who verifies");
  app.require_subcommand(1);
  Config config;
  if (const std::optional<int> done = ParseCommand(app, arguments, &config)) return *done;
  if (grant->parsed()) return PrintStatus(Grant(config, change));
  if (revoke->parsed()) return PrintStatus(Revoke(config, change));
  if (verify->parsed()) return PrintStatus(Verify(config, verify_options));
  if (begin->parsed()) return PrintStatus(BeginAnew(config, begin_reason));
  return PrintStatus(List(config));
}

}  // namespace postrider
