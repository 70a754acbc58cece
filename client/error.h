#pragma once

#include <chrono>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include <grpcpp/support/status.h>

namespace postrider::client {

/// What the gateway said about one field, precondition or quota.
struct Violation {
  std::string subject;      ///< The field's path, such as "metadata.key"; or what was checked.
  std::string description;  ///< For people: what is wrong and what is allowed.
};

/// A refusal or failure of a call, decoded. Branch on `code` and `reason`; show the rest.
struct Error {
  absl::StatusCode code = absl::StatusCode::kOk;
  std::string message;
  /// The gateway's reason, such as "INVALID_FIELD" (the services' comments list them per call).
  /// Empty when the error did not come from the gateway: no connection, a deadline, a proxy.
  std::string reason;
  std::map<std::string, std::string> metadata;  ///< Details by name; what they are goes by reason.
  std::vector<Violation> violations;            ///< All of them, in the gateway's order.
  /// How long to wait before the call is repeated, when the gateway said so.
  std::optional<std::chrono::milliseconds> retry_after;
  std::string server_request_id;  ///< To quote when a bug is reported; empty when none was given.
};

/// Decodes `status` with the google.rpc details it carries. Details that cannot be read are left
/// out; this never fails.
/// Source: google/rpc/error_details.proto; `grpc-status-details-bin` holds a google.rpc.Status.
Error DecodeError(const grpc::Status& status);
/// The same for what this library's calls return: they keep the details as a payload.
Error DecodeError(const absl::Status& status);

/// `status` with the same code and message, and its details as a payload for DecodeError.
absl::Status ToAbslStatus(const grpc::Status& status);

/// One line: the reason, else the code's name; the message; every violation by its subject; the
/// metadata that these do not say, but for what is a program's; and `server_request_id`. Control
/// characters are shown as '?'.
std::string DescribeError(const Error& error);

/// `text` on one line: control characters, which could steer a terminal, become '?'.
std::string Printable(std::string_view text);

}  // namespace postrider::client
