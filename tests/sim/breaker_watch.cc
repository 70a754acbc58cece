#include "tests/sim/breaker_watch.h"

#include <algorithm>

#include "server/base/strings.h"
#include "server/model/dispatch_limits.h"

namespace postrider {

void BreakerWatch::Look(std::span<const TenantId> tenants) {
  // Time alone changes nothing but overrides.
  const std::uint64_t writes = store_.BreakerWrites();
  const bool unchanged = std::exchange(writes_seen_, writes) == writes;
  if (unchanged && !any_overridden_) return;
  any_overridden_ = false;
  for (const TenantId tenant : tenants) {
    for (const Breaker breaker : kAllBreakers) Look({tenant, breaker});
  }
}

void BreakerWatch::Look(const BreakerKey& key) {
  const FakeStore::BreakerLook look = store_.LookAt(key);
  any_overridden_ = any_overridden_ || look.overridden;
  const bool trips =
      look.in_force == BreakerState::kClosed && !look.overridden &&
      look.calls >= rules_.least_calls &&
      static_cast<double>(look.failures) > rules_.failure_share * static_cast<double>(look.calls);
  if (trips) {
    tripping_.try_emplace(key, clock_.Now());
  } else {
    tripping_.erase(key);
  }
  const bool open = look.in_force == BreakerState::kOpen && !look.overridden;
  if (open && std::exchange(opened_[key], look.since) != look.since) ++trips_;
}

Breaches BreakerWatch::Begins(const Poster& poster, const MessageKey& key, int attempt) {
  const MonotonicTime knows = std::max(poster.judged_at, poster.slot_since);
  const WallTime known = clock_.Wall() - (clock_.Now() - knows);
  const std::string name = StrCat(key.message_id.ToString(), " attempt ", attempt, " was posted");
  Breaches breaches;
  for (const Breaker breaker : kAllBreakers) {
    const BreakerKey of{key.tenant_id, breaker};
    const FakeStore::BreakerLook look = store_.LookAt(of);
    const std::string its = StrCat(" the ", NameOf(breaker), " breaker");
    switch (look.in_force) {
      case BreakerState::kOpen:
        if (look.since < known)
          breaches.push_back(StrCat("S14: ", name, " while", its, " was open"));
        break;
      case BreakerState::kHalfOpen: {
        // Of those before, some belong to the wave before.
        if (look.since >= known) break;
        std::vector<Canary>& wave =
            waves_[{poster.replica, poster.life, of, poster.slot_since, look.since}];
        wave.push_back({key, attempt, clock_.Now()});
        const auto count = std::count_if(wave.begin(), wave.end(), [&](const Canary& canary) {
          return Counts(breaker, canary);
        });
        if (count <= look.canaries) break;
        breaches.push_back(
            StrCat("S14: ", name, " as canary ", count, " of ", look.canaries, " of", its));
        break;
      }
      case BreakerState::kClosed: {
        const auto tripping = tripping_.find(of);
        if (look.overridden || tripping == tripping_.end() || tripping->second >= knows) break;
        breaches.push_back(StrCat("S14: ", name, " after", its, " should have opened: ",
                                  look.failures, " of ", look.calls, " failed"));
        break;
      }
    }
  }
  return breaches;
}

void BreakerWatch::Ends(const MessageKey& key, int attempt, const Outcome& outcome) {
  if (TransportVerdictOf(outcome) == BreakerVerdict::kNothing) {
    silent_.insert({Breaker::kTransport, key, attempt});
  }
  // Its receipt speaks, when it is to have one.
  const bool left = outcome.kind == OutcomeKind::kAccepted || outcome.kind == OutcomeKind::kUnknown;
  if (!left) silent_.insert({Breaker::kCarrier, key, attempt});
}

bool BreakerWatch::Counts(Breaker breaker, const Canary& canary) const {
  if (silent_.contains({breaker, canary.key, canary.attempt})) return false;
  if (clock_.Now() - canary.at >= kCanaryWait) return false;
  if (breaker == Breaker::kTransport) return true;
  const MessageStatus status = store_.Find(canary.key)->status;
  return !EndsMessage(status.state) ||
         CarrierVerdictOf(status.state, status.failure) != BreakerVerdict::kNothing;
}

}  // namespace postrider
