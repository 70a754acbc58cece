// What an operator's replay does to a message, and what ends it.
#include <gtest/gtest.h>

#include "server/model/transitions.h"

namespace postrider {
namespace {

using State = MessageState;

/// Ended in `state` after one attempt.
MessageStatus Ended(State state) {
  MessageStatus status;
  status.state = state;
  status.revision = 4;
  status.opened = 1;
  status.final = true;
  status.failure = FailureReason::kCarrierRejected;
  status.provider_code = "code.x";
  status.provider_at = WallTime{std::chrono::seconds(10)};
  status.receipt_hash = "m";
  return status;
}

ReceiptStatus ToldOf(State state, int second, int attempt = 1) {
  return {.state = state,
          .failure = FailureReason::kNone,
          .provider_code = "",
          .provider_at = WallTime{std::chrono::seconds(second)},
          .hash = "h",
          .attempt = attempt};
}

TEST(AfterReplayTable, OnlyWhatFailedIsQueuedAgain) {
  for (const State state : kAllMessageStates) {
    const auto after = AfterReplay(Ended(state));
    const bool fails =
        state == State::kRejected || state == State::kFailed || state == State::kUndetermined;
    ASSERT_EQ(after.has_value(), fails) << NameOf(state);
    EXPECT_EQ(IsFailure(state), fails) << NameOf(state);
    if (!after) continue;
    EXPECT_EQ(after->state, State::kQueued);
    EXPECT_EQ(after->attempt, 2);
    EXPECT_EQ(after->revision, 5);
    EXPECT_TRUE(after->final) << "once true it stays true";
    EXPECT_EQ(after->failure, FailureReason::kNone);
  }
}

TEST(MayHaveArrivedTable, AnEndElsewhereIsCertainForEveryAttempt) {
  struct Case {
    State shown;
    State other;
    bool may;
  };
  const Case cases[] = {
      {State::kFailed, State::kQueued, false},     {State::kFailed, State::kFailed, false},
      {State::kRejected, State::kRejected, false}, {State::kRejected, State::kUnknown, true},
      {State::kFailed, State::kUnknown, true},     {State::kFailed, State::kSent, true},
      {State::kFailed, State::kDispatching, true}, {State::kUndetermined, State::kQueued, true},
  };
  for (const Case& c : cases) {
    const AttemptStatus others[] = {{.attempt = 2, .state = c.other}};
    EXPECT_EQ(MayHaveArrived(Ended(c.shown), others), c.may)
        << NameOf(c.shown) << " and " << NameOf(c.other);
  }
}

TEST(ReplayTest, ALateDeliveredOfTheAttemptBeforeStopsIt) {
  const MessageStatus undetermined = Ended(State::kUndetermined);
  const AttemptStatus others[] = {{.attempt = 1, .state = State::kUnknown}};
  const Merge merge =
      MergeReceipt(*AfterReplay(undetermined), ToldOf(State::kDelivered, 20), others);
  EXPECT_EQ(merge.status.state, State::kDelivered);
  EXPECT_EQ(merge.status.attempt, 1);
  EXPECT_TRUE(merge.correction);
}

TEST(ReplayTest, AFailureOfTheAttemptBeforeDoesNotStopIt) {
  for (const State before : {State::kFailed, State::kUndetermined}) {
    const MessageStatus ended = Ended(before);
    AttemptStatus first = ShownAttempt(ended);
    if (before == State::kUndetermined) first.state = State::kUnknown;
    const Merge merge = MergeReceipt(*AfterReplay(ended), ToldOf(State::kFailed, 20), {&first, 1});
    EXPECT_TRUE(merge.stored) << "it is kept for the attempt";
    EXPECT_FALSE(merge.visible) << NameOf(before);
    EXPECT_EQ(merge.status.state, State::kQueued);
    EXPECT_EQ(merge.status.attempt, 2);
    ASSERT_EQ(merge.hidden.size(), 1U);
    EXPECT_EQ(merge.hidden[0].state, State::kFailed);
  }
}

TEST(ReplayTest, OneThatWasNotSentWaitsForTheNextAttempt) {
  const MessageStatus ended = Ended(State::kFailed);
  const MessageStatus posted = OpenAttempt(*AfterReplay(ended));
  const AttemptStatus others[] = {ShownAttempt(ended)};
  const auto after = AfterNotSent(posted, 2, others, HoldReason::kBackoff, {});
  ASSERT_TRUE(after.has_value());
  EXPECT_EQ(after->state, State::kQueued);
  EXPECT_EQ(after->attempt, 3);

  MessageStatus sent_again = posted;
  sent_again.final = false;  // By AT_LEAST_ONCE: nobody replayed it.
  const auto failed = AfterNotSent(sent_again, 2, others, HoldReason::kBackoff, {});
  ASSERT_TRUE(failed.has_value());
  EXPECT_EQ(failed->state, State::kFailed);
}

TEST(ReplayTest, OneThatFailsAgainIsAFailureAgain) {
  const MessageStatus ended = Ended(State::kRejected);
  const MessageStatus posted = OpenAttempt(*AfterReplay(ended));
  const AttemptStatus others[] = {ShownAttempt(ended)};
  const auto after =
      AfterPost(posted, 2, State::kRejected, FailureReason::kContent, "code.y", others);
  ASSERT_TRUE(after.has_value());
  EXPECT_EQ(after->state, State::kRejected);
  EXPECT_EQ(after->attempt, 2);
  EXPECT_EQ(after->provider_code, "code.y");
}

TEST(ReplayTest, OneThatWasCancelledStaysSoWhenTheFailureBeforeIsToldAgain) {
  const MessageStatus ended = Ended(State::kFailed);
  const MessageStatus cancelled = Advance(*AfterReplay(ended), State::kCancelled);
  const AttemptStatus others[] = {ShownAttempt(ended)};
  const Merge merge = MergeReceipt(cancelled, ToldOf(State::kFailed, 20), others);
  EXPECT_FALSE(merge.visible);
  EXPECT_EQ(merge.status.state, State::kCancelled);
}

}  // namespace
}  // namespace postrider
