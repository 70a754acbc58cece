#include "server/model/transitions.h"

#include <algorithm>
#include <tuple>

#include "server/base/mutant.h"

namespace postrider {

namespace {

/// What `now` shows is of no attempt yet: it waits for another one, or ended waiting.
bool IsPlan(const MessageStatus& now) { return now.opened > 0 && now.attempt > now.opened; }

/// The attempt that the message shows; null: none of them may have left.
const AttemptStatus* BestOf(std::span<const AttemptStatus> attempts) {
  const AttemptStatus* best = nullptr;
  for (const AttemptStatus& attempt : attempts) {
    if (attempt.state == MessageState::kQueued) continue;
    const auto rank = [](const AttemptStatus& a) {
      return std::tuple(a.state == MessageState::kDelivered, a.state != MessageState::kRejected,
                        a.attempt);
    };
    if (best == nullptr || rank(attempt) > rank(*best)) best = &attempt;
  }
  return best;
}

bool WasAccepted(const AttemptStatus& attempt) {
  return attempt.state > MessageState::kUndetermined && attempt.state < MessageState::kRejected;
}

/// Once true it stays true.
bool WasFinal(const MessageStatus& now) { return now.final && !Mutated(Mutant::kFinalGoesBack); }

/// `now`, showing `attempt` instead.
MessageStatus Showing(const MessageStatus& now, const AttemptStatus& attempt) {
  MessageStatus after = now;
  after.attempt = attempt.attempt;
  after.state = attempt.state;
  after.failure = attempt.failure;
  after.provider_code = attempt.provider_code;
  after.provider_at = attempt.provider_at;
  after.receipt_hash = attempt.receipt_hash;
  after.hold_reason = HoldReason::kNone;
  after.hold_until = {};
  after.final = WasFinal(now) || EndsMessage(attempt.state);
  return after;
}

/// The attempt that `receipt` is about: the one it names, else the latest.
AttemptStatus* AddresseeOf(std::span<AttemptStatus> attempts, const ReceiptStatus& receipt) {
  AttemptStatus* latest = nullptr;
  for (AttemptStatus& attempt : attempts) {
    if (attempt.attempt == receipt.attempt) return &attempt;
    if (latest == nullptr || attempt.attempt > latest->attempt) latest = &attempt;
  }
  return latest;
}

/// False when it says nothing that is not known.
bool Apply(const ReceiptStatus& receipt, AttemptStatus& to) {
  const auto in_force = std::tie(to.state, to.provider_at, to.receipt_hash);
  const auto arrived = std::tie(receipt.state, receipt.provider_at, receipt.hash);
  if (arrived <= in_force && !Mutated(Mutant::kLastReceiptWins)) return false;
  to.state = receipt.state;
  to.failure = receipt.failure;
  to.provider_code = receipt.provider_code;
  to.provider_at = receipt.provider_at;
  to.receipt_hash = receipt.hash;
  return true;
}

}  // namespace

AttemptStatus ShownAttempt(const MessageStatus& now) {
  return {.attempt = now.attempt,
          .state = now.state,
          .failure = now.failure,
          .provider_code = now.provider_code,
          .provider_at = now.provider_at,
          .receipt_hash = now.receipt_hash};
}

MessageState StateOfAttempt(std::optional<OutcomeKind> outcome) {
  if (!outcome) return MessageState::kDispatching;
  switch (*outcome) {
    case OutcomeKind::kAccepted:
      return MessageState::kSubmitted;
    case OutcomeKind::kRejected:
      return MessageState::kRejected;
    case OutcomeKind::kUnknown:
      return MessageState::kUnknown;
    case OutcomeKind::kNotSent:
    case OutcomeKind::kHeld:
    case OutcomeKind::kTakenBack:
      break;
  }
  return MessageState::kQueued;
}

Merge MergeReceipt(const MessageStatus& now, const ReceiptStatus& receipt,
                   std::span<const AttemptStatus> others) {
  Merge merge;
  merge.status = now;
  const bool plan = IsPlan(now) && !others.empty();
  std::vector<AttemptStatus> attempts(others.begin(), others.end());
  if (!plan) attempts.push_back(ShownAttempt(now));
  AttemptStatus& addressee = *AddresseeOf(attempts, receipt);
  const bool had_failed = addressee.state == MessageState::kFailed;
  if (!Apply(receipt, addressee)) return merge;
  merge.stored = true;
  // Only an operator's replay makes what was final wait again.
  const bool replay_waits = now.final && now.state == MessageState::kQueued;
  const bool goes_on =
      plan && addressee.state == MessageState::kFailed && (had_failed || replay_waits);

  // A message without attempts has no other state to show than its own.
  const AttemptStatus* best = plan || !others.empty() ? BestOf(attempts) : &attempts.back();
  if (best != nullptr && (!plan || WasAccepted(*best)) && !goes_on)
    merge.status = Showing(now, *best);
  MessageStatus& after = merge.status;
  merge.visible = after.state != now.state || after.provider_code != now.provider_code ||
                  after.attempt != now.attempt;
  merge.correction = merge.visible && now.final;
  if (merge.visible) ++after.revision;
  for (AttemptStatus& attempt : attempts) {
    if (attempt.attempt != after.attempt) merge.hidden.push_back(std::move(attempt));
  }
  return merge;
}

MessageStatus Advance(const MessageStatus& now, MessageState to) {
  MessageStatus after = now;
  after.state = to;
  after.final = WasFinal(now) || EndsMessage(to);
  after.hold_reason = HoldReason::kNone;
  after.hold_until = {};
  ++after.revision;
  return after;
}

MessageStatus OpenAttempt(const MessageStatus& now) {
  MessageStatus after = Advance(now, MessageState::kDispatching);
  after.opened = now.attempt;
  return after;
}

MessageStatus Requeue(const MessageStatus& now, HoldReason hold, WallTime until) {
  MessageStatus after = Advance(now, MessageState::kQueued);
  after.attempt = std::max(now.attempt, now.opened) + 1;
  after.failure = FailureReason::kNone;
  after.provider_code.clear();
  after.provider_at = {};
  after.receipt_hash.clear();
  after.hold_reason = hold;
  after.hold_until = until;
  return after;
}

std::optional<MessageStatus> AfterReplay(const MessageStatus& now) {
  if (!IsFailure(now.state)) return std::nullopt;
  return Requeue(now, HoldReason::kNone, {});
}

bool MayHaveArrived(const MessageStatus& now, std::span<const AttemptStatus> others) {
  const auto did_not = [](MessageState state) {
    return state == MessageState::kQueued || state == MessageState::kFailed ||
           state >= MessageState::kRejected;
  };
  return !did_not(now.state) ||
         !std::all_of(others.begin(), others.end(),
                      [&](const AttemptStatus& other) { return did_not(other.state); });
}

std::optional<MessageStatus> AfterPost(const MessageStatus& now, int attempt, MessageState to,
                                       FailureReason failure, std::string_view provider_code,
                                       std::span<const AttemptStatus> others) {
  if (now.attempt != attempt || now.state >= to) return std::nullopt;
  const bool receipt_overtook = now.state > MessageState::kUnknown;
  if (receipt_overtook && to != MessageState::kSubmitted) return std::nullopt;
  const AttemptStatus* const best = to == MessageState::kRejected ? BestOf(others) : nullptr;
  if (best != nullptr && best->state != MessageState::kRejected) {
    MessageStatus after = Showing(now, *best);
    ++after.revision;
    return after;
  }
  MessageStatus after = Advance(now, to);
  after.failure = failure;
  after.provider_code = provider_code;
  return after;
}

std::optional<MessageStatus> AfterOwnerDied(const MessageStatus& now, int attempt) {
  if (Mutated(Mutant::kRequeuedOnTakeOver) && now.state == MessageState::kDispatching)
    return Requeue(now, HoldReason::kNone, {});
  return AfterPost(now, attempt, MessageState::kUnknown, FailureReason::kNone, "");
}

std::optional<MessageStatus> AfterNotSent(const MessageStatus& now, int attempt,
                                          std::span<const AttemptStatus> others, HoldReason hold,
                                          WallTime until) {
  if (now.state != MessageState::kDispatching || now.attempt != attempt) return std::nullopt;
  const AttemptStatus* const best = BestOf(others);
  const bool failed = best != nullptr && best->state == MessageState::kFailed;
  if (best == nullptr || !WasAccepted(*best) || (failed && now.final)) {
    return Requeue(now, hold, until);
  }
  MessageStatus after = Showing(now, *best);
  ++after.revision;
  return after;
}

bool MaySendAgain(DuplicatePolicy policy, const MessageStatus& now,
                  std::span<const AttemptStatus> others) {
  if (policy != DuplicatePolicy::kAtLeastOnce || now.state != MessageState::kUnknown) return false;
  return Mutated(Mutant::kSentAgainAndAgain) ||
         std::all_of(others.begin(), others.end(), [](const AttemptStatus& other) {
           return other.state == MessageState::kQueued;
         });
}

std::optional<MessageStatus> AfterWindow(const MessageStatus& now) {
  if (now.state == MessageState::kUnknown) {
    MessageStatus after = Advance(now, MessageState::kUndetermined);
    after.failure = FailureReason::kUndetermined;
    return after;
  }
  const bool accepted = now.state == MessageState::kSubmitted || now.state == MessageState::kSent;
  if (!accepted || now.final) return std::nullopt;
  MessageStatus after = Advance(now, now.state);
  after.final = true;
  return after;
}

}  // namespace postrider
