#pragma once

#include <CLI/CLI.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "server/app/config.h"

namespace postrider {

// What the subcommands of postriderd share: how they take their arguments, find the database, and
// speak.

/// The exit status of a command, beside kExitConfig.
inline constexpr int kExitOk = 0;
inline constexpr int kExitFailed = 1;
inline constexpr int kExitUsage = 2;

/// Nothing and kExitOk when `status` is OK; else its message on stderr, and `exit_status`.
int PrintStatus(const absl::Status& status, int exit_status = kExitFailed);
/// One line on stdout.
void PrintLine(const std::string& line);

/// Says that `app`, to which no subcommand was added yet, leaves to LoadConfig what it does not
/// know. `otherwise`: which database it is without --database-url.
void TakeOptions(CLI::App& app,
                 std::string_view otherwise = "of the gateway that runs in --state-dir");
/// --reason, which must be given and say something; `help` is what it is for.
void TakeReason(CLI::App& command, std::string& reason, const std::string& help);
/// Parses `arguments`, and what of them is an option of postriderd into `config`, as `serve` does.
/// An exit status when there is nothing more to do.
std::optional<int> ParseCommand(CLI::App& app, std::vector<std::string> arguments, Config* config);

/// Where the database is: the configured one, else the one of the gateway that runs.
/// FAILED_PRECONDITION when there is neither.
absl::StatusOr<std::string> DatabaseUrl(const Config& config);

}  // namespace postrider
