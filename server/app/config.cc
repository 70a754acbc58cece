#include "server/app/config.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <optional>
#include <string_view>
#include <unistd.h>

#include "server/app/config_sources.h"
#include "server/app/option_table.h"
#include "server/base/check.h"
#include "server/base/strings.h"
#include "server/model/limits.h"
#include "server/model/retention_limits.h"

namespace postrider {

namespace {

constexpr std::string_view kSandboxSender = "+15559876543";

absl::Status StatusOf(const std::vector<std::string>& problems) {
  if (problems.empty()) return absl::OkStatus();
  std::string text;
  for (const std::string& problem : problems) StrAppend(text, text.empty() ? "" : "\n", problem);
  return absl::InvalidArgumentError(text);
}

std::string VariableIn(const std::vector<std::string>& environment, std::string_view name) {
  const std::string prefix = StrCat(name, "=");
  for (const std::string& line : environment) {
    if (line.starts_with(prefix)) return line.substr(prefix.size());
  }
  return "";
}

/// Source: XDG Base Directory Specification; a relative path there is to be ignored.
std::string DefaultStateDir(const ConfigSources& sources) {
  if (sources.root) return "/var/lib/postrider";
  const std::string state_home = VariableIn(sources.environment, "XDG_STATE_HOME");
  if (state_home.starts_with('/')) return StrCat(state_home, "/postrider");
  const std::string home = VariableIn(sources.environment, "HOME");
  return home.empty() ? "" : StrCat(home, "/.local/state/postrider");
}

/// Where the file is, which only a flag or a variable can say; "" when neither does.
std::string ConfigFileIn(const GivenOptions& environment, const GivenOptions& flags) {
  std::string path;
  for (const GivenOptions* given : {&environment, &flags}) {
    for (const GivenOption& one : given->options) {
      if (one.option->name == "config") path = one.text;
    }
  }
  return path;
}

/// A rejected value in a message for a terminal: short, and without control characters.
std::string Shown(const GivenOption& one) {
  constexpr std::size_t kMaxShown = 100;
  if (one.option->secret) return "(not shown)";
  std::string text = one.text.substr(0, kMaxShown);
  std::replace_if(
      text.begin(), text.end(),
      [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }, '?');
  return StrCat("\"", text, one.text.size() > kMaxShown ? "..." : "", "\"");
}

void Apply(const GivenOptions& given, Config& config, std::vector<std::string>& problems) {
  problems.insert(problems.end(), given.problems.begin(), given.problems.end());
  for (const GivenOption& one : given.options) {
    const absl::StatusOr<OptionValue> value = ParseOption(*one.option, one.text);
    if (value.ok()) {
      one.option->set(config, *value);
      continue;
    }
    problems.push_back(StrCat(one.option->name, " = ", Shown(one), " (from ", one.where, ") ",
                              ToStd(value.status().message())));
  }
}

/// A file that must be there when its option is set. Needs the right to read it, not its content.
void NeedFile(std::string_view name, const std::string& path, std::vector<std::string>& problems) {
  if (path.empty() || access(path.c_str(), R_OK) == 0) return;
  problems.push_back(StrCat(name, " = \"", path, "\" cannot be read: ", std::strerror(errno)));
}

/// "genesys-send-path" for send_path: what the setting is called that a problem names.
std::string OptionOf(std::string_view field) {
  if (field == "rate") return "rate-per-second";
  if (field == "senders" || field == "burst") return std::string(field);
  std::string name = StrCat("genesys-", field);
  std::replace(name.begin(), name.end(), '_', '-');
  return name;
}

void CheckAccount(const AccountSettings& account, const Config& config,
                  std::vector<std::string>& problems) {
  TenantRow row;
  row.rate_per_s = config.rate_per_second;
  row.burst = config.burst;
  const absl::Status set = SetAccount(row, account, config.senders);
  if (set.ok()) return;
  const std::string why(set.message());
  const std::size_t colon = why.find(':');
  problems.push_back(StrCat(OptionOf(why.substr(0, colon)), why.substr(colon)));
}

void CheckSandbox(const Config& config, std::vector<std::string>& problems) {
  const AccountSettings& genesys = config.genesys;
  const struct {
    std::string_view name;
    const std::string& value;
  } real[] = {{"genesys-region", genesys.region},
              {"genesys-base-url", genesys.base_url},
              {"genesys-token-url", genesys.token_url},
              {"genesys-client-id", genesys.client_id},
              {"genesys-client-secret-file", genesys.client_secret_file},
              {"genesys-ca-file", genesys.ca_file}};
  for (const auto& [name, value] : real) {
    if (value.empty()) continue;
    problems.push_back(StrCat(name, " is set together with sandbox: send to one or to the other"));
  }
  if (!problems.empty()) return;
  AccountSettings sandbox = genesys;
  sandbox.base_url = sandbox.token_url = "http://localhost";
  sandbox.client_id = "sandbox";
  CheckAccount(sandbox, config, problems);
  NeedFile("genesys-webhook-secret-file", genesys.webhook_secret_file, problems);
}

void CheckGenesys(const Config& config, std::vector<std::string>& problems) {
  const AccountSettings& genesys = config.genesys;
  const bool has_urls = !genesys.region.empty();
  std::string missing;
  const struct {
    std::string_view name;
    bool set;
  } needed[] = {{"genesys-base-url", has_urls || !genesys.base_url.empty()},
                {"genesys-token-url", has_urls || !genesys.token_url.empty()},
                {"genesys-client-id", !genesys.client_id.empty()},
                {"genesys-client-secret-file", !genesys.client_secret_file.empty()},
                {"senders", !config.senders.empty()}};
  for (const auto& [name, set] : needed) {
    if (!set) StrAppend(missing, missing.empty() ? "" : ", ", name);
  }
  // A database of one's own can hold its tenants already; half an organisation is a slip.
  const bool tenants_elsewhere = !config.database_url.empty() && !has_urls &&
                                 genesys.base_url.empty() && genesys.token_url.empty() &&
                                 genesys.client_id.empty() && genesys.client_secret_file.empty() &&
                                 config.senders.empty();
  if (!missing.empty() && !tenants_elsewhere) {
    problems.push_back(StrCat("nowhere to send to: set ", missing,
                              "; or try it without Genesys Cloud by --sandbox"));
  }
  if (missing.empty()) CheckAccount(genesys, config, problems);
  NeedFile("genesys-client-secret-file", genesys.client_secret_file, problems);
  NeedFile("genesys-ca-file", genesys.ca_file, problems);
  NeedFile("genesys-webhook-secret-file", genesys.webhook_secret_file, problems);
}

void CheckRetention(const Config& config, std::vector<std::string>& problems) {
  if (config.keep.webhooks > config.keep.messages) {
    problems.push_back(
        StrCat("keep-webhooks-days = ", config.keep.webhooks.count(),
               " must not be above keep-messages-days = ", config.keep.messages.count()));
  }
  for (const auto& [name, days] : {std::pair("keep-texts-days", config.keep_texts_days),
                                   std::pair("keep-numbers-days", config.keep_numbers_days)}) {
    if (days == 0 || std::chrono::days(days) >= kKeepTextsLeast) continue;
    problems.push_back(StrCat(name, " = ", days, " must be 0, for as long as the message, or ",
                              kKeepTextsLeast.count(), " at least: a request may be repeated for ",
                              "30 days, and is compared with the first"));
  }
}

void CheckQuietHours(const Config& config, std::vector<std::string>& problems) {
  TenantRow row;
  const absl::Status set = SetQuietHours(row, config.quiet);
  if (set.ok()) return;
  std::string why(ToStd(set.message()));
  std::replace(why.begin(), why.begin() + static_cast<std::ptrdiff_t>(why.find(':')), '_', '-');
  problems.push_back(std::move(why));
}

void CheckPorts(const Config& config, std::vector<std::string>& problems) {
  struct Listener {
    std::string_view name;
    const ListenAddress& address;
  };
  std::vector<Listener> listeners = {{"listen", config.listen},
                                     {"admin-listen", config.admin_listen},
                                     {"webhook-listen", config.webhook_listen},
                                     {"ops-listen", config.ops_listen}};
  if (config.sandbox.enabled) listeners.push_back({"sandbox-listen", config.sandbox.listen});
  for (std::size_t i = 0; i < listeners.size(); ++i) {
    for (std::size_t j = 0; j < i; ++j) {
      const ListenAddress& a = listeners[i].address;
      const ListenAddress& b = listeners[j].address;
      if (a.port == 0 || a.port != b.port || a.host != b.host) continue;
      problems.push_back(
          StrCat(listeners[i].name, " and ", listeners[j].name, " are both at ", a.Text()));
    }
  }
}

}  // namespace

ConfigSources SourcesOf(std::vector<std::string> flags) {
  ConfigSources sources{
      .flags = std::move(flags), .environment = {}, .root = geteuid() == 0, .command_flags = {}};
  for (char** line = environ; *line != nullptr; ++line) sources.environment.emplace_back(*line);
  return sources;
}

bool WantsHelp(const std::vector<std::string>& flags) {
  return std::any_of(flags.begin(), flags.end(),
                     [](const std::string& flag) { return flag == "--help" || flag == "-h"; });
}

absl::StatusOr<Config> LoadConfig(const ConfigSources& sources) {
  GivenOptions defaults;
  for (const Option& option : OptionTable()) {
    if (option.fallback.empty()) continue;
    defaults.options.push_back({&option, std::string(option.fallback), "the defaults"});
  }
  const GivenOptions flags = ReadFlags(sources.flags, sources.command_flags);
  const GivenOptions environment = ReadEnvironment(sources.environment);
  const std::string path = ConfigFileIn(environment, flags);
  const GivenOptions file = path.empty() ? GivenOptions{} : ReadConfigFile(path);

  Config config;
  std::vector<std::string> problems;
  Apply(defaults, config, problems);
  PR_CHECK(problems.empty());
  for (const GivenOptions* given : {&file, &environment, &flags}) Apply(*given, config, problems);

  if (config.state_dir.empty()) config.state_dir = DefaultStateDir(sources);
  if (config.state_dir.empty()) problems.push_back("state-dir must be set: HOME is not");
  if (config.sandbox.enabled && config.senders.empty()) {
    config.senders.emplace_back(kSandboxSender);
  }
  if (absl::Status status = StatusOf(problems); !status.ok()) return status;
  return config;
}

absl::Status ValidateForServe(const Config& config) {
  std::vector<std::string> problems;
  if (config.sandbox.enabled) {
    CheckSandbox(config, problems);
  } else {
    CheckGenesys(config, problems);
  }
  if (config.posters_min > config.posters_max) {
    problems.push_back(StrCat("posters-min = ", config.posters_min,
                              " must not be above posters-max = ", config.posters_max));
  }
  if (config.tls_cert_file.empty() != config.tls_key_file.empty()) {
    problems.push_back("tls-cert-file and tls-key-file belong together: set both or none");
  }
  NeedFile("tls-cert-file", config.tls_cert_file, problems);
  NeedFile("tls-key-file", config.tls_key_file, problems);
  CheckRetention(config, problems);
  CheckQuietHours(config, problems);
  CheckPorts(config, problems);
  return StatusOf(problems);
}

}  // namespace postrider
