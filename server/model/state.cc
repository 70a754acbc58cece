#include "server/model/state.h"

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

bool IsFailure(MessageState state) {
  return state == MessageState::kRejected || state == MessageState::kFailed ||
         state == MessageState::kUndetermined;
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
    case HoldReason::kQuietHours:
      return "QUIET_HOURS";
  }
  return "UNSPECIFIED";
}

}  // namespace postrider
