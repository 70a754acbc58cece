#pragma once

#include <optional>

#include "server/base/metrics.h"
#include "server/base/repeated_failure.h"
#include "server/base/worker.h"
#include "server/dispatch/slot_owner.h"
#include "server/model/dispatch_limits.h"
#include "server/store/store.h"

namespace postrider {

/// Ends messages of the owned slots whose `expire_at` has passed, whatever holds them: one that is
/// paused, or whose turn does not come, must not stay QUEUED. What expires while it is chosen,
/// Intend ends itself.
class ExpirySweep {
 public:
  /// All must outlive it.
  ExpirySweep(Store& store, const SlotOwner& owner, Metrics& metrics);

  void Start();
  /// Ends the worker. The store stays as it is.
  void Stop() { worker_.reset(); }
  /// Looks once. Returns how many it ended, kIntentRows at most. For one caller at a time.
  std::size_t Step();

 private:
  Store& store_;
  const SlotOwner& owner_;
  Counter& expired_;
  RepeatedFailure repeated_;  ///< Of Step's caller.

  std::optional<Worker> worker_;
};

}  // namespace postrider
