#include "server/api/message_intake.h"

#include <utility>

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

v1::TextEncoding ToProto(TextEncoding encoding) {
  return encoding == TextEncoding::kGsm7 ? v1::TEXT_ENCODING_GSM7 : v1::TEXT_ENCODING_UCS2;
}

/// As it will be when it is accepted.
void ShowQuietHold(WallTime until, v1::SendMessageResponse& out) {
  v1::Hold& hold = *out.mutable_message()->mutable_status()->mutable_hold();
  hold.set_reason(v1::HOLD_REASON_QUIET_HOURS);
  postrider::ToProto(until, *hold.mutable_until());
}

/// Puts the text as it is to be sent in place of the one that was asked, and says so.
void MakePlain(const TenantRow& tenant, MessageRequest& request, v1::SendMessageResponse& out) {
  if (!tenant.plain_punctuation) return;
  std::optional<PlainText> plain = PlainTextOf(request.text);
  if (!plain) return;
  request.text = std::move(plain->text);
  out.add_warnings(std::move(plain->warning));
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
  if (!late) late = RefusedBySetup(message.request, asked, *tenant, now);
  if (!late) late = CircuitOpenFor(message.request, now);
  if (!late) late = HoldForQuietHours(send, *tenant, now, message);
  if (late) {
    message.request.text = asked;
    return RefuseUnlessRepeat(send, message.request, *std::move(late));
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
      return RefuseUnlessRepeat(send, kept->message.request, *std::move(refused));
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
  const WallTime now = parts_.clock.Wall();
  message.message_id = {MakeUuidV7(now, parts_.random)};
  message.new_conversation_id = {MakeUuidV4(parts_.random)};
  const bool held = message.quiet_until != WallTime{};
  const QueueBound bound = QueueBoundOf(*tenant, held);
  message.bounds = {.queue_limit = bound.limit,
                    .tenant_quota = tenant->daily_quota,
                    .token_quota = token->daily_quota,
                    .token_sha256 = token_sha256};
  BoundBySetup(message.request, *tenant, message.bounds);
  if (send.request->validate_only()) return AnswerCheck(std::move(pending));
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

}  // namespace postrider
