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
  ASSERT_FALSE(rig.store.AcquireSlots(other)->empty());
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
  EXPECT_EQ(rig.store.AcquireSlots(other)->size(), static_cast<std::size_t>(kSlots));
}

}  // namespace
}  // namespace postrider
