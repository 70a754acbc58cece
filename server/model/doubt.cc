#include "server/model/doubt.h"

#include "server/base/mutant.h"
#include "server/model/dispatch_limits.h"

namespace postrider {

bool MayHavePassed(WallTime made_at, WallTime now, std::chrono::nanoseconds quiet) {
  // One of a clock that is ahead would be passed too late.
  const auto slack = kLongestTransaction + kQuietClockSlack;
  return made_at + std::max<std::chrono::nanoseconds>(quiet - slack, 0ns) <= now ||
         made_at > now + kQuietClockSlack;
}

LookVerdict JudgeLook(const Waiting& message, LookKind look, const DoubtTimes& times) {
  const MessageStatus& now = message.status;
  const bool accepted = now.state == MessageState::kSubmitted || now.state == MessageState::kSent;
  if (now.state != MessageState::kUnknown && !accepted) return LookVerdict::kNeedsNoLooking;
  const DuplicatePolicy policy =
      Mutated(Mutant::kAbsenceIsProof) ? DuplicatePolicy::kAtLeastOnce : message.policy;
  const bool may_send = !message.expired && MaySendAgain(policy, now, message.others);
  const bool waited = message.waited >= times.again;
  switch (look) {
    case LookKind::kCannotRead:
      if (!may_send) return LookVerdict::kLookAgain;
      return waited ? LookVerdict::kSendAgain : LookVerdict::kLookWhenItMay;
    case LookKind::kAbsent:
      if (may_send && waited && message.absent >= kReadsToBelieve) return LookVerdict::kSendAgain;
      return LookVerdict::kLookAgain;
    case LookKind::kFound:
    case LookKind::kNothing:
      break;
  }
  return LookVerdict::kLookAgain;
}

}  // namespace postrider
