#include "server/api/status_stream.h"

#include <grpc/grpc.h>
#include <memory>
#include <utility>

#include "server/api/convert.h"
#include "server/api/stream_session.h"
#include "server/api/validate.h"
#include "server/api/wire.h"
#include "server/base/mutex.h"
#include "server/base/strings.h"

namespace postrider {

/// gRPC's side of one stream. It lives until OnDone, which comes after Finish and after every
/// reaction has returned.
class StatusStreams::Stream final : public grpc::ServerWriteReactor<grpc::ByteBuffer>,
                                    public StreamSink {
 public:
  Stream(StatusStreams& owner, grpc::CallbackServerContext& context)
      : owner_(owner), context_(context), began_(owner.parts_.clock.Now()) {
    owner.meter_.Began();
  }

  void Begin(const grpc::ByteBuffer& bytes, bool refuse) {
    owner_.parts_.guard.Check(
        AuthorizationOf(context_), Scope::kRead,
        [this, &bytes, refuse](const Result<Caller>& caller) { Known(bytes, refuse, caller); });
  }

  // --- StreamSink. Initial metadata goes out with the first element, the checkpoint that comes at
  // once: a refusal without it can be repeated by the client's gRPC.
  void Write(const StreamElement& element) override {
    response_.Clear();
    switch (element.kind) {
      case StreamElement::Kind::kSnapshot:
        ToProto(*element.event, *response_.mutable_snapshot()->mutable_status());
        break;
      case StreamElement::Kind::kChange:
        ToProto(*element.event, *response_.mutable_change());
        break;
      case StreamElement::Kind::kCheckpoint: {
        v1::Checkpoint& checkpoint = *response_.mutable_checkpoint();
        if (element.complete_until == WallTime{}) break;
        ToProto(element.complete_until, *checkpoint.mutable_complete_until());
      }
    }
    response_.set_resume_token(element.resume_token);
    WriteResponse(response_, written_);
    StartWrite(&written_);
  }

  void Cut(const ApiError& error) override {
    // TryCancel would say CANCELLED, and a status cannot overtake the write that is stuck. This
    // way has no place for details, and those of the later End are lost: clients know the cut by
    // its code alone. The text is for people.
    grpc_call_cancel_with_status(context_.c_call(), static_cast<grpc_status_code>(error.code),
                                 StrCat(error.reason, ": ", error.message).c_str(), nullptr);
  }

  void End(const std::optional<ApiError>& error) override {
    owner_.meter_.Count(error ? error->code : absl::StatusCode::kOk,
                        owner_.parts_.clock.Now() - began_);
    Finish(error ? Refuse(context_, owner_.parts_.random, *error, owner_.meter_.method(), tenant_)
                 : grpc::Status::OK);
  }

  // --- gRPC's reactions
  void OnWriteDone(bool ok) override { Session(false)->OnWritten(ok); }
  void OnCancel() override {
    if (const auto session = Session(true)) session->Cancel();
  }
  void OnDone() override { delete this; }

 private:
  void Known(const grpc::ByteBuffer& bytes, bool refuse, const Result<Caller>& caller) {
    if (const auto* error = std::get_if<ApiError>(&caller)) return End(*error);
    tenant_ = std::get<Caller>(caller).tenant_id;
    if (refuse) return End(ServerDraining());
    v1::StreamStatusRequest request;
    if (const auto error = ParseRequest(bytes, request)) return End(*error);
    const Caller& known = std::get<Caller>(caller);
    Result<StreamQuery> query = Validate(request, known.tenant_id);
    if (const auto* error = std::get_if<ApiError>(&query)) return End(*error);
    const Parts& parts = owner_.parts_;
    // Kept here as well: once it has ended, this stream and its own pointer may be gone.
    const auto session = std::make_shared<StreamSession>(
        StreamSession::Parts{parts.clock, parts.store, parts.guard, parts.reads, parts.hub,
                             owner_.ending_},
        std::get<StreamQuery>(std::move(query)), known.token_sha256, *this);
    bool cancelled = false;
    {
      MutexLock lock(mu_);
      session_ = session;
      cancelled = cancelled_;
    }
    if (cancelled) session->Cancel();
    session->Open();
  }

  /// Null until the caller is known.
  std::shared_ptr<StreamSession> Session(bool cancelled) {
    MutexLock lock(mu_);
    cancelled_ = cancelled_ || cancelled;
    return session_;
  }

  StatusStreams& owner_;
  grpc::CallbackServerContext& context_;
  const MonotonicTime began_;
  TenantId tenant_;                    ///< Nil until the caller is known.
  v1::StreamStatusResponse response_;  ///< Here so that its memory is used again.
  grpc::ByteBuffer written_;           ///< Kept while it is being written.

  Mutex mu_;
  bool cancelled_ ABSL_GUARDED_BY(mu_) = false;
  std::shared_ptr<StreamSession> session_ ABSL_GUARDED_BY(mu_);
};

StatusStreams::StatusStreams(Parts parts)
    : parts_(parts), meter_(parts.metrics, parts.calls, "StreamStatus") {
  Gauge& open = parts.metrics.GaugeOf("postrider_streams_open", "StreamStatus calls under way.");
  parts.metrics.OnCollect(
      [&open, &hub = parts.hub] { open.Set(static_cast<double>(hub.subscriptions())); });
}

grpc::ServerWriteReactor<grpc::ByteBuffer>* StatusStreams::Open(
    grpc::CallbackServerContext* context, const grpc::ByteBuffer* request, bool refuse) {
  auto* stream = new Stream(*this, *context);  // deletes itself
  stream->Begin(*request, refuse);
  return stream;
}

void StatusStreams::End() {
  ending_ = true;
  parts_.hub.Beat();
}

}  // namespace postrider
