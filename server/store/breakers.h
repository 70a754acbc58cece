#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "server/base/clock.h"
#include "server/model/breaker.h"
#include "server/model/dispatch_limits.h"
#include "server/model/ids.h"
#include "server/store/operator_action.h"

namespace postrider {

struct Lease;

/// Which breaker of whom.
struct BreakerKey {
  TenantId tenant_id;
  Breaker breaker = Breaker::kTransport;
  friend auto operator<=>(const BreakerKey&, const BreakerKey&) = default;
};

/// A breaker with what it judges by.
struct BreakerReading {
  BreakerKey key;
  BreakerStanding standing;
  std::optional<BreakerOverride> override_in_force = {};  ///< Those that have ended are left out.
  std::int64_t calls = 0;  ///< Within kBreakerWindow, and since it was last closed.
  std::int64_t failures = 0;

  /// What holds for dispatch: the operator's word, else the breaker's own state.
  BreakerState InForce() const {
    return override_in_force ? override_in_force->state : standing.state;
  }
};

/// Breakers at one moment of the store's clock.
struct BreakerReadings {
  WallTime now{};
  std::vector<BreakerReading> breakers;
};

/// A standing to be stored.
struct BreakerChange {
  BreakerKey key;
  BreakerStanding standing;
};

/// A breaker that lets nothing through.
struct OpenBreaker {
  BreakerKey key;
  WallTime until{};  ///< The first canary goes then, by the store's clock.
};

/// A message as a canary is judged by.
struct CanaryStatus {
  MessageKey key;
  MessageState state = MessageState::kQueued;
  FailureReason failure = FailureReason::kNone;
};

/// What circuit breakers judge by, and how they stand. Part of Store; errors as there.
///
/// Calls and failures are counted by RecordOutcomes and ApplyReceipts in their own transactions,
/// on whichever replica; the owner of a tenant's slot judges, and stores what it decided.
class BreakerStore {
 public:
  virtual ~BreakerStore() = default;

  /// Breakers of tenants of `slots` that are not closed, are overridden, or have failures in the
  /// window. All others are closed.
  virtual absl::StatusOr<BreakerReadings> ReadBreakers(std::span<const int> slots) = 0;
  /// Both breakers of each of `tenants`.
  virtual absl::StatusOr<BreakerReadings> BreakersOf(std::span<const TenantId> tenants) = 0;
  /// Every breaker of every tenant that is open now, by itself or by an operator.
  virtual absl::StatusOr<std::vector<OpenBreaker>> OpenBreakers() = 0;

  /// Stores `changes` of tenants whose slot is held by `replica` under one of `leases`; the others
  /// are left as they are. Returns what was stored. An operator's override stays.
  virtual absl::StatusOr<std::vector<BreakerKey>> StoreBreakers(
      ReplicaId replica, std::span<const Lease> leases, std::span<const BreakerChange> changes) = 0;
  /// An operator's word, on record with who and why (operator_action); `state` none: the override
  /// in force ends, and `until` means nothing. The owner follows within kBreakerEvaluation.
  virtual absl::Status OverrideBreaker(const BreakerKey& key, std::optional<BreakerState> state,
                                       WallTime until, const OperatorAction& action) = 0;

  /// Messages by key; unknown ones are left out.
  virtual absl::StatusOr<std::vector<CanaryStatus>> CanaryStatuses(
      std::span<const MessageKey> keys) = 0;
};

}  // namespace postrider
