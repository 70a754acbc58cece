#pragma once

#include <atomic>
#include <memory>
#include <set>
#include <stop_token>
#include <unordered_map>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"

#include "server/base/metrics.h"
#include "server/base/mutex.h"
#include "server/base/worker.h"
#include "server/fanout/recent_batches.h"
#include "server/fanout/subscription.h"
#include "server/model/events.h"
#include "server/model/limits.h"

namespace postrider {

/// Hands committed events to this replica's streams.
///
/// A batch costs one look-up per event, and per subscription of the event's own tenant one match;
/// nobody else pays. Publish never waits for a reader: readers that are too slow are left behind
/// and read what they missed (subscription.h): from the hub while it remembers it, else from the
/// store. Safe from any thread; Publish from one at a time.
/// Step 10 of the life of a message (server/README.md).
class Hub final : public EventSink {
 public:
  struct Options {
    std::size_t buffer = kStreamBuffer;  ///< Changes a subscription holds at most.
    std::size_t streams_per_tenant = kMaxStreamsPerTenant;
    std::chrono::nanoseconds beat = kStreamBeat;
    std::size_t recent_batches = kRecentBatches;  ///< Remembered, with so many events at most.
    std::size_t recent_events = kRecentEvents;
    int absent_beats = kReadersAwaitedBeats;  ///< So long readers that went are expected back.
  };

  /// `metrics` must outlive it.
  Hub(Metrics& metrics, Options options);
  explicit Hub(Metrics& metrics);

  /// Starts the heartbeat.
  void Start();
  /// Takes the next batch. After a gap (the feed began anew) every reader goes to the store.
  void Publish(std::shared_ptr<const EventBatch> batch) override;
  /// Also while those of before this process, or of a moment ago, may come back.
  bool HasReaders() const override { return subscriptions() > 0 || beats_left_ > 0; }
  /// Everything up to this tick is with the subscriptions. Number 0: nothing was published yet.
  Tick Latest() const;
  /// The tick of this number and nonce, if what followed it is remembered.
  std::optional<Tick> Find(std::int64_t number, const Uuid& nonce) const;

  /// RESOURCE_EXHAUSTED when the tenant has its number of streams. End with Unsubscribe.
  absl::StatusOr<std::shared_ptr<Subscription>> Subscribe(EventFilter filter,
                                                          Subscription::Wake wake);
  /// Repeating it does nothing.
  void Unsubscribe(const std::shared_ptr<Subscription>& subscription);

  /// Waits for the next heartbeat and wakes every subscription, for what is due by time.
  void Step(std::stop_token stop);
  void Beat();
  std::size_t subscriptions() const { return count_.load(std::memory_order_relaxed); }

 private:
  friend class Subscription;
  /// Copied on change: Publish works on the list without the lock.
  using List = std::shared_ptr<const std::vector<std::shared_ptr<Subscription>>>;
  /// What a subscription that is behind does next: takes `batches`, or reads. Neither: it is live
  /// now and gets all batches from here on, or the hub has yet to get to it and will wake it.
  struct Meeting {
    std::vector<RecentBatches::Batch> batches;
    std::optional<Subscription::CatchUp> read;
  };
  Meeting Meet(Subscription& subscription, const EventPosition& at);
  std::vector<std::shared_ptr<Subscription>> All() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const Options options_;
  Counter& behind_total_;
  std::atomic<std::size_t> count_ = 0;
  std::atomic<int> beats_left_;  ///< Until nobody is expected back.

  mutable Mutex mu_;
  std::unordered_map<TenantId, List> by_tenant_ ABSL_GUARDED_BY(mu_);
  /// Ahead of their time: woken by the next batch.
  std::set<std::weak_ptr<Subscription>, std::owner_less<>> ahead_ ABSL_GUARDED_BY(mu_);
  RecentBatches recent_ ABSL_GUARDED_BY(mu_);  ///< Up to `begun_`.
  Tick begun_ ABSL_GUARDED_BY(mu_);            ///< The end of the batch that was last begun ...
  Tick published_ ABSL_GUARDED_BY(mu_);        ///< ... and of the last that every subscription has.

  std::unique_ptr<Worker> worker_;
};

}  // namespace postrider
