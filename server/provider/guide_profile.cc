#include "server/provider/guide_profile.h"

#include <optional>
#include <variant>

#include "server/base/strings.h"
#include "server/json/json.h"
#include "server/model/limits.h"
#include "server/provider/outcome_table.h"
#include "server/provider/receipts.h"

namespace postrider {

namespace {

constexpr std::size_t kMaxIdBytes = 256;
constexpr const char* kJson = "application/json";

std::string CorrelationOf(const HttpHeaders& headers) {
  for (const char* name : {"ININ-Correlation-Id", "Genesys-Correlation-Id"}) {
    if (const auto id = headers.Get(name); id && !CleanCode(*id).empty()) return CleanCode(*id);
  }
  return {};
}

std::string ErrorCodeOf(std::string_view body) {
  const absl::StatusOr<Json> json = ParseJson(body, {.bytes = kMaxReplyBytes});
  return json.ok() ? json->GetString("code").value_or("") : "";
}

std::string IdOf(const Json& body, std::string_view key) {
  std::string id = body.GetString(key).value_or("");
  return id.size() <= kMaxIdBytes ? id : std::string();
}

}  // namespace

Outcome GuideProfile::Send(const SendRequest& request) {
  const MonotonicTime began_at = clock_.Now();
  const MonotonicTime deadline = began_at + kSendDeadline;
  const std::string payload = GuidePayload(request);
  Outcome outcome;
  // Twice at most: the second time only after a 401, which means that nothing was sent.
  for (int tries = 0; tries < 2; ++tries) {
    std::variant<Secret, Outcome> token = tokens_->Get(deadline);
    if (const auto* none = std::get_if<Outcome>(&token)) return *none;
    if (clock_.Now() - began_at > kStartBy)
      return OutcomeWithoutReply(false, "the access token came too late for this message");
    outcome = PostOnce(payload, std::get<Secret>(token), deadline);
    if (outcome.http_status != 401) break;
    tokens_->Invalidate(std::get<Secret>(token));
  }
  return outcome;
}

Outcome GuideProfile::PostOnce(const std::string& payload, const Secret& token,
                               MonotonicTime deadline) {
  const HttpResult result = client_->Send(
      {.method = "POST",
       .path = send_path_,
       .headers = {{"Authorization", StrCat("Bearer ", token.Reveal())}, {"Accept", kJson}},
       .body = payload,
       .content_type = kJson,
       .timeout = deadline - clock_.Now()});
  if (!result.response)
    return OutcomeWithoutReply(result.sent != HttpResult::Sent::kNothing, result.error);
  const HttpResult::Response& reply = *result.response;
  Outcome outcome =
      OutcomeOf({.http_status = reply.status,
                 .code = reply.status < 300 ? std::string() : ErrorCodeOf(reply.body),
                 .retry_after = std::string(reply.headers.Get("Retry-After").value_or(""))},
                clock_.Wall());
  outcome.correlation_id = CorrelationOf(reply.headers);
  ReadGuideReply(reply.body, outcome);
  return outcome;
}

std::string GuidePayload(const SendRequest& request) {
  Metadata metadata = request.metadata;
  if (!request.campaign_id.empty()) metadata.emplace("campaignId", request.campaign_id);
  metadata[std::string(kMessageIdKey)] = request.message_id.ToString();
  metadata[std::string(kAttemptKey)] = StrCat(request.attempt);
  JsonObject body;
  body.Set("to", request.recipient).Set("from", request.sender).Set("message", request.text);
  if (!request.conversation_id.IsNil())
    body.Set("conversationId", request.conversation_id.ToString());
  if (!request.external_contact_id.empty())
    body.Set("externalContactId", request.external_contact_id);
  body.Set("type", "sms").Set("metadata", metadata);
  return body.Dump();
}

void ReadGuideReply(std::string_view body, Outcome& outcome) {
  const absl::StatusOr<Json> json = ParseJson(body, {.bytes = kMaxReplyBytes});
  if (!json.ok() || !json->IsObject()) {
    if (outcome.kind == OutcomeKind::kAccepted)
      outcome.detail = "accepted; the reply cannot be read";
    return;
  }
  if (outcome.kind == OutcomeKind::kAccepted) {
    outcome.provider_message_id = IdOf(*json, "id");
    outcome.provider_conversation_id = IdOf(*json, "conversationId");
    if (outcome.provider_message_id.empty()) outcome.detail = "accepted; the reply has no id";
  }
  if (outcome.correlation_id.empty())
    outcome.correlation_id = CleanCode(json->GetString("contextId").value_or(""));
}

}  // namespace postrider
