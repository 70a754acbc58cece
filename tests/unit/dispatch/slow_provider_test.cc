#include <gtest/gtest.h>

#include "server/dispatch/dispatcher.h"
#include "server/model/dispatch_limits.h"
#include "tests/support/dispatch_rig.h"

// One tenant's provider hangs: what that does to others.
namespace postrider {
namespace {

constexpr int kPosters = 12;

struct LanesRig {
  DispatchWorld world;
  TenantLanes lanes{world.clock, world.metrics, kPosters};
  OwnedSlot slot{.lease = {}, .since = world.clock.Now() - 1h};

  TenantId NewTenant() {
    const TenantId tenant{MakeUuidV4(world.random)};
    world.SetRate(tenant, 1000, 1000);
    return tenant;
  }
  /// Fills the tenant's lane up to what it has room for; how many that were.
  int Fill(TenantId tenant, int at_most) {
    const int room = std::min(at_most, lanes.Room(tenant, slot, *world.settings[tenant])[0]);
    std::vector<QueuedIntent> intents;
    for (int i = 0; i < room; ++i) {
      QueuedIntent intent;
      intent.key = {tenant, {MakeUuidV7(world.clock.Wall(), world.random)}};
      intent.start_by = world.clock.Now() + kStartBy;
      intents.push_back(std::move(intent));
    }
    EXPECT_TRUE(lanes.Push(std::move(intents)).empty());
    return room;
  }
  /// Turns of `tenant` that can begin now, and do not end.
  int Begin() {
    int began = 0;
    while (lanes.Pop({}).has_value()) ++began;
    return began;
  }
};

TEST(SlowProviderTest, EachTenantThatHangsGetsHalfOfWhatIsLeft) {
  LanesRig rig;
  int under_way = 0;
  for (int hanging = 1; hanging <= 3; ++hanging) {
    rig.Fill(rig.NewTenant(), kPosters);
    const int began = rig.Begin();
    EXPECT_GE(began, 1) << hanging;
    under_way += began;
    EXPECT_LT(under_way, kPosters) << hanging;
  }
}

TEST(SlowProviderTest, AloneATenantHasHalfAndNothingMoreIsIntendedForItMeanwhile) {
  LanesRig rig;
  const TenantId tenant = rig.NewTenant();
  rig.Fill(tenant, kPosters);
  EXPECT_EQ(rig.Begin(), kPosters / 2);
  EXPECT_EQ(rig.Fill(tenant, 1), 0) << "it would grow too old";
  rig.lanes.Done(tenant, 1);
  EXPECT_EQ(rig.Begin(), 1);
  rig.world.clock.Advance(kStartBy);
  const auto stale = rig.lanes.Pop({});
  ASSERT_TRUE(stale.has_value());
  EXPECT_TRUE(stale->stale) << "taken back by a poster of others";
}

TEST(SlowProviderTest, AnotherTenantsMessagesLeaveWhileOnesProviderHangs) {
  DispatchWorld world;
  SystemClock clock;
  FakeStore store(clock);
  SlotOwner owner(store, clock, world.random, world.metrics, {.name = "test"});
  const TenantId slow{MakeUuidV4(world.random)};
  const TenantId quick{MakeUuidV4(world.random)};
  auto settings = std::make_shared<TenantSettings>();
  settings->rate_per_s = 5000;
  settings->burst = 500;
  Dispatcher dispatcher(
      store, world.outside, owner, clock, world.random, world.metrics,
      {.posters_min = 2, .posters_max = 8, .doubt = {}, .settings = [&](TenantId) {
         return settings;
       }});
  const auto accept = [&](TenantId tenant, const std::string& recipient, int count) {
    for (int i = 0; i < count; ++i) {
      NewMessage message;
      message.request.tenant_id = tenant;
      message.request.request_id = StrCat(recipient, i);
      message.request.recipient = recipient;
      message.message_id = {MakeUuidV7(clock.Wall(), world.random)};
      message.new_conversation_id = {MakeUuidV4(world.random)};
      ASSERT_TRUE(store.Accept({&message, 1}).ok());
    }
  };
  world.outside.Hang("+15550000010");
  accept(slow, "+15550000010", 100);
  owner.Start();
  dispatcher.Start();
  // Half of eight: its share is used up, by posters beyond the two that there were.
  EXPECT_TRUE(world.outside.WaitForSends(4));
  accept(quick, "+15550000001", 200);
  EXPECT_TRUE(world.outside.WaitForSends(204));
  world.outside.OpenGate();
  EXPECT_TRUE(world.outside.WaitForSends(300));
  EXPECT_TRUE(dispatcher.Drain(10s));
  EXPECT_TRUE(owner.Drain().ok());
  EXPECT_EQ(world.Sent(), 300U);
}

}  // namespace
}  // namespace postrider
