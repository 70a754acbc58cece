#include "server/store/breaker_directory.h"

#include <gtest/gtest.h>

#include "server/base/random.h"
#include "tests/support/fake_clock.h"
#include "tests/support/fake_store.h"

namespace postrider {
namespace {

using namespace std::chrono_literals;

TEST(BreakerDirectoryTest, KnowsWhoIsOpenUntilWhenAndKeepsItWhileTheStoreIsAway) {
  FakeClock clock;
  SeededRandom random(3);
  FakeStore store(clock);
  BreakerDirectory directory(store);
  const TenantId tenant{MakeUuidV4(random)};
  const WallTime sooner = clock.Wall() + 1min;
  const WallTime later = clock.Wall() + 2min;
  const OperatorAction action{{}, "ops", "test"};
  const auto open = [&](Breaker breaker, WallTime until) {
    return store.OverrideBreaker({tenant, breaker}, BreakerState::kOpen, until, action);
  };
  ASSERT_TRUE(open(Breaker::kTransport, later).ok());
  ASSERT_TRUE(open(Breaker::kCarrier, sooner).ok());
  EXPECT_EQ(directory.NextCanary(tenant), std::nullopt);
  ASSERT_TRUE(directory.Refresh().ok());
  EXPECT_EQ(directory.NextCanary(tenant), later) << "both must let it through";
  EXPECT_EQ(directory.NextCanary({MakeUuidV4(random)}), std::nullopt);

  ASSERT_TRUE(store.OverrideBreaker({tenant, Breaker::kTransport}, std::nullopt, {}, action).ok());
  store.FailNext(1, FakeStore::When::kBefore, "OpenBreakers");
  EXPECT_TRUE(absl::IsUnavailable(directory.Refresh()));
  EXPECT_EQ(directory.NextCanary(tenant), later);
  ASSERT_TRUE(directory.Refresh().ok());
  EXPECT_EQ(directory.NextCanary(tenant), sooner);
}

}  // namespace
}  // namespace postrider
