#include <gtest/gtest.h>

#include "server/model/transitions.h"

namespace postrider {
namespace {

using State = MessageState;

MessageStatus StatusIn(State state, int attempt = 1) {
  MessageStatus status;
  status.state = state;
  status.attempt = attempt;
  status.revision = 3;
  status.final = EndsMessage(state);
  return status;
}

TEST(StateTest, NumbersAreTheRankWithinAnAttempt) {
  for (std::size_t i = 0; i < std::size(kAllMessageStates); ++i) {
    EXPECT_EQ(static_cast<std::size_t>(kAllMessageStates[i]), i + 1);
  }
}

TEST(StateTest, EndsTable) {
  for (const State state : kAllMessageStates) {
    const bool open = state == State::kQueued || state == State::kDispatching ||
                      state == State::kUnknown || state == State::kSubmitted ||
                      state == State::kSent;
    EXPECT_EQ(EndsMessage(state), !open) << NameOf(state);
  }
}

TEST(StateTest, NamesAreThoseOfTheContract) {
  struct Case {
    std::string_view name;
    std::string_view wants;
  };
  const Case cases[] = {
      {NameOf(State::kQueued), "QUEUED"},
      {NameOf(State::kDispatching), "DISPATCHING"},
      {NameOf(State::kUndetermined), "UNDETERMINED"},
      {NameOf(State::kSuppressed), "SUPPRESSED"},
      {NameOf(Cause::kPostAnswered), "POST_ANSWERED"},
      {NameOf(Cause::kWindowClosed), "WINDOW_CLOSED"},
      {NameOf(Cause::kReadAnswered), "READ_ANSWERED"},
      {NameOf(Cause::kSentAgain), "SENT_AGAIN"},
      {NameOf(Cause::kReplayed), "REPLAYED"},
      {NameOf(FailureReason::kCarrierRejected), "CARRIER_REJECTED"},
      {NameOf(HoldReason::kRetryAfter), "RETRY_AFTER"},
      {NameOf(HoldReason::kActiveConversation), "ACTIVE_CONVERSATION"},
      {NameOf(HoldReason::kQuietHours), "QUIET_HOURS"},
      {NameOf(static_cast<State>(0)), "UNSPECIFIED"},
      {NameOf(static_cast<State>(13)), "UNSPECIFIED"},
  };
  for (const Case& c : cases) EXPECT_EQ(c.name, c.wants);
}

TEST(AdvanceTest, RaisesTheRevisionAndClearsTheHold) {
  MessageStatus now = StatusIn(State::kQueued, 2);
  now.hold_reason = HoldReason::kBackoff;
  now.hold_until = WallTime{std::chrono::seconds(9)};
  const MessageStatus after = Advance(now, State::kDispatching);
  EXPECT_EQ(after.state, State::kDispatching);
  EXPECT_EQ(after.revision, 4);
  EXPECT_EQ(after.attempt, 2);
  EXPECT_FALSE(after.final);
  EXPECT_EQ(after.hold_reason, HoldReason::kNone);
  EXPECT_EQ(after.hold_until, WallTime{});
}

TEST(AdvanceTest, FinalNeverGoesBack) {
  for (const State from : kAllMessageStates) {
    for (const State to : kAllMessageStates) {
      EXPECT_EQ(Advance(StatusIn(from), to).final, EndsMessage(from) || EndsMessage(to));
    }
  }
}

TEST(RequeueTest, OpensTheNextAttemptUnderAHold) {
  const WallTime until{std::chrono::seconds(77)};
  const MessageStatus after = Requeue(StatusIn(State::kDispatching), HoldReason::kBackoff, until);
  EXPECT_EQ(after.state, State::kQueued);
  EXPECT_EQ(after.revision, 4);
  EXPECT_EQ(after.attempt, 2);
  EXPECT_FALSE(after.final);
  EXPECT_EQ(after.hold_reason, HoldReason::kBackoff);
  EXPECT_EQ(after.hold_until, until);
}

TEST(AfterPostTable, WhatAnAnswerDoesToEachState) {
  constexpr State kNoChange = static_cast<State>(0);
  struct Case {
    const char* name;
    State now;
    State to;
    State wants;
  };
  const Case cases[] = {
      {"accepted", State::kDispatching, State::kSubmitted, State::kSubmitted},
      {"unknown", State::kDispatching, State::kUnknown, State::kUnknown},
      {"rejected", State::kDispatching, State::kRejected, State::kRejected},
      {"unknown, then accepted", State::kUnknown, State::kSubmitted, State::kSubmitted},
      {"unknown twice", State::kUnknown, State::kUnknown, kNoChange},
      {"accepted, then unknown", State::kSubmitted, State::kUnknown, kNoChange},
      {"a SUBMITTED receipt overtook", State::kSubmitted, State::kSubmitted, kNoChange},
      {"a SENT receipt overtook", State::kSent, State::kSubmitted, kNoChange},
      {"a DELIVERED receipt overtook", State::kDelivered, State::kSubmitted, kNoChange},
      {"a FAILED receipt overtook", State::kFailed, State::kSubmitted, kNoChange},
      {"a receipt overtook a timeout", State::kSent, State::kUnknown, kNoChange},
      {"a receipt overtook a rejection", State::kSubmitted, State::kRejected, kNoChange},
      {"delivered whatever the answer says", State::kDelivered, State::kRejected, kNoChange},
      {"cancelled meanwhile", State::kCancelled, State::kSubmitted, kNoChange},
  };
  for (const Case& c : cases) {
    const auto after =
        AfterPost(StatusIn(c.now), 1, c.to, FailureReason::kRejectedByProvider, "code.x");
    EXPECT_EQ(after ? after->state : kNoChange, c.wants) << c.name;
    if (!after) continue;
    EXPECT_EQ(after->revision, 4) << c.name;
    EXPECT_EQ(after->final, EndsMessage(c.to)) << c.name;
    EXPECT_EQ(after->failure, FailureReason::kRejectedByProvider);
    EXPECT_EQ(after->provider_code, "code.x");
  }
}

TEST(AfterPostTable, ARepeatThatWasRejectedShowsTheAttemptThatMayHaveLeft) {
  const MessageStatus now = StatusIn(State::kDispatching, 2);
  const auto rejected = [&](std::vector<AttemptStatus> others) {
    return AfterPost(now, 2, State::kRejected, FailureReason::kContent, "code.x", others);
  };
  for (const State first : {State::kUnknown, State::kSent, State::kFailed}) {
    const auto after = rejected({{.attempt = 1, .state = first}});
    ASSERT_TRUE(after.has_value());
    EXPECT_EQ(after->state, first) << NameOf(first);
    EXPECT_EQ(after->attempt, 1);
    EXPECT_EQ(after->revision, now.revision + 1);
    EXPECT_EQ(after->final, EndsMessage(first));
  }
  const auto alone = rejected({{.attempt = 1, .state = State::kQueued}});
  ASSERT_TRUE(alone.has_value());
  EXPECT_EQ(alone->state, State::kRejected) << "nothing of the first left";
  EXPECT_EQ(alone->attempt, 2);
}

TEST(AfterPostTable, AnAnswerToAnotherAttemptChangesNothing) {
  for (const int attempt : {1, 3}) {
    EXPECT_FALSE(AfterPost(StatusIn(State::kDispatching, 2), attempt, State::kSubmitted,
                           FailureReason::kNone, ""));
  }
  EXPECT_TRUE(
      AfterPost(StatusIn(State::kDispatching, 2), 2, State::kSubmitted, FailureReason::kNone, ""));
}

}  // namespace
}  // namespace postrider
