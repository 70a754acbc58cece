#pragma once

#include <chrono>
#include <span>

#include "server/model/dispatch_limits.h"
#include "server/model/transitions.h"

namespace postrider {

/// How long doubt may last.
struct DoubtTimes {
  /// Without news for so long, UNKNOWN is UNDETERMINED and SUBMITTED and SENT are final.
  std::chrono::seconds window = kReceiptWindow;
  /// An UNKNOWN message that may be sent twice waits so long for news before it is.
  std::chrono::seconds again = kSendAgainAfter;
};

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
  kAwaitReceipt,    ///< Never: a receipt, or the end of the window, ends it.
  kNeedsNoLooking,  ///< It is settled.
};

/// Pure. "Absent" is never proof, so under AT_MOST_ONCE it ends nothing; under AT_LEAST_ONCE it is
/// believed after kReadsToBelieve reads and `times.again`. Source: design, step 11.
LookVerdict JudgeLook(const Waiting& message, LookKind look, const DoubtTimes& times);

}  // namespace postrider
