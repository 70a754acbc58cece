#include "server/store/event_feed.h"

#include "server/base/log.h"
#include "server/base/status_macros.h"
#include "server/base/strings.h"
#include "server/base/worker.h"
#include "server/model/limits.h"

namespace postrider {

EventFeed::EventFeed(const Clock& clock, Metrics& metrics, EventStore& store, EventSink& sink)
    : clock_(clock),
      store_(store),
      sink_(sink),
      events_total_(metrics.CounterOf("postrider_feed_events_total", "Events read for streams.")),
      lag_seconds_(metrics.HistogramOf("postrider_feed_lag_seconds",
                                       "From an event's record to its way to the streams.")) {}

void EventFeed::Nudge() {
  MutexLock lock(mu_);
  if (nudge_) return;
  nudge_ = true;
  nudged_.NotifyOne();
}

bool EventFeed::AwaitTurn(std::stop_token stop) {
  bool nudged = false;
  if (stop.stop_possible()) {
    MutexLock lock(mu_);
    const auto longest = !position_ ? 0ms : once_more_ ? kTickSoon : kTickIdle;
    nudged = nudged_.WaitFor(mu_, stop, longest,
                             [this]() ABSL_NO_THREAD_SAFETY_ANALYSIS { return nudge_; });
  }
  // The first commit after a quiet time is told at once; those that follow share ticks.
  const std::chrono::nanoseconds early = ticked_at_ + kTickSoon - clock_.Now();
  if (nudged && early > 0ns && WaitOrStop(stop, early)) return false;
  MutexLock lock(mu_);
  nudge_ = false;
  // The tick that comes may be another replica's, from just before the commit that nudged; the one
  // after it is not.
  once_more_ = nudged;
  ticked_at_ = clock_.Now();
  return true;
}

absl::StatusOr<std::size_t> EventFeed::Step(std::stop_token stop) {
  if (!AwaitTurn(stop)) return 0;
  PR_ASSIGN_OR_RETURN(const Tick newest, store_.MakeTick());
  if (!position_ && sink_.HasReaders()) {
    // Streams of before this start come back with tokens of the last minute: read once for all.
    PR_ASSIGN_OR_RETURN(const Tick before, store_.TickOfAge(kRecentAge));
    BeginAnew(before);
  }
  if (!position_ || newest.number < position_->number) {
    // The start; or an older database is in place of the one before.
    BeginAnew(newest);
    return 0;
  }
  if (!sink_.HasReaders()) {
    if (position_->number < newest.number) BeginAnew(newest);
    return 0;
  }
  return PublishUpTo(newest);
}

absl::Status EventFeed::Finish() {
  WaitOrStop(std::stop_token(), kTickSoon);
  return Step(std::stop_token()).status();
}

void EventFeed::BeginAnew(const Tick& newest) {
  position_ = newest;
  sink_.Publish(std::make_shared<const EventBatch>(EventBatch{newest, newest, {}}));
}

absl::StatusOr<std::size_t> EventFeed::PublishUpTo(const Tick& newest) {
  std::size_t published = 0;
  while (position_->number < newest.number) {
    Tick next = newest;
    if (newest.at - position_->at > kMaxTailRange) {
      PR_ASSIGN_OR_RETURN(next, store_.NextTick(*position_, kMaxTailRange));
      if (next.number == position_->number || next.number > newest.number) next = newest;
    }
    absl::StatusOr<std::vector<StatusEvent>> events =
        store_.EventsBetween(*position_, next, std::nullopt);
    if (absl::IsOutOfRange(events.status())) {
      // Away for longer than ticks are kept. Streams that need what is missing find that out by
      // their own token.
      PR_LOG(kError, "the feed's tick is gone; it goes on from the newest",
             {"tick", position_->number});
      BeginAnew(newest);
      return published;
    }
    PR_RETURN_IF_ERROR(events.status());
    published += events->size();
    events_total_.Add(static_cast<double>(events->size()));
    for (const StatusEvent& event : *events) {
      lag_seconds_.Observe(std::chrono::duration<double>(clock_.Wall() - event.at).count());
    }
    auto batch = std::make_shared<EventBatch>(EventBatch{*position_, next, *std::move(events)});
    position_ = next;
    sink_.Publish(std::move(batch));
  }
  return published;
}

}  // namespace postrider
