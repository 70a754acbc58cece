#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "server/app/tenant_account.h"
#include "server/base/log.h"
#include "server/base/secret.h"
#include "server/model/doubt.h"
#include "server/store/retention.h"

namespace postrider {

/// The exit status of a program whose configuration is wrong. Source: sysexits.h, EX_CONFIG.
inline constexpr int kExitConfig = 78;

/// Where to listen.
struct ListenAddress {
  std::string host;  ///< A name or an address; IPv6 without brackets.
  int port = 0;      ///< 0: any free port.

  /// "127.0.0.1:7070", "[::1]:7070"
  std::string Text() const;
};

/// Every setting of postriderd. Only app/ knows it: gateway.cc hands each part its own. What each
/// field means, its unit and its range stand in option_table.cc, and nowhere else.
struct Config {
  struct Sandbox {
    bool enabled = false;
    ListenAddress listen;
    bool older_replies = false;
    int rate_per_minute = 0;
    std::chrono::milliseconds answer_delay{};
    std::string refused_word;
    bool receipts = true;
    std::chrono::milliseconds receipt_delay{};
    int retry_compression = 1;
    std::string ledger_file;
  };

  std::string config_file;
  std::string state_dir;  ///< Never empty after LoadConfig.
  Secret database_url;    ///< Empty: a private Postgres in state_dir.
  std::string replica_name;

  ListenAddress listen;
  ListenAddress admin_listen;
  ListenAddress webhook_listen;
  ListenAddress ops_listen;
  std::string tls_cert_file;
  std::string tls_key_file;

  AccountSettings genesys;           ///< The default tenant's.
  std::vector<std::string> senders;  ///< As SenderOf reads them (app/tenant_account.h).
  double rate_per_second = 0;
  int burst = 0;
  double sender_rate = 0;
  int queue_limit = 0;
  int daily_quota = -1;
  std::chrono::seconds breaker_open_first{};
  std::chrono::seconds breaker_open_longest{};

  KeepTimes keep;
  int keep_texts_days = 0;    ///< The default tenant's; 0: as long as the message.
  int keep_numbers_days = 0;  ///< The same.
  QuietOptions quiet;         ///< The default tenant's.

  DoubtTimes doubt;
  int posters_min = 0;
  int posters_max = 0;
  int group_commit_writers = 0;
  int read_workers = 0;

  Sandbox sandbox;

  LogFormat log_format = LogFormat::kConsole;
  LogLevel log_level = LogLevel::kInfo;
  std::chrono::seconds drain_deadline{};
};

/// What LoadConfig reads.
struct ConfigSources {
  std::vector<std::string> flags;        ///< What follows the subcommand.
  std::vector<std::string> environment;  ///< "NAME=value", all of it; others' names are skipped.
  bool root = false;                     ///< Runs as the superuser.
  /// "--name" ...: what the subcommand knows besides the options, so that a slip finds it.
  std::vector<std::string> command_flags = {};
};
/// The sources of this process.
ConfigSources SourcesOf(std::vector<std::string> flags);

/// The flags ask for the help text, not for a run.
bool WantsHelp(const std::vector<std::string>& flags);

/// Flags over POSTRIDER_* variables over the YAML file over defaults.
///
/// INVALID_ARGUMENT with every problem at once, one a line: the key, where it came from, its value
/// (not a secret's) and what is allowed. Unknown and repeated keys are problems too. The program
/// then prints the message and exits with kExitConfig. Reads the file and nothing else.
absl::StatusOr<Config> LoadConfig(const ConfigSources& sources);

/// What `postriderd serve` needs beyond well-formed values: a Genesys organisation or the sandbox,
/// not both; files that can be read. INVALID_ARGUMENT with every problem at once, one a line.
absl::Status ValidateForServe(const Config& config);

}  // namespace postrider
