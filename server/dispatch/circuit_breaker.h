#pragma once

#include <chrono>
#include <cstdint>

#include "server/base/clock.h"
#include "server/model/breaker.h"
#include "server/model/dispatch_limits.h"

namespace postrider {

/// How a breaker judges.
struct BreakerRules {
  double failure_share = kBreakerFailureShare;  ///< Above it opens; 0 .. 1
  std::int64_t least_calls = kBreakerLeastCalls;
  std::chrono::milliseconds open_first = kBreakerOpenFirst;  ///< > 0; doubles with each trip ...
  std::chrono::milliseconds open_longest = kBreakerOpenLongest;  ///< ... up to this.
};

/// What is known about a breaker's subject at `now`.
struct BreakerFacts {
  WallTime now{};
  std::int64_t calls = 0;  ///< In the window.
  std::int64_t failures = 0;
  int canaries_good = 0;  ///< Of the present wave.
  int canaries_failed = 0;
};

/// Where a breaker stands next; `standing` itself when nothing changes. Pure.
///
///   closed     opens when more than the share of at least so many calls failed
///   open       becomes half-open, with one canary, when its wait is over
///   half-open  opens again, for twice as long, when a canary failed; when all of a wave are good
///              the next one is twice as large; after that of kBreakerMostCanaries it closes
///
/// Silence changes nothing. One call makes one step.
/// Source: M. Nygard, "Release It!", "Circuit Breaker".
BreakerStanding NextStanding(const BreakerStanding& standing, const BreakerFacts& facts,
                             const BreakerRules& rules);

}  // namespace postrider
