#pragma once

#include <chrono>
#include <map>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "absl/status/status.h"

namespace postrider {

/// What a caller is told when a call fails: one status code, one reason, and the details that go
/// with it. convert.h turns it into google.rpc details. The text is for people and may change;
/// `reason` is for programs and never does.
struct ApiError {
  struct FieldViolation {
    std::string field;  ///< "recipient", "metadata[key]"
    std::string description;
    friend bool operator==(const FieldViolation&, const FieldViolation&) = default;
  };
  struct Precondition {
    std::string type;
    std::string subject;
    std::string description;
  };

  struct QuotaViolation {
    std::string subject;  ///< "tenant:NAME", "token:NAME"
    std::string description;
  };

  absl::StatusCode code = absl::StatusCode::kInternal;
  std::string reason = "INTERNAL";
  std::string message;
  std::vector<FieldViolation> violations;                ///< BadRequest; kMaxViolations are told.
  std::vector<Precondition> preconditions;               ///< PreconditionFailure
  std::vector<QuotaViolation> quotas;                    ///< QuotaFailure
  std::map<std::string, std::string> metadata;           ///< ErrorInfo.metadata
  std::optional<std::chrono::milliseconds> retry_after;  ///< RetryInfo and pushback.
  bool never_retry = false;                              ///< Pushback -1: repeating makes it worse.
  std::string internals;                                 ///< For our log only.
};

/// A value, or what the caller is told instead.
template <typename T>
using Result = std::variant<T, ApiError>;

ApiError InvalidField(std::vector<ApiError::FieldViolation> violations);
ApiError FailedPrecondition(std::string reason, std::string message,
                            ApiError::Precondition precondition);
ApiError MessageNotFound();
/// The same for one of several that were asked for: ErrorInfo.metadata["message_id"] is its id.
ApiError MessageNotFound(const std::string& message_id);
ApiError ConversationNotFound();
/// Of the field `page_token`.
ApiError PageTokenInvalid();
/// CANCELLED: nobody is told, but meters are.
ApiError CallerGone();
ApiError ServerDraining();
ApiError StoreUnavailable();
ApiError InternalError(std::string internals);
/// What a failed store operation is to the caller: STORE_UNAVAILABLE when repeating can help, else
/// INTERNAL. Look-ups turn NOT_FOUND into MessageNotFound() themselves.
ApiError ErrorOfStore(const absl::Status& status);

}  // namespace postrider
