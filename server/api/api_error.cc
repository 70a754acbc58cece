#include "server/api/api_error.h"

#include <utility>

#include "server/base/strings.h"

namespace postrider {

using namespace std::chrono_literals;

namespace {

constexpr auto kStoreRetry = 1000ms;
constexpr auto kDrainRetry = 200ms;  // another replica, or this one's successor

}  // namespace

ApiError InvalidField(std::vector<ApiError::FieldViolation> violations) {
  ApiError error;
  error.code = absl::StatusCode::kInvalidArgument;
  error.reason = "INVALID_FIELD";
  for (const ApiError::FieldViolation& violation : violations) {
    // Programs read the details; a person sees the first few here.
    if (error.message.size() > 500) {
      StrAppend(error.message, "; ...");
      break;
    }
    StrAppend(error.message, error.message.empty() ? "" : "; ", violation.field, " ",
              violation.description);
  }
  error.violations = std::move(violations);
  return error;
}

ApiError FailedPrecondition(std::string reason, std::string message,
                            ApiError::Precondition precondition) {
  ApiError error;
  error.code = absl::StatusCode::kFailedPrecondition;
  error.reason = std::move(reason);
  error.message = std::move(message);
  error.preconditions.push_back(std::move(precondition));
  return error;
}

ApiError MessageNotFound() {
  ApiError error;
  error.code = absl::StatusCode::kNotFound;
  error.reason = "MESSAGE_NOT_FOUND";
  error.message = "the tenant has no such message";
  return error;
}

ApiError MessageNotFound(const std::string& message_id) {
  ApiError error = MessageNotFound();
  error.metadata["message_id"] = message_id;
  return error;
}

ApiError ConversationNotFound() {
  ApiError error;
  error.code = absl::StatusCode::kNotFound;
  error.reason = "CONVERSATION_NOT_FOUND";
  error.message = "the tenant has no such conversation";
  return error;
}

ApiError PageTokenInvalid() {
  ApiError error = InvalidField({{"page_token",
                                  "must be the next_page_token of an answer to the "
                                  "same request; leave it empty to begin"}});
  error.reason = "PAGE_TOKEN_INVALID";
  return error;
}

ApiError CallerGone() {
  ApiError error;
  error.code = absl::StatusCode::kCancelled;
  error.reason = "CANCELLED";
  error.message = "the caller went away";
  return error;
}

ApiError ServerDraining() {
  ApiError error;
  error.code = absl::StatusCode::kUnavailable;
  error.reason = "SERVER_DRAINING";
  error.message = "this server is shutting down; repeat the call";
  error.retry_after = kDrainRetry;
  return error;
}

ApiError StoreUnavailable() {
  ApiError error;
  error.code = absl::StatusCode::kUnavailable;
  error.reason = "STORE_UNAVAILABLE";
  error.message = "the database is away or busy; repeat the call";
  error.retry_after = kStoreRetry;
  return error;
}

ApiError InternalError(std::string internals) {
  ApiError error;
  error.message = "an error of the server; quote the request id";
  error.internals = std::move(internals);
  return error;
}

ApiError ErrorOfStore(const absl::Status& status) {
  if (absl::IsUnavailable(status) || absl::IsAborted(status)) {
    ApiError error = StoreUnavailable();
    error.internals = status.ToString();
    return error;
  }
  return InternalError(status.ToString());
}

}  // namespace postrider
