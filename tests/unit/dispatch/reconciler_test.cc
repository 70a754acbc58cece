// Doubt as the dispatcher resolves it: who is read when, and what a read costs.
#include <gtest/gtest.h>

#include "server/base/digest.h"
#include "tests/support/dispatch_rig.h"

namespace postrider {
namespace {

constexpr const char* kLost = "+15550000601";
using Kind = ReadAnswer::Kind;

Outcome AnswerLost() {
  Outcome outcome;
  outcome.kind = OutcomeKind::kUnknown;
  outcome.requests = 1;
  outcome.detail = "no answer";
  return outcome;
}

ReadAnswer Found(const std::string& id, MessageState state, int requests = 1) {
  ProviderMessage message;
  message.provider_message_id = id;
  message.status.state = state;
  message.status.hash = Sha256Bytes(id);
  ReadAnswer answer;
  answer.kind = Kind::kFound;
  answer.found = {message};
  answer.requests = requests;
  return answer;
}

ReadAnswer Throttled(std::chrono::nanoseconds retry_after) {
  ReadAnswer answer;
  answer.kind = Kind::kThrottled;
  answer.retry_after = retry_after;
  answer.requests = 1;
  return answer;
}

/// A tenant with messages whose answers were lost.
class ReconcilerTest : public ::testing::Test {
 protected:
  MessageKey InDoubt(Replica& replica, DuplicatePolicy policy = DuplicatePolicy::kAtMostOnce) {
    world_.outside.Script(kLost, {AnswerLost()});
    const MessageKey key = world_.AcceptWith([&](MessageRequest& request) {
      request.recipient = kLost;
      request.duplicate_policy = policy;
    });
    replica.WorkFor(2s);
    EXPECT_EQ(world_.StateOf(key), MessageState::kUnknown);
    return key;
  }
  /// Works, and looks for news each `step`.
  void ReconcileFor(Replica& replica, std::chrono::nanoseconds time,
                    std::chrono::nanoseconds step = 200ms) {
    for (std::chrono::nanoseconds passed{}; passed < time; passed += step) {
      replica.WorkFor(step);
      replica.dispatcher.ReconcileStep();
    }
  }
  double Tokens(Replica& replica) {
    for (const LaneFacts& lane : replica.dispatcher.Look()) {
      if (lane.tenant_id == world_.tenant) return lane.tokens;
    }
    ADD_FAILURE() << "the tenant has no lane";
    return -1;
  }

  DispatchWorld world_;
};

TEST_F(ReconcilerTest, AReadSettlesAMessageWhoseAnswerWasLost) {
  Replica replica(world_);
  world_.outside.ScriptReads({Found("gc-1", MessageState::kDelivered)});
  const MessageKey key = InDoubt(replica);
  ReconcileFor(replica, 30s);
  EXPECT_EQ(world_.StateOf(key), MessageState::kDelivered);
  const std::vector<ReadRequest> reads = world_.outside.reads();
  ASSERT_EQ(reads.size(), 1U);
  EXPECT_EQ(reads[0].message_id, key.message_id);
  EXPECT_EQ(reads[0].recipient, kLost);
  EXPECT_EQ(reads[0].text, "Hello");
  EXPECT_EQ(world_.Record(key).history.back().cause, Cause::kReadAnswered);
  EXPECT_EQ(world_.Sent(), 1U);
}

TEST_F(ReconcilerTest, AbsenceIsNoProofUnderAtMostOnceHoweverOften) {
  Replica replica(world_);
  world_.outside.ScriptReads({});
  const MessageKey key = InDoubt(replica);
  ReconcileFor(replica, 30min, 2s);
  EXPECT_GE(world_.outside.reads().size(), 4U);
  EXPECT_EQ(world_.StateOf(key), MessageState::kUnknown);
  EXPECT_EQ(world_.Sent(), 1U);
}

TEST_F(ReconcilerTest, AbsenceIsBelievedInTheEndUnderAtLeastOnce) {
  Replica replica(world_);
  world_.outside.ScriptReads({});
  const MessageKey key = InDoubt(replica, DuplicatePolicy::kAtLeastOnce);
  ReconcileFor(replica, 20min, 2s);
  EXPECT_EQ(world_.StateOf(key), MessageState::kSubmitted);
  EXPECT_EQ(world_.Sent(), 2U);
  EXPECT_EQ(world_.Record(key).message.status.attempt, 2);
}

TEST_F(ReconcilerTest, WhatLeftNobodyKnowsWhenIsNotSearchedForAndItsAbsenceNotBelieved) {
  Replica replica(world_);
  world_.outside.ScriptReads({});
  const MessageKey key = InDoubt(replica, DuplicatePolicy::kAtLeastOnce);
  world_.store.ForgetWhenItLeft(key);
  ReconcileFor(replica, 20min, 2s);
  EXPECT_TRUE(world_.outside.reads().empty());
  EXPECT_EQ(world_.Sent(), 1U);
  EXPECT_EQ(world_.StateOf(key), MessageState::kUnknown);
}

TEST_F(ReconcilerTest, AProviderThatCannotBeReadIsNotAsked) {
  Replica replica(world_);
  const MessageKey key = InDoubt(replica);
  ReconcileFor(replica, 60s);
  EXPECT_TRUE(world_.outside.reads().empty());
  EXPECT_EQ(world_.StateOf(key), MessageState::kUnknown);
}

TEST_F(ReconcilerTest, EveryRequestOfAReadIsPaidFor) {
  world_.SetRate(world_.tenant, 1, 10);
  Replica replica(world_);
  world_.outside.ScriptReads({Found("gc-1", MessageState::kDelivered, 5)});
  InDoubt(replica);
  for (int i = 0; i < 200 && world_.outside.reads().empty(); ++i) {
    const double before = Tokens(replica);
    replica.dispatcher.ReconcileStep();
    if (!world_.outside.reads().empty()) {
      EXPECT_NEAR(before - Tokens(replica), 5, 0.01);
      return;
    }
    replica.WorkFor(200ms);
  }
  FAIL() << "nothing was read";
}

TEST_F(ReconcilerTest, ReadsTakeAFifthOfTheRateAtMost) {
  TenantLanes lanes(world_.clock, world_.metrics, 1);
  const OwnedSlot slot{.lease = {.slot = SlotOf(world_.tenant), .epoch = 1},
                       .since = world_.clock.Now()};
  const TenantSettings& settings = *world_.settings[world_.tenant];
  EXPECT_EQ(lanes.TryTakeRead(world_.tenant, slot, settings, 1), 0) << "pauses are not known yet";
  lanes.AllowReads({slot.lease});
  world_.clock.Advance(10s);
  int reads = 0;
  for (int i = 0; i < 1000; ++i) {
    world_.clock.Advance(20ms);
    reads += lanes.TryTakeRead(world_.tenant, slot, settings, 1);
  }
  EXPECT_NEAR(reads, 40, 2) << "of 10 a second, for 20 s";
}

TEST_F(ReconcilerTest, AThrottledReadHoldsTheTenantHereAndAtTheNextOwner) {
  std::size_t sent = 0;
  {
    Replica replica(world_);
    world_.outside.ScriptReads({Throttled(60s)});
    InDoubt(replica);
    ReconcileFor(replica, 20s);
    ASSERT_EQ(world_.outside.reads().size(), 1U);
    sent = world_.Sent();
    world_.Accept();
    replica.WorkFor(5s);
    EXPECT_EQ(world_.Sent(), sent);
    EXPECT_EQ(replica.dispatcher.EffectiveRate(world_.tenant), 0);
    ASSERT_TRUE(replica.owner.Drain().ok());
  }
  Replica next(world_);
  next.WorkFor(20s);
  EXPECT_EQ(world_.Sent(), sent) << "told to another replica, and it binds";
  ReconcileFor(next, 60s);
  EXPECT_EQ(world_.Sent(), sent + 1);
  EXPECT_GE(world_.outside.reads().size(), 2U);
}

TEST_F(ReconcilerTest, ANewOwnerReadsThoughItHasNothingToSend) {
  {
    Replica replica(world_);
    InDoubt(replica);
    ASSERT_TRUE(replica.owner.Drain().ok());
  }
  world_.outside.ScriptReads({Found("gc-1", MessageState::kDelivered)});
  Replica next(world_);
  ReconcileFor(next, 30s);
  EXPECT_EQ(world_.outside.reads().size(), 1U);
}

}  // namespace
}  // namespace postrider
