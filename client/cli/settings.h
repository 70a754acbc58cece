#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"

#include "client/admin.h"
#include "client/cli/context.h"
#include "client/client.h"

namespace postrider::cli {

enum class Output { kTable, kJson, kJsonl };

/// What every command takes: where the gateway is, who calls, how to print.
struct Settings {
  std::string address;     ///< Empty: POSTRIDER_ADDRESS, else 127.0.0.1:7070.
  std::string token_file;  ///< Empty: see TokenOf.
  std::string ca_file;
  bool tls = false;
  double timeout_s = 10;    ///< Of each try.
  double retry_for_s = 30;  ///< Of a call with all its tries.
  Output output = Output::kTable;
  bool is_operator = false;  ///< Other defaults: see OperatorsOf.
};

/// The token itself, or the file that holds it; one of the two is set.
struct TokenSource {
  std::string token;
  std::string file;
  bool is_default = false;  ///< Nobody chose the file.
};

/// --token-file, else POSTRIDER_TOKEN, else POSTRIDER_TOKEN_FILE, else `default.token` in the
/// state directory: $POSTRIDER_STATE_DIR, else /var/lib/postrider for root, else
/// $XDG_STATE_HOME/postrider, else ~/.local/state/postrider.
TokenSource TokenOf(const Settings& settings, const Context& context);

std::string AddressOf(const Settings& settings, const Context& context);

/// A client by `settings`. UNAUTHENTICATED, saying how to get one, when there is no token;
/// INVALID_ARGUMENT when the CA file cannot be used.
absl::StatusOr<std::unique_ptr<client::Client>> OpenClient(const Settings& settings,
                                                           const Context& context);

/// An operator's connection: the same settings, but POSTRIDER_ADMIN_ADDRESS, else 127.0.0.1:7074;
/// POSTRIDER_OPERATOR_TOKEN, POSTRIDER_OPERATOR_TOKEN_FILE, else `operator.token` in the state
/// directory.
Settings OperatorsOf(Settings settings);
absl::StatusOr<std::unique_ptr<client::Admin>> OpenAdmin(const Settings& settings,
                                                         const Context& context);

/// Writes `status` to stderr, "postrider: what, and what to do about it", and gives its exit code.
int Fail(const Settings& settings, const Context& context, const absl::Status& status);
/// The same for wrong usage.
int FailUsage(const Context& context, const std::string& message);
/// Says what failed on stderr, and below it each of `problems` on a line of its own.
void PrintProblems(const Context& context, const std::string& what,
                   const std::vector<std::string>& problems);

}  // namespace postrider::cli
