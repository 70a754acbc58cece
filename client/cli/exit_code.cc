#include "client/cli/exit_code.h"

namespace postrider::cli {

ExitCode ExitCodeOf(absl::StatusCode code) {
  switch (code) {
    case absl::StatusCode::kOk:
      return kExitOk;
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kFailedPrecondition:
    case absl::StatusCode::kAlreadyExists:
    case absl::StatusCode::kOutOfRange:
    case absl::StatusCode::kAborted:
      return kExitRefused;
    case absl::StatusCode::kNotFound:
      return kExitNotFound;
    case absl::StatusCode::kUnauthenticated:
    case absl::StatusCode::kPermissionDenied:
      return kExitNotAllowed;
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kDeadlineExceeded:
    case absl::StatusCode::kResourceExhausted:
    case absl::StatusCode::kCancelled:
      return kExitUnavailable;
    default:
      return kExitInternal;
  }
}

const char kExitCodeHelp[] =
    "Exit codes:\n"
    "  0  all good\n"
    "  1  some lines failed, or with --watch a message ended other than DELIVERED\n"
    "  2  wrong usage, or a file that cannot be read\n"
    "  3  refused: the request itself is at fault\n"
    "  4  no such message or conversation\n"
    "  5  not authenticated, or not allowed\n"
    "  6  the gateway is not available, or asks to come back later\n"
    "  7  internal error\n";

}  // namespace postrider::cli
