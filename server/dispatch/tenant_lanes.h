#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <stop_token>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"

#include "server/base/clock.h"
#include "server/base/metrics.h"
#include "server/base/mutex.h"
#include "server/dispatch/fair_queue.h"
#include "server/dispatch/lane_queue.h"
#include "server/dispatch/slot_owner.h"
#include "server/dispatch/token_bucket.h"
#include "server/model/dispatch_facts.h"
#include "server/provider/provider.h"
#include "server/store/store.h"

namespace postrider {

/// What the dispatcher needs to know of a tenant.
struct TenantSettings {
  double rate_per_s = 4.9;  ///< > 0
  double burst = 5;         ///< >= 1
  ProviderAccount account;
};
/// The settings in force; null when the tenant cannot be dispatched. Asked at each use, so that
/// a change applies without a restart; the same object again means that nothing changed.
using SettingsOf = std::function<std::shared_ptr<const TenantSettings>(TenantId)>;

/// Between intending and posting: one lane a tenant, with its token bucket, its holds, and its
/// intents in order, by priority. Lanes whose token is not there yet wait without holding up a
/// poster.
///
/// Steps 4 and 6 of the life of a message (server/README.md). Safe from any thread.
class TenantLanes {
 public:
  /// An intent whose turn it is: with its token, or too old to be posted.
  struct Turn {
    QueuedIntent intent;
    bool stale = false;
    std::chrono::nanoseconds wait{};  ///< With `stale`: how long its tenant is paused yet.
  };

  /// Both must outlive it.
  TenantLanes(const Clock& clock, Metrics& metrics);

  /// How many more messages of the tenant may be intended now, by rank: the tokens that come within
  /// kIntentAhead, less the intents of that rank and those before it that wait for them. (Those
  /// after it are overtaken.) Makes the lane; under a new lease its bucket is empty but for what
  /// has come since the slot was taken.
  FairQueue::Rooms Room(TenantId tenant, const OwnedSlot& slot, const TenantSettings& settings);

  /// Takes intents of tenants that Room() was asked for.
  void Push(std::vector<QueuedIntent> intents);

  /// The next turn; waits for one until `stop`, up to a second. A token that cannot be stopped
  /// means: do not wait.
  std::optional<Turn> Pop(std::stop_token stop);

  /// The provider said 429: nothing of the tenant leaves before `pause` has passed. Returns what
  /// was waiting in its lane.
  std::vector<QueuedIntent> Pause(TenantId tenant, std::chrono::nanoseconds pause);
  /// The provider refuses the tenant's credentials: the same, for a time that doubles with each
  /// call from kTenantStopFirst to kTenantStopLongest, until Accepted(). `pause` is set to it.
  std::vector<QueuedIntent> Stop(TenantId tenant, std::chrono::nanoseconds& pause);
  void Accepted(TenantId tenant);

  /// Drops the lanes of slots that are not `own`'s; returns what was waiting in them.
  std::vector<QueuedIntent> KeepOnly(const Ownership& own);
  /// Empties all lanes, for draining.
  std::vector<QueuedIntent> TakeAll();

  /// For metrics: sets the gauges.
  void Report();
  /// For operators: every lane as it is now.
  std::vector<LaneFacts> Look() const;

 private:
  struct Lane {
    std::unique_ptr<TokenBucket> bucket;
    Lease lease;
    double rate_per_s = 0;
    double burst = 0;
    LaneQueue waiting;
    MonotonicTime turn_at{};  ///< Its place in `turns_`, while anything waits.
    std::chrono::nanoseconds stop_pause{};
    MonotonicTime stopped_until{};
  };

  std::optional<Turn> TryPop(MonotonicTime now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Schedule(TenantId tenant, Lane& lane, MonotonicTime at) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Empty(TenantId tenant, Lane& lane, std::vector<QueuedIntent>& to)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const Clock& clock_;
  Gauge& waiting_gauge_;
  Gauge& rate_gauge_;
  Gauge& paused_gauge_;
  Counter& token_waits_;

  mutable Mutex mu_;
  CondVar timekeeper_wake_;  ///< The one poster that waits for the next turn's time ...
  CondVar others_wake_;      ///< ... and those that wait to be that one.
  bool timekeeper_ ABSL_GUARDED_BY(mu_) = false;
  std::uint64_t changes_ ABSL_GUARDED_BY(mu_) = 0;
  std::map<TenantId, Lane> lanes_ ABSL_GUARDED_BY(mu_);
  std::set<std::pair<MonotonicTime, TenantId>> turns_ ABSL_GUARDED_BY(mu_);
  std::size_t waiting_ ABSL_GUARDED_BY(mu_) = 0;
};

}  // namespace postrider
