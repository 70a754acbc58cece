#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "postrider/v1/message_service.pb.h"
#include "server/api/api_error.h"
#include "server/base/clock.h"
#include "server/model/events.h"
#include "server/model/message.h"
#include "server/store/tenant_directory.h"

namespace postrider {

/// Checks a request by every rule of message_service.proto and normalises it. Pure. Errors:
/// INVALID_FIELD with every violation at once, CONVERSATION_REQUIRED, SENDER_NOT_REGISTERED,
/// SENDER_NOT_ALLOWED. `tenant` is the caller's, of `tenants`. Without `now` its times may have
/// passed, its sender be switched off, and its template be gone or another (then the text is empty,
/// or another): what was in order once still is.
/// Step 1 of the life of a message (server/README.md).
Result<MessageRequest> Validate(const v1::SendMessageRequest& request, const TenantRow& tenant,
                                const TenantSnapshot& tenants, std::optional<WallTime> now);

/// Which message a GetStatus asks for: by id, or (nil id) by request_id.
struct StatusQuery {
  MessageId message_id;
  std::string request_id;
};
Result<StatusQuery> Validate(const v1::GetStatusRequest& request);
Result<StatusQuery> Validate(const v1::ExplainMessageRequest& request);

Result<MessageId> Validate(const v1::CancelMessageRequest& request);

/// What a StreamStatus asks for.
struct StreamQuery {
  EventFilter filter;
  bool resumes = false;
  EventPosition position;  ///< When it resumes.
  bool include_snapshot = false;
  bool until_final = false;
  std::chrono::nanoseconds checkpoint_interval{};
};
/// Errors: INVALID_FIELD, RESUME_TOKEN_INVALID.
Result<StreamQuery> Validate(const v1::StreamStatusRequest& request, TenantId tenant);

/// 32 bytes; two requests are the same when they are equal. SHA-256 over the normalised fields in
/// a fixed order, with a version in front; unknown fields and validate_only are no part of it, and
/// of one by template its name and values are, not the text.
std::string FingerprintOf(const MessageRequest& request);
/// The names of the fields in which `repeat` differs from the stored `first` of that fingerprint,
/// whose conversation may have been found for it. Empty: in none, it is the same request.
std::vector<std::string> DifferingFields(const MessageRequest& first, std::string_view fingerprint,
                                         const MessageRequest& repeat);

}  // namespace postrider
