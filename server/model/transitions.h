#pragma once

#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "server/base/clock.h"
#include "server/model/message.h"
#include "server/model/state.h"

// How a message's status changes. All pure, and the only place where it is decided: the store keeps
// what comes out. Source: design, section 3.
namespace postrider {

/// What is known of one attempt that a message does not show.
struct AttemptStatus {
  int attempt = 1;
  MessageState state = MessageState::kQueued;  ///< kQueued: for certain nothing of it left.
  FailureReason failure = FailureReason::kNone;
  std::string provider_code = {};
  WallTime provider_at{};         ///< Of the receipt in force; epoch when none.
  std::string receipt_hash = {};  ///< Of it; empty when none.
  friend bool operator==(const AttemptStatus&, const AttemptStatus&) = default;
};

/// The state of an attempt by its outcome alone; none: it is open.
MessageState StateOfAttempt(std::optional<OutcomeKind> outcome);

/// A change of a message that has more than one attempt.
struct Merge {
  MessageStatus status;               ///< Afterwards.
  std::vector<AttemptStatus> hidden;  ///< What is known now of attempts that it does not show.
  bool visible = false;               ///< A new revision and an event.
  bool stored = false;      ///< Something changed that must be written (visible implies stored).
  bool correction = false;  ///< A final state was replaced by a better informed one.
};

/// What a receipt does. The same set of receipts in any order and number ends in the same state,
/// failure and code. `others`: the attempts that were begun and that `now` does not show, when
/// there are any.
///
/// Within an attempt, receipts merge as the maximum of (rank, provider time, payload hash). The
/// message shows its best attempt: a DELIVERED one, else the latest that may have left; one that
/// was REJECTED did not, and is shown when there is no other. A QUEUED message is not an attempt
/// yet: news that one before it was accepted replaces the plan to send another, whether it still
/// waits or was ended by a cancel, an expiry or an opt-out. That one before it failed does not end
/// a plan that waits because an operator replays it.
Merge MergeReceipt(const MessageStatus& now, const ReceiptStatus& receipt,
                   std::span<const AttemptStatus> others = {});

/// `now` moved on to `to`: one more revision; `final` once true stays true; holds are cleared.
MessageStatus Advance(const MessageStatus& now, MessageState to);
/// DISPATCHING: the attempt of a QUEUED status begins.
MessageStatus OpenAttempt(const MessageStatus& now);
/// What the owner left DISPATCHING that went away: UNKNOWN, never QUEUED, since it may have left.
/// None: `attempt` is not on its way any more.
std::optional<MessageStatus> AfterOwnerDied(const MessageStatus& now, int attempt);
/// QUEUED again for the next attempt, held for `hold` until `until`; what was known of the last one
/// is no longer shown.
MessageStatus Requeue(const MessageStatus& now, HoldReason hold, WallTime until);

/// QUEUED for another attempt because an operator asks for it; nothing unless it failed. Its last
/// attempt is then one that it does not show: see ShownAttempt.
std::optional<MessageStatus> AfterReplay(const MessageStatus& now);
/// What `now` shows of its attempt.
AttemptStatus ShownAttempt(const MessageStatus& now);
/// True when `now`, or an attempt that it does not show, may have reached the recipient.
bool MayHaveArrived(const MessageStatus& now, std::span<const AttemptStatus> others);

/// The state after the POST's outcome: `to` is kSubmitted, kUnknown or kRejected. A receipt may
/// have overtaken the answer; then its higher rank stays and only `revision` is kept. Of a repeat
/// that was rejected, the message shows the attempt before that may have left.
/// Returns nothing when the status does not change.
std::optional<MessageStatus> AfterPost(const MessageStatus& now, int attempt, MessageState to,
                                       FailureReason failure, std::string_view provider_code,
                                       std::span<const AttemptStatus> others = {});

/// The state once `attempt` was for certain not sent: QUEUED for the next one, or, when another
/// attempt is known to have been accepted, what that one shows (a replay: unless that one failed).
/// Nothing when receipts say otherwise.
std::optional<MessageStatus> AfterNotSent(const MessageStatus& now, int attempt,
                                          std::span<const AttemptStatus> others, HoldReason hold,
                                          WallTime until);

/// True when attempts that `now` does not show have to be looked at.
inline bool HasOthers(const MessageStatus& now) { return now.attempt > 1 || now.opened > 1; }

/// True when a message was accepted outside and its last status is still to come.
inline bool AwaitsFinalStatus(const MessageStatus& now) {
  return !now.final && (now.state == MessageState::kSubmitted || now.state == MessageState::kSent);
}

/// True when an UNKNOWN message may be sent once more: it was asked for (AT_LEAST_ONCE), and no
/// other attempt may have left.
bool MaySendAgain(DuplicatePolicy policy, const MessageStatus& now,
                  std::span<const AttemptStatus> others);

/// `now` once the receipt window has passed without news: UNKNOWN is UNDETERMINED, SUBMITTED and
/// SENT stay and are final. Nothing for every other state, and for what is final already.
std::optional<MessageStatus> AfterWindow(const MessageStatus& now);

}  // namespace postrider
