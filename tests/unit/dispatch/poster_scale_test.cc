#include "server/dispatch/poster_scale.h"

#include <gtest/gtest.h>

#include "server/model/dispatch_limits.h"
#include "tests/support/fake_clock.h"

namespace postrider {
namespace {

/// `rate_per_s` POSTs a second of `latency` for `time`; what is needed then.
int NeededAfter(FakeClock& clock, PosterScale& scale, int rate_per_s,
                std::chrono::milliseconds latency, std::chrono::seconds time) {
  int needed = 0;
  for (std::chrono::milliseconds passed{}; passed < time; passed += 100ms) {
    for (int i = 0; i < rate_per_s / 10; ++i) {
      scale.Began();
      scale.Ended(latency);
    }
    clock.Advance(100ms);
    needed = scale.Update(false);
  }
  return needed;
}

TEST(PosterScaleTest, FollowsRateTimesLatencyWithinItsBoundsTable) {
  struct Case {
    const char* name;
    int rate_per_s;
    std::chrono::milliseconds latency;
    int needed;  ///< Between 4 and 64.
  };
  const Case cases[] = {
      {"nothing to do", 0, 0ms, 4},
      {"little to do", 10, 20ms, 4},
      {"and half as many again", 100, 200ms, 30},
      {"not above the most", 1000, 1000ms, 64},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    FakeClock clock;
    Metrics metrics;
    PosterScale scale(clock, metrics, 4, 64);
    EXPECT_NEAR(NeededAfter(clock, scale, c.rate_per_s, c.latency, 20s), c.needed, 1);
  }
}

TEST(PosterScaleTest, WhenAllAreBusyAndMoreIsDueItDoubles) {
  FakeClock clock;
  Metrics metrics;
  PosterScale scale(clock, metrics, 4, 20);
  const int wanted[] = {8, 16, 20, 20};
  int under_way = 0;
  for (const int needed : wanted) {
    while (under_way < scale.Update(false)) {
      scale.Began();
      ++under_way;
    }
    EXPECT_EQ(scale.Update(true), needed) << "hanging POSTs have not told their latency yet";
  }
}

TEST(PosterScaleTest, FewerOnlyAfterAWhile) {
  FakeClock clock;
  Metrics metrics;
  PosterScale scale(clock, metrics, 4, 64);
  const int busy = NeededAfter(clock, scale, 100, 200ms, 20s);
  EXPECT_EQ(NeededAfter(clock, scale, 10, 10ms, 10s), busy);
  EXPECT_TRUE(scale.AwaitNeed(busy - 1, {}));
  EXPECT_LT(NeededAfter(clock, scale, 10, 10ms, kPostersKept + 30s), busy);
  EXPECT_FALSE(scale.AwaitNeed(busy - 1, {}));
  EXPECT_TRUE(scale.AwaitNeed(3, {}));
}

}  // namespace
}  // namespace postrider
