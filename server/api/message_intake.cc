#include "server/api/message_intake.h"

#include <utility>

#include "absl/strings/str_join.h"

#include "server/api/content_gate.h"
#include "server/api/convert.h"
#include "server/api/quiet_gate.h"
#include "server/api/send_rules.h"
#include "server/api/validate.h"
#include "server/base/log.h"
#include "server/policy/plain_punctuation.h"
#include "server/policy/segments.h"

namespace postrider {

namespace {

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

/// What the conversation that was given is in truth.
void AddStored(const Conversation& stored, ApiError& error) {
  if (!stored.external_contact_id.empty()) {
    error.metadata["stored_external_contact_id"] = stored.external_contact_id;
  }
  error.metadata["stored_sender"] = stored.sender;
  // For whom may send, not read.
  error.metadata["stored_recipient"] = MaskedNumber(stored.recipient);
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
                         fields.empty() ? "what is not kept as it was asked (signs of the text, "
                                          "whether a conversation was named)"
                                        : absl::StrJoin(fields, ", "));
  error.metadata["message_id"] = first.message_id.ToString();
  error.metadata["fields"] = absl::StrJoin(fields, ",");
  return error;
}

v1::TextEncoding ToProto(TextEncoding encoding) {
  return encoding == TextEncoding::kGsm7 ? v1::TEXT_ENCODING_GSM7 : v1::TEXT_ENCODING_UCS2;
}

/// As it will be when it is accepted.
void ShowQuietHold(WallTime until, v1::SendMessageResponse& out) {
  v1::Hold& hold = *out.mutable_message()->mutable_status()->mutable_hold();
  hold.set_reason(v1::HOLD_REASON_QUIET_HOURS);
  postrider::ToProto(until, *hold.mutable_until());
}

/// What quiet hours hold fills half of a queue at most: the other half is for what may leave.
QueueBound BoundOf(const TenantRow& tenant, bool held) {
  QueueBound bound = QueueBoundOf(tenant);
  if (held) bound.limit = std::max<std::int64_t>(1, bound.limit / 2);
  return bound;
}

/// Puts the text as it is to be sent in place of the one that was asked, and says so.
void MakePlain(const TenantRow& tenant, MessageRequest& request, v1::SendMessageResponse& out) {
  if (!tenant.plain_punctuation) return;
  std::optional<PlainText> plain = PlainTextOf(request.text);
  if (!plain) return;
  request.text = std::move(plain->text);
  out.add_warnings(std::move(plain->warning));
}

bool IsAfter(const google::protobuf::Timestamp& a, const google::protobuf::Timestamp& b) {
  return std::pair(a.seconds(), a.nanos()) > std::pair(b.seconds(), b.nanos());
}

}  // namespace

MessageIntake::MessageIntake(Parts parts)
    : parts_(std::move(parts)),
      queue_gate_(parts_.clock, parts_.random),
      held_gate_(parts_.clock, parts_.random) {}

void MessageIntake::Refuse(const Send& send, TenantId tenant, const ApiError& error) {
  const v1::SendMessageRequest& asked = *send.request;
  if (!IsByRule(error) || asked.validate_only()) return send.done(&error);
  auto done = [send, error](const absl::StatusOr<bool>& recorded) {
    if (recorded.ok()) return send.done(&error);
    const ApiError away = ErrorOfStore(recorded.status());
    send.done(&away);
  };
  if (parts_.refusals.TrySubmit(RefusalOf(tenant, asked, error), std::move(done))) {
    return;
  }
  const ApiError away = parts_.refusing ? ServerDraining() : StoreUnavailable();
  send.done(&away);
}

void MessageIntake::Read(const Send& send, ReadPool::Job job) {
  if (parts_.reads.TrySubmit(std::move(job))) return;
  const ApiError away = StoreUnavailable();
  send.done(&away);
}

void MessageIntake::Accept(const Send& send, const Caller& caller) {
  const auto tenants = parts_.tenants.Current();
  const TenantRow* tenant = tenants->Find(caller.tenant_id);
  if (tenant == nullptr) {  // made a moment ago, by another replica
    parts_.tenants.RefreshSoon();
    return Refuse(send, caller.tenant_id, StoreUnavailable());
  }
  const WallTime now = parts_.clock.Wall();
  Result<MessageRequest> checked = Validate(*send.request, *tenant, *tenants, now);
  std::optional<ApiError> late;
  if (const ApiError* error = std::get_if<ApiError>(&checked)) {
    // A repeat gives the first message, also when its own time has passed meanwhile.
    late = *error;
    checked = Validate(*send.request, *tenant, *tenants, std::nullopt);
    if (std::holds_alternative<ApiError>(checked)) return Refuse(send, caller.tenant_id, *late);
  }
  NewMessage message;
  message.request = std::get<MessageRequest>(std::move(checked));
  // Of what was asked, not of what the tenant's settings make of it at the moment.
  message.fingerprint = FingerprintOf(message.request);
  const std::string asked = message.request.text;
  MakePlain(*tenant, message.request, *send.response);

  Segments segments = SegmentsOf(message.request.text);
  send.response->set_segment_count(segments.count);
  send.response->set_encoding(ToProto(segments.encoding));
  for (std::string& warning : segments.warnings) send.response->add_warnings(std::move(warning));
  ToProto(message.request, *send.response->mutable_message());
  if (!late) late = RefusedBySetup(message.request, *tenant, now);
  if (!late) late = CircuitOpenFor(message.request, now);
  if (!late) late = HoldForQuietHours(send, *tenant, now, message);
  if (late) {
    message.request.text = asked;
    return AnswerFromFirst(send, message.request, std::move(late));
  }
  Check({send, tenants, tenant, caller.token, caller.token_sha256, std::move(message), asked});
}

void MessageIntake::Check(Pending pending) {
  const TenantRow& tenant = *pending.tenant;
  if (parts_.content == nullptr || tenant.compliance_check.url.empty()) {
    return Submit(std::move(pending));
  }
  ContentQuestion question =
      ContentQuestionOf(*pending.send.request, pending.message.request, tenant);
  const auto kept = std::make_shared<Pending>(std::move(pending));
  parts_.content->Judge(std::move(question), [this, kept](const ContentVerdict& verdict) {
    const Send& send = kept->send;
    if (auto refused = RefusedByVerdict(verdict, kept->tenant->compliance_check)) {
      kept->message.request.text = std::move(kept->asked);
      return AnswerFromFirst(send, kept->message.request, std::move(refused));
    }
    if (verdict.kind != ContentVerdict::Kind::kApproved) {
      send.response->add_warnings("the compliance check gave no verdict: sent without");
      kept->message.request.content_unchecked = true;
      send.response->mutable_message()->set_content_unchecked(true);
    }
    Submit(std::move(*kept));
  });
}

void MessageIntake::Submit(Pending pending) {
  auto& [send, tenants, tenant, token, token_sha256, message, asked] = pending;
  if (send.request->validate_only()) {
    message.request.text = std::move(asked);
    return AnswerFromFirst(send, message.request, std::nullopt);
  }
  const WallTime now = parts_.clock.Wall();
  message.message_id = {MakeUuidV7(now, parts_.random)};
  message.new_conversation_id = {MakeUuidV4(parts_.random)};
  const bool held = message.quiet_until != WallTime{};
  const QueueBound bound = BoundOf(*tenant, held);
  message.bounds = {.queue_limit = bound.limit,
                    .tenant_quota = tenant->daily_quota,
                    .token_quota = token->daily_quota,
                    .token_sha256 = token_sha256};
  BoundBySetup(message.request, *tenant, message.bounds);
  QueueGate& gate = held ? held_gate_ : queue_gate_;
  if (const std::optional<ApiError> full = gate.TryRefuse(bound)) {
    return Refuse(send, tenant->tenant_id, *full);
  }
  auto done = [this, send = send, tenants = tenants, tenant = tenant, token = token, held,
               flow = FlowOf(message.request)](absl::StatusOr<Acceptance> acceptance) {
    if (!acceptance.ok()) {
      return Refuse(send, tenant->tenant_id, ErrorOfStore(acceptance.status()));
    }
    // Before the answer: once the call has ended, this service may be gone.
    if (acceptance->kind == Acceptance::Kind::kNew && parts_.on_accepted) parts_.on_accepted(flow);
    Answer(send, *tenant, *token, *acceptance, held);
  };
  if (!parts_.accept.TrySubmit(std::move(message), std::move(done))) {
    Refuse(send, tenant->tenant_id, parts_.refusing ? ServerDraining() : StoreUnavailable());
  }
}

std::optional<ApiError> MessageIntake::HoldForQuietHours(const Send& send, const TenantRow& tenant,
                                                         WallTime now, NewMessage& message) {
  QuietVerdict quiet = QuietVerdictOf(tenant, message.request, now);
  if (quiet.refusal || quiet.until == WallTime{}) return std::move(quiet.refusal);
  message.quiet_until = quiet.until;
  ShowQuietHold(quiet.until, *send.response);
  if (send.request->validate_only()) {
    send.response->add_warnings(
        StrCat("quiet hours: it would be held until ", Rfc3339Of(quiet.until)));
  }
  return RefusedAtHoldEnd(message.request, tenant, quiet.until);
}

void MessageIntake::Answer(const Send& send, const TenantRow& tenant, const ApiTokenRow& token,
                           const Acceptance& acceptance, bool held) {
  const MessageKey key{tenant.tenant_id, acceptance.message_id};
  QueueGate& gate = held ? held_gate_ : queue_gate_;
  switch (acceptance.kind) {
    case Acceptance::Kind::kNew:
      gate.Open(tenant.tenant_id);
      PR_LOG(kDebug, "message accepted", {"message_id", acceptance.message_id.ToString()},
             {"tenant", tenant.tenant_id.ToString()}, {"request_id", send.request->request_id()},
             {"recipient", MaskedNumber(send.request->recipient())});
      return AnswerNew(send, acceptance);
    case Acceptance::Kind::kDuplicate:
      return AnswerRepeat(send, key);
    case Acceptance::Kind::kRequestIdReused:
      return RefuseReuse(send, key);
    case Acceptance::Kind::kOptedOut:
      return Refuse(send, tenant.tenant_id, OptedOut());
    case Acceptance::Kind::kConversationMismatch:
    case Acceptance::Kind::kContactMismatch:
      return RefuseMismatch(send, tenant.tenant_id, acceptance);
    case Acceptance::Kind::kQueueFull:
      return Refuse(send, tenant.tenant_id, gate.Refuse(BoundOf(tenant, held), acceptance.count));
    case Acceptance::Kind::kTenantQuotaExceeded:
      return Refuse(send, tenant.tenant_id,
                    QuotaExceeded(StrCat("tenant:", tenant.name), tenant.daily_quota.value_or(0),
                                  acceptance.count, acceptance.at));
    case Acceptance::Kind::kTokenQuotaExceeded:
      return Refuse(send, tenant.tenant_id,
                    QuotaExceeded(StrCat("token:", token.name), token.daily_quota.value_or(0),
                                  acceptance.count, acceptance.at));
    case Acceptance::Kind::kMayNotOpen:
    case Acceptance::Kind::kCapReached:
      return RefuseByBound(send, tenant, acceptance);
  }
}

void MessageIntake::RefuseByBound(const Send& send, const TenantRow& tenant,
                                  const Acceptance& acceptance) {
  // The request went into the batch; its bounds are made once more for this rare answer.
  const auto tenants = parts_.tenants.Current();
  const Result<MessageRequest> again = Validate(*send.request, tenant, *tenants, std::nullopt);
  const auto* const request = std::get_if<MessageRequest>(&again);
  if (request == nullptr) return Refuse(send, tenant.tenant_id, StoreUnavailable());
  if (acceptance.kind == Acceptance::Kind::kMayNotOpen) {
    return Refuse(send, tenant.tenant_id, OptOutTextMissing(*request, tenant));
  }
  AcceptBounds bounds;
  BoundBySetup(*request, tenant, bounds);
  const DailyCap& cap = bounds.caps.at(acceptance.cap);
  Refuse(send, tenant.tenant_id, QuotaExceeded(cap.key, cap.most, acceptance.count, acceptance.at));
}

std::optional<ApiError> MessageIntake::CircuitOpenFor(const MessageRequest& request,
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

void MessageIntake::AnswerNew(const Send& send, const Acceptance& acceptance) {
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
  // Quiet hours stand there already, and last longer than not_before.
  if (!IsAfter(status.hold().until(), message.accepted_at())) status.clear_hold();
  if (!status.has_hold() && IsAfter(message.not_before(), message.accepted_at())) {
    status.mutable_hold()->set_reason(v1::HOLD_REASON_SCHEDULE);
    *status.mutable_hold()->mutable_until() = message.not_before();
  }
  send.done(nullptr);
}

void MessageIntake::AnswerRepeat(const Send& send, const MessageKey& first) {
  Read(send, [this, send, first] {
    const absl::StatusOr<MessageRecord> record = parts_.store.GetMessage(first);
    // Without its state the caller is told to repeat: the message itself is safe.
    if (!record.ok()) return Refuse(send, first.tenant_id, ErrorOfStore(record.status()));
    send.response->clear_message();
    ToProto(*record, *send.response->mutable_message());
    send.response->set_deduplicated(true);
    send.done(nullptr);
  });
}

void MessageIntake::RefuseReuse(const Send& send, const MessageKey& first) {
  Read(send, [this, send, first] {
    const absl::StatusOr<MessageRecord> record =
        parts_.store.GetMessageByRequest(first.tenant_id, send.request->request_id());
    if (!record.ok()) return Refuse(send, first.tenant_id, ErrorOfStore(record.status()));
    // The request went into the batch; it is made once more for this rare answer.
    const auto tenants = parts_.tenants.Current();
    const TenantRow* tenant = tenants->Find(first.tenant_id);
    std::vector<std::string> fields;
    if (tenant != nullptr) {
      const Result<MessageRequest> repeat =
          Validate(*send.request, *tenant, *tenants, std::nullopt);
      if (const auto* request = std::get_if<MessageRequest>(&repeat)) {
        fields = DifferingFields(record->message.request, record->fingerprint, *request);
      }
    }
    Refuse(send, first.tenant_id, ReuseOf(first, fields));
  });
}

void MessageIntake::RefuseMismatch(const Send& send, TenantId tenant,
                                   const Acceptance& acceptance) {
  Read(send, [this, send, tenant, acceptance] {
    const std::string& given = send.request->conversation_id();
    ApiError error = MismatchOf(given, acceptance);
    const absl::StatusOr<ConversationId> id = ConversationId::Parse(given);
    if (!id.ok()) return Refuse(send, tenant, InternalError("a mismatch of no conversation"));
    const absl::StatusOr<Conversation> stored = parts_.store.FindConversation(tenant, *id);
    if (stored.ok()) {
      AddStored(*stored, error);
    } else if (!absl::IsNotFound(stored.status())) {
      error = ErrorOfStore(stored.status());
    }
    Refuse(send, tenant, error);
  });
}

void MessageIntake::AnswerFromFirst(const Send& send, const MessageRequest& request,
                                    std::optional<ApiError> otherwise) {
  Read(send, [this, send, request, otherwise = std::move(otherwise)] {
    const absl::StatusOr<MessageRecord> first =
        parts_.store.GetMessageByRequest(request.tenant_id, request.request_id);
    if (absl::IsNotFound(first.status())) {
      return otherwise ? Refuse(send, request.tenant_id, *otherwise) : send.done(nullptr);
    }
    if (!first.ok()) return Refuse(send, request.tenant_id, ErrorOfStore(first.status()));
    const std::vector<std::string> fields =
        DifferingFields(first->message.request, first->fingerprint, request);
    if (!fields.empty()) {
      return Refuse(send, request.tenant_id,
                    ReuseOf({request.tenant_id, first->message.message_id}, fields));
    }
    send.response->set_deduplicated(true);
    if (!send.request->validate_only()) {
      send.response->clear_message();
      ToProto(*first, *send.response->mutable_message());
    }
    send.done(nullptr);
  });
}

}  // namespace postrider
