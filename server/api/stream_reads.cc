#include <algorithm>
#include <utility>

#include "server/api/stream_session.h"
#include "server/base/status_macros.h"
#include "server/fanout/resume_token.h"
#include "server/model/limits.h"

namespace postrider {

namespace {

ApiError ResumeTokenExpired(const Tick& oldest, TenantId tenant) {
  ApiError error;
  error.code = absl::StatusCode::kOutOfRange;
  error.reason = "RESUME_TOKEN_EXPIRED";
  error.message =
      "the resume token is older than what is kept, or from before a restore; start again with "
      "include_snapshot, or from the oldest token that still works";
  error.metadata["oldest_resume_token"] = EncodeResumeToken({oldest, {}, {}, 0, false}, tenant);
  return error;
}

}  // namespace

void StreamSession::ReadStart() {
  const absl::StatusOr<EventPosition> start = FindStart();
  const std::optional<ApiError> error = ErrorOf(start.status());
  {
    MutexLock lock(mu_);
    busy_ = Busy::kNo;
    if (error) {
      Fail(*error);
    } else {
      Begin(*start);
    }
  }
  Pump();
}

std::optional<EventPosition> StreamSession::StartAtOnce() const {
  if (!query_.resumes) {
    // The hub's own tick is as good as a new one, and costs no write. A snapshot wants a new one.
    const Tick latest = parts_.hub.Latest();
    if (pages_ || latest.number == 0) return std::nullopt;
    // Just started, it still tells of what was before.
    if (parts_.clock.Wall() - latest.at > 3 * kTickIdle) return std::nullopt;
    return EventPosition{latest, {}, {}, 0, false};
  }
  EventPosition start = query_.position;
  for (Tick* tick : {&start.after, &start.upto}) {
    if (tick->number == 0) continue;
    const std::optional<Tick> found = parts_.hub.Find(tick->number, tick->nonce);
    if (!found) return std::nullopt;
    *tick = *found;
  }
  return start;
}

absl::StatusOr<EventPosition> StreamSession::FindStart() {
  EventPosition start;
  if (!query_.resumes) {
    // What happens from here on is told as a change; a snapshot is read after it.
    PR_ASSIGN_OR_RETURN(start.after, parts_.store.MakeTick());
    start.in_snapshot = pages_;
    return start;
  }
  start = query_.position;
  PR_ASSIGN_OR_RETURN(start.after, parts_.store.FindTick(start.after.number, start.after.nonce));
  if (start.upto.number == 0) return start;
  const std::int64_t upto = start.upto.number;
  PR_ASSIGN_OR_RETURN(start.upto, parts_.store.FindTick(upto, start.upto.nonce));
  // Without exactly this tick the place inside of the range is lost: its beginning is good, too.
  if (start.upto.number != upto) start = {start.after, {}, {}, 0, false};
  return start;
}

void StreamSession::Begin(const EventPosition& position) {
  position_ = position;
  begun_ = true;
  phase_ = Phase::kSnapshot;
  last_page_ = !pages_;
  // The ends of all named messages are to be known, also of those told before.
  if (position_.in_snapshot && !query_.until_final) paged_ = position_.message_id;
  checkpoint_due_ = parts_.clock.Now();
}

void StreamSession::ReadPage(MessageId after) {
  absl::StatusOr<std::vector<StatusEvent>> page =
      parts_.store.CurrentStates(followed_, after, static_cast<int>(kSnapshotPageRows));
  const bool last = page.ok() && page->size() < kSnapshotPageRows;
  absl::StatusOr<Tick> seen_at = Tick{};
  if (last && query_.until_final && query_.resumes) seen_at = parts_.store.MakeTick();
  const std::optional<ApiError> error = ErrorOf(page.ok() ? seen_at.status() : page.status());
  {
    MutexLock lock(mu_);
    busy_ = Busy::kNo;
    if (error) {
      Fail(*error);
    } else {
      last_page_ = last;
      final_after_ = seen_at->number;
      if (!page->empty()) paged_ = page->back().message_id;
      for (const StatusEvent& event : *page) missing_.erase(event.message_id);
      // Its end would never come.
      const bool lost = last && !missing_.empty() && !failure_;
      if (lost) failure_ = MessageNotFound(missing_.begin()->ToString());
      page_.assign(std::make_move_iterator(page->begin()), std::make_move_iterator(page->end()));
    }
  }
  Pump();
}

void StreamSession::ReadChanges(const Subscription::CatchUp& wanted) {
  EventBatch batch{wanted.from, wanted.to, {}};
  absl::Status status;
  if (!wanted.exact) {
    absl::StatusOr<Tick> next = parts_.store.NextTick(wanted.from, kMaxTailRange);
    status = next.status();
    const bool nearer =
        next.ok() && next->number > wanted.from.number && next->number < wanted.to.number;
    if (nearer) batch.to = *next;
  }
  if (status.ok()) {
    absl::StatusOr<std::vector<StatusEvent>> events =
        parts_.store.EventsBetween(batch.from, batch.to, query_.filter.tenant_id);
    status = events.status();
    if (events.ok()) batch.events = *std::move(events);
  }
  const std::optional<ApiError> error = ErrorOf(status);
  {
    MutexLock lock(mu_);
    busy_ = Busy::kNo;
    if (error) {
      Fail(*error);
    } else {
      subscription_->Feed(batch);
    }
  }
  Pump();
}

std::optional<ApiError> StreamSession::ErrorOf(const absl::Status& status) {
  if (status.ok()) return std::nullopt;
  if (!absl::IsOutOfRange(status) && !absl::IsNotFound(status)) return ErrorOfStore(status);
  const absl::StatusOr<Tick> oldest = parts_.store.OldestTick();
  // The caller repeats it and then gets the whole answer.
  if (!oldest.ok()) return ErrorOfStore(oldest.status());
  return ResumeTokenExpired(*oldest, query_.filter.tenant_id);
}

void StreamSession::Fail(const ApiError& error) {
  if (!failure_) failure_ = error;
}

}  // namespace postrider
