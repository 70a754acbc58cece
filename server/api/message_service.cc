#include "server/api/message_service.h"

#include <utility>

#include "server/api/begin_call.h"
#include "server/api/convert.h"
#include "server/api/explain.h"
#include "server/api/validate.h"
#include "server/api/wire.h"
#include "server/base/log.h"

namespace postrider {

namespace {

ApiError ErrorOfLookUp(const absl::Status& status) {
  return absl::IsNotFound(status) ? MessageNotFound() : ErrorOfStore(status);
}

ApiError NotCancelled(const Cancellation& cancellation) {
  if (cancellation.kind == Cancellation::Kind::kNotFound || !cancellation.message) {
    return MessageNotFound();
  }
  const std::string state(NameOf(cancellation.message->status.state));
  ApiError error = FailedPrecondition(
      "TOO_LATE_TO_CANCEL", StrCat("the message is ", state, " already"),
      {"STATE", cancellation.message->message_id.ToString(), "must be QUEUED and not on its way"});
  error.metadata["state"] = state;
  return error;
}

void FillRecord(const MessageRecord& record, v1::GetStatusResponse& out) {
  ToProto(record, *out.mutable_message());
  for (const StatusEvent& event : record.history) ToProto(event, *out.add_history());
  for (const Attempt& attempt : record.attempts) ToProto(attempt, *out.add_attempts());
}

}  // namespace

MessageService::MessageService(Parts parts)
    : parts_(std::move(parts)),
      intake_({parts_.clock, parts_.random, parts_.store, parts_.accept, parts_.refusals,
               parts_.tenants, parts_.reads, refusing_, parts_.on_accepted, parts_.next_canary,
               parts_.content}),
      send_meter_(parts_.metrics, calls_, "SendMessage"),
      status_meter_(parts_.metrics, calls_, "GetStatus"),
      explain_meter_(parts_.metrics, calls_, "ExplainMessage"),
      cancel_meter_(parts_.metrics, calls_, "CancelMessage"),
      conversation_meter_(parts_.metrics, calls_, "GetConversation"),
      conversations_meter_(parts_.metrics, calls_, "ListConversations"),
      streams_({parts_.clock, parts_.random, parts_.metrics, parts_.store, parts_.guard,
                parts_.reads, parts_.hub, calls_}),
      send_streams_({parts_.clock, parts_.random, parts_.metrics, parts_.guard, intake_, calls_,
                     refusing_}) {}

template <typename Request, typename Response, typename Then>
grpc::ServerUnaryReactor* MessageService::Begin(grpc::CallbackServerContext* context,
                                                const grpc::ByteBuffer* bytes,
                                                grpc::ByteBuffer* answer, CallMeter& meter,
                                                Scope scope, Then then) {
  return BeginCall<Request, Response>({parts_.clock, parts_.random, parts_.guard, refusing_},
                                      context, bytes, answer, meter, scope, std::move(then));
}

void MessageService::Read(const UnaryCall& call, ReadPool::Job job) {
  if (!parts_.reads.TrySubmit(std::move(job))) call.Fail(StoreUnavailable());
}

grpc::ServerUnaryReactor* MessageService::SendMessage(grpc::CallbackServerContext* context,
                                                      const grpc::ByteBuffer* request,
                                                      grpc::ByteBuffer* response) {
  return Begin<v1::SendMessageRequest, v1::SendMessageResponse>(
      context, request, response, send_meter_, Scope::kSend,
      [this](const UnaryCall& call, const Caller& caller, const auto& asked, auto& answer) {
        intake_.Accept({&asked, &answer,
                        [call](const ApiError* refusal) {
                          return refusal != nullptr ? call.Fail(*refusal) : call.Ok();
                        }},
                       caller);
      });
}

grpc::ServerUnaryReactor* MessageService::GetStatus(grpc::CallbackServerContext* context,
                                                    const grpc::ByteBuffer* request,
                                                    grpc::ByteBuffer* response) {
  return Begin<v1::GetStatusRequest, v1::GetStatusResponse>(
      context, request, response, status_meter_, Scope::kRead,
      [this](const UnaryCall& call, const Caller& caller, const auto& asked, auto& answer) {
        Result<StatusQuery> query = Validate(asked);
        if (const auto* error = std::get_if<ApiError>(&query)) return call.Fail(*error);
        Read(call, [this, call, &answer, tenant = caller.tenant_id,
                    wanted = std::get<StatusQuery>(std::move(query))] {
          const absl::StatusOr<MessageRecord> record =
              wanted.message_id.IsNil()
                  ? parts_.store.GetMessageByRequest(tenant, wanted.request_id)
                  : parts_.store.GetMessage({tenant, wanted.message_id});
          if (!record.ok()) return call.Fail(ErrorOfLookUp(record.status()));
          FillRecord(*record, answer);
          call.Ok();
        });
      });
}

grpc::ServerUnaryReactor* MessageService::ExplainMessage(grpc::CallbackServerContext* context,
                                                         const grpc::ByteBuffer* request,
                                                         grpc::ByteBuffer* response) {
  return Begin<v1::ExplainMessageRequest, v1::ExplainMessageResponse>(
      context, request, response, explain_meter_, Scope::kRead,
      [this](const UnaryCall& call, const Caller& caller, const auto& asked, auto& answer) {
        Result<StatusQuery> query = Validate(asked);
        if (const auto* error = std::get_if<ApiError>(&query)) return call.Fail(*error);
        Read(call, [this, call, &answer, tenant = caller.tenant_id,
                    wanted = std::get<StatusQuery>(std::move(query))] {
          const absl::Status done = Explain(
              {parts_.store, parts_.tenants, parts_.clock, parts_.lanes}, tenant, wanted, answer);
          if (!done.ok()) return call.Fail(ErrorOfLookUp(done));
          call.Ok();
        });
      });
}

grpc::ServerUnaryReactor* MessageService::CancelMessage(grpc::CallbackServerContext* context,
                                                        const grpc::ByteBuffer* request,
                                                        grpc::ByteBuffer* response) {
  return Begin<v1::CancelMessageRequest, v1::CancelMessageResponse>(
      context, request, response, cancel_meter_, Scope::kSend,
      [this](const UnaryCall& call, const Caller& caller, const auto& asked, auto& answer) {
        const Result<MessageId> id = Validate(asked);
        if (const auto* error = std::get_if<ApiError>(&id)) return call.Fail(*error);
        const MessageKey key{caller.tenant_id, std::get<MessageId>(id)};
        Read(call, [this, call, &answer, key] {
          const absl::StatusOr<Cancellation> done = parts_.store.Cancel(key);
          if (!done.ok()) return call.Fail(ErrorOfLookUp(done.status()));
          if (done->kind != Cancellation::Kind::kCancelled) return call.Fail(NotCancelled(*done));
          PR_LOG(kDebug, "message cancelled", {"message_id", key.message_id.ToString()},
                 {"tenant", key.tenant_id.ToString()},
                 {"request_id", done->message ? done->message->request.request_id : ""});
          // Repeating it is safe, so that the caller of a cancel that cannot be read back is told
          // to.
          const absl::StatusOr<MessageRecord> record = parts_.store.GetMessage(key);
          if (!record.ok()) return call.Fail(ErrorOfLookUp(record.status()));
          ToProto(*record, *answer.mutable_message());
          call.Ok();
        });
      });
}

grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* MessageService::SendMessages(
    grpc::CallbackServerContext* context) {
  return send_streams_.Open(context);
}

grpc::ServerWriteReactor<grpc::ByteBuffer>* MessageService::StreamStatus(
    grpc::CallbackServerContext* context, const grpc::ByteBuffer* request) {
  return streams_.Open(context, request, refusing_);
}

}  // namespace postrider
