#pragma once

#include <optional>

#include "absl/base/thread_annotations.h"

#include "server/base/clock.h"
#include "server/base/metrics.h"
#include "server/base/mutex.h"
#include "server/model/events.h"
#include "server/store/events.h"

namespace postrider {

/// Brings every committed event, of whichever replica, to a sink: ticks, then reads what is
/// between its last tick and the newest, a second's worth at most at a time.
///
/// Ticks at once after an own commit with events, but not more often than each kTickSoon; else once
/// every kTickIdle. While the store is away it waits; nothing is skipped, because it goes on from
/// its last tick. While the sink has no readers, no event is read: the ticks go on, and the sink is
/// told of the gap.
/// Step 10 of the life of a message (server/README.md).
class EventFeed {
 public:
  /// All must outlive the feed.
  EventFeed(const Clock& clock, Metrics& metrics, EventStore& store, EventSink& sink);

  /// An own commit wrote events. Never blocks; safe from any thread.
  void Nudge();

  /// Waits for a nudge or the idle time, then does one round; a token that cannot be stopped
  /// means: do not wait. Returns how many events it published; the first round only finds where
  /// to begin.
  absl::StatusOr<std::size_t> Step(std::stop_token stop);

  /// Publishes all that was committed before the call; no Step may be under way or follow.
  /// Takes kTickSoon: until then the newest tick may be one that lacks the last commits.
  absl::Status Finish();

 private:
  /// Waits for a nudge or the idle time, and then for the pace; false when told to stop.
  bool AwaitTurn(std::stop_token stop);
  absl::StatusOr<std::size_t> PublishUpTo(const Tick& newest);
  /// Goes on from `newest`, whatever lies between.
  void BeginAnew(const Tick& newest);

  const Clock& clock_;
  EventStore& store_;
  EventSink& sink_;
  Counter& events_total_;
  Histogram& lag_seconds_;

  // --- Of the one worker that steps.
  std::optional<Tick> position_;
  MonotonicTime ticked_at_{};
  bool once_more_ = false;  ///< A tick is due soon, nudged or not.

  Mutex mu_;
  CondVar nudged_;
  bool nudge_ ABSL_GUARDED_BY(mu_) = false;
};

}  // namespace postrider
