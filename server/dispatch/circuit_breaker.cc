#include "server/dispatch/circuit_breaker.h"

#include <algorithm>

#include "server/base/check.h"
#include "server/base/mutant.h"
#include "server/base/strings.h"
#include "server/model/dispatch_limits.h"

namespace postrider {

namespace {

BreakerStanding Opened(const BreakerStanding& from, const BreakerFacts& facts,
                       const BreakerRules& rules, std::string cause) {
  std::chrono::milliseconds wait = std::min(rules.open_first, rules.open_longest);
  for (int trip = 0; trip < from.trips && wait < rules.open_longest; ++trip) {
    wait = std::min(wait * 2, rules.open_longest);
  }
  return {.state = BreakerState::kOpen,
          .trips = from.trips + 1,
          .canaries = 0,
          .changed_at = facts.now,
          .open_until = facts.now + wait,
          .cause = std::move(cause)};
}

}  // namespace

BreakerStanding NextStanding(const BreakerStanding& standing, const BreakerFacts& facts,
                             const BreakerRules& rules) {
  BreakerStanding next = standing;
  switch (standing.state) {
    case BreakerState::kClosed: {
      const double most = rules.failure_share * static_cast<double>(facts.calls);
      if (facts.calls < rules.least_calls || static_cast<double>(facts.failures) <= most ||
          Mutated(Mutant::kBreakerNeverOpens)) {
        return next;
      }
      return Opened(standing, facts, rules, StrCat(facts.failures, " of ", facts.calls, " failed"));
    }
    case BreakerState::kOpen:
      if (facts.now < standing.open_until) return next;
      next.state = BreakerState::kHalfOpen;
      next.canaries = 1;
      next.changed_at = facts.now;
      return next;
    case BreakerState::kHalfOpen:
      if (facts.canaries_failed > 0) {
        return Opened(standing, facts, rules, "a canary failed");
      }
      if (facts.canaries_good < standing.canaries) return next;
      if (standing.canaries < kBreakerMostCanaries) {
        next.canaries = std::min(std::max(standing.canaries, 1) * 2, kBreakerMostCanaries);
        return next;
      }
      return {.state = BreakerState::kClosed, .changed_at = facts.now};
  }
  PR_CHECK(false);
}

}  // namespace postrider
