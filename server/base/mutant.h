#pragma once

#include <cstdint>

namespace postrider {

/// Faults that are put in on purpose, one at a time, to see that the tests find them
/// (tests/sim/mutant_test.cc). Each is the plausible mistake that a promise rests on not making.
enum class Mutant : std::uint8_t {
  kNone,
  kRetryOnTimeout,         ///< A POST whose answer was lost is posted again.
  kRequeuedOnTakeOver,     ///< What a dead owner was posting goes back to the queue.
  kBucketFullAtTakeOver,   ///< A new owner begins with the whole burst.
  kRetryAfterForgotten,    ///< An owner does not ask what others were told.
  kPostedUnderLostLease,   ///< Nobody looks at the lease before a POST.
  kLeaseCountsFromAnswer,  ///< The time to act counts from a renewal's answer.
  kAbsenceIsProof,         ///< What a read does not find was not sent, whatever the policy.
  kSentAgainAndAgain,      ///< AT_LEAST_ONCE without end.
  kLastReceiptWins,        ///< Receipts count in the order in which they come.
  kFinalGoesBack,          ///< A correction makes a final message open again.
  kOutcomeDropped,         ///< An outcome that could not be recorded is forgotten.
  kDoubtfulIntentDropped,  ///< An intent whose commit was in doubt is forgotten.
  kReceiptDropped,         ///< A receipt that could not be applied is forgotten.
  kAnsweredWithoutCommit,  ///< A commit that failed is answered like one that did not.
  kSlowReaderSkips,        ///< A stream whose buffer is full goes on with the newest.
  kTokenAheadOfItsEvents,  ///< A checkpoint covers what has not been delivered.
  kTailById,               ///< What a stream has seen is told by the number of the last event.
  kBreakerNeverOpens,      ///< Failures are counted, and that is all.
  kOpenBreakerIgnored,     ///< An open breaker holds nothing up.
  kCanariesUnbounded,      ///< Canaries without a verdict take no place.
  kBreakersNotInherited,   ///< A new owner does not wait to know how the breakers stand.
  kDedupedByIds,           ///< Receipts of one message are copies of one another.
  kSpoolUnsynced,          ///< What is spooled is counted on before it is synced.
  kQuietForgotten,         ///< Accepted messages without news are not looked for.
  kQuietHoursForgotten,    ///< Whether hours are quiet is not looked at before a POST.
};

#ifdef POSTRIDER_MUTANTS
/// Whether `mutant` is the one in force. Safe from any thread.
bool Mutated(Mutant mutant);
/// Puts `mutant` in force in this process; kNone ends it.
void SetMutant(Mutant mutant);
#else
/// What ships has none: the compiler leaves them out.
constexpr bool Mutated(Mutant /*mutant*/) { return false; }
#endif

}  // namespace postrider
