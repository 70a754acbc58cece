#include "server/api/admin_service.h"

#include <optional>
#include <utility>

#include "server/api/convert.h"
#include "server/api/field_rules.h"
#include "server/base/log.h"
#include "server/base/strings.h"
#include "server/model/limits.h"

namespace postrider {

namespace {

/// A target that was found to exist.
struct Target {
  PauseTarget of;
  std::shared_ptr<const TenantSnapshot> snapshot;
  const TenantRow* tenant = nullptr;
};

void CheckTarget(const v1::DispatchTarget& target, FieldRules& rules) {
  if (target.tenant().empty()) rules.Violate("target.tenant", "is required");
  if (target.part_case() == v1::DispatchTarget::kCampaignId) {
    rules.Key("target.campaign_id", target.campaign_id(), kMaxCampaignIdBytes, true);
  }
  if (target.part_case() == v1::DispatchTarget::kSender && target.sender().empty()) {
    rules.Violate("target.sender", "is required");
  }
}

Result<Target> Find(const v1::DispatchTarget& target, const TenantDirectory& tenants) {
  Target found;
  found.snapshot = tenants.Current();
  found.tenant = found.snapshot->FindByName(target.tenant());
  if (found.tenant == nullptr) return TenantNotFound(target.tenant());
  found.of.tenant_id = found.tenant->tenant_id;
  switch (target.part_case()) {
    case v1::DispatchTarget::kCampaignId:
      found.of.scope = PauseScope::kCampaign;
      found.of.target = target.campaign_id();
      break;
    case v1::DispatchTarget::kSender: {
      const SenderRow* sender =
          found.snapshot->FindSender(found.tenant->tenant_id, target.sender());
      if (sender == nullptr) return SenderNotRegistered();
      found.of.scope = PauseScope::kSender;
      found.of.target = sender->sender_id.ToString();
      break;
    }
    case v1::DispatchTarget::PART_NOT_SET:
      break;
  }
  return found;
}

/// The time of an `until` that may be unset: epoch then.
WallTime UntilOf(bool given, const google::protobuf::Timestamp& until, WallTime now,
                 std::chrono::hours longest, FieldRules& rules) {
  if (!given) return {};
  const std::optional<WallTime> time = rules.Time("until", until);
  if (!time) return {};
  if (*time <= now) rules.Violate("until", "must lie ahead");
  if (*time > now + longest) {
    rules.Violate("until", StrCat("must be ", longest / 24h, " days ahead at most"));
  }
  return *time;
}

/// What an operator wants of a breaker.
struct Override {
  BreakerKey key;
  std::optional<BreakerState> state;  ///< None: none any more.
  WallTime until{};
};

Override OverrideOf(const v1::OverrideBreakerRequest& asked, WallTime now, FieldRules& rules) {
  Override wanted;
  if (asked.tenant().empty()) rules.Violate("tenant", "is required");
  if (asked.kind() == v1::BREAKER_KIND_TRANSPORT || asked.kind() == v1::BREAKER_KIND_CARRIER) {
    wanted.key.breaker = static_cast<Breaker>(asked.kind());
  } else {
    rules.Violate("kind", "is required: TRANSPORT or CARRIER");
  }
  if (asked.position() == v1::BREAKER_POSITION_CLOSED ||
      asked.position() == v1::BREAKER_POSITION_OPEN) {
    wanted.state = static_cast<BreakerState>(asked.position());
    if (!asked.has_until()) rules.Violate("until", "is required with a position");
  } else if (asked.position() != v1::BREAKER_POSITION_UNSPECIFIED) {
    rules.Violate("position", "must be CLOSED or OPEN, or UNSPECIFIED to end the override");
  } else if (asked.has_until()) {
    rules.Violate("until", "must be unset without a position");
  }
  wanted.until = UntilOf(asked.has_until(), asked.until(), now, kLongestOverride, rules);
  rules.Text("reason", asked.reason(), kMaxReasonCharacters);
  return wanted;
}

ApiError NotFailed(const Message& message) {
  const std::string state(NameOf(message.status.state));
  ApiError error;
  error.code = absl::StatusCode::kFailedPrecondition;
  error.reason = "NOT_FAILED";
  error.message = StrCat("the message is ", state, ": only what failed is replayed");
  error.preconditions = {
      {"STATE", message.message_id.ToString(), "must be REJECTED, FAILED or UNDETERMINED"}};
  error.metadata["state"] = state;
  return error;
}

ApiError MessageErased(const Message& message) {
  ApiError error;
  error.code = absl::StatusCode::kFailedPrecondition;
  error.reason = "MESSAGE_ERASED";
  error.message = "the message's text or number was erased: there is nothing to send";
  error.preconditions = {{"CONTENT", message.message_id.ToString(), "must not be erased"}};
  return error;
}

}  // namespace

AdminService::AdminService(Parts parts)
    : parts_(std::move(parts)),
      states_({parts_.store, parts_.tenants, parts_.replica_name, parts_.lanes}),
      state_meter_(parts_.metrics, calls_, "GetGatewayState"),
      pause_meter_(parts_.metrics, calls_, "PauseDispatch"),
      resume_meter_(parts_.metrics, calls_, "ResumeDispatch"),
      override_meter_(parts_.metrics, calls_, "OverrideBreaker"),
      replay_meter_(parts_.metrics, calls_, "ReplayMessage"),
      list_letters_meter_(parts_.metrics, calls_, "ListDeadLetters"),
      group_letters_meter_(parts_.metrics, calls_, "GroupDeadLetters"),
      get_letter_meter_(parts_.metrics, calls_, "GetDeadLetter"),
      replay_letters_meter_(parts_.metrics, calls_, "ReplayDeadLetters"),
      discard_letters_meter_(parts_.metrics, calls_, "DiscardDeadLetters"),
      record_inbound_meter_(parts_.metrics, calls_, "RecordInboundMessage"),
      record_consent_meter_(parts_.metrics, calls_, "RecordConsent"),
      get_consent_meter_(parts_.metrics, calls_, "GetConsent"),
      list_suppressions_meter_(parts_.metrics, calls_, "ListSuppressions"),
      merge_contacts_meter_(parts_.metrics, calls_, "MergeContacts"),
      apply_setup_meter_(parts_.metrics, calls_, "ApplySetup"),
      get_setup_meter_(parts_.metrics, calls_, "GetSetup"),
      watches_({parts_.clock, parts_.random, parts_.metrics, states_, parts_.guard, calls_}) {}

void AdminService::Read(const UnaryCall& call, ReadPool::Job job) {
  if (!parts_.reads.TrySubmit(std::move(job))) call.Fail(StoreUnavailable());
}

std::optional<ApiError> AdminService::FindTenant(const std::string& name, TenantId& tenant) const {
  const auto snapshot = parts_.tenants.Current();
  const TenantRow* const row = snapshot->FindByName(name);
  if (row == nullptr) return TenantNotFound(name);
  tenant = row->tenant_id;
  return std::nullopt;
}

OperatorAction AdminService::ActionOf(const Caller& caller, const std::string& reason) {
  return {MakeUuidV7(parts_.clock.Wall(), parts_.random), caller.token->name, reason};
}

grpc::ServerUnaryReactor* AdminService::GetGatewayState(grpc::CallbackServerContext* context,
                                                        const grpc::ByteBuffer* request,
                                                        grpc::ByteBuffer* response) {
  return BeginCall<v1::GetGatewayStateRequest, v1::GetGatewayStateResponse>(
      Desk(), context, request, response, state_meter_, Scope::kOperator,
      [this](const UnaryCall& call, const Caller&, const auto& asked, auto& answer) {
        Read(call, [this, call, &asked, &answer] {
          Result<v1::GatewayState> state = states_.Read(asked.tenant());
          if (const auto* error = std::get_if<ApiError>(&state)) return call.Fail(*error);
          *answer.mutable_state() = std::move(std::get<v1::GatewayState>(state));
          call.Ok();
        });
      });
}

grpc::ServerUnaryReactor* AdminService::PauseDispatch(grpc::CallbackServerContext* context,
                                                      const grpc::ByteBuffer* request,
                                                      grpc::ByteBuffer* response) {
  return BeginCall<v1::PauseDispatchRequest, v1::PauseDispatchResponse>(
      Desk(), context, request, response, pause_meter_, Scope::kOperator,
      [this](const UnaryCall& call, const Caller& caller, const auto& asked, auto& answer) {
        FieldRules rules;
        CheckTarget(asked.target(), rules);
        rules.Text("reason", asked.reason(), kMaxReasonCharacters);
        const WallTime until =
            UntilOf(asked.has_until(), asked.until(), parts_.clock.Wall(), kLongestPause, rules);
        if (!rules.ok()) return call.Fail(InvalidField(rules.Take()));
        Result<Target> target = Find(asked.target(), parts_.tenants);
        if (const auto* error = std::get_if<ApiError>(&target)) return call.Fail(*error);
        Read(call, [this, call, &answer, until, found = std::get<Target>(std::move(target)),
                    action = ActionOf(caller, asked.reason())] {
          const absl::StatusOr<DispatchPause> pause =
              parts_.store.PauseDispatch(found.of, until, action);
          if (!pause.ok()) return call.Fail(ErrorOfStore(pause.status()));
          PR_LOG(kInfo, "dispatch paused", {"tenant", found.tenant->name},
                 {"target", found.of.target}, {"actor", action.actor}, {"reason", action.reason});
          ToProto(*pause, *found.tenant, *answer.mutable_pause());
          watches_.Nudge();
          call.Ok();
        });
      });
}

grpc::ServerUnaryReactor* AdminService::ResumeDispatch(grpc::CallbackServerContext* context,
                                                       const grpc::ByteBuffer* request,
                                                       grpc::ByteBuffer* response) {
  return BeginCall<v1::ResumeDispatchRequest, v1::ResumeDispatchResponse>(
      Desk(), context, request, response, resume_meter_, Scope::kOperator,
      [this](const UnaryCall& call, const Caller& caller, const auto& asked, auto& answer) {
        FieldRules rules;
        CheckTarget(asked.target(), rules);
        rules.Text("reason", asked.reason(), kMaxReasonCharacters);
        if (!rules.ok()) return call.Fail(InvalidField(rules.Take()));
        Result<Target> target = Find(asked.target(), parts_.tenants);
        if (const auto* error = std::get_if<ApiError>(&target)) return call.Fail(*error);
        Read(call, [this, call, &answer, found = std::get<Target>(std::move(target)),
                    action = ActionOf(caller, asked.reason())] {
          const absl::StatusOr<bool> ended = parts_.store.ResumeDispatch(found.of, action);
          if (!ended.ok()) return call.Fail(ErrorOfStore(ended.status()));
          if (*ended) {
            PR_LOG(kInfo, "dispatch resumed", {"tenant", found.tenant->name},
                   {"target", found.of.target}, {"actor", action.actor}, {"reason", action.reason});
          }
          answer.set_was_paused(*ended);
          watches_.Nudge();
          call.Ok();
        });
      });
}

grpc::ServerUnaryReactor* AdminService::OverrideBreaker(grpc::CallbackServerContext* context,
                                                        const grpc::ByteBuffer* request,
                                                        grpc::ByteBuffer* response) {
  return BeginCall<v1::OverrideBreakerRequest, v1::OverrideBreakerResponse>(
      Desk(), context, request, response, override_meter_, Scope::kOperator,
      [this](const UnaryCall& call, const Caller& caller, const auto& asked, auto& answer) {
        FieldRules rules;
        Override wanted = OverrideOf(asked, parts_.clock.Wall(), rules);
        if (!rules.ok()) return call.Fail(InvalidField(rules.Take()));
        if (const auto error = FindTenant(asked.tenant(), wanted.key.tenant_id)) {
          return call.Fail(*error);
        }
        Read(call, [this, call, &answer, wanted, name = asked.tenant(),
                    action = ActionOf(caller, asked.reason())] {
          const absl::Status done =
              parts_.store.OverrideBreaker(wanted.key, wanted.state, wanted.until, action);
          if (!done.ok()) return call.Fail(ErrorOfStore(done));
          PR_LOG(kInfo, "circuit breaker overridden", {"tenant", name},
                 {"breaker", NameOf(wanted.key.breaker)},
                 {"state", wanted.state ? NameOf(*wanted.state) : "NONE"}, {"actor", action.actor},
                 {"reason", action.reason});
          watches_.Nudge();
          const absl::StatusOr<BreakerReadings> now =
              parts_.store.BreakersOf({&wanted.key.tenant_id, 1});
          if (!now.ok()) return call.Fail(ErrorOfStore(now.status()));
          for (const BreakerReading& breaker : now->breakers) {
            if (breaker.key == wanted.key) ToProto(breaker, *answer.mutable_breaker());
          }
          call.Ok();
        });
      });
}

grpc::ServerUnaryReactor* AdminService::ReplayMessage(grpc::CallbackServerContext* context,
                                                      const grpc::ByteBuffer* request,
                                                      grpc::ByteBuffer* response) {
  return BeginCall<v1::ReplayMessageRequest, v1::ReplayMessageResponse>(
      Desk(), context, request, response, replay_meter_, Scope::kOperator,
      [this](const UnaryCall& call, const Caller& caller, const auto& asked, auto& answer) {
        FieldRules rules;
        if (asked.tenant().empty()) rules.Violate("tenant", "is required");
        const absl::StatusOr<MessageId> id = MessageId::Parse(asked.message_id());
        if (!id.ok()) rules.Violate("message_id", "is required, a UUID");
        rules.Text("reason", asked.reason(), kMaxReasonCharacters);
        if (!rules.ok()) return call.Fail(InvalidField(rules.Take()));
        MessageKey key{{}, *id};
        if (const auto error = FindTenant(asked.tenant(), key.tenant_id)) return call.Fail(*error);
        Read(call, [this, call, &answer, key, action = ActionOf(caller, asked.reason())] {
          const absl::StatusOr<Replay> done = parts_.store.ReplayMessage(key, action);
          if (!done.ok()) return call.Fail(ErrorOfStore(done.status()));
          if (!done->message) return call.Fail(MessageNotFound(key.message_id.ToString()));
          const Message& message = *done->message;
          if (done->kind == Replay::Kind::kErased) return call.Fail(MessageErased(message));
          if (done->kind != Replay::Kind::kReplayed) return call.Fail(NotFailed(message));
          PR_LOG(kInfo, "message replayed", {"message_id", key.message_id.ToString()},
                 {"tenant", key.tenant_id.ToString()}, {"request_id", message.request.request_id},
                 {"attempt", message.status.attempt}, {"actor", action.actor},
                 {"reason", action.reason});
          parts_.on_queued(FlowOf(message.request));
          answer.set_message_id(key.message_id.ToString());
          answer.set_attempt(message.status.attempt);
          answer.set_revision(message.status.revision);
          call.Ok();
        });
      });
}

grpc::ServerWriteReactor<grpc::ByteBuffer>* AdminService::WatchGatewayState(
    grpc::CallbackServerContext* context, const grpc::ByteBuffer* request) {
  return watches_.Open(context, request, refusing_);
}

}  // namespace postrider
