#include "server/api/send_session.h"

#include <utility>

#include "server/api/convert.h"
#include "server/model/limits.h"

namespace postrider {

SendSession::SendSession(Parts parts, Caller caller, SendSink& sink)
    : parts_(parts), caller_(std::move(caller)), sink_(sink) {
  MutexLock lock(mu_);
  check_token_at_ = parts_.clock.Now() + kTokenRecheck;
}

void SendSession::OnRead(v1::SendMessagesRequest request,
                         const std::optional<ApiError>& unreadable) {
  auto owned = std::make_unique<Entry>();
  Entry& entry = *owned;
  entry.request = std::move(request);
  entry.bytes = entry.request.ByteSizeLong();
  // What could not be read may not be UTF-8, which no answer can carry.
  if (!unreadable) entry.verdict.set_request_id(entry.request.request().request_id());
  bool check = false;
  {
    MutexLock lock(mu_);
    reading_ = false;
    // It was read while the call ended. Without a verdict it is the caller's to send again.
    if (ended_) return;
    bytes_ += entry.bytes;
    ++undecided_;
    entries_.push_back(std::move(owned));
    const MonotonicTime now = parts_.clock.Now();
    check = !unreadable && now >= check_token_at_;
    if (check) check_token_at_ = now + kTokenRecheck;
    checking_ = check;
  }
  if (unreadable) return Decided(entry, &*unreadable);
  check ? CheckToken(entry) : Take(entry);
}

void SendSession::CheckToken(Entry& entry) {
  parts_.guard.CheckAgain(caller_.token_sha256, Scope::kSend,
                          [self = shared_from_this(), &entry](const Result<Caller>& caller) {
                            const auto* error = std::get_if<ApiError>(&caller);
                            // That the store is away is told by what it is asked next.
                            const bool ended =
                                error != nullptr && error->reason != "STORE_UNAVAILABLE";
                            {
                              MutexLock lock(self->mu_);
                              self->checking_ = false;
                              if (ended && !self->failure_) self->failure_ = *error;
                            }
                            ended ? self->Decided(entry, error) : self->Take(entry);
                          });
}

void SendSession::Take(Entry& entry) {
  parts_.intake.Accept({&entry.request.request(), entry.verdict.mutable_accepted(),
                        [self = shared_from_this(), &entry](const ApiError* refusal) {
                          self->Decided(entry, refusal);
                        }},
                       caller_);
  Pump();
}

void SendSession::Decided(Entry& entry, const ApiError* refusal) {
  if (refusal != nullptr) {
    v1::SendRefusal& refused = *entry.verdict.mutable_refused();
    *refused.mutable_status() = sink_.Refusal(*refusal);
    refused.set_retryable(MayBeRepeated(*refusal));
  }
  {
    MutexLock lock(mu_);
    entry.done = true;
    --undecided_;
  }
  Pump();
}

void SendSession::OnReadsEnd() {
  {
    MutexLock lock(mu_);
    reading_ = false;
    reads_ended_ = true;
  }
  Pump();
}

void SendSession::OnWritten(bool ok) {
  {
    MutexLock lock(mu_);
    writing_ = false;
    bytes_ -= entries_.front()->bytes;
    entries_.pop_front();
    gone_ = gone_ || !ok;
  }
  Pump();
}

void SendSession::Cancel() {
  {
    MutexLock lock(mu_);
    gone_ = true;
  }
  Pump();
}

void SendSession::Begin() {
  {
    MutexLock lock(mu_);
    --performing_;
  }
  Pump();
}

void SendSession::Pump() {
  Actions actions;
  std::optional<ApiError> error;
  {
    MutexLock lock(mu_);
    actions = Decide();
    if (actions.end) error = failure_;
  }
  if (actions.read) sink_.Read();
  if (actions.write != nullptr) sink_.Write(*actions.write);
  if (actions.end) sink_.End(error);
  if (!actions.read && actions.write == nullptr) return;
  {
    MutexLock lock(mu_);
    --performing_;
  }
  Pump();  // the end may have waited for this; nothing can be begun twice, so that this ends
}

SendSession::Actions SendSession::Decide() {
  Actions actions;
  if (ended_) return actions;
  if (gone_ && !failure_) failure_ = CallerGone();
  if (parts_.draining && !reads_ended_ && !failure_) failure_ = ServerDraining();
  const bool takes_more = !reads_ended_ && !failure_;
  const bool has_room = entries_.size() < kSendWindow && bytes_ < kSendWindowBytes;
  if (takes_more && has_room && !reading_ && !checking_) reading_ = actions.read = true;
  if (!gone_ && !writing_ && !entries_.empty() && entries_.front()->done) {
    writing_ = true;
    actions.write = &entries_.front()->verdict;
  }
  if (actions.read || actions.write != nullptr) ++performing_;
  // After the end the sink may be gone, so that nobody may be on the way to it.
  const bool idle = !writing_ && undecided_ == 0 && performing_ == 0;
  if (!takes_more && idle && (gone_ || entries_.empty())) ended_ = actions.end = true;
  return actions;
}

}  // namespace postrider
