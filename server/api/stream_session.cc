#include "server/api/stream_session.h"

#include <utility>

#include "server/base/check.h"
#include "server/base/log.h"
#include "server/base/strings.h"
#include "server/fanout/resume_token.h"
#include "server/model/limits.h"

namespace postrider {

namespace {

ApiError TooSlow() {
  ApiError error;
  error.code = absl::StatusCode::kResourceExhausted;
  error.reason = "STREAM_TOO_SLOW";
  error.message = "the reader took nothing for a minute; resume with the last token";
  return error;
}

ApiError TooManyStreams(const absl::Status& status) {
  ApiError error;
  error.code = absl::StatusCode::kResourceExhausted;
  error.reason = "TOO_MANY_STREAMS";
  error.message = ToStd(status.message());
  error.never_retry = true;
  return error;
}

EventFilter FollowedOf(const StreamQuery& query) {
  if (!query.until_final) return query.filter;
  EventFilter filter;
  filter.tenant_id = query.filter.tenant_id;
  filter.message_ids = query.filter.message_ids;
  return filter;
}

}  // namespace

StreamSession::StreamSession(Parts parts, StreamQuery query, std::string token_sha256,
                             StreamSink& sink)
    : parts_(parts),
      query_(std::move(query)),
      token_sha256_(std::move(token_sha256)),
      sink_(sink),
      followed_(FollowedOf(query_)),
      pages_(query_.include_snapshot || query_.until_final || query_.position.in_snapshot),
      tells_all_(query_.include_snapshot || query_.position.in_snapshot),
      // What is final already was told before the token, or comes after it as a change.
      tells_any_(tells_all_ || !query_.resumes) {
  if (query_.until_final) {
    MutexLock lock(mu_);
    open_.insert(query_.filter.message_ids.begin(), query_.filter.message_ids.end());
    missing_.insert(query_.filter.message_ids.begin(), query_.filter.message_ids.end());
  }
}

void StreamSession::Open() {
  auto subscribed = parts_.hub.Subscribe(followed_, [weak = weak_from_this()] {
    if (const auto self = weak.lock()) self->Pump();
  });
  {
    MutexLock lock(mu_);
    opened_ = true;
    check_token_at_ = parts_.clock.Now() + kTokenRecheck;
    if (subscribed.ok()) {
      subscription_ = *std::move(subscribed);
    } else {
      failure_ = TooManyStreams(subscribed.status());
    }
  }
  Pump();
}

void StreamSession::OnWritten(bool ok) {
  {
    MutexLock lock(mu_);
    busy_ = Busy::kNo;
    if (!ok && !failure_) failure_ = was_cut_ ? TooSlow() : CallerGone();
  }
  Pump();
}

void StreamSession::Cancel() {
  {
    MutexLock lock(mu_);
    if (!failure_) failure_ = CallerGone();
  }
  Pump();
}

void StreamSession::Pump() {
  Action action;
  bool check_token = false;
  {
    MutexLock lock(mu_);
    action = Decide();
    const MonotonicTime now = parts_.clock.Now();
    check_token = opened_ && phase_ != Phase::kEnded && now >= check_token_at_;
    if (check_token) check_token_at_ = now + kTokenRecheck;
  }
  if (check_token) CheckToken();
  Perform(std::move(action));
}

StreamSession::Action StreamSession::Decide() {
  if (!opened_ || phase_ == Phase::kEnded || cutting_) return Nothing();
  const bool stalled =
      busy_ == Busy::kWriting && !was_cut_ && parts_.clock.Now() - write_began_ > kStreamStall;
  if (stalled) {
    cutting_ = was_cut_ = true;
    return Cut();
  }
  if (busy_ != Busy::kNo) return Nothing();
  Action action = DecideIdle();
  if (std::holds_alternative<Read>(action)) busy_ = Busy::kReading;
  if (const auto* element = std::get_if<StreamElement>(&action)) {
    busy_ = Busy::kWriting;
    write_began_ = parts_.clock.Now();
    last_token_ = element->resume_token;
  }
  return action;
}

StreamSession::Action StreamSession::DecideIdle() {
  if (failure_) return DecideEnd(failure_);
  if (parts_.draining) {
    if (!begun_ || said_goodbye_) return DecideEnd(ServerDraining());
    // What is here goes out first; after the feed's last round no more comes.
    if (phase_ == Phase::kFollow) {
      Action action = NextBuffered();
      if (!std::holds_alternative<Nothing>(action)) return action;
    }
    said_goodbye_ = true;
    return Checkpoint();
  }
  if (phase_ == Phase::kStart) {
    const std::optional<EventPosition> start = StartAtOnce();
    if (!start) return Read([self = shared_from_this()] { self->ReadStart(); });
    Begin(*start);
  }
  if (parts_.clock.Now() >= checkpoint_due_) return Checkpoint();
  if (phase_ == Phase::kSnapshot) {
    Action action = NextOfSnapshot();
    if (!std::holds_alternative<Nothing>(action)) return action;
    phase_ = Phase::kFollow;
    EventPosition from = position_;
    if (from.in_snapshot) from = {from.after, {}, {}, 0, false};
    subscription_->Begin(from);
  }
  return NextOfChanges();
}

StreamSession::Action StreamSession::NextOfSnapshot() {
  while (!page_.empty()) {
    auto event = std::make_shared<const StatusEvent>(std::move(page_.front()));
    page_.pop_front();
    const bool told_before = position_.in_snapshot && event->message_id <= position_.message_id;
    Note(*event);
    const bool told = tells_any_ && (tells_all_ || event->status.final) && !told_before;
    if (!told || !Matches(query_.filter, *event)) continue;
    position_.message_id = event->message_id;
    return ElementOf(StreamElement::Kind::kSnapshot, std::move(event), position_);
  }
  if (last_page_) return Nothing();
  return Read([self = shared_from_this(), after = paged_] { self->ReadPage(after); });
}

StreamSession::Action StreamSession::NextOfChanges() {
  if (AllFinal()) return DecideEnd(std::nullopt);
  do {
    Action action = NextBuffered();
    if (!std::holds_alternative<Nothing>(action)) return action;
    if (const auto wanted = subscription_->Behind()) {
      return Read([self = shared_from_this(), wanted = *wanted] { self->ReadChanges(wanted); });
    }
  } while (subscription_->HasChanges());
  if (AllFinal()) return DecideEnd(std::nullopt);
  return Nothing();
}

StreamSession::Action StreamSession::NextBuffered() {
  while (auto change = subscription_->Next()) {
    Note(*change->event);
    if (Matches(query_.filter, *change->event)) {
      return ElementOf(StreamElement::Kind::kChange, std::move(change->event), change->position);
    }
    if (AllFinal()) return DecideEnd(std::nullopt);
  }
  return Nothing();
}

StreamSession::Action StreamSession::DecideEnd(std::optional<ApiError> error) {
  phase_ = Phase::kEnded;
  if (error && !last_token_.empty()) error->metadata["resume_token"] = last_token_;
  return End{std::move(error)};
}

void StreamSession::Perform(Action action) {
  if (auto* element = std::get_if<StreamElement>(&action)) return sink_.Write(*element);
  if (auto* read = std::get_if<Read>(&action)) return Submit(std::move(*read));
  if (std::holds_alternative<Cut>(action)) {
    ApiError error = TooSlow();
    {
      MutexLock lock(mu_);
      error.metadata["resume_token"] = last_token_;
    }
    sink_.Cut(error);
    {
      // Until here the end of the write could not lead to the sink's End.
      MutexLock lock(mu_);
      cutting_ = false;
    }
    return Pump();
  }
  if (auto* end = std::get_if<End>(&action)) {
    if (subscription_) parts_.hub.Unsubscribe(subscription_);
    sink_.End(end->error);
  }
}

void StreamSession::Submit(Read read) {
  if (parts_.reads.TrySubmit(std::move(read))) return;
  // The store is busy: the heartbeat tries again.
  MutexLock lock(mu_);
  busy_ = Busy::kNo;
}

void StreamSession::CheckToken() {
  parts_.guard.CheckAgain(token_sha256_, Scope::kRead,
                          [self = shared_from_this()](const Result<Caller>& caller) {
                            const auto* error = std::get_if<ApiError>(&caller);
                            if (error == nullptr || error->reason == "STORE_UNAVAILABLE") return;
                            {
                              MutexLock lock(self->mu_);
                              if (!self->failure_) self->failure_ = *error;
                            }
                            self->Pump();
                          });
}

EventPosition StreamSession::Where() {
  return phase_ == Phase::kFollow ? subscription_->Position() : position_;
}

StreamElement StreamSession::Checkpoint() {
  checkpoint_due_ = parts_.clock.Now() + query_.checkpoint_interval;
  const EventPosition where = Where();
  StreamElement element = ElementOf(StreamElement::Kind::kCheckpoint, nullptr, where);
  if (!where.in_snapshot) element.complete_until = where.after.at;
  return element;
}

StreamElement StreamSession::ElementOf(StreamElement::Kind kind,
                                       std::shared_ptr<const StatusEvent> event,
                                       const EventPosition& position) {
  return {kind, std::move(event), {}, EncodeResumeToken(position, query_.filter.tenant_id)};
}

bool StreamSession::AllFinal() {
  if (!query_.until_final || !open_.empty()) return false;
  if (final_after_ == 0) return true;
  return subscription_->Position().after.number >= final_after_;
}

void StreamSession::Note(const StatusEvent& event) {
  if (event.status.final) open_.erase(event.message_id);
}

}  // namespace postrider
