#pragma once

#include <map>
#include <set>
#include <span>
#include <tuple>
#include <vector>

#include "server/dispatch/circuit_breaker.h"
#include "server/dispatch/slot_owner.h"
#include "tests/support/fake_clock.h"
#include "tests/support/fake_store.h"
#include "tests/support/invariants.h"

namespace postrider {

/// Holds a run to S14: nothing leaves while a breaker is open, only canaries while one is
/// half-open, and one whose figures say so opens with the next evaluation.
///
/// What may leave in spite of that is what its poster could not know of yet: it judges by a reading
/// of some moment, and what was committed before that moment binds it.
class BreakerWatch {
 public:
  /// Who posts.
  struct Poster {
    int replica = 0;
    int life = 0;
    MonotonicTime slot_since{};  ///< When it got the slot: it reads the breakers after that.
    MonotonicTime judged_at{};   ///< BreakerGate::JudgedAt
  };

  /// Both must outlive it.
  BreakerWatch(const FakeStore& store, const FakeClock& clock, BreakerRules rules)
      : store_(store), clock_(clock), rules_(rules) {}

  /// Looks at the tenants' breakers; before each operation of the store, so that it sees all that a
  /// reading can see.
  void Look(std::span<const TenantId> tenants);
  /// A POST begins. One line a breach.
  Breaches Begins(const Poster& poster, const MessageKey& key, int attempt);
  /// How it ends is decided.
  void Ends(const MessageKey& key, int attempt, const Outcome& outcome);
  /// How often breakers were seen open.
  int trips() const { return trips_; }

 private:
  struct Canary {
    MessageKey key;
    int attempt = 1;
    MonotonicTime at{};
  };
  /// Of whom, since when it has the slot, and since when the wave goes: each owner has its own.
  using Wave = std::tuple<int, int, BreakerKey, MonotonicTime, WallTime>;

  void Look(const BreakerKey& key);
  /// True when it takes, or took, one of its wave's places.
  bool Counts(Breaker breaker, const Canary& canary) const;

  const FakeStore& store_;
  const FakeClock& clock_;
  const BreakerRules rules_;
  std::map<BreakerKey, MonotonicTime> tripping_;  ///< Since when its figures open it.
  std::map<Wave, std::vector<Canary>> waves_;
  /// POSTs whose end says nothing to that breaker.
  std::set<std::tuple<Breaker, MessageKey, int>> silent_;
  std::map<BreakerKey, WallTime> opened_;
  std::uint64_t writes_seen_ = 0;
  bool any_overridden_ = false;
  int trips_ = 0;
};

}  // namespace postrider
