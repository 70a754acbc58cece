#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "server/base/clock.h"

namespace postrider {

/// Where a message is. The numbers are stored and are those of the proto enum; from kQueued to
/// kFailed they are also the rank within an attempt: a later receipt never lowers it.
enum class MessageState : std::uint8_t {
  kQueued = 1,
  kDispatching = 2,
  kUnknown = 3,       ///< The POST may have arrived; waits for a receipt.
  kUndetermined = 4,  ///< No receipt came; nobody knows.
  kSubmitted = 5,     ///< Accepted by Genesys.
  kSent = 6,          ///< Given to the carrier.
  kDelivered = 7,
  kFailed = 8,
  kRejected = 9,  ///< Genesys said no. From here on: ended without having been accepted outside.
  kCancelled = 10,
  kExpired = 11,
  kSuppressed = 12,
};

inline constexpr MessageState kAllMessageStates[] = {
    MessageState::kQueued,       MessageState::kDispatching, MessageState::kUnknown,
    MessageState::kUndetermined, MessageState::kSubmitted,   MessageState::kSent,
    MessageState::kDelivered,    MessageState::kFailed,      MessageState::kRejected,
    MessageState::kCancelled,    MessageState::kExpired,     MessageState::kSuppressed};

/// "QUEUED", "DISPATCHING" ...: as in the proto, without its prefix.
std::string_view NameOf(MessageState state);
/// True when `state` ends a message. The message's `final` field is what callers read; once
/// true it stays true.
bool EndsMessage(MessageState state);
/// True when a message that ended in `state` is a dead letter: REJECTED, FAILED, UNDETERMINED.
bool IsFailure(MessageState state);

/// What made a change. Stored; never renumber.
enum class Cause : std::uint8_t {
  kAccepted = 1,      ///< SendMessage
  kIntended = 2,      ///< The dispatcher is about to POST.
  kPostAnswered = 3,  ///< The POST's outcome.
  kNotSent = 4,       ///< Not sent for certain; queued again.
  kReceipt = 5,       ///< A status from Genesys by webhook.
  kCancelRequested = 6,
  kExpiryPassed = 7,
  kOptedOut = 8,
  kOwnerDied = 9,      ///< Whoever was posting it went away, or a backup was restored.
  kWindowClosed = 10,  ///< No news within the receipt window.
  kReadAnswered = 11,  ///< A status that the gateway read at Genesys.
  kSentAgain = 12,     ///< AT_LEAST_ONCE: nobody knows of the last attempt, so there is another.
  kReplayed = 13,      ///< An operator sent it again.
};
std::string_view NameOf(Cause cause);

/// Why a message did not get there. Stored; never renumber.
enum class FailureReason : std::uint8_t {
  kNone = 0,
  kRejectedByProvider = 1,  ///< Genesys refused the request.
  kNotAuthorized = 2,       ///< Credentials or permissions.
  kCarrierRejected = 3,
  kInvalidNumber = 4,
  kRecipientOptedOut = 5,
  kUnreachable = 6,  ///< Handset or network, for now.
  kContent = 7,
  kTooFast = 8,
  kExpired = 9,
  kUndetermined = 10,  ///< It may or may not have been sent.
  kOther = 11,
};
std::string_view NameOf(FailureReason reason);

/// Why a QUEUED message waits. Stored; never renumber.
enum class HoldReason : std::uint8_t {
  kNone = 0,
  kSchedule = 1,
  kBackoff = 2,     ///< The last attempt was not sent; tried again later.
  kRetryAfter = 3,  ///< The provider said when.
  kQuota = 4,
  kTenantStopped = 5,       ///< The provider refuses this tenant's credentials.
  kActiveConversation = 6,  ///< Sender and recipient talk in a conversation that is connected.
  kQuietHours = 7,          ///< It is not the time of day for it where the recipient is.
};
std::string_view NameOf(HoldReason reason);

/// The part of a message that changes.
struct MessageStatus {
  MessageState state = MessageState::kQueued;
  int revision = 1;  ///< 1, 2, 3 ...: one more with every change, no gaps.
  int attempt = 1;  ///< The attempt that the state is of: QUEUED for attempt 2 once 1 was not sent.
  int opened = 0;   ///< The latest attempt that dispatch has begun; 0: none.
  bool final = false;
  FailureReason failure = FailureReason::kNone;
  std::string provider_code;  ///< Verbatim; empty when none.
  std::string correlation_id;
  WallTime provider_at{};    ///< The provider's time of the receipt in force; epoch when none.
  std::string receipt_hash;  ///< Its payload's hash: the last tie-breaker.
  HoldReason hold_reason = HoldReason::kNone;
  WallTime hold_until{};
};

/// A status from outside, as the merge sees it.
struct ReceiptStatus {
  MessageState state = MessageState::kSubmitted;  ///< kSubmitted, kSent, kDelivered or kFailed.
  FailureReason failure = FailureReason::kNone;
  std::string provider_code;
  WallTime provider_at{};
  std::string hash;  ///< SHA-256 of the raw payload.
  int attempt = 0;   ///< The attempt it names; 0 when it names none.
};

}  // namespace postrider
