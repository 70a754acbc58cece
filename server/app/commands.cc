#include "server/app/commands.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <fstream>
#include <memory>
#include <optional>

#include "server/app/bootstrap.h"
#include "server/app/config.h"
#include "server/app/option_table.h"
#include "server/base/digest.h"
#include "server/base/status_macros.h"
#include "server/base/strings.h"
#include "server/store/migrate.h"
#include "server/store/pg_store.h"

namespace postrider {

namespace {

constexpr int kOk = 0;
constexpr int kFailed = 1;
constexpr int kUsage = 2;

int Print(const absl::Status& status) {
  if (status.ok()) return kOk;
  std::fprintf(stderr, "postriderd: %s\n", std::string(status.message()).c_str());
  return absl::IsInvalidArgument(status) ? kUsage : kFailed;
}

void PrintLine(const std::string& line) { std::printf("%s\n", line.c_str()); }

/// Parses `arguments`; an exit status when there is nothing more to do.
std::optional<int> Parse(CLI::App& app, std::vector<std::string> arguments) {
  std::reverse(arguments.begin(), arguments.end());  // as CLI11 wants them
  try {
    app.parse(arguments);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? kOk : kUsage;
  }
  return std::nullopt;
}

/// Where the database is: --database-url, else the one of the gateway that runs in --state-dir.
struct DatabaseFlags {
  std::string database_url;
  std::string state_dir;

  void AddTo(CLI::App& app) {
    app.add_option("--database-url", database_url, "libpq URL or connection string")
        ->envname("POSTRIDER_DATABASE_URL");
    app.add_option("--state-dir", state_dir,
                   "of a running gateway, whose database is taken when no --database-url is given")
        ->envname("POSTRIDER_STATE_DIR");
  }

  absl::StatusOr<std::string> Url() const {
    if (!database_url.empty()) return database_url;
    ConfigSources sources = SourcesOf({});
    if (!state_dir.empty()) sources.flags = {"--state-dir", state_dir};
    PR_ASSIGN_OR_RETURN(const Config config, LoadConfig(sources));
    const std::string path = StrCat(config.state_dir, "/addresses");
    std::ifstream file(path);
    for (std::string line; std::getline(file, line);) {
      if (line.starts_with("database=")) return line.substr(9);
    }
    return absl::FailedPreconditionError(StrCat("no gateway runs in ", config.state_dir, " (", path,
                                                " is missing): start it, or give --database-url"));
  }
};

/// A store for one command.
struct OneStore {
  SystemClock clock;
  OsRandom random;
  std::unique_ptr<PgStore> store;

  static absl::StatusOr<std::unique_ptr<OneStore>> Open(const DatabaseFlags& flags) {
    PR_ASSIGN_OR_RETURN(const std::string url, flags.Url());
    PR_RETURN_IF_ERROR(VerifySchema(url));
    auto opened = std::make_unique<OneStore>();
    opened->store =
        std::make_unique<PgStore>(opened->clock, opened->random,
                                  PgStore::Options{.pool = {.conninfo = url, .max_sessions = 1}});
    return opened;
  }
};

absl::Status PrintMigrations(const std::string& url) {
  PR_ASSIGN_OR_RETURN(const std::vector<MigrationStatus> all, ReadMigrations(url));
  for (const MigrationStatus& migration : all) {
    const char* state = !migration.applied  ? "missing"
                        : migration.unknown ? "applied by a newer version"
                        : migration.changed ? "applied, but from a file with another content"
                                            : "applied";
    PrintLine(StrCat(migration.name, "  ", state));
  }
  return absl::OkStatus();
}

absl::Status MigrateDatabase(const std::string& url) {
  PR_ASSIGN_OR_RETURN(const int applied, MigrateUp(url, SystemClock()));
  PrintLine(applied == 0 ? "nothing to do" : StrCat(applied, " applied"));
  return absl::OkStatus();
}

absl::Status ListTenants(const DatabaseFlags& flags) {
  PR_ASSIGN_OR_RETURN(const std::unique_ptr<OneStore> open, OneStore::Open(flags));
  PR_ASSIGN_OR_RETURN(const std::vector<TenantRow> tenants, open->store->LoadTenants());
  for (const TenantRow& tenant : tenants) {
    PrintLine(StrCat(tenant.name, "  ", tenant.tenant_id.ToString(), "  ", tenant.base_url, "  ",
                     tenant.rate_per_s, "/s burst ", tenant.burst,
                     tenant.strict ? "  strict" : ""));
    PrintLine(StrCat("  webhook path  /webhooks/", tenant.profile, "/", tenant.webhook_key));
    for (const SenderRow& sender : tenant.senders) PrintLine(StrCat("  sender  ", sender.address));
  }
  return absl::OkStatus();
}

absl::Status PutTenant(const DatabaseFlags& flags, TenantRow row,
                       const std::vector<std::string>& senders) {
  PR_ASSIGN_OR_RETURN(const std::unique_ptr<OneStore> open, OneStore::Open(flags));
  row.tenant_id = {MakeUuidV4(open->random)};
  row.webhook_key = RandomToken(open->random, 192);
  for (const std::string& address : senders) {
    row.senders.push_back({{MakeUuidV4(open->random)}, address});
  }
  PR_ASSIGN_OR_RETURN(const TenantRow stored, open->store->PutTenant(row));
  PrintLine(StrCat(stored.name, "  ", stored.tenant_id.ToString()));
  PrintLine(StrCat("webhook path  /webhooks/", stored.profile, "/", stored.webhook_key));
  return absl::OkStatus();
}

absl::Status CreateToken(const DatabaseFlags& flags, const std::string& tenant_name,
                         const std::string& name, const std::vector<std::string>& scopes,
                         int days) {
  PR_ASSIGN_OR_RETURN(const std::unique_ptr<OneStore> open, OneStore::Open(flags));
  PR_ASSIGN_OR_RETURN(const std::vector<TenantRow> tenants, open->store->LoadTenants());
  for (const TenantRow& tenant : tenants) {
    if (tenant.name != tenant_name) continue;
    PR_ASSIGN_OR_RETURN(const Secret token,
                        IssueToken(*open->store, open->random, open->clock, tenant.tenant_id, name,
                                   scopes, std::chrono::hours(24 * days)));
    PrintLine(std::string(token.Reveal()));
    std::fprintf(stderr, "This token is shown once; it is not stored anywhere.\n");
    return absl::OkStatus();
  }
  return absl::NotFoundError(StrCat("there is no tenant ", tenant_name,
                                    "; `postriderd tenant list` shows which there are"));
}

}  // namespace

int RunMigrate(const std::vector<std::string>& arguments) {
  CLI::App app("Brings a database's schema up to this version, or says how it stands.",
               "postriderd migrate");
  DatabaseFlags flags;
  flags.AddTo(app);
  CLI::App* up = app.add_subcommand("up", "apply what is missing")->fallthrough();
  CLI::App* status = app.add_subcommand("status", "list what is applied")->fallthrough();
  app.add_subcommand("verify", "fail unless exactly this version's schema is there")->fallthrough();
  app.require_subcommand(1);
  if (const std::optional<int> done = Parse(app, arguments)) return *done;
  const absl::StatusOr<std::string> url = flags.Url();
  if (!url.ok()) return Print(url.status());
  if (up->parsed()) return Print(MigrateDatabase(*url));
  if (status->parsed()) return Print(PrintMigrations(*url));
  const absl::Status verified = VerifySchema(*url);
  if (verified.ok()) PrintLine("the schema is this version's");
  return Print(verified);
}

int RunConfig(const std::vector<std::string>& arguments) {
  CLI::App app("Shows how postriderd is configured.", "postriderd config");
  app.add_subcommand("print-default", "a YAML file with every option at its default");
  app.require_subcommand(1);
  if (const std::optional<int> done = Parse(app, arguments)) return *done;
  std::fputs(DefaultConfigFile().c_str(), stdout);
  return kOk;
}

int RunTenant(const std::vector<std::string>& arguments) {
  CLI::App app("Tenants: who sends, as which Genesys organisation, how fast.", "postriderd tenant");
  DatabaseFlags flags;
  flags.AddTo(app);
  CLI::App* list = app.add_subcommand("list", "all tenants")->fallthrough();
  CLI::App* put = app.add_subcommand("put", "make a tenant, or set what is given anew");
  put->fallthrough();
  TenantRow row;
  row.send_path = "/api/v2/messaging/outbound/agentsless/messages";
  std::vector<std::string> senders;
  put->add_option("--name", row.name, "1 to 64 of a-z, 0-9 and dashes")->required();
  put->add_option("--base-url", row.base_url, "https://YOUR-DOMAIN.mypurecloud.com")->required();
  put->add_option("--token-url", row.token_url, "https://login.REGION-DOMAIN/oauth/token")
      ->required();
  put->add_option("--client-id", row.client_id, "OAuth client id")->required();
  put->add_option("--client-secret-file", row.client_secret_file, "read by the gateway")
      ->required();
  put->add_option("--send-path", row.send_path, "path of the send call")->capture_default_str();
  put->add_option("--ca-file", row.ca_file, "authorities to trust, PEM");
  put->add_option("--rate", row.rate_per_s, "requests a second")
      ->capture_default_str()
      ->check(CLI::Range(0.01, 100000.0));
  put->add_option("--burst", row.burst, "requests at once")
      ->capture_default_str()
      ->check(CLI::Range(1, 100000));
  put->add_flag("--strict", row.strict, "SendMessage must name a conversation");
  put->add_option("--sender", senders, "a number or name to send from; repeat for more");
  app.require_subcommand(1);
  if (const std::optional<int> done = Parse(app, arguments)) return *done;
  return Print(list->parsed() ? ListTenants(flags) : PutTenant(flags, row, senders));
}

int RunToken(const std::vector<std::string>& arguments) {
  CLI::App app("API tokens of callers.", "postriderd token");
  DatabaseFlags flags;
  flags.AddTo(app);
  CLI::App* create = app.add_subcommand("create", "make a token and show it once")->fallthrough();
  std::string tenant = kDefaultTenant;
  std::string name;
  std::vector<std::string> scopes = {"send", "read"};
  int days = 0;
  create->add_option("--tenant", tenant, "whose calls it makes")->capture_default_str();
  create->add_option("--name", name, "which service will hold it")->required();
  create->add_option("--scopes", scopes, "send, read")
      ->delimiter(',')
      ->capture_default_str()
      ->check(CLI::IsMember({"send", "read"}));
  create->add_option("--days", days, "how long it is valid; 0: for ever")
      ->capture_default_str()
      ->check(CLI::Range(0, 3650));
  app.require_subcommand(1);
  if (const std::optional<int> done = Parse(app, arguments)) return *done;
  return Print(CreateToken(flags, tenant, name, scopes, days));
}

}  // namespace postrider
