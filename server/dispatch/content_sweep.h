#pragma once

#include <optional>

#include "server/base/metrics.h"
#include "server/base/repeated_failure.h"
#include "server/base/worker.h"
#include "server/dispatch/slot_owner.h"
#include "server/store/store.h"

namespace postrider {

/// Looks at what carriers rejected for its content, of the owned slots' tenants: a campaign one of
/// whose texts they reject in numbers is paused, so that the rest of it does not follow.
class ContentSweep {
 public:
  /// All must outlive it.
  ContentSweep(Store& store, const SlotOwner& owner, Metrics& metrics);

  void Start();
  /// Ends the worker. The store stays as it is.
  void Stop() { worker_.reset(); }
  /// Looks at one campaign, in one transaction. False when none waits, or the store is away. For
  /// one caller at a time.
  bool Step();

 private:
  Store& store_;
  const SlotOwner& owner_;
  Counter& rejections_;
  Counter& paused_;
  Counter& not_paused_;
  RepeatedFailure repeated_;  ///< Of Step's caller.

  std::optional<Worker> worker_;
};

}  // namespace postrider
