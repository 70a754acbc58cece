#include "server/api/send_stream.h"

#include <algorithm>
#include <utility>

#include "server/api/convert.h"
#include "server/api/send_session.h"
#include "server/api/wire.h"
#include "server/base/strings.h"
#include "server/model/limits.h"

namespace postrider {

namespace {

ApiError TooManySendStreams() {
  ApiError error;
  error.code = absl::StatusCode::kResourceExhausted;
  error.reason = "TOO_MANY_STREAMS";
  error.message = StrCat("the tenant has ", kMaxSendStreamsPerTenant,
                         " SendMessages calls open on this replica: send more by one of them");
  error.never_retry = true;
  return error;
}

}  // namespace

/// gRPC's side of one call. It lives until OnDone, which comes after Finish and after every
/// reaction has returned.
class SendStreams::Stream final
    : public grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>,
      public SendSink {
 public:
  Stream(SendStreams& owner, grpc::CallbackServerContext& context)
      : owner_(owner), context_(context), began_(owner.parts_.clock.Now()) {
    owner.meter_.Began();
  }

  void Begin() {
    owner_.parts_.guard.Check(AuthorizationOf(context_), Scope::kSend,
                              [this](const Result<Caller>& caller) { Known(caller); });
  }

  // --- SendSink
  void Read() override { StartRead(&read_); }

  void Write(const v1::SendMessagesResponse& verdict) override {
    (verdict.has_accepted() ? owner_.accepted_ : owner_.refused_).Add();
    WriteResponse(verdict, written_);
    StartWrite(&written_);
  }

  google::rpc::Status Refusal(const ApiError& error) override {
    owner_.meter_.CountRefusal(error.reason);
    return ToRpcStatus(error,
                       NoteRefusal(owner_.parts_.random, error, owner_.meter_.method(), tenant_));
  }

  void End(const std::optional<ApiError>& error) override {
    const bool refused = error && error->code != absl::StatusCode::kCancelled;
    if (refused) owner_.meter_.CountRefusal(error->reason);
    owner_.meter_.Count(error ? error->code : absl::StatusCode::kOk,
                        owner_.parts_.clock.Now() - began_);
    Finish(error ? Refuse(context_, owner_.parts_.random, *error, owner_.meter_.method(), tenant_)
                 : grpc::Status::OK);
  }

  // --- gRPC's reactions
  void OnReadDone(bool ok) override {
    if (!ok) return Session(false)->OnReadsEnd();
    v1::SendMessagesRequest request;
    const std::optional<ApiError> unreadable = ParseRequest(read_, request);
    Session(false)->OnRead(std::move(request), unreadable);
  }
  void OnWriteDone(bool ok) override { Session(false)->OnWritten(ok); }
  void OnCancel() override {
    if (const auto session = Session(true)) session->Cancel();
  }
  void OnDone() override {
    if (const auto session = Session(false)) owner_.Leave(tenant_, session.get());
    delete this;
  }

 private:
  void Known(const Result<Caller>& caller) {
    if (const auto* error = std::get_if<ApiError>(&caller)) return End(*error);
    const Caller& known = std::get<Caller>(caller);
    tenant_ = known.tenant_id;
    const Parts& parts = owner_.parts_;
    if (parts.draining) return End(ServerDraining());
    const auto session = std::make_shared<SendSession>(
        SendSession::Parts{parts.clock, parts.guard, parts.intake, parts.draining}, known, *this);
    // Before Drain can find it: it looks at `draining` by itself then.
    if (!owner_.Join(tenant_, session)) return End(TooManySendStreams());
    bool cancelled = false;
    {
      MutexLock lock(mu_);
      session_ = session;
      cancelled = cancelled_;
    }
    if (cancelled) session->Cancel();
    session->Begin();  // this may be gone afterwards
  }

  /// Null until the caller is let in.
  std::shared_ptr<SendSession> Session(bool cancelled) {
    MutexLock lock(mu_);
    cancelled_ = cancelled_ || cancelled;
    return session_;
  }

  SendStreams& owner_;
  grpc::CallbackServerContext& context_;
  const MonotonicTime began_;
  TenantId tenant_;           ///< Nil until the caller is known.
  grpc::ByteBuffer read_;     ///< Filled while it is being read.
  grpc::ByteBuffer written_;  ///< Kept while it is being written.

  Mutex mu_;
  bool cancelled_ ABSL_GUARDED_BY(mu_) = false;
  std::shared_ptr<SendSession> session_ ABSL_GUARDED_BY(mu_);
};

SendStreams::SendStreams(Parts parts)
    : parts_(parts),
      meter_(parts.metrics, parts.calls, "SendMessages"),
      accepted_(parts.metrics.CounterOf("postrider_send_verdicts_total",
                                        "Messages that SendMessages answered.",
                                        {{"verdict", "accepted"}})),
      refused_(parts.metrics.CounterOf("postrider_send_verdicts_total",
                                       "Messages that SendMessages answered.",
                                       {{"verdict", "refused"}})) {
  Gauge& open = parts.metrics.GaugeOf("postrider_send_streams_open", "SendMessages under way.");
  parts.metrics.OnCollect([&open, this] {
    MutexLock lock(mu_);
    std::size_t count = 0;
    for (const auto& [tenant, sessions] : open_) count += sessions.size();
    open.Set(static_cast<double>(count));
  });
}

grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* SendStreams::Open(
    grpc::CallbackServerContext* context) {
  auto* stream = new Stream(*this, *context);  // deletes itself
  stream->Begin();
  return stream;
}

bool SendStreams::Join(TenantId tenant, const std::shared_ptr<SendSession>& session) {
  MutexLock lock(mu_);
  auto& sessions = open_[tenant];
  if (sessions.size() >= kMaxSendStreamsPerTenant) return false;
  sessions.push_back(session);
  return true;
}

void SendStreams::Leave(TenantId tenant, const SendSession* session) {
  MutexLock lock(mu_);
  const auto found = open_.find(tenant);
  if (found == open_.end()) return;
  std::erase_if(found->second, [&](const auto& known) { return known.get() == session; });
  if (found->second.empty()) open_.erase(found);
}

void SendStreams::Drain() {
  std::vector<std::shared_ptr<SendSession>> sessions;
  {
    MutexLock lock(mu_);
    for (const auto& [tenant, its] : open_) {
      sessions.insert(sessions.end(), its.begin(), its.end());
    }
  }
  for (const auto& session : sessions) session->Pump();
}

}  // namespace postrider
