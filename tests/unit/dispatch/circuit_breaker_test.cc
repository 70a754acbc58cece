#include "server/dispatch/circuit_breaker.h"

#include <gtest/gtest.h>

namespace postrider {
namespace {

using namespace std::chrono_literals;

const WallTime kNow = WallTime{} + 1000h;

BreakerStanding Open(int trips, std::chrono::seconds left) {
  return {.state = BreakerState::kOpen,
          .trips = trips,
          .changed_at = kNow - 1min,
          .open_until = kNow + left,
          .cause = "4 of 20 failed"};
}

BreakerStanding HalfOpen(int trips, int canaries) {
  return {.state = BreakerState::kHalfOpen,
          .trips = trips,
          .canaries = canaries,
          .changed_at = kNow - 1min,
          .open_until = kNow - 1min};
}

TEST(CircuitBreakerTest, Table) {
  struct Case {
    const char* name;
    BreakerStanding from;
    std::int64_t calls;
    std::int64_t failures;
    int good;
    int failed;
    BreakerState state;
    int trips;
    int canaries;
    std::chrono::seconds open_for;
  };
  const BreakerStanding closed;
  const Case cases[] = {
      {"nothing was seen", closed, 0, 0, 0, 0, BreakerState::kClosed, 0, 0, 0s},
      {"all failed, but too few", closed, 19, 19, 0, 0, BreakerState::kClosed, 0, 0, 0s},
      {"exactly 15 %", closed, 20, 3, 0, 0, BreakerState::kClosed, 0, 0, 0s},
      {"above 15 %", closed, 20, 4, 0, 0, BreakerState::kOpen, 1, 0, 30s},
      {"15 of 100", closed, 100, 15, 0, 0, BreakerState::kClosed, 0, 0, 0s},
      {"16 of 100", closed, 100, 16, 0, 0, BreakerState::kOpen, 1, 0, 30s},
      {"the wait is not over", Open(1, 1s), 100, 100, 0, 0, BreakerState::kOpen, 1, 0, 1s},
      {"the wait is over", Open(1, 0s), 100, 100, 0, 0, BreakerState::kHalfOpen, 1, 1, 0s},
      {"silence", HalfOpen(1, 1), 100, 100, 0, 0, BreakerState::kHalfOpen, 1, 1, 0s},
      {"one was good", HalfOpen(1, 1), 100, 100, 1, 0, BreakerState::kHalfOpen, 1, 2, 0s},
      {"one of two", HalfOpen(1, 2), 100, 100, 1, 0, BreakerState::kHalfOpen, 1, 2, 0s},
      {"two of two", HalfOpen(1, 2), 100, 100, 2, 0, BreakerState::kHalfOpen, 1, 4, 0s},
      {"four of four", HalfOpen(3, 4), 100, 100, 4, 0, BreakerState::kClosed, 0, 0, 0s},
      {"the first failed", HalfOpen(1, 1), 100, 100, 0, 1, BreakerState::kOpen, 2, 0, 60s},
      {"one of four failed", HalfOpen(2, 4), 100, 100, 3, 1, BreakerState::kOpen, 3, 0, 120s},
      {"the longest wait", HalfOpen(5, 1), 100, 100, 0, 1, BreakerState::kOpen, 6, 0, 600s},
      {"and no longer", HalfOpen(500, 1), 100, 100, 0, 1, BreakerState::kOpen, 501, 0, 600s},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    const BreakerFacts facts{.now = kNow,
                             .calls = c.calls,
                             .failures = c.failures,
                             .canaries_good = c.good,
                             .canaries_failed = c.failed};
    const BreakerStanding next = NextStanding(c.from, facts, BreakerRules());
    EXPECT_EQ(next.state, c.state);
    EXPECT_EQ(next.trips, c.trips);
    EXPECT_EQ(next.canaries, c.canaries);
    if (c.state == BreakerState::kOpen) {
      EXPECT_EQ(next.open_until - kNow, c.open_for);
      EXPECT_FALSE(next.cause.empty());
    }
    if (next.state != c.from.state) {
      EXPECT_EQ(next.changed_at, kNow);
    } else {
      EXPECT_EQ(next.changed_at, c.from.changed_at);
    }
  }
}

TEST(CircuitBreakerTest, SaysTheFiguresThatOpenedIt) {
  const BreakerFacts facts{.now = kNow, .calls = 50, .failures = 11};
  EXPECT_EQ(NextStanding({}, facts, BreakerRules()).cause, "11 of 50 failed");
}

TEST(CircuitBreakerTest, ALongestWaitBelowTheFirstIsTheWait) {
  const BreakerRules rules{.open_first = 30s, .open_longest = 5s};
  const BreakerFacts facts{.now = kNow, .calls = 50, .failures = 50};
  EXPECT_EQ(NextStanding({}, facts, rules).open_until - kNow, 5s);
}

}  // namespace
}  // namespace postrider
