#include "server/base/backoff.h"

#include <algorithm>

#include <gtest/gtest.h>

namespace postrider {
namespace {

using namespace std::chrono_literals;

TEST(BackoffTest, IsSpreadOverAllOfABoundThatDoublesUpToTheLongest) {
  struct Case {
    int tries;
    std::chrono::nanoseconds bound;
  };
  const Case cases[] = {{1, 1s}, {2, 2s}, {3, 4s}, {9, 256s}, {10, 300s}, {1000000, 300s}};
  SeededRandom random(11);
  for (const Case& c : cases) {
    SCOPED_TRACE(c.tries);
    std::chrono::nanoseconds least = c.bound;
    std::chrono::nanoseconds most{};
    for (int i = 0; i < 1000; ++i) {
      const auto wait = Backoff(c.tries, 1s, 300s, random);
      ASSERT_GE(wait, 0ns);
      ASSERT_LE(wait, c.bound);
      least = std::min(least, wait);
      most = std::max(most, wait);
    }
    EXPECT_LT(least, c.bound / 20);
    EXPECT_GT(most, c.bound / 20 * 19);
  }
}

}  // namespace
}  // namespace postrider
