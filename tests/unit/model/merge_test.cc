// Order and repetition of receipts do not matter: invariants S9 and S10.
#include <algorithm>
#include <numeric>
#include <optional>
#include <tuple>

#include <gtest/gtest.h>

#include "server/base/random.h"
#include "server/model/transitions.h"

namespace postrider {
namespace {

using State = MessageState;

MessageStatus Submitted(int attempt = 1) {
  MessageStatus status;
  status.state = State::kSubmitted;
  status.attempt = attempt;
  status.revision = 3;
  return status;
}

ReceiptStatus ReceiptOf(State state, int second, std::string hash, std::string code = "",
                        FailureReason failure = FailureReason::kNone, int attempt = 1) {
  return {.state = state,
          .failure = failure,
          .provider_code = std::move(code),
          .provider_at = WallTime{std::chrono::seconds(second)},
          .hash = std::move(hash),
          .attempt = attempt};
}

using Result = std::tuple<State, FailureReason, std::string, bool, WallTime, std::string>;
Result ResultOf(const MessageStatus& s) {
  return {s.state, s.failure, s.provider_code, s.final, s.provider_at, s.receipt_hash};
}

/// Merges `receipts` in the order of `order`, checking each step.
MessageStatus MergeAll(MessageStatus status, const std::vector<ReceiptStatus>& receipts,
                       const std::vector<std::size_t>& order) {
  for (const std::size_t i : order) {
    const Merge merge = MergeReceipt(status, receipts[i]);
    const MessageStatus& after = merge.status;
    EXPECT_GE(after.state, status.state) << "the rank falls";
    EXPECT_TRUE(after.final || !status.final) << "final goes back";
    EXPECT_EQ(after.revision, status.revision + (merge.visible ? 1 : 0));
    EXPECT_EQ(after.attempt, status.attempt);
    EXPECT_TRUE(merge.stored || ResultOf(after) == ResultOf(status));
    EXPECT_TRUE(merge.stored || !merge.visible);
    EXPECT_EQ(merge.correction, merge.visible && status.final);
    status = after;
  }
  return status;
}

/// Six receipts as a provider may send them for one message, by the seed: states, times, codes
/// and hashes tie often.
std::vector<ReceiptStatus> SixReceipts(std::uint64_t seed, int now_attempt) {
  SeededRandom random(seed);
  const State states[] = {State::kSubmitted, State::kSent, State::kDelivered, State::kFailed};
  const FailureReason failures[] = {FailureReason::kCarrierRejected, FailureReason::kUnreachable};
  std::vector<ReceiptStatus> receipts;
  for (char name = 'a'; name < 'g'; ++name) {
    const State state = states[random.Next() % 4];
    const bool failed = state == State::kFailed;
    const int attempt = static_cast<int>(random.Next() % static_cast<unsigned>(now_attempt + 1));
    receipts.push_back(ReceiptOf(state, static_cast<int>(random.Next() % 3), std::string(1, name),
                                 failed ? std::string("code.") + name : "",
                                 failed ? failures[random.Next() % 2] : FailureReason::kNone,
                                 attempt));
  }
  return receipts;
}

TEST(MergeTest, AllPermutationsOfSixReceiptsEndInTheSameState) {
  for (std::uint64_t seed = 0; seed < 12; ++seed) {
    for (const int now_attempt : {1, 2}) {
      const std::vector<ReceiptStatus> receipts = SixReceipts(seed, now_attempt);
      std::vector<std::size_t> order(receipts.size());
      std::iota(order.begin(), order.end(), 0);
      const Result first = ResultOf(MergeAll(Submitted(now_attempt), receipts, order));
      while (std::next_permutation(order.begin(), order.end())) {
        ASSERT_EQ(ResultOf(MergeAll(Submitted(now_attempt), receipts, order)), first)
            << "seed " << seed;
      }
    }
  }
}

TEST(MergeTest, AllPermutationsOfOneToThreeCopiesEndInTheSameState) {
  struct Case {
    std::vector<std::size_t> copies;  ///< How many of each receipt.
  };
  const Case cases[] = {
      {{3, 3}}, {{3, 2, 2}}, {{3, 3, 2}}, {{2, 1, 2, 1, 2}}, {{1, 1, 1, 1, 2, 2}}};
  for (const Case& c : cases) {
    for (std::uint64_t seed = 100; seed < 104; ++seed) {
      const std::vector<ReceiptStatus> receipts = SixReceipts(seed, 1);
      std::vector<std::size_t> order;
      for (std::size_t i = 0; i < c.copies.size(); ++i) order.insert(order.end(), c.copies[i], i);
      const Result first = ResultOf(MergeAll(Submitted(), receipts, order));
      while (std::next_permutation(order.begin(), order.end())) {
        ASSERT_EQ(ResultOf(MergeAll(Submitted(), receipts, order)), first) << "seed " << seed;
      }
    }
  }
}

TEST(MergeTest, EveryStateBeforeEndsInTheSameStateToo) {
  // The answer may come before, between or after the receipts.
  const std::vector<ReceiptStatus> receipts = SixReceipts(7, 1);
  std::optional<Result> wanted;
  for (std::size_t place = 0; place <= receipts.size(); ++place) {
    MessageStatus status = Submitted();
    status.state = State::kDispatching;
    for (std::size_t i = 0; i <= receipts.size(); ++i) {
      if (i == place) {
        status = AfterPost(status, 1, State::kSubmitted, FailureReason::kNone, "").value_or(status);
      }
      if (i < receipts.size()) status = MergeReceipt(status, receipts[i]).status;
    }
    if (!wanted) wanted = ResultOf(status);
    EXPECT_EQ(ResultOf(status), *wanted) << place;
  }
}

TEST(MergeTest, WhatAReceiptDoesTable) {
  MessageStatus delivered = Submitted();
  delivered.state = State::kDelivered;
  delivered.final = true;
  delivered.provider_at = WallTime{std::chrono::seconds(10)};
  delivered.receipt_hash = "m";
  struct Case {
    const char* name;
    MessageStatus now;
    ReceiptStatus receipt;
    bool stored, visible, correction;
  };
  const Case cases[] = {
      {"progress", Submitted(), ReceiptOf(State::kSent, 1, "a"), true, true, false},
      {"the end", Submitted(), ReceiptOf(State::kDelivered, 1, "a"), true, true, false},
      {"the state we know", Submitted(), ReceiptOf(State::kSubmitted, 1, "a"), true, false, false},
      {"the state we know with a code", Submitted(), ReceiptOf(State::kSubmitted, 1, "a", "c"),
       true, true, false},
      {"late and lower", delivered, ReceiptOf(State::kSent, 99, "z"), false, false, false},
      {"the same again", delivered, ReceiptOf(State::kDelivered, 10, "m"), false, false, false},
      {"the same, older", delivered, ReceiptOf(State::kDelivered, 9, "z"), false, false, false},
      {"the same, newer", delivered, ReceiptOf(State::kDelivered, 11, "a"), true, false, false},
      {"the same second, a greater hash", delivered, ReceiptOf(State::kDelivered, 10, "n"), true,
       false, false},
      {"failed after all", delivered, ReceiptOf(State::kFailed, 5, "a", "c"), true, true, true},
  };
  for (const Case& c : cases) {
    const Merge merge = MergeReceipt(c.now, c.receipt);
    EXPECT_EQ(merge.stored, c.stored) << c.name;
    EXPECT_EQ(merge.visible, c.visible) << c.name;
    EXPECT_EQ(merge.correction, c.correction) << c.name;
    EXPECT_EQ(merge.status.final, c.now.final || EndsMessage(c.receipt.state)) << c.name;
  }
}

TEST(MergeTest, AReceiptOfAnEarlierAttemptSpeaksOnlyWhenDelivered) {
  MessageStatus now = Submitted(2);
  now.state = State::kDispatching;
  now.opened = 2;
  const AttemptStatus others[] = {{.attempt = 1, .state = State::kUnknown}};
  for (const State state : {State::kSubmitted, State::kSent, State::kFailed}) {
    const Merge merge =
        MergeReceipt(now, ReceiptOf(state, 99, "z", "", FailureReason::kNone, 1), others);
    EXPECT_TRUE(merge.stored) << "it is kept for the attempt";
    EXPECT_FALSE(merge.visible) << NameOf(state);
    EXPECT_EQ(merge.status.state, State::kDispatching);
    ASSERT_EQ(merge.hidden.size(), 1U);
    EXPECT_EQ(merge.hidden[0].state, state);
  }
  const Merge best =
      MergeReceipt(now, ReceiptOf(State::kDelivered, 1, "a", "", FailureReason::kNone, 1), others);
  EXPECT_EQ(best.status.attempt, 1);
  EXPECT_TRUE(best.visible);
  EXPECT_EQ(best.status.state, State::kDelivered);
  EXPECT_TRUE(best.status.final);
}

TEST(MergeTest, ARepeatThatWasRejectedHidesNothingOfWhatLeft) {
  MessageStatus now = Submitted(2);
  now.state = State::kRejected;
  now.final = true;
  const std::vector<AttemptStatus> others = {{.attempt = 1, .state = State::kUnknown}};
  const Merge merge = MergeReceipt(
      now, ReceiptOf(State::kFailed, 1, "a", "c", FailureReason::kUnreachable, 1), others);
  EXPECT_EQ(merge.status.state, State::kFailed);
  EXPECT_EQ(merge.status.attempt, 1);
  EXPECT_TRUE(merge.correction);
}

TEST(MergeTest, AReceiptThatNamesNoAttemptIsOfTheLatest) {
  const Merge merge = MergeReceipt(
      Submitted(3), ReceiptOf(State::kFailed, 1, "a", "c", FailureReason::kContent, 0));
  EXPECT_TRUE(merge.visible);
  EXPECT_EQ(merge.status.failure, FailureReason::kContent);
}

TEST(MergeTest, WhatNeverLeftStaysAsItEnded) {
  for (const State ended :
       {State::kRejected, State::kCancelled, State::kExpired, State::kSuppressed}) {
    MessageStatus now = Submitted();
    now.state = ended;
    now.final = true;
    EXPECT_FALSE(MergeReceipt(now, ReceiptOf(State::kDelivered, 99, "z")).stored) << NameOf(ended);
  }
}

TEST(MergeTest, AnUndeterminedMessageIsCorrectedByANewsThatCameTooLate) {
  MessageStatus now = Submitted();
  now.state = State::kUndetermined;
  now.final = true;
  now.failure = FailureReason::kUndetermined;
  const Merge merge = MergeReceipt(now, ReceiptOf(State::kSent, 1, "a"));
  EXPECT_TRUE(merge.correction);
  EXPECT_EQ(merge.status.state, State::kSent);
  EXPECT_EQ(merge.status.failure, FailureReason::kNone);
  EXPECT_TRUE(merge.status.final) << "once true it stays true";
}

}  // namespace
}  // namespace postrider
