#pragma once

#include <optional>

#include "server/base/metrics.h"
#include "server/base/repeated_failure.h"
#include "server/base/worker.h"
#include "server/dispatch/slot_owner.h"
#include "server/store/store.h"

namespace postrider {

/// Ends what was queued for recipients of the owned slots' tenants before they opted out: an
/// opt-out commits alone, at once, and nothing that is intended after it leaves; what waits is
/// ended here, some at a time, so that nobody else's dispatch waits for it.
class OptOutSweep {
 public:
  /// All must outlive it.
  OptOutSweep(Store& store, const SlotOwner& owner, Metrics& metrics);

  void Start();
  /// Ends the worker. The store stays as it is.
  void Stop() { worker_.reset(); }
  /// One transaction. False when no opt-out waits, or the store is away. For one caller at a time.
  bool Step();

 private:
  Store& store_;
  const SlotOwner& owner_;
  Counter& suppressed_;
  RepeatedFailure repeated_;  ///< Of Step's caller.

  std::optional<Worker> worker_;
};

}  // namespace postrider
