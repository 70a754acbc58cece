#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <stop_token>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"

#include "server/base/clock.h"
#include "server/base/metrics.h"
#include "server/base/mutex.h"
#include "server/dispatch/fair_queue.h"
#include "server/dispatch/lane_queue.h"
#include "server/dispatch/slot_owner.h"
#include "server/dispatch/tenant_buckets.h"
#include "server/model/dispatch_facts.h"
#include "server/model/dispatch_limits.h"
#include "server/store/store.h"

namespace postrider {

/// Between intending and posting: one lane a tenant, with its token buckets, its holds, and its
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

  /// Both must outlive it. `posters`: Turns that may be under way at once.
  TenantLanes(const Clock& clock, Metrics& metrics, int posters);

  /// How many more messages of the tenant may be intended now, by rank: the tokens that come within
  /// kIntentAhead, less the intents of that rank and those before it that wait for them. (Those
  /// after it are overtaken.) Makes the lane; under a new lease its bucket is empty but for what
  /// has come since the slot was taken.
  /// None while the tenant has as many POSTs under way as it may.
  FairQueue::Rooms Room(TenantId tenant, const OwnedSlot& slot, const TenantSettings& settings);
  /// The same in segments for one sender, after Room().
  double SegmentRoom(TenantId tenant, SenderId sender, std::size_t rank);

  /// Takes intents. Returns those that nobody may post: their tenant's slot was lost after Room().
  [[nodiscard]] std::vector<QueuedIntent> Push(std::vector<QueuedIntent> intents);

  /// The next turn; waits for one until `stop`, up to a second. A token that cannot be stopped
  /// means: do not wait. A tenant has at most as many turns under way as posters are free, so that
  /// slow tenants leave some to the others.
  std::optional<Turn> Pop(std::stop_token stop);
  /// What Pop gave of `tenant`, not stale, has ended, after `requests`.
  void Done(TenantId tenant, int requests);

  /// What the provider told the owners before of these leases is known here: reads may begin.
  void AllowReads(const std::vector<Lease>& leases);
  /// Pays for one read of `tenant`'s statuses out of its credential's bucket: see TenantBuckets.
  /// Makes the lane as Room() does. 0: not now, or not under this lease. One read at a time.
  int TryTakeRead(TenantId tenant, const OwnedSlot& slot, const TenantSettings& settings,
                  int requests);
  /// That read made `count` fewer requests than were paid for; below zero: more.
  void ReturnReads(TenantId tenant, int count);
  /// Messages a second that may leave now: 0 while paused; none when it is not dispatched here.
  std::optional<double> EffectiveRate(TenantId tenant);
  /// What is left of its pause; zero: none.
  std::chrono::nanoseconds PauseLeft(TenantId tenant);
  /// Turns whose time has come, and nobody has taken them.
  bool AnyDue();

  /// The provider said 429: nothing of the tenant leaves before `pause` has passed, also when its
  /// slot is lost and taken again meanwhile. Returns what was waiting in its lane.
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
    std::unique_ptr<TenantBuckets> buckets;
    Lease lease;
    LaneQueue waiting;
    MonotonicTime turn_at{};      ///< Its place in `turns_`, while anything waits ...
    std::uint64_t last_turn = 0;  ///< ... and who was served longest ago goes first.
    int under_way = 0;
    bool capped = false;  ///< Waits for the end of a turn.
    std::chrono::nanoseconds stop_pause{};
    MonotonicTime stopped_until{};
  };

  /// The lane of `tenant`; under a new lease its buckets are new.
  Lane& LaneOf(TenantId tenant, const OwnedSlot& slot, const TenantSettings& settings)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  std::optional<Turn> TryPop(MonotonicTime now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  std::optional<Turn> TryLane(TenantId tenant, Lane& lane, MonotonicTime now)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Schedule(TenantId tenant, Lane& lane, MonotonicTime at) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  /// Looks at the lane again at `now`.
  void Reschedule(TenantId tenant, Lane& lane, MonotonicTime now)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Empty(TenantId tenant, Lane& lane, std::vector<QueuedIntent>& to)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const Clock& clock_;
  const int posters_;
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
  /// Until when the provider told to wait: the store may not know it yet when a slot comes back.
  std::map<TenantId, MonotonicTime> paused_until_ ABSL_GUARDED_BY(mu_);
  /// When, the lane's last turn, and whose it is.
  std::set<std::tuple<MonotonicTime, std::uint64_t, TenantId>> turns_ ABSL_GUARDED_BY(mu_);
  std::uint64_t last_turn_ ABSL_GUARDED_BY(mu_) = 0;
  std::set<TenantId> capped_ ABSL_GUARDED_BY(mu_);
  std::set<Lease> reads_allowed_ ABSL_GUARDED_BY(mu_);
  std::size_t waiting_ ABSL_GUARDED_BY(mu_) = 0;
  int under_way_ ABSL_GUARDED_BY(mu_) = 0;
};

}  // namespace postrider
