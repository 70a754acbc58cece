#include "server/app/commands.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <memory>
#include <optional>

#include "server/app/bootstrap.h"
#include "server/app/command_line.h"
#include "server/app/config.h"
#include "server/app/option_table.h"
#include "server/app/tenant_account.h"
#include "server/base/digest.h"
#include "server/base/status_macros.h"
#include "server/base/strings.h"
#include "server/model/limits.h"
#include "server/model/retention_limits.h"
#include "server/store/migrate.h"
#include "server/store/pg_store.h"

namespace postrider {

namespace {

/// A store for one command.
struct OneStore {
  SystemClock clock;
  OsRandom random;
  std::unique_ptr<PgStore> store;

  static absl::StatusOr<std::unique_ptr<OneStore>> Open(const Config& config) {
    PR_ASSIGN_OR_RETURN(const std::string url, DatabaseUrl(config));
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

std::string WebhookPathOf(const TenantRow& tenant) {
  return StrCat("/webhooks/", tenant.profile, "/", tenant.webhook_key);
}

std::string KeptText(std::optional<std::int64_t> days) {
  return days ? StrCat(*days, " days") : "as long as the message";
}

absl::Status ListTenants(const Config& config) {
  PR_ASSIGN_OR_RETURN(const std::unique_ptr<OneStore> open, OneStore::Open(config));
  PR_ASSIGN_OR_RETURN(const std::vector<TenantRow> tenants, open->store->LoadTenants());
  for (const TenantRow& tenant : tenants) {
    PrintLine(StrCat(tenant.name, "  ", tenant.tenant_id.ToString(), "  ", tenant.base_url, "  ",
                     tenant.rate_per_s, "/s burst ", tenant.burst,
                     tenant.strict ? "  strict" : ""));
    PrintLine(StrCat("  queue limit  ", QueueLimitOf(tenant), "  daily quota  ",
                     tenant.daily_quota ? StrCat(*tenant.daily_quota) : "none"));
    PrintLine(StrCat("  opt-outs  of the ", NameOf(tenant.opt_out_scope)));
    PrintLine(StrCat("  quiet hours  ", QuietTextOf(tenant)));
    PrintLine(StrCat("  keeps  texts ", KeptText(tenant.keep_texts_days), ", numbers ",
                     KeptText(tenant.keep_numbers_days)));
    PrintLine(StrCat("  webhook path  ", WebhookPathOf(tenant),
                     tenant.webhook_secret_file.empty() ? "" : "  signed"));
    for (const SenderRow& sender : tenant.senders) PrintLine(StrCat("  sender  ", sender.address));
  }
  return absl::OkStatus();
}

/// What of a tenant that is there stays when it is not given: left to a default, what is held at
/// night would leave, and who has opted out of all senders would hear of the others.
struct KeptSettings {
  bool quiet_hours = true;
  bool quiet_zone = true;
  bool default_class = true;
  bool opt_out_scope = true;
};

absl::Status KeepSettings(PgStore& store, const KeptSettings& kept, TenantRow& row) {
  PR_ASSIGN_OR_RETURN(const std::vector<TenantRow> tenants, store.LoadTenants());
  for (const TenantRow& stored : tenants) {
    if (stored.name != row.name) continue;
    if (kept.quiet_hours) {
      row.quiet.on = stored.quiet.on;
      row.quiet.own = stored.quiet.own;
    }
    if (kept.quiet_zone) row.quiet.default_zone = stored.quiet.default_zone;
    if (kept.default_class) row.default_class = stored.default_class;
    if (kept.opt_out_scope) row.opt_out_scope = stored.opt_out_scope;
  }
  return absl::OkStatus();
}

absl::Status PutTenant(const Config& config, TenantRow row, const KeptSettings& kept) {
  PR_ASSIGN_OR_RETURN(const std::unique_ptr<OneStore> open, OneStore::Open(config));
  PR_RETURN_IF_ERROR(KeepSettings(*open->store, kept, row));
  row.tenant_id = {MakeUuidV4(open->random)};
  row.webhook_key = RandomToken(open->random, kWebhookKeyBits);
  for (SenderRow& sender : row.senders) sender.sender_id = {MakeUuidV4(open->random)};
  PR_ASSIGN_OR_RETURN(const TenantRow stored, open->store->PutTenant(row));
  PrintLine(StrCat(stored.name, "  ", stored.tenant_id.ToString()));
  PrintLine(StrCat("webhook path  ", WebhookPathOf(stored)));
  return absl::OkStatus();
}

absl::Status ChangeWebhookPath(const Config& config, const std::string& name,
                               std::chrono::seconds keep) {
  PR_ASSIGN_OR_RETURN(const std::unique_ptr<OneStore> open, OneStore::Open(config));
  PR_ASSIGN_OR_RETURN(
      const TenantRow stored,
      open->store->ChangeWebhookKey(name, RandomToken(open->random, kWebhookKeyBits), keep));
  PrintLine(StrCat("webhook path  ", WebhookPathOf(stored)));
  PrintLine(StrCat("tell it to Genesys: the one before is taken for ", keep.count(), " s more"));
  return absl::OkStatus();
}

absl::Status PrintNewToken(OneStore& open, TenantId tenant, const std::string& name,
                           const std::vector<std::string>& scopes, int days,
                           std::optional<std::int64_t> daily_quota) {
  PR_ASSIGN_OR_RETURN(const Secret token,
                      IssueToken(*open.store, open.random, open.clock, tenant, name, scopes,
                                 std::chrono::hours(24 * days), daily_quota));
  PrintLine(std::string(token.Reveal()));
  std::fprintf(stderr, "This token is shown once; it is not stored anywhere.\n");
  return absl::OkStatus();
}

absl::Status CreateOperatorToken(const Config& config, const std::string& name, bool unmask,
                                 int days) {
  PR_ASSIGN_OR_RETURN(const std::unique_ptr<OneStore> open, OneStore::Open(config));
  std::vector<std::string> scopes = {"operator"};
  if (unmask) scopes.emplace_back("unmask");
  return PrintNewToken(*open, TenantId(), name, scopes, days, std::nullopt);
}

absl::Status CreateToken(const Config& config, const std::string& tenant_name,
                         const std::string& name, const std::vector<std::string>& scopes, int days,
                         std::optional<std::int64_t> daily_quota) {
  PR_ASSIGN_OR_RETURN(const std::unique_ptr<OneStore> open, OneStore::Open(config));
  PR_ASSIGN_OR_RETURN(const std::vector<TenantRow> tenants, open->store->LoadTenants());
  for (const TenantRow& tenant : tenants) {
    if (tenant.name != tenant_name) continue;
    return PrintNewToken(*open, tenant.tenant_id, name, scopes, days, daily_quota);
  }
  return absl::NotFoundError(StrCat("there is no tenant ", tenant_name,
                                    "; `postriderd tenant list` shows which there are"));
}

/// What of `put` decides where and as whom a tenant sends.
void AddAccountOptions(CLI::App& put, AccountSettings& account) {
  put.add_option("--profile", account.profile, "the HTTP contract: guide or platform")
      ->capture_default_str();
  put.add_option("--region", account.region, "platform: its domain, instead of both URLs");
  put.add_option("--base-url", account.base_url, "https://YOUR-DOMAIN.mypurecloud.com");
  put.add_option("--token-url", account.token_url, "https://login.REGION-DOMAIN/oauth/token");
  put.add_option("--client-id", account.client_id, "OAuth client id")->required();
  put.add_option("--client-secret-file", account.client_secret_file, "read by the gateway")
      ->required();
  put.add_option("--send-path", account.send_path, "guide: path of the send call, if another");
  put.add_option("--ca-file", account.ca_file, "authorities to trust, PEM");
  put.add_option("--active-conversation", account.active_conversation,
                 "platform, in a connected conversation: fail, join or hold")
      ->capture_default_str();
  put.add_flag("--refused-at-edge", account.refused_at_edge,
               "a 503 was not sent, so it may be sent again");
  put.add_option("--requests-per-minute", account.requests_per_minute,
                 "Genesys' limit: rate x 60 + burst stays within it")
      ->capture_default_str()
      ->check(CLI::Range(1, 6'000'000));
}

void AddWebhookOptions(CLI::App& put, AccountSettings& account) {
  put.add_option("--webhook-secret-file", account.webhook_secret_file,
                 "secrets that webhooks are signed with, one a line, read by the gateway");
  put.add_option("--webhook-window-s", account.webhook_window_s,
                 "guide: webhooks say when they were signed, at most so long ago")
      ->check(CLI::Range(0, 86'400));
}

void AddConsentOptions(CLI::App& put, TenantRow& row) {
  put.add_option_function<std::string>(
         "--opt-out-scope",
         [&row](const std::string& scope) {
           row.opt_out_scope =
               scope == NameOf(OptOutScope::kTenant) ? OptOutScope::kTenant : OptOutScope::kSender;
         },
         "what STOP opts a recipient out of: the sender that it was sent to, or all of the "
         "tenant's")
      ->check(CLI::IsMember({"sender", "tenant"}))
      ->default_str("sender");
}

void AddQuietOptions(CLI::App& put, QuietOptions& quiet) {
  put.add_option("--quiet-hours", quiet.hours,
                 "when its marketing does not leave, by the recipient's clock: law (by their state "
                 "and country), 21:00-08:00 (then neither), or off")
      ->capture_default_str();
  put.add_option("--quiet-zone", quiet.zone,
                 "time zone of recipients of whom none is known; else UTC");
  put.add_option("--default-class", quiet.default_class,
                 "what its messages are unless their campaign says: transactional, marketing or "
                 "one-time-code")
      ->capture_default_str();
}

void AddKeepingOptions(CLI::App& put, TenantRow& row) {
  const CLI::Range days(std::int64_t{kKeepTextsLeast.count()}, std::int64_t{kKeepLongest.count()});
  put.add_option("--keep-texts-days", row.keep_texts_days,
                 "texts, metadata and raw webhooks are erased after so long; else they are kept "
                 "as long as the message")
      ->check(days);
  put.add_option("--keep-numbers-days", row.keep_numbers_days,
                 "the same of recipients' numbers in messages")
      ->check(days);
}

/// The field that a refusal names, as its flag.
absl::Status NamingTheFlag(const absl::Status& refusal) {
  std::string why(refusal.message());
  if (why.starts_with("senders:")) why.erase(6, 1);
  std::replace(why.begin(), why.begin() + static_cast<std::ptrdiff_t>(why.find(':')), '_', '-');
  return absl::InvalidArgumentError(StrCat("--", why));
}

}  // namespace

int RunMigrate(const std::vector<std::string>& arguments) {
  CLI::App app("Brings a database's schema up to this version, or says how it stands.",
               "postriderd migrate");
  TakeOptions(app);
  CLI::App* up = app.add_subcommand("up", "apply what is missing");
  CLI::App* status = app.add_subcommand("status", "list what is applied");
  app.add_subcommand("verify", "fail unless exactly this version's schema is there");
  app.require_subcommand(1);
  Config config;
  if (const std::optional<int> done = ParseCommand(app, arguments, &config)) return *done;
  const absl::StatusOr<std::string> url = DatabaseUrl(config);
  if (!url.ok()) return PrintStatus(url.status());
  if (up->parsed()) return PrintStatus(MigrateDatabase(*url));
  if (status->parsed()) return PrintStatus(PrintMigrations(*url));
  const absl::Status verified = VerifySchema(*url);
  if (verified.ok()) PrintLine("the schema is this version's");
  return PrintStatus(verified);
}

int RunConfig(const std::vector<std::string>& arguments) {
  CLI::App app("Shows how postriderd is configured.", "postriderd config");
  app.add_subcommand("print-default", "a YAML file with every option at its default");
  app.require_subcommand(1);
  if (const std::optional<int> done = ParseCommand(app, arguments, nullptr)) return *done;
  std::fputs(DefaultConfigFile().c_str(), stdout);
  return kExitOk;
}

int RunTenant(const std::vector<std::string>& arguments) {
  CLI::App app("Tenants: who sends, as which Genesys organisation, how fast.", "postriderd tenant");
  TakeOptions(app);
  CLI::App* list = app.add_subcommand("list", "all tenants");
  CLI::App* put = app.add_subcommand(
      "put",
      "make a tenant, or set one anew: what is not given gets its default, but quiet "
      "hours, the default class and the scope of opt-outs stay");
  AccountSettings account;
  QuietOptions quiet;
  TenantRow row;
  std::vector<std::string> senders;
  put->add_option("--name", row.name, "1 to 64 of a-z, 0-9 and dashes")
      ->required()
      ->check([](const std::string& name) {
        const bool good =
            !name.empty() && name.size() <= 64 &&
            name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789-") == std::string::npos;
        return good ? "" : "must be 1 to 64 of a-z, 0-9 and dashes";
      });
  AddAccountOptions(*put, account);
  AddWebhookOptions(*put, account);
  AddConsentOptions(*put, row);
  AddQuietOptions(*put, quiet);
  AddKeepingOptions(*put, row);
  put->add_option("--rate", row.rate_per_s, "requests a second")
      ->capture_default_str()
      ->check(CLI::Range(0.01, 100000.0));
  put->add_option("--burst", row.burst, "requests at once")
      ->capture_default_str()
      ->check(CLI::Range(1, 100000));
  put->add_option("--queue-limit", row.queue_limit,
                  "messages that may wait; else what the rate drains in an hour, and 1000 at least")
      ->check(CLI::Range(std::int64_t{1}, kMaxQueueLimit));
  put->add_option("--daily-quota", row.daily_quota, "messages accepted a day (UTC); else no quota")
      ->check(CLI::Range(std::int64_t{0}, kMaxQueueLimit));
  put->add_flag("--strict", row.strict, "SendMessage must name a conversation");
  put->add_option(
      "--sender", senders,
      "a number or name to send from, NUMBER:2 for 2 segments a second; repeat for more");
  CLI::App* path = app.add_subcommand("webhook-path", "give a tenant's webhooks another path");
  std::string name;
  int keep_s = 86'400;
  path->add_option("--name", name, "whose")->required();
  path->add_option("--keep-s", keep_s, "the path before it is taken for so many seconds more")
      ->capture_default_str()
      ->check(CLI::Range(0, 30 * 86'400));
  app.require_subcommand(1);
  Config config;
  if (const std::optional<int> done = ParseCommand(app, arguments, &config)) return *done;
  if (list->parsed()) return PrintStatus(ListTenants(config));
  if (path->parsed())
    return PrintStatus(ChangeWebhookPath(config, name, std::chrono::seconds(keep_s)));
  absl::Status set = SetAccount(row, account, senders);
  if (set.ok()) set = SetQuietHours(row, quiet);
  if (!set.ok()) return PrintStatus(NamingTheFlag(set), kExitConfig);
  const auto is_kept = [&](const char* option) { return put->count(option) == 0; };
  return PrintStatus(PutTenant(config, row,
                               {.quiet_hours = is_kept("--quiet-hours"),
                                .quiet_zone = is_kept("--quiet-zone"),
                                .default_class = is_kept("--default-class"),
                                .opt_out_scope = is_kept("--opt-out-scope")}));
}

int RunToken(const std::vector<std::string>& arguments) {
  CLI::App app("API tokens of callers and operators.", "postriderd token");
  TakeOptions(app);
  CLI::App* create = app.add_subcommand("create", "make a token and show it once");
  std::string tenant = kDefaultTenant;
  std::string name;
  std::vector<std::string> scopes = {"send", "read"};
  int days = 0;
  bool for_operator = false;
  CLI::Option* flag = create->add_flag("--operator", for_operator,
                                       "of an operator: for AdminService, and for no tenant");
  bool unmask = false;
  create->add_flag("--unmask", unmask, "with --operator: may see numbers of dead letters in clear")
      ->needs(flag);
  create->add_option("--tenant", tenant, "whose calls it makes")
      ->capture_default_str()
      ->excludes(flag);
  create->add_option("--name", name, "which service or person will hold it")->required();
  create->add_option("--scopes", scopes, "send, read")
      ->excludes(flag)
      ->delimiter(',')
      ->capture_default_str()
      ->check(CLI::IsMember({"send", "read"}));
  create->add_option("--days", days, "how long it is valid; 0: for ever")
      ->capture_default_str()
      ->check(CLI::Range(0, 3650));
  std::optional<std::int64_t> daily_quota;
  create
      ->add_option("--daily-quota", daily_quota,
                   "messages that it may have accepted a day (UTC); else no quota of its own")
      ->check(CLI::Range(std::int64_t{0}, kMaxQueueLimit));
  app.require_subcommand(1);
  Config config;
  if (const std::optional<int> done = ParseCommand(app, arguments, &config)) return *done;
  return PrintStatus(for_operator ? CreateOperatorToken(config, name, unmask, days)
                                  : CreateToken(config, tenant, name, scopes, days, daily_quota));
}

}  // namespace postrider
