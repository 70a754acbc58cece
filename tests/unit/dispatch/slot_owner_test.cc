#include "server/dispatch/slot_owner.h"

#include <gtest/gtest.h>

#include "server/base/log.h"
#include "server/model/dispatch_limits.h"
#include "tests/support/fake_clock.h"
#include "tests/support/fake_store.h"

namespace postrider {
namespace {

struct Rig {
  FakeClock clock;
  FakeStore store{clock};
  SeededRandom random{3};
  Metrics metrics;
  SlotOwner owner{store, clock, random, metrics, {.name = "test"}};

  bool MayPost() const {
    const auto own = owner.Current();
    return !own->slots.empty() && owner.MayPost(own->replica, own->slots.front().lease);
  }
};

TEST(SlotOwnerTest, TakesTheSlotsAndRenewsEachSecond) {
  Rig rig;
  EXPECT_FALSE(rig.MayPost());
  EXPECT_EQ(rig.owner.Step(), kLeaseRenewal);
  EXPECT_EQ(rig.owner.Current()->slots.size(), static_cast<std::size_t>(kSlots));
  EXPECT_TRUE(rig.MayPost());
  rig.clock.Advance(400ms);
  EXPECT_EQ(rig.owner.Step(), 600ms) << "not due";
  EXPECT_EQ(rig.store.Calls("RenewReplica"), 1);
  rig.clock.Advance(600ms);
  rig.owner.Step();
  EXPECT_EQ(rig.store.Calls("RenewReplica"), 2);
}

TEST(SlotOwnerTest, StopsItsMarginBeforeTheLeaseEndsWhenRenewalsFail) {
  Rig rig;
  rig.owner.Step();
  rig.store.FailNext(1000);
  rig.clock.Advance(kLeaseTime - kLeaseMargin - 1ms);
  rig.owner.Step();
  EXPECT_TRUE(rig.MayPost());
  rig.clock.Advance(1ms);
  EXPECT_FALSE(rig.MayPost());
}

TEST(SlotOwnerTest, AnOutageIsAFewLinesOfLogAndItsEndOne) {
  Rig rig;
  rig.store.FailNext(1000);
  ::testing::internal::CaptureStderr();
  for (int i = 0; i < 1001; ++i) {
    rig.owner.Step();
    rig.clock.Advance(kLeaseTime);
  }
  FlushLog();
  const std::string log = ::testing::internal::GetCapturedStderr();
  const auto count = [&](const std::string& event) {
    int lines = 0;
    for (std::size_t at = log.find(event); at != log.npos; at = log.find(event, at + 1)) ++lines;
    return lines;
  };
  EXPECT_EQ(count("lease not renewed"), 10) << log;
  EXPECT_EQ(count("lease renewed again"), 1) << log;
}

TEST(SlotOwnerTest, TheTimeCountsFromBeforeTheRenewalWasSent) {
  Rig rig;
  rig.store.BeforeEach([&](const std::string& operation) {
    if (operation == "RenewReplica") rig.clock.Advance(2s);  // A slow way there.
  });
  rig.owner.Step();
  rig.clock.Advance(499ms);
  EXPECT_TRUE(rig.MayPost());
  rig.clock.Advance(1ms);
  EXPECT_FALSE(rig.MayPost());
}

TEST(SlotOwnerTest, AFencedReplicaDropsAllAndStartsAnewUnderANewId) {
  Rig rig;
  rig.owner.Step();
  const auto before = rig.owner.Current();
  rig.clock.Advance(kLeaseTime + 1ms);
  const ReplicaId other{MakeUuidV4(rig.random)};
  ASSERT_TRUE(*rig.store.RenewReplica(other, "other"));
  ASSERT_FALSE(rig.store.AcquireSlots(other)->owned.empty());
  EXPECT_EQ(rig.owner.Step(), 0ns);
  EXPECT_TRUE(rig.owner.Current()->slots.empty());
  EXPECT_NE(rig.owner.Current()->replica, before->replica);
  rig.owner.Step();
  EXPECT_TRUE(*rig.store.RenewReplica(rig.owner.Current()->replica, "test"));
  EXPECT_FALSE(rig.owner.MayPost(before->replica, before->slots.front().lease));
}

TEST(SlotOwnerTest, ALateRenewalThatNobodyContestedKeepsTheSlots) {
  Rig rig;
  rig.owner.Step();
  const auto before = rig.owner.Current();
  rig.clock.Advance(kLeaseTime + 1s);
  EXPECT_FALSE(rig.MayPost());
  rig.owner.Step();
  EXPECT_TRUE(rig.MayPost());
  EXPECT_EQ(rig.owner.Current()->Leases(), before->Leases());
  EXPECT_EQ(rig.owner.Current()->slots.front().since, before->slots.front().since);
}

TEST(SlotOwnerTest, AfterADrainAnotherReplicaTakesOverAtOnce) {
  Rig rig;
  rig.owner.Step();
  ASSERT_TRUE(rig.owner.Drain().ok());
  EXPECT_FALSE(rig.MayPost());
  const ReplicaId other{MakeUuidV4(rig.random)};
  ASSERT_TRUE(*rig.store.RenewReplica(other, "other"));
  EXPECT_EQ(rig.store.AcquireSlots(other)->owned.size(), static_cast<std::size_t>(kSlots));
}

/// A second replica of the same store, which starts later.
struct Newcomer {
  explicit Newcomer(Rig& rig) : owner(rig.store, rig.clock, random, metrics, {.name = "new"}) {}
  SeededRandom random{4};
  Metrics metrics;
  SlotOwner owner;
};

/// Each steps when it wants to, for `time`.
void StepBoth(Rig& rig, Newcomer& other, std::chrono::nanoseconds time) {
  const MonotonicTime end = rig.clock.Now() + time;
  while (rig.clock.Now() < end) {
    const auto first = rig.owner.Step();
    const auto second = other.owner.Step();
    rig.clock.Advance(std::max<std::chrono::nanoseconds>(1ms, std::min(first, second)));
  }
}

std::size_t SlotsOf(const SlotOwner& owner) { return owner.Current()->slots.size(); }

TEST(SlotOwnerTest, ANewReplicaGetsItsShareWhileTheFirstLives) {
  Rig rig;
  rig.owner.Step();
  Newcomer other(rig);
  StepBoth(rig, other, 2500ms);
  EXPECT_EQ(SlotsOf(rig.owner), 8U);
  EXPECT_EQ(SlotsOf(other.owner), 8U);

  const auto before = rig.owner.Current()->Leases();
  StepBoth(rig, other, 10s);
  EXPECT_EQ(rig.owner.Current()->Leases(), before) << "and then it stays";
}

TEST(SlotOwnerTest, ASlotIsGivenAwayWhenNothingIsOpenInIt) {
  Rig rig;
  rig.owner.Step();
  // In the last slot, which is let go first.
  NewMessage message;
  SeededRandom random{9};
  do {
    message.request.tenant_id = {MakeUuidV4(random)};
  } while (SlotOf(message.request.tenant_id) != kSlots - 1);
  message.message_id = {MakeUuidV7(rig.clock.Wall(), random)};
  message.request.request_id = "r1";
  ASSERT_TRUE(rig.store.Accept({&message, 1}).ok());
  const auto own = rig.owner.Current();
  const MessageKey key{message.request.tenant_id, message.message_id};
  const auto intents = rig.store.Intend(own->replica, own->Leases(), {&key, 1});
  ASSERT_EQ(intents->front().kind, Intent::Kind::kPost);

  Newcomer other(rig);
  StepBoth(rig, other, 5s);
  EXPECT_EQ(SlotsOf(rig.owner), 8U);
  EXPECT_EQ(SlotsOf(other.owner), 7U);
  EXPECT_EQ(rig.store.OwnerOf(kSlots - 1), own->replica);
  EXPECT_FALSE(rig.owner.MayPost(own->replica, own->Find(kSlots - 1)->lease))
      << "it does not act there any more";

  AttemptOutcome end;
  end.key = key;
  end.outcome.kind = OutcomeKind::kAccepted;
  ASSERT_TRUE(rig.store.RecordOutcomes(own->replica, {&end, 1}).ok());
  StepBoth(rig, other, 2s);
  EXPECT_EQ(SlotsOf(other.owner), 8U);
  EXPECT_EQ(rig.store.GetMessage(key)->message.status.state, MessageState::kSubmitted)
      << "handed over, not taken over";
}

TEST(SlotOwnerTest, WhoLivesTakesOverAtTheEndOfALifeWhateverItsOwnBeat) {
  for (const auto beat : {0ms, 1ms, 250ms, 500ms, 999ms}) {
    Rig rig;
    rig.owner.Step();
    Newcomer other(rig);
    StepBoth(rig, other, 3s + beat);
    ASSERT_EQ(SlotsOf(rig.owner), 8U);
    // The other one dies right after a renewal.
    while (other.owner.Step() < kLeaseRenewal) rig.clock.Advance(1ms);
    const MonotonicTime died = rig.clock.Now();
    for (auto wait = rig.owner.Step(); SlotsOf(rig.owner) < kSlots; wait = rig.owner.Step()) {
      ASSERT_LT(rig.clock.Now() - died, 10s);
      rig.clock.Advance(std::max<std::chrono::nanoseconds>(1ms, wait));
    }
    EXPECT_EQ(SlotsOf(rig.owner), static_cast<std::size_t>(kSlots));
    EXPECT_LE(rig.clock.Now() - died, kLeaseTime + 2 * kAfterALifeEnds) << beat / 1ms;
  }
}

TEST(SlotOwnerTest, WhatIsLetGoComesBackWhenTheOtherLeaves) {
  Rig rig;
  rig.owner.Step();
  Newcomer other(rig);
  StepBoth(rig, other, 3s);
  ASSERT_EQ(SlotsOf(other.owner), 8U);
  ASSERT_TRUE(other.owner.Drain().ok());
  rig.clock.Advance(kLeaseRenewal);
  rig.owner.Step();
  EXPECT_EQ(SlotsOf(rig.owner), static_cast<std::size_t>(kSlots));
}

}  // namespace
}  // namespace postrider
