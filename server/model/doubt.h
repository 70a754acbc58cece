#pragma once

#include <algorithm>
#include <chrono>
#include <span>

#include "server/base/clock.h"
#include "server/model/dispatch_limits.h"
#include "server/model/transitions.h"

namespace postrider {

/// How long doubt and silence may last.
struct DoubtTimes {
  /// Without news for so long, UNKNOWN is UNDETERMINED and SUBMITTED and SENT are final.
  std::chrono::seconds window = kReceiptWindow;
  /// An UNKNOWN message that may be sent twice waits so long for news before it is.
  std::chrono::seconds again = kSendAgainAfter;
  /// An accepted message without a final status for so long is looked for.
  std::chrono::seconds quiet = kQuietAfter;

  /// Not later than the window ends.
  std::chrono::seconds QuietAfter() const { return std::min(quiet, window); }
};

/// Whether the search for quiet messages, which passes each message_id when it is `quiet` old, may
/// have passed this one before a transaction of now has ended: then who accepts the message has to
/// see to it that it is looked for.
bool MayHavePassed(WallTime made_at, WallTime now, std::chrono::nanoseconds quiet);

/// What looking for news of a message brought.
enum class LookKind {
  kCannotRead,  ///< Its tenant has receipts only.
  kFound,       ///< One candidate, and no other message has it.
  kAbsent,      ///< None.
  kNothing,     ///< No answer, or several candidates: settles nothing.
};

/// A message without news, as the store has it under lock.
struct Waiting {
  MessageStatus status;
  std::span<const AttemptStatus> others = {};
  DuplicatePolicy policy = DuplicatePolicy::kAtMostOnce;
  std::chrono::nanoseconds waited{};  ///< Since its last change.
  bool expired = false;               ///< It may not leave any more.
  int absent = 0;                     ///< Reads in a row that found nothing, this one included.
};

/// What is to be done after a look that did not bring news.
enum class LookVerdict {
  kSendAgain,       ///< QUEUED, for another attempt.
  kLookAgain,       ///< After the time that the caller says.
  kLookWhenItMay,   ///< When it may be sent again.
  kNeedsNoLooking,  ///< It is settled.
};

/// Pure. "Absent" is never proof, so under AT_MOST_ONCE it ends nothing; under AT_LEAST_ONCE it is
/// believed after kReadsToBelieve reads and `times.again`. Source: design, step 11.
LookVerdict JudgeLook(const Waiting& message, LookKind look, const DoubtTimes& times);

}  // namespace postrider
