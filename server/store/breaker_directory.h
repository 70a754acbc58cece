#pragma once

#include <map>
#include <memory>
#include <optional>
#include <stop_token>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"

#include "server/base/clock.h"
#include "server/base/mutex.h"
#include "server/base/repeated_failure.h"
#include "server/base/worker.h"
#include "server/model/dispatch_limits.h"
#include "server/store/breakers.h"

namespace postrider {

/// Which tenants' circuit breakers are open, in memory, so that no call asks the database; whoever
/// owns the tenant. Follows the store every kOpenBreakersRefresh; while the store is away the last
/// known ones stay until their own time. Safe from any thread.
class BreakerDirectory {
 public:
  /// Knows of no open one until the first Refresh(). `store` must outlive it.
  explicit BreakerDirectory(BreakerStore& store);

  /// Starts following.
  void Start();
  /// Follows no more. Before the store goes.
  void Stop() { worker_.reset(); }
  /// Reads them now. Blocks.
  absl::Status Refresh();
  /// Waits for the next refresh, and does it.
  void Step(std::stop_token stop);

  /// When a message of the tenant can leave again at the earliest, by the store's clock; nothing
  /// when none of its breakers is open.
  std::optional<WallTime> NextCanary(TenantId tenant) const;

 private:
  BreakerStore& store_;
  RepeatedFailure repeated_;  ///< Of Step's caller.

  mutable Mutex mu_;
  std::map<TenantId, WallTime> open_until_ ABSL_GUARDED_BY(mu_);

  std::unique_ptr<Worker> worker_;
};

}  // namespace postrider
