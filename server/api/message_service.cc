#include "server/api/message_service.h"

#include <utility>

#include "absl/strings/str_join.h"

#include "server/api/begin_call.h"
#include "server/api/convert.h"
#include "server/api/explain.h"
#include "server/api/validate.h"
#include "server/api/wire.h"
#include "server/base/log.h"
#include "server/policy/segments.h"

namespace postrider {

namespace {

ApiError FailedPrecondition(std::string reason, std::string message,
                            ApiError::Precondition precondition) {
  ApiError error;
  error.code = absl::StatusCode::kFailedPrecondition;
  error.reason = std::move(reason);
  error.message = std::move(message);
  error.preconditions.push_back(std::move(precondition));
  return error;
}

ApiError MismatchOf(const std::string& given, const Acceptance& acceptance) {
  const bool contact = acceptance.kind == Acceptance::Kind::kContactMismatch;
  ApiError error =
      contact
          ? FailedPrecondition("CONTACT_MISMATCH", "the conversation belongs to another contact",
                               {"CONTACT", given, "external_contact_id must be its contact"})
          : FailedPrecondition("CONVERSATION_MISMATCH",
                               "the conversation is not the one of this contact, sender and "
                               "recipient",
                               {"CONVERSATION", given, "must be the stored one, or empty"});
  if (!acceptance.conversation_id.IsNil()) {
    error.metadata["conversation_id"] = acceptance.conversation_id.ToString();
  }
  return error;
}

ApiError OptedOut() {
  return FailedPrecondition("RECIPIENT_OPTED_OUT", "the recipient has opted out of this sender",
                            {"RECIPIENT", "recipient", "must not have opted out"});
}

ApiError ReuseOf(const MessageKey& first, const std::vector<std::string>& fields) {
  ApiError error;
  error.code = absl::StatusCode::kAlreadyExists;
  error.reason = "REQUEST_ID_REUSED";
  error.message = StrCat("the request_id was used before for another request; differing: ",
                         absl::StrJoin(fields, ", "));
  error.metadata["message_id"] = first.message_id.ToString();
  error.metadata["fields"] = absl::StrJoin(fields, ",");
  return error;
}

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

v1::TextEncoding ToProto(TextEncoding encoding) {
  return encoding == TextEncoding::kGsm7 ? v1::TEXT_ENCODING_GSM7 : v1::TEXT_ENCODING_UCS2;
}

/// The message with its latest change as the history has it: its row does not keep the cause.
void FillMessage(const MessageRecord& record, v1::Message& out) {
  ToProto(record.message, out);
  const bool complete = !record.history.empty() &&
                        record.history.back().status.revision >= record.message.status.revision;
  if (!complete) return;  // more changes than a history tells
  out.clear_status();
  ToProto(record.history.back(), *out.mutable_status());
}

void FillRecord(const MessageRecord& record, v1::GetStatusResponse& out) {
  FillMessage(record, *out.mutable_message());
  for (const StatusEvent& event : record.history) ToProto(event, *out.add_history());
  for (const Attempt& attempt : record.attempts) ToProto(attempt, *out.add_attempts());
}

}  // namespace

MessageService::MessageService(Parts parts)
    : parts_(std::move(parts)),
      queue_gate_(parts_.clock, parts_.random),
      send_meter_(parts_.metrics, calls_, "SendMessage"),
      status_meter_(parts_.metrics, calls_, "GetStatus"),
      explain_meter_(parts_.metrics, calls_, "ExplainMessage"),
      cancel_meter_(parts_.metrics, calls_, "CancelMessage"),
      streams_({parts_.clock, parts_.random, parts_.metrics, parts_.store, parts_.guard,
                parts_.reads, parts_.hub, calls_}) {}

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
        Accept({call, &asked, &answer}, caller);
      });
}

void MessageService::Accept(const Send& send, const Caller& caller) {
  const auto tenants = parts_.tenants.Current();
  const TenantRow* tenant = tenants->Find(caller.tenant_id);
  if (tenant == nullptr) {  // made a moment ago, by another replica
    parts_.tenants.RefreshSoon();
    return send.call.Fail(StoreUnavailable());
  }
  const WallTime now = parts_.clock.Wall();
  Result<MessageRequest> checked = Validate(*send.request, *tenant, *tenants, now);
  std::optional<ApiError> late;
  if (const ApiError* error = std::get_if<ApiError>(&checked)) {
    // A repeat gives the first message, also when its own time has passed meanwhile.
    late = *error;
    checked = Validate(*send.request, *tenant, *tenants, std::nullopt);
    if (std::holds_alternative<ApiError>(checked)) return send.call.Fail(*late);
  }
  NewMessage message;
  message.request = std::get<MessageRequest>(std::move(checked));

  Segments segments = SegmentsOf(message.request.text);
  send.response->set_segment_count(segments.count);
  send.response->set_encoding(ToProto(segments.encoding));
  for (std::string& warning : segments.warnings) send.response->add_warnings(std::move(warning));
  ToProto(message.request, *send.response->mutable_message());
  if (!late) late = CircuitOpenFor(message.request, now);
  if (late || send.request->validate_only()) {
    return AnswerFromFirst(send, message.request, std::move(late));
  }

  message.message_id = {MakeUuidV7(now, parts_.random)};
  message.new_conversation_id = {MakeUuidV4(parts_.random)};
  message.fingerprint = FingerprintOf(message.request);
  message.bounds = {.queue_limit = QueueLimitOf(*tenant),
                    .tenant_quota = tenant->daily_quota,
                    .token_quota = caller.token->daily_quota,
                    .token_sha256 = caller.token_sha256};
  if (const std::optional<ApiError> full = queue_gate_.TryRefuse(QueueBoundOf(*tenant))) {
    return send.call.Fail(*full);
  }
  auto done = [this, send, tenants, tenant, token = caller.token,
               flow = FlowOf(message.request)](absl::StatusOr<Acceptance> acceptance) {
    if (!acceptance.ok()) return send.call.Fail(ErrorOfStore(acceptance.status()));
    // Before the answer: once the call has ended, this service may be gone.
    if (acceptance->kind == Acceptance::Kind::kNew && parts_.on_accepted) parts_.on_accepted(flow);
    Answer(send, *tenant, *token, *acceptance);
  };
  if (!parts_.accept.TrySubmit(std::move(message), std::move(done))) {
    send.call.Fail(refusing_ ? ServerDraining() : StoreUnavailable());
  }
}

void MessageService::Answer(const Send& send, const TenantRow& tenant, const ApiTokenRow& token,
                            const Acceptance& acceptance) {
  const MessageKey key{tenant.tenant_id, acceptance.message_id};
  switch (acceptance.kind) {
    case Acceptance::Kind::kNew:
      queue_gate_.Open(tenant.tenant_id);
      PR_LOG(kDebug, "message accepted", {"message_id", acceptance.message_id.ToString()},
             {"tenant", tenant.tenant_id.ToString()}, {"request_id", send.request->request_id()},
             {"recipient", MaskedNumber(send.request->recipient())});
      return AnswerNew(send, acceptance);
    case Acceptance::Kind::kDuplicate:
      return AnswerRepeat(send, key);
    case Acceptance::Kind::kRequestIdReused:
      return RefuseReuse(send, key);
    case Acceptance::Kind::kOptedOut:
      return send.call.Fail(OptedOut());
    case Acceptance::Kind::kConversationMismatch:
    case Acceptance::Kind::kContactMismatch:
      return send.call.Fail(MismatchOf(send.request->conversation_id(), acceptance));
    case Acceptance::Kind::kQueueFull:
      return send.call.Fail(queue_gate_.Refuse(QueueBoundOf(tenant), acceptance.count));
    case Acceptance::Kind::kTenantQuotaExceeded:
      return send.call.Fail(QuotaExceeded(StrCat("tenant:", tenant.name),
                                          tenant.daily_quota.value_or(0), acceptance.count,
                                          acceptance.at));
    case Acceptance::Kind::kTokenQuotaExceeded:
      return send.call.Fail(QuotaExceeded(StrCat("token:", token.name),
                                          token.daily_quota.value_or(0), acceptance.count,
                                          acceptance.at));
  }
}

std::optional<ApiError> MessageService::CircuitOpenFor(const MessageRequest& request,
                                                       WallTime now) const {
  if (!parts_.next_canary || request.expire_at == WallTime{}) return std::nullopt;
  const std::optional<WallTime> next = parts_.next_canary(request.tenant_id);
  if (!next || *next <= now || request.expire_at >= *next) return std::nullopt;
  ApiError error;
  error.code = absl::StatusCode::kUnavailable;
  error.reason = "CIRCUIT_OPEN";
  error.message = "too much fails at the moment: nothing leaves before this message expires";
  error.retry_after = std::chrono::ceil<std::chrono::milliseconds>(*next - now);
  error.never_retry = true;
  return error;
}

void MessageService::AnswerNew(const Send& send, const Acceptance& acceptance) {
  v1::Message& message = *send.response->mutable_message();
  message.set_message_id(acceptance.message_id.ToString());
  message.set_conversation_id(acceptance.conversation_id.ToString());
  ToProto(acceptance.at, *message.mutable_accepted_at());
  v1::StatusChange& status = *message.mutable_status();
  status.set_message_id(message.message_id());
  status.set_revision(1);
  status.set_state(v1::MESSAGE_STATE_QUEUED);
  status.set_cause(v1::CAUSE_ACCEPTED);
  status.set_attempt(1);
  *status.mutable_changed_at() = message.accepted_at();
  status.set_conversation_id(message.conversation_id());
  status.set_external_contact_id(message.external_contact_id());
  status.set_campaign_id(message.campaign_id());
  const google::protobuf::Timestamp& due = message.not_before();
  const google::protobuf::Timestamp& now = message.accepted_at();
  if (std::pair(due.seconds(), due.nanos()) > std::pair(now.seconds(), now.nanos())) {
    status.mutable_hold()->set_reason(v1::HOLD_REASON_SCHEDULE);
    *status.mutable_hold()->mutable_until() = message.not_before();
  }
  send.call.Ok();
}

void MessageService::AnswerRepeat(const Send& send, const MessageKey& first) {
  Read(send.call, [this, send, first] {
    const absl::StatusOr<MessageRecord> record = parts_.store.GetMessage(first);
    // Without its state the caller is told to repeat: the message itself is safe.
    if (!record.ok()) return send.call.Fail(ErrorOfStore(record.status()));
    send.response->clear_message();
    FillMessage(*record, *send.response->mutable_message());
    send.response->set_deduplicated(true);
    send.call.Ok();
  });
}

void MessageService::RefuseReuse(const Send& send, const MessageKey& first) {
  Read(send.call, [this, send, first] {
    const absl::StatusOr<MessageRecord> record = parts_.store.GetMessage(first);
    if (!record.ok()) return send.call.Fail(ErrorOfStore(record.status()));
    // The request went into the batch; it is made once more for this rare answer.
    const auto tenants = parts_.tenants.Current();
    const TenantRow* tenant = tenants->Find(first.tenant_id);
    std::vector<std::string> fields;
    if (tenant != nullptr) {
      const Result<MessageRequest> repeat =
          Validate(*send.request, *tenant, *tenants, std::nullopt);
      if (const auto* request = std::get_if<MessageRequest>(&repeat)) {
        fields = DifferingFields(record->message.request, *request);
      }
    }
    send.call.Fail(ReuseOf(first, fields));
  });
}

void MessageService::AnswerFromFirst(const Send& send, const MessageRequest& request,
                                     std::optional<ApiError> otherwise) {
  Read(send.call, [this, send, request, otherwise = std::move(otherwise)] {
    const absl::StatusOr<MessageRecord> first =
        parts_.store.GetMessageByRequest(request.tenant_id, request.request_id);
    if (absl::IsNotFound(first.status())) {
      return otherwise ? send.call.Fail(*otherwise) : send.call.Ok();
    }
    if (!first.ok()) return send.call.Fail(ErrorOfStore(first.status()));
    const std::vector<std::string> fields = DifferingFields(first->message.request, request);
    if (!fields.empty()) {
      return send.call.Fail(ReuseOf({request.tenant_id, first->message.message_id}, fields));
    }
    send.response->set_deduplicated(true);
    if (!send.request->validate_only()) {
      send.response->clear_message();
      FillMessage(*first, *send.response->mutable_message());
    }
    send.call.Ok();
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
          FillMessage(*record, *answer.mutable_message());
          call.Ok();
        });
      });
}

grpc::ServerWriteReactor<grpc::ByteBuffer>* MessageService::StreamStatus(
    grpc::CallbackServerContext* context, const grpc::ByteBuffer* request) {
  return streams_.Open(context, request, refusing_);
}

}  // namespace postrider
