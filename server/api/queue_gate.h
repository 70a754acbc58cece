#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <unordered_map>

#include "absl/base/thread_annotations.h"

#include "server/api/api_error.h"
#include "server/base/clock.h"
#include "server/base/mutex.h"
#include "server/base/random.h"
#include "server/store/tenants.h"

namespace postrider {

/// A tenant's queue: how many may wait in it, and how fast it drains.
struct QueueBound {
  TenantId tenant_id;
  std::int64_t limit = 0;
  double drained_per_s = 0;  ///< Messages, of one segment; above zero.
};
/// Its limit, and its licensed rate or, when that is less, what carriers take from its senders.
/// What quiet hours hold (`held`) fills half of it at most: the other half is for what may leave.
QueueBound QueueBoundOf(const TenantRow& tenant, bool held = false);

/// Tells callers of tenants whose queue is full when to come back, and keeps a flood of them from
/// the store, where they would cost others.
///
/// *When to come back*: refused callers stand in a line that moves as fast as the queue drains.
/// Each is told the time of its place, and up to a quarter more by chance: kQueueRetryShortest to
/// kQueueRetryLongest. The line is this replica's, an estimate and no promise of room.
///
/// *Unasked*: for kQueueRefusedUnasked after the store said "full", calls are refused without
/// asking it again; kQueueProbes of them go on to the store nevertheless, so that room is found as
/// soon as there is some, and repeats find their first message. So no refusal rests on a verdict
/// that is older. One entry a tenant whose queue was ever full. Never blocks; safe from any thread.
class QueueGate {
 public:
  /// Both must outlive it.
  QueueGate(const Clock& clock, Random& random) : clock_(clock), random_(random) {}

  /// The refusal of a call that need not ask the store; nullopt: ask it.
  std::optional<ApiError> TryRefuse(const QueueBound& queue);
  /// The store refused one: as many as `depth` wait. What the caller is told.
  ApiError Refuse(const QueueBound& queue, std::int64_t depth);
  /// The store accepted one: there may be room for more.
  void Open(TenantId tenant);

 private:
  struct Line {
    MonotonicTime refused_until{};  ///< Past: the store is asked.
    MonotonicTime probes_until{};   ///< The period that `probes` is of.
    int probes = 0;                 ///< Calls that may still ask the store.
    std::int64_t depth = 0;         ///< As the store last told.
    MonotonicTime end{};            ///< When the last one in line is to come back.
  };
  ApiError ErrorFor(const QueueBound& queue, Line& line) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const Clock& clock_;
  Random& random_;

  /// The latest refused_until: usually past, and then no lock is taken.
  std::atomic<MonotonicTime> shut_until_ = MonotonicTime{};
  Mutex mu_;
  std::unordered_map<TenantId, Line> lines_ ABSL_GUARDED_BY(mu_);
};

/// What a caller is told when `used` messages of a `quota` are used up: come back on the next day,
/// UTC, and do not repeat the call before. `subject`: "tenant:NAME" or "token:NAME"; `now` by the
/// store's clock.
ApiError QuotaExceeded(const std::string& subject, std::int64_t quota, std::int64_t used,
                       WallTime now);

}  // namespace postrider
