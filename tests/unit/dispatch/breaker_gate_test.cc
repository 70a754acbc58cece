#include "server/dispatch/breaker_gate.h"

#include <gtest/gtest.h>

#include "server/model/dispatch_limits.h"
#include "tests/support/dispatch_rig.h"

// Circuit breakers at work, against promise P5 and invariant S14.
namespace postrider {
namespace {

constexpr auto kRecipient = "+15550000001";

Outcome Failed() {
  Outcome outcome;
  outcome.kind = OutcomeKind::kUnknown;
  outcome.http_status = 503;
  outcome.detail = "the provider is not available";
  return outcome;
}

Outcome TooFast() {
  Outcome outcome;
  outcome.kind = OutcomeKind::kNotSent;
  outcome.http_status = 429;
  outcome.retry_after = 1s;
  outcome.pauses_tenant = true;
  return outcome;
}

/// A tenant at 20 messages a second, with a long queue.
struct BreakerWorld : DispatchWorld {
  BreakerWorld() { SetRate(tenant, 20, 5); }

  void Queue(int count) {
    for (int i = 0; i < count; ++i) Accept();
  }
  BreakerReading Of(Breaker breaker) {
    const TenantId asked = tenant;
    const absl::StatusOr<BreakerReadings> readings = store.BreakersOf({&asked, 1});
    PR_CHECK(readings.ok());
    for (const BreakerReading& reading : readings->breakers) {
      if (reading.key.breaker == breaker) return reading;
    }
    return {};
  }
  BreakerState StateOfBreaker(Breaker breaker) { return Of(breaker).InForce(); }
  void FailTheNext(int count) { outside.Script(kRecipient, std::vector<Outcome>(count, Failed())); }

  /// The receipts of everything that was sent and has none yet: every `nth` failed.
  void Receipts(std::size_t nth, FailureReason why = FailureReason::kCarrierRejected) {
    const auto sent = outside.sent();
    for (; receipts < sent.size(); ++receipts) {
      const bool bad = nth > 0 && receipts % nth == 0;
      Receipt receipt;
      receipt.message_id = sent[receipts].message_id;
      receipt.status.state = bad ? MessageState::kFailed : MessageState::kDelivered;
      receipt.status.failure = bad ? why : FailureReason::kNone;
      receipt.status.hash = Sha256Bytes(StrCat("receipt ", receipts));
      const ParsedReceipt row{{tenant, {MakeUuidV7(clock.Wall(), random)}, "guide", "{}"}, receipt};
      PR_CHECK(store.ApplyReceipts({&row, 1}).ok());
    }
  }
  std::size_t receipts = 0;
};

TEST(BreakerGateTest, FailuresStopTheTenantWithinOneEvaluation) {
  BreakerWorld world;
  Replica replica(world);
  world.Queue(500);
  replica.WorkFor(2s);
  world.FailTheNext(1000);
  replica.WorkFor(3s);
  EXPECT_EQ(world.StateOfBreaker(Breaker::kTransport), BreakerState::kOpen);
  const std::size_t sent = world.Sent();
  replica.WorkFor(25s);
  EXPECT_EQ(world.Sent(), sent) << "nothing leaves";
}

TEST(BreakerGateTest, AnotherTenantGoesOn) {
  BreakerWorld world;
  Replica replica(world);
  const TenantId other{MakeUuidV4(world.random)};
  world.SetRate(other, 20, 5);
  world.Queue(100);
  world.FailTheNext(1000);
  replica.WorkFor(5s);
  ASSERT_EQ(world.StateOfBreaker(Breaker::kTransport), BreakerState::kOpen);
  const MessageKey key = world.Accept(other, "+15550000009");
  replica.WorkFor(1s);
  EXPECT_EQ(world.StateOf(key), MessageState::kSubmitted);
}

TEST(BreakerGateTest, WhatWasIntendedBeforeItOpenedIsTakenBack) {
  BreakerWorld world;
  Replica replica(world);
  replica.WorkFor(1s);
  const MessageKey key = world.Accept();
  replica.dispatcher.WakeAll();
  replica.dispatcher.ChooseStep();
  ASSERT_EQ(world.StateOf(key), MessageState::kDispatching);
  const BreakerKey transport{world.tenant, Breaker::kTransport};
  ASSERT_TRUE(world.store
                  .OverrideBreaker(transport, BreakerState::kOpen, world.clock.Wall() + 1h,
                                   {.action_id = {}, .actor = "ops", .reason = "stop"})
                  .ok());
  world.clock.Advance(kBreakerEvaluation);
  replica.owner.Step();
  replica.dispatcher.ChooseStep();
  replica.Post();
  replica.RecordAll();
  EXPECT_EQ(world.Sent(), 0U);
  EXPECT_EQ(world.StateOf(key), MessageState::kQueued);
}

TEST(BreakerGateTest, CanariesBringTrafficBackInWavesOfOneTwoAndFour) {
  BreakerWorld world;
  Replica replica(world);
  world.Queue(500);
  world.FailTheNext(40);
  replica.WorkFor(5s);
  ASSERT_EQ(world.StateOfBreaker(Breaker::kTransport), BreakerState::kOpen);
  const std::size_t sent = world.Sent();
  ASSERT_LT(sent, 80U);
  world.outside.EndScripts();
  std::vector<std::size_t> waves;
  std::size_t before = sent;
  for (int second = 0; second < 60 && waves.size() < 3; ++second) {
    replica.WorkFor(1s, 50ms);
    if (world.Sent() > before) waves.push_back(world.Sent() - before);
    before = world.Sent();
  }
  EXPECT_EQ(waves, (std::vector<std::size_t>{1, 2, 4}));
  replica.WorkFor(3s);
  EXPECT_EQ(world.StateOfBreaker(Breaker::kTransport), BreakerState::kClosed);
  EXPECT_EQ(world.Of(Breaker::kTransport).standing.trips, 0);
  EXPECT_GT(world.Sent(), before + 20);
}

TEST(BreakerGateTest, AFailedCanaryOpensItAgainForTwiceAsLong) {
  BreakerWorld world;
  Replica replica(world);
  world.Queue(500);
  world.FailTheNext(1000);
  replica.WorkFor(5s);
  ASSERT_EQ(world.StateOfBreaker(Breaker::kTransport), BreakerState::kOpen);
  const std::size_t sent = world.Sent();
  replica.WorkFor(31s, 50ms);
  EXPECT_EQ(world.Sent(), sent + 1) << "one canary";
  const BreakerStanding again = world.Of(Breaker::kTransport).standing;
  EXPECT_EQ(again.state, BreakerState::kOpen);
  EXPECT_EQ(again.trips, 2);
  EXPECT_EQ(again.open_until - again.changed_at, 60s);
  replica.WorkFor(55s, 50ms);
  EXPECT_EQ(world.Sent(), sent + 1);
}

TEST(BreakerGateTest, A429IsNoFailureAndACanaryThatGetsOneSaysNothing) {
  BreakerWorld world;
  Replica replica(world);
  world.Queue(500);
  world.outside.Script(kRecipient, std::vector<Outcome>(60, TooFast()));
  replica.WorkFor(100s, 50ms);
  EXPECT_EQ(world.StateOfBreaker(Breaker::kTransport), BreakerState::kClosed);
  EXPECT_EQ(world.Of(Breaker::kTransport).failures, 0);
}

TEST(BreakerGateTest, RejectedByCarriersStopsTheTenantAndReceiptsBringItBack) {
  BreakerWorld world;
  Replica replica(world);
  world.Queue(500);
  replica.WorkFor(2s);
  world.Receipts(5);
  replica.WorkFor(1s);
  ASSERT_EQ(world.StateOfBreaker(Breaker::kCarrier), BreakerState::kOpen);
  EXPECT_EQ(world.StateOfBreaker(Breaker::kTransport), BreakerState::kClosed);
  std::size_t sent = world.Sent();
  world.receipts = sent;
  replica.WorkFor(29s, 50ms);
  EXPECT_EQ(world.Sent(), sent);
  for (const std::size_t wave : {1U, 2U, 4U}) {
    replica.WorkFor(5s, 50ms);
    EXPECT_EQ(world.Sent(), sent + wave) << "it waits for their receipts";
    sent = world.Sent();
    world.Receipts(0);
  }
  replica.WorkFor(3s);
  EXPECT_EQ(world.StateOfBreaker(Breaker::kCarrier), BreakerState::kClosed);
  EXPECT_GT(world.Sent(), sent + 20);
}

TEST(BreakerGateTest, FaultsOfRecipientsStopNobody) {
  BreakerWorld world;
  Replica replica(world);
  world.Queue(500);
  replica.WorkFor(3s);
  world.Receipts(2, FailureReason::kInvalidNumber);
  replica.WorkFor(3s);
  EXPECT_EQ(world.StateOfBreaker(Breaker::kCarrier), BreakerState::kClosed);
}

TEST(BreakerGateTest, ASilentCanaryIsNoFailureAndAnotherFollows) {
  BreakerWorld world;
  Replica replica(world);
  world.Queue(500);
  replica.WorkFor(2s);
  world.Receipts(2);
  replica.WorkFor(1s);
  ASSERT_EQ(world.StateOfBreaker(Breaker::kCarrier), BreakerState::kOpen);
  const std::size_t sent = world.Sent();
  replica.WorkFor(33s, 50ms);
  ASSERT_EQ(world.Sent(), sent + 1);
  world.receipts = sent;
  replica.WorkFor(kCanaryWait - 5s, 100ms);
  EXPECT_EQ(world.Sent(), sent + 1);
  replica.WorkFor(8s, 100ms);
  EXPECT_EQ(world.Sent(), sent + 2);
  EXPECT_EQ(world.StateOfBreaker(Breaker::kCarrier), BreakerState::kHalfOpen);
  world.receipts = sent;
  world.Receipts(0);  // both speak, the first one late
  replica.WorkFor(3s, 100ms);
  EXPECT_EQ(world.Of(Breaker::kCarrier).standing.canaries, 2);
}

TEST(BreakerGateTest, TheNextOwnerInheritsTheStateBeforeItSendsAnything) {
  BreakerWorld world;
  std::size_t sent = 0;
  {
    Replica replica(world);
    world.Queue(500);
    world.FailTheNext(1000);
    replica.WorkFor(5s);
    ASSERT_EQ(world.StateOfBreaker(Breaker::kTransport), BreakerState::kOpen);
    sent = world.Sent();
  }
  world.clock.Advance(kLeaseTime + 1s);
  Replica heir(world);
  ASSERT_FALSE(heir.owner.Current()->slots.empty());
  world.store.FailNext(3, FakeStore::When::kBefore, "ReadBreakers");
  heir.WorkFor(15s, 50ms);
  EXPECT_EQ(world.Sent(), sent) << "also while it cannot read them";
  heir.WorkFor(15s, 50ms);
  EXPECT_EQ(world.Sent(), sent + 1) << "and it goes on with the canaries";
}

TEST(BreakerGateTest, ASlotTakenBackGivesNothingBeforeItsBreakersAreReadAgain) {
  BreakerWorld world;
  Replica replica(world);
  Metrics metrics;
  BreakerGate gate(world.store, replica.owner, world.clock, metrics, {});
  gate.Step();
  OwnedSlot slot = *replica.owner.Current()->Find(SlotOf(world.tenant));
  EXPECT_EQ(gate.Room(world.tenant, slot, 10), 10);
  slot.since += 1s;  // The same lease: it was on its way to another replica meanwhile.
  EXPECT_EQ(gate.Room(world.tenant, slot, 10), 0);
}

TEST(BreakerGateTest, ANewOwnerJudgesByWhatTheOneBeforeCounted) {
  BreakerWorld world;
  world.FailTheNext(1000);
  {
    Replica replica(world);
    world.Queue(kBreakerLeastCalls - 1);
    replica.WorkFor(3s);
    ASSERT_EQ(world.Sent(), static_cast<std::size_t>(kBreakerLeastCalls - 1));
    ASSERT_EQ(world.StateOfBreaker(Breaker::kTransport), BreakerState::kClosed);
  }
  world.SetRate(world.tenant, 1, 1);
  world.Queue(100);
  world.clock.Advance(kLeaseTime + 1s);
  Replica heir(world);
  heir.WorkFor(5s, 50ms);
  EXPECT_EQ(world.StateOfBreaker(Breaker::kTransport), BreakerState::kOpen);
  EXPECT_LT(world.Sent(), static_cast<std::size_t>(kBreakerLeastCalls + 5));
}

TEST(BreakerGateTest, AnOperatorHoldsItClosedUntilTheOverrideEnds) {
  BreakerWorld world;
  Replica replica(world);
  world.Queue(500);
  const BreakerKey transport{world.tenant, Breaker::kTransport};
  ASSERT_TRUE(world.store
                  .OverrideBreaker(transport, BreakerState::kClosed, world.clock.Wall() + 10s,
                                   {.action_id = {}, .actor = "ops", .reason = "known outage"})
                  .ok());
  world.FailTheNext(1000);
  replica.WorkFor(9s);
  EXPECT_GT(world.Sent(), 150U);
  replica.WorkFor(3s);
  EXPECT_EQ(world.StateOfBreaker(Breaker::kTransport), BreakerState::kOpen);
  ASSERT_EQ(world.store.Actions().size(), 1U);
  EXPECT_EQ(world.store.Actions()[0].reason, "known outage");
}

}  // namespace
}  // namespace postrider
