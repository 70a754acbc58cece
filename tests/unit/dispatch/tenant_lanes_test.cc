#include "server/dispatch/tenant_lanes.h"

#include <deque>
#include <map>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/fake_clock.h"

namespace postrider {
namespace {

using ::testing::Each;
using ::testing::SizeIs;

// Fewer posters than tenants: each has its share, whatever its id.
TEST(TenantLanesTest, FewPostersServeTenantsInTurn) {
  constexpr int kPosters = 2;
  constexpr int kTenants = 5;
  constexpr int kTurnsEach = 40;
  FakeClock clock;
  Metrics metrics;
  TenantLanes lanes(clock, metrics, kPosters);
  TenantSettings settings;
  settings.rate_per_s = 1e6;
  settings.burst = 1e6;
  const OwnedSlot slot{.lease = {}, .since = clock.Now()};
  clock.Advance(1s);
  for (std::uint8_t i = 0; i < kTenants; ++i) {
    TenantId tenant;
    tenant.uuid.bytes[15] = i;
    lanes.Room(tenant, slot, settings);
    std::vector<QueuedIntent> intents(2 * kTurnsEach);
    for (QueuedIntent& intent : intents) {
      intent.key.tenant_id = tenant;
      intent.start_by = clock.Now() + kStartBy;
    }
    ASSERT_THAT(lanes.Push(std::move(intents)), SizeIs(0));
  }

  std::map<TenantId, int> turns;
  std::deque<TenantId> under_way;
  for (int i = 0; i < kTenants * kTurnsEach; ++i) {
    if (under_way.size() == kPosters) {
      lanes.Done(under_way.front(), 1);
      under_way.pop_front();
    }
    const auto turn = lanes.Pop({});
    ASSERT_TRUE(turn.has_value()) << i;
    ++turns[turn->intent.key.tenant_id];
    under_way.push_back(turn->intent.key.tenant_id);
    clock.Advance(1us);
  }
  ASSERT_THAT(turns, SizeIs(kTenants));
  EXPECT_THAT(turns, Each(::testing::Pair(::testing::_, kTurnsEach)));
}

// A slot that was lost and came back: what the provider said meanwhile may be in no store yet.
TEST(TenantLanesTest, APauseOutlivesTheLossOfItsSlot) {
  FakeClock clock;
  Metrics metrics;
  TenantLanes lanes(clock, metrics, 1);
  const TenantSettings settings;
  const TenantId tenant;
  const OwnedSlot first{.lease = {.slot = 0, .epoch = 1}, .since = clock.Now()};
  clock.Advance(1s);
  lanes.Room(tenant, first, settings);
  lanes.Pause(tenant, 10s);
  lanes.KeepOnly({});
  lanes.Pause(tenant, 20s);  // An answer that came after the loss.

  clock.Advance(5s);
  const OwnedSlot again{.lease = {.slot = 0, .epoch = 3}, .since = clock.Now()};
  lanes.Room(tenant, again, settings);
  EXPECT_EQ(lanes.PauseLeft(tenant), 15s);
  clock.Advance(15s);
  lanes.KeepOnly({});
  lanes.Room(tenant, again, settings);
  EXPECT_EQ(lanes.PauseLeft(tenant), 0s);
}

}  // namespace
}  // namespace postrider
