#include <memory>
#include <utility>

#include "absl/strings/str_join.h"

#include "server/api/convert.h"
#include "server/api/message_intake.h"
#include "server/api/send_rules.h"
#include "server/api/validate.h"
#include "server/base/log.h"

// What MessageIntake tells the caller when the store has given its verdict.
namespace postrider {

namespace {

ApiError MismatchOf(const std::string& given, const Acceptance& acceptance) {
  const bool contact = acceptance.kind == Acceptance::Kind::kContactMismatch;
  const std::string stored =
      acceptance.conversation_id.IsNil() ? "" : acceptance.conversation_id.ToString();
  // Then it is the number that differs.
  const char* const must = given == stored
                               ? "is this contact's, with another recipient: leave it out, and it "
                                 "goes on with this one"
                               : "must be the stored one, or empty";
  ApiError error =
      contact
          ? FailedPrecondition("CONTACT_MISMATCH", "the conversation belongs to another contact",
                               {"CONTACT", given, "external_contact_id must be its contact"})
          : FailedPrecondition("CONVERSATION_MISMATCH",
                               "the conversation is not the one of this contact, sender and "
                               "recipient",
                               {"CONVERSATION", given, must});
  if (!stored.empty()) error.metadata["conversation_id"] = stored;
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

bool IsAfter(const google::protobuf::Timestamp& a, const google::protobuf::Timestamp& b) {
  return std::pair(a.seconds(), a.nanos()) > std::pair(b.seconds(), b.nanos());
}

}  // namespace

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
      return Refuse(send, tenant.tenant_id,
                    gate.Refuse(QueueBoundOf(tenant, held), acceptance.count));
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

void MessageIntake::AnswerCheck(Pending pending) {
  // Full queues and used up quotas pass by themselves.
  const bool may_open = pending.message.bounds.may_open;
  pending.message.bounds = {.may_open = may_open};
  MessageRequest as_asked = pending.message.request;
  as_asked.text = pending.asked;
  const auto kept = std::make_shared<Pending>(std::move(pending));
  AnswerFromFirst(kept->send, as_asked, [this, kept] {
    const auto& [send, tenants, tenant, token, token_sha256, message, asked] = *kept;
    const absl::StatusOr<Acceptance> would = parts_.store.WouldAccept(message);
    if (!would.ok()) return Refuse(send, tenant->tenant_id, ErrorOfStore(would.status()));
    send.response->set_deduplicated(would->kind == Acceptance::Kind::kDuplicate);
    if (would->kind == Acceptance::Kind::kNew || send.response->deduplicated()) {
      return send.done(nullptr);
    }
    Answer(send, *tenant, *token, *would, message.quiet_until != WallTime{});
  });
}

void MessageIntake::RefuseUnlessRepeat(const Send& send, const MessageRequest& request,
                                       ApiError error) {
  AnswerFromFirst(send, request,
                  [this, send, tenant = request.tenant_id, error = std::move(error)] {
                    Refuse(send, tenant, error);
                  });
}

void MessageIntake::AnswerFromFirst(const Send& send, const MessageRequest& request,
                                    std::function<void()> otherwise) {
  Read(send, [this, send, request, otherwise = std::move(otherwise)] {
    const absl::StatusOr<MessageRecord> first =
        parts_.store.GetMessageByRequest(request.tenant_id, request.request_id);
    if (absl::IsNotFound(first.status())) return otherwise();
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
