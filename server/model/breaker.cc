#include "server/model/breaker.h"

#include "server/base/check.h"
#include "server/model/dispatch_limits.h"

namespace postrider {

namespace {

bool IsFromOutside(MessageState state) {
  return state == MessageState::kDelivered || state == MessageState::kFailed;
}

bool IsServerError(int http_status) { return http_status >= 500 && http_status <= 599; }

}  // namespace

std::string_view NameOf(Breaker breaker) {
  return breaker == Breaker::kTransport ? "TRANSPORT" : "CARRIER";
}

std::string_view NameOf(BreakerState state) {
  switch (state) {
    case BreakerState::kClosed:
      return "CLOSED";
    case BreakerState::kOpen:
      return "OPEN";
    case BreakerState::kHalfOpen:
      return "HALF_OPEN";
  }
  PR_CHECK(false);
}

BreakerVerdict TransportVerdictOf(const Outcome& outcome) {
  // The tenant's own doing, or its pace: the way to Genesys is not in question.
  if (outcome.stops_tenant || outcome.pauses_tenant || outcome.http_status == 429) {
    return BreakerVerdict::kNothing;
  }
  switch (outcome.kind) {
    case OutcomeKind::kAccepted:
    case OutcomeKind::kRejected:
      return BreakerVerdict::kGood;
    case OutcomeKind::kUnknown:
      return BreakerVerdict::kFailed;
    case OutcomeKind::kNotSent:
      // No connection, or refused at the edge.
      return outcome.http_status == 0 || IsServerError(outcome.http_status)
                 ? BreakerVerdict::kFailed
                 : BreakerVerdict::kNothing;
    case OutcomeKind::kHeld:
    case OutcomeKind::kTakenBack:
      return BreakerVerdict::kNothing;
  }
  PR_CHECK(false);
}

BreakerVerdict CarrierVerdictOf(MessageState state, FailureReason failure) {
  if (state == MessageState::kDelivered) return BreakerVerdict::kGood;
  if (state != MessageState::kFailed) return BreakerVerdict::kNothing;
  switch (failure) {
    case FailureReason::kNone:
    case FailureReason::kRejectedByProvider:
    case FailureReason::kNotAuthorized:
    case FailureReason::kCarrierRejected:
    case FailureReason::kContent:
    case FailureReason::kOther:
      return BreakerVerdict::kFailed;
    case FailureReason::kInvalidNumber:
    case FailureReason::kRecipientOptedOut:
    case FailureReason::kUnreachable:
    case FailureReason::kTooFast:
    case FailureReason::kExpired:
    case FailureReason::kUndetermined:
      return BreakerVerdict::kNothing;
  }
  PR_CHECK(false);
}

BreakerVerdict CarrierVerdictOf(const MessageStatus& before, const MessageStatus& after,
                                WallTime accepted_at, WallTime now) {
  if (IsFromOutside(before.state) || now - accepted_at > kBreakerMessageAge) {
    return BreakerVerdict::kNothing;
  }
  return CarrierVerdictOf(after.state, after.failure);
}

}  // namespace postrider
