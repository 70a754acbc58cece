#include <algorithm>
#include <utility>

#include "server/api/stream_session.h"
#include "server/base/status_macros.h"
#include "server/base/strings.h"
#include "server/model/limits.h"

namespace postrider {

namespace {

ApiError ResumeTokenExpired(const absl::Status& status) {
  ApiError error;
  error.code = absl::StatusCode::kOutOfRange;
  error.reason = "RESUME_TOKEN_EXPIRED";
  error.message = StrCat("the resume token is older than what is kept, or from before a restore (",
                         ToStd(status.message()), "); start again with include_snapshot");
  return error;
}

}  // namespace

void StreamSession::ReadStart() {
  const absl::StatusOr<EventPosition> start = FindStart();
  {
    MutexLock lock(mu_);
    busy_ = Busy::kNo;
    if (start.ok()) {
      Begin(*start);
    } else {
      Fail(start.status());
    }
  }
  Pump();
}

absl::StatusOr<EventPosition> StreamSession::FindStart() {
  EventPosition start;
  if (!query_.resumes) {
    // What happens from here on is told as a change; a snapshot is read after it. Without a
    // snapshot the hub's own tick is as good, and costs no write.
    if (!pages_) start.after = parts_.hub.Latest();
    if (start.after.number == 0) {
      PR_ASSIGN_OR_RETURN(start.after, parts_.store.MakeTick());
    }
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
  {
    MutexLock lock(mu_);
    busy_ = Busy::kNo;
    if (!page.ok()) {
      Fail(page.status());
    } else if (!seen_at.ok()) {
      Fail(seen_at.status());
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
  {
    MutexLock lock(mu_);
    busy_ = Busy::kNo;
    if (status.ok()) {
      subscription_->Feed(std::move(batch));
    } else {
      Fail(status);
    }
  }
  Pump();
}

void StreamSession::Fail(const absl::Status& status) {
  if (failure_) return;
  failure_ = absl::IsOutOfRange(status) || absl::IsNotFound(status) ? ResumeTokenExpired(status)
                                                                    : ErrorOfStore(status);
}

}  // namespace postrider
