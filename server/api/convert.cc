#include "server/api/convert.h"

#include "server/base/strings.h"

namespace postrider {

namespace {

constexpr WallTime kNone{};

template <typename Enum>
Enum To(auto value) {
  return static_cast<Enum>(static_cast<int>(value));
}

/// Whether the same message may get through when it is sent again later.
bool MayWorkLater(FailureReason reason) {
  switch (reason) {
    case FailureReason::kUnreachable:
    case FailureReason::kTooFast:
    case FailureReason::kExpired:
    case FailureReason::kNotAuthorized:
      return true;
    default:
      return false;
  }
}

void AddStatus(const MessageStatus& status, v1::StatusChange& out) {
  out.set_revision(status.revision);
  out.set_state(To<v1::MessageState>(status.state));
  out.set_attempt(status.attempt);
  out.set_final(status.final);
  out.set_provider_code(status.provider_code);
  if (status.provider_at != kNone) ToProto(status.provider_at, *out.mutable_provider_at());
  const bool failed = status.state == MessageState::kFailed ||
                      status.state == MessageState::kRejected ||
                      status.state == MessageState::kUndetermined;
  if (failed) {
    v1::Failure& failure = *out.mutable_failure();
    failure.set_reason(To<v1::FailureReason>(status.failure));
    failure.set_provider_code(status.provider_code);
    failure.set_correlation_id(status.correlation_id);
    failure.set_retryable(MayWorkLater(status.failure));
  }
  if (status.state == MessageState::kQueued && status.hold_reason != HoldReason::kNone) {
    out.mutable_hold()->set_reason(To<v1::HoldReason>(status.hold_reason));
    if (status.hold_until != kNone)
      ToProto(status.hold_until, *out.mutable_hold()->mutable_until());
  }
}

}  // namespace

void ToProto(WallTime time, google::protobuf::Timestamp& out) {
  const auto since_epoch = time.time_since_epoch();
  const auto seconds = std::chrono::floor<std::chrono::seconds>(since_epoch);
  const auto rest = std::chrono::duration_cast<std::chrono::nanoseconds>(since_epoch - seconds);
  out.set_seconds(seconds.count());
  out.set_nanos(static_cast<std::int32_t>(rest.count()));
}

void ToProto(const MessageRequest& request, v1::Message& out) {
  out.set_request_id(request.request_id);
  if (!request.conversation_id.IsNil()) {
    out.set_conversation_id(request.conversation_id.ToString());
  }
  out.set_external_contact_id(request.external_contact_id);
  out.set_recipient(request.recipient);
  out.set_sender(request.sender);
  out.set_text(request.text);
  out.set_template_name(request.template_name);
  out.set_content_unchecked(request.content_unchecked);
  out.mutable_metadata()->insert(request.metadata.begin(), request.metadata.end());
  out.set_campaign_id(request.campaign_id);
  out.set_priority(To<v1::Priority>(request.priority));
  out.set_duplicate_policy(To<v1::DuplicatePolicy>(request.duplicate_policy));
  if (request.not_before != kNone) ToProto(request.not_before, *out.mutable_not_before());
  if (request.expire_at != kNone) ToProto(request.expire_at, *out.mutable_expire_at());
}

void ToProto(const Message& message, v1::Message& out) {
  ToProto(message.request, out);
  out.set_text_erased(message.request.text.empty());
  out.set_answers_opt_out(message.request.answers_opt_out);
  out.set_recipient_erased(message.request.recipient.empty());
  out.set_message_id(message.message_id.ToString());
  ToProto(message.accepted_at, *out.mutable_accepted_at());
  out.set_provider_message_id(message.provider_message_id);
  out.set_provider_conversation_id(message.provider_conversation_id);
  v1::StatusChange& status = *out.mutable_status();
  AddStatus(message.status, status);
  status.set_message_id(out.message_id());
  status.set_conversation_id(out.conversation_id());
  status.set_external_contact_id(message.request.external_contact_id);
  status.set_campaign_id(message.request.campaign_id);
  ToProto(message.updated_at, *status.mutable_changed_at());
}

void ToProto(const MessageRecord& record, v1::Message& out) {
  ToProto(record.message, out);
  const bool complete = !record.history.empty() &&
                        record.history.back().status.revision >= record.message.status.revision;
  if (!complete) return;  // more changes than a history tells
  out.clear_status();
  ToProto(record.history.back(), *out.mutable_status());
}

void ToProto(const StatusEvent& event, v1::StatusChange& out) {
  AddStatus(event.status, out);
  out.set_message_id(event.message_id.ToString());
  if (event.status.revision > 1) out.set_previous(To<v1::MessageState>(event.previous));
  out.set_cause(To<v1::Cause>(event.cause));
  out.set_correction(event.correction);
  ToProto(event.at, *out.mutable_changed_at());
  out.set_conversation_id(event.conversation_id.ToString());
  out.set_external_contact_id(event.external_contact_id);
  out.set_campaign_id(event.campaign_id);
}

void ToProto(const Attempt& attempt, v1::Attempt& out) {
  out.set_attempt(attempt.attempt);
  ToProto(attempt.intended_at, *out.mutable_intended_at());
  if (attempt.open) return;
  ToProto(attempt.outcome_at, *out.mutable_outcome_at());
  out.set_outcome(To<v1::AttemptOutcome>(attempt.outcome.kind));
  out.set_http_status(attempt.outcome.http_status);
  out.set_provider_code(attempt.outcome.provider_code);
  out.set_correlation_id(attempt.outcome.correlation_id);
  out.set_detail(attempt.outcome.detail);
}

std::string AddressOf(const TenantRow& tenant, SenderId sender_id) {
  if (sender_id == SenderId{}) return "";
  for (const SenderRow& sender : tenant.senders) {
    if (sender.sender_id == sender_id) return sender.address;
  }
  return sender_id.ToString();
}

}  // namespace postrider
