#pragma once

#include "absl/status/status.h"

namespace postrider::cli {

/// What `postrider` ends with; part of the contract with scripts (client/README.md).
enum ExitCode : int {
  kExitOk = 0,
  kExitSomeFailed = 1,   ///< Some lines failed, or a message that was followed did not arrive.
  kExitUsage = 2,        ///< Wrong flags, or a file that cannot be read.
  kExitRefused = 3,      ///< The gateway refused the request: repeating it will not help.
  kExitNotFound = 4,     ///< No such message or conversation.
  kExitNotAllowed = 5,   ///< No token, a bad one, or one that may not do this.
  kExitUnavailable = 6,  ///< The gateway cannot be reached or asks to come back later.
  kExitInternal = 7,     ///< A bug, here or in the gateway.
};

/// The exit code of a call that ended with `code`.
ExitCode ExitCodeOf(absl::StatusCode code);

/// For --help.
extern const char kExitCodeHelp[];

}  // namespace postrider::cli
