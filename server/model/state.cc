#include "server/model/state.h"

#include <tuple>

namespace postrider {

std::string_view NameOf(MessageState state) {
  switch (state) {
    case MessageState::kQueued:
      return "QUEUED";
    case MessageState::kDispatching:
      return "DISPATCHING";
    case MessageState::kUnknown:
      return "UNKNOWN";
    case MessageState::kUndetermined:
      return "UNDETERMINED";
    case MessageState::kSubmitted:
      return "SUBMITTED";
    case MessageState::kSent:
      return "SENT";
    case MessageState::kDelivered:
      return "DELIVERED";
    case MessageState::kFailed:
      return "FAILED";
    case MessageState::kRejected:
      return "REJECTED";
    case MessageState::kCancelled:
      return "CANCELLED";
    case MessageState::kExpired:
      return "EXPIRED";
    case MessageState::kSuppressed:
      return "SUPPRESSED";
  }
  return "UNSPECIFIED";
}

bool EndsMessage(MessageState state) {
  switch (state) {
    case MessageState::kQueued:
    case MessageState::kDispatching:
    case MessageState::kUnknown:
    case MessageState::kSubmitted:
    case MessageState::kSent:
      return false;
    default:
      return true;
  }
}

std::string_view NameOf(Cause cause) {
  switch (cause) {
    case Cause::kAccepted:
      return "ACCEPTED";
    case Cause::kIntended:
      return "INTENDED";
    case Cause::kPostAnswered:
      return "POST_ANSWERED";
    case Cause::kNotSent:
      return "NOT_SENT";
    case Cause::kReceipt:
      return "RECEIPT";
    case Cause::kCancelRequested:
      return "CANCEL_REQUESTED";
    case Cause::kExpiryPassed:
      return "EXPIRY_PASSED";
    case Cause::kOptedOut:
      return "OPTED_OUT";
    case Cause::kOwnerDied:
      return "OWNER_DIED";
    case Cause::kWindowClosed:
      return "WINDOW_CLOSED";
    case Cause::kReadAnswered:
      return "READ_ANSWERED";
    case Cause::kSentAgain:
      return "SENT_AGAIN";
    case Cause::kReplayed:
      return "REPLAYED";
  }
  return "UNSPECIFIED";
}

std::string_view NameOf(FailureReason reason) {
  switch (reason) {
    case FailureReason::kNone:
      return "NONE";
    case FailureReason::kRejectedByProvider:
      return "REJECTED_BY_PROVIDER";
    case FailureReason::kNotAuthorized:
      return "NOT_AUTHORIZED";
    case FailureReason::kCarrierRejected:
      return "CARRIER_REJECTED";
    case FailureReason::kInvalidNumber:
      return "INVALID_NUMBER";
    case FailureReason::kRecipientOptedOut:
      return "RECIPIENT_OPTED_OUT";
    case FailureReason::kUnreachable:
      return "UNREACHABLE";
    case FailureReason::kContent:
      return "CONTENT";
    case FailureReason::kTooFast:
      return "TOO_FAST";
    case FailureReason::kExpired:
      return "EXPIRED";
    case FailureReason::kUndetermined:
      return "UNDETERMINED";
    case FailureReason::kOther:
      return "OTHER";
  }
  return "UNSPECIFIED";
}

std::string_view NameOf(HoldReason reason) {
  switch (reason) {
    case HoldReason::kNone:
      return "NONE";
    case HoldReason::kSchedule:
      return "SCHEDULE";
    case HoldReason::kBackoff:
      return "BACKOFF";
    case HoldReason::kRetryAfter:
      return "RETRY_AFTER";
    case HoldReason::kQuota:
      return "QUOTA";
    case HoldReason::kTenantStopped:
      return "TENANT_STOPPED";
    case HoldReason::kActiveConversation:
      return "ACTIVE_CONVERSATION";
  }
  return "UNSPECIFIED";
}

Merge MergeReceipt(const MessageStatus& now, const ReceiptStatus& receipt) {
  Merge merge{.status = now};
  // A receipt of an attempt that was replaced speaks only when it says DELIVERED: the message
  // shows its best attempt.
  const bool earlier = receipt.attempt != 0 && receipt.attempt < now.attempt;
  if (earlier && receipt.state != MessageState::kDelivered) return merge;
  const auto in_force = std::tie(now.state, now.provider_at, now.receipt_hash);
  const auto arrived = std::tie(receipt.state, receipt.provider_at, receipt.hash);
  if (arrived <= in_force) return merge;

  MessageStatus& after = merge.status;
  after.state = receipt.state;
  after.failure = receipt.failure;
  after.provider_code = receipt.provider_code;
  after.provider_at = receipt.provider_at;
  after.receipt_hash = receipt.hash;
  after.hold_reason = HoldReason::kNone;
  after.hold_until = {};
  after.final = now.final || EndsMessage(receipt.state);
  merge.stored = true;
  merge.visible = after.state != now.state || after.provider_code != now.provider_code;
  merge.correction = merge.visible && now.final;
  if (merge.visible) ++after.revision;
  return merge;
}

MessageStatus Advance(const MessageStatus& now, MessageState to) {
  MessageStatus after = now;
  after.state = to;
  after.final = now.final || EndsMessage(to);
  after.hold_reason = HoldReason::kNone;
  after.hold_until = {};
  ++after.revision;
  return after;
}

MessageStatus Requeue(const MessageStatus& now, HoldReason hold, WallTime until) {
  MessageStatus after = Advance(now, MessageState::kQueued);
  ++after.attempt;
  after.hold_reason = hold;
  after.hold_until = until;
  return after;
}

std::optional<MessageStatus> AfterPost(const MessageStatus& now, int attempt, MessageState to,
                                       FailureReason failure, std::string_view provider_code) {
  if (now.attempt != attempt || now.state >= to) return std::nullopt;
  const bool receipt_overtook = now.state > MessageState::kUnknown;
  if (receipt_overtook && to != MessageState::kSubmitted) return std::nullopt;
  MessageStatus after = Advance(now, to);
  after.failure = failure;
  after.provider_code = provider_code;
  return after;
}

}  // namespace postrider
