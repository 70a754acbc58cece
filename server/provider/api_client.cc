#include "server/provider/api_client.h"

#include <algorithm>

#include "absl/strings/numbers.h"

#include "server/base/log.h"
#include "server/base/strings.h"
#include "server/model/dispatch_limits.h"
#include "server/model/limits.h"

namespace postrider {

namespace {

constexpr std::size_t kShortestNumber = 7;
constexpr const char* kJson = "application/json";

std::string CorrelationOf(const HttpHeaders& headers) {
  for (const char* name : {"ININ-Correlation-Id", "Genesys-Correlation-Id"}) {
    if (const auto id = headers.Get(name); id && !CleanCode(*id).empty()) return CleanCode(*id);
  }
  return {};
}

std::string DigitsOf(std::string_view text) {
  std::string digits;
  for (const char c : text) {
    if (c >= '0' && c <= '9') digits += c;
  }
  return digits;
}

/// What is odd about a reply, or null.
const char* OddityOf(const HttpResult::Response& reply, bool readable) {
  if (reply.status >= 300 && reply.status < 400) return "redirect";
  if (reply.truncated) return reply.body.size() >= kMaxReplyBytes ? "too_long" : "cut_off";
  if (readable || reply.body.empty()) return nullptr;
  const std::size_t first = reply.body.find_first_not_of(" \t\r\n");
  return first != std::string::npos && reply.body[first] == '<' ? "page" : "not_json";
}

}  // namespace

ApiClient::ApiClient(std::unique_ptr<HttpClient> client, std::shared_ptr<TokenSource> tokens,
                     const ProviderAccount& account, const Clock& clock, Metrics& metrics)
    : client_(std::move(client)),
      tokens_(std::move(tokens)),
      active_conversation_(account.active_conversation),
      refused_at_edge_(account.refused_at_edge),
      client_id_(account.client_id),
      clock_(clock),
      metrics_(metrics) {}

std::variant<ApiReply, Outcome> ApiClient::Call(HttpCall call, MonotonicTime begin_by,
                                                MonotonicTime deadline, int requests) {
  ApiReply reply;
  // Again only after a 401, which means that nothing was done.
  for (int tries = 0; tries < requests; ++tries) {
    std::variant<Secret, Outcome> token = tokens_->Get(deadline);
    if (auto* none = std::get_if<Outcome>(&token)) {
      none->requests = tries;
      return *none;
    }
    if (clock_.Now() > begin_by) {
      Outcome late = OutcomeWithoutReply(false, "the access token came too late for this call");
      late.requests = tries;
      return late;
    }
    const HttpResult result = CallOnce(call, std::get<Secret>(token), deadline);
    if (!result.response) {
      const bool sent = result.sent != HttpResult::Sent::kNothing;
      Outcome lost = OutcomeWithoutReply(sent, result.error);
      lost.requests = tries + (sent ? 1 : 0);
      return lost;
    }
    reply = ReplyOf(result);
    reply.requests = tries + 1;
    if (reply.facts.http_status != 401) break;
    tokens_->Invalidate(std::get<Secret>(token));
  }
  return reply;
}

HttpResult ApiClient::CallOnce(HttpCall call, const Secret& token, MonotonicTime deadline) {
  call.headers.Add("Authorization", StrCat("Bearer ", token.Reveal()));
  call.headers.Add("Accept", kJson);
  if (!call.body.empty()) call.content_type = kJson;
  call.timeout = deadline - clock_.Now();
  return client_->Send(call);
}

ApiReply ApiClient::ReplyOf(const HttpResult& result) {
  const HttpResult::Response& response = *result.response;
  ApiReply reply;
  if (!response.truncated) {
    absl::StatusOr<Json> body = ParseJson(response.body, {.bytes = kMaxReplyBytes});
    if (body.ok() && body->IsObject()) reply.body = *std::move(body);
  }
  reply.facts = {.http_status = response.status,
                 .retry_after = std::string(response.headers.Get("Retry-After").value_or("")),
                 .active_conversation = active_conversation_,
                 .refused_at_edge = refused_at_edge_};
  reply.correlation_id = CorrelationOf(response.headers);
  if (reply.body) {
    if (response.status >= 300) reply.facts.code = reply.body->GetString("code").value_or("");
    if (reply.correlation_id.empty())
      reply.correlation_id = CleanCode(reply.body->GetString("contextId").value_or(""));
  }
  ShowRateLimit(response.headers);
  if (const char* odd = OddityOf(response, reply.body.has_value())) {
    CountOdd(odd, reply);
  } else {
    (void)odd_.Worked();
  }
  return reply;
}

void ApiClient::ShowRateLimit(const HttpHeaders& headers) {
  const struct {
    const char* header;
    const char* metric;
    const char* help;
  } shown[] = {{"inin-ratelimit-count", "postrider_provider_ratelimit_count",
                "Requests that the provider has counted in its current window."},
               {"inin-ratelimit-allowed", "postrider_provider_ratelimit_allowed",
                "Requests that the provider allows in a window."},
               {"inin-ratelimit-reset", "postrider_provider_ratelimit_reset_seconds",
                "Until the provider's next window, when it last said so."}};
  for (const auto& row : shown) {
    const auto text = headers.Get(row.header);
    std::int64_t number = 0;
    if (!text || !absl::SimpleAtoi(ToAbsl(*text), &number) || number < 0) continue;
    metrics_.GaugeOf(row.metric, row.help, {{"client_id", client_id_}})
        .Set(static_cast<double>(number));
  }
}

void ApiClient::CountOdd(const char* reason, const ApiReply& reply) {
  metrics_
      .CounterOf("postrider_odd_replies_total",
                 "Replies of the provider that are not as they "
                 "should be.",
                 {{"reason", reason}})
      .Add();
  if (!odd_.Failed()) return;
  PR_LOG(kWarning, "odd reply of the provider", {"reason", reason},
         {"http_status", reply.facts.http_status}, {"correlation_id", reply.correlation_id},
         {"in_a_row", odd_.count()});
}

Outcome ApiClient::PostMessage(const std::string& path, const std::string& payload,
                               const SendRequest& request) {
  const MonotonicTime now = clock_.Now();
  const std::variant<ApiReply, Outcome> called =
      Call({.method = "POST", .path = path, .body = payload}, now + kStartBy, now + kSendDeadline);
  if (const auto* none = std::get_if<Outcome>(&called)) return *none;
  const auto& reply = std::get<ApiReply>(called);
  Outcome outcome = OutcomeOf(reply.facts, clock_.Wall());
  outcome.requests = reply.requests;
  outcome.correlation_id = reply.correlation_id;
  if (outcome.kind != OutcomeKind::kAccepted) return outcome;
  if (!reply.body) {
    outcome.detail = "accepted; the reply cannot be read";
  } else if (!ReadAcceptance(*reply.body, request, outcome)) {
    outcome.detail = "accepted; the reply is of another message";
    CountOdd("other_message", reply);
  } else if (outcome.provider_message_id.empty()) {
    outcome.detail = "accepted; the reply has no id";
    CountOdd("no_id", reply);
  }
  return outcome;
}

bool ReadAcceptance(const Json& body, const SendRequest& request, Outcome& outcome) {
  const auto to = body.GetString("toAddress");
  if (to && !MayBeSameNumber(*to, request.recipient)) return false;
  const std::optional<Json> message = body.GetObject("message");
  const auto read = [&](std::string_view key) {
    const std::string at_top = IdOf(body, key);
    return at_top.empty() && message ? IdOf(*message, key) : at_top;
  };
  outcome.provider_message_id = read("id");
  outcome.provider_conversation_id = read("conversationId");
  return true;
}

bool MayBeSameNumber(std::string_view a, std::string_view b) {
  const std::string x = DigitsOf(a);
  const std::string y = DigitsOf(b);
  if (std::min(x.size(), y.size()) < kShortestNumber) return x == y;
  return x.ends_with(y) || y.ends_with(x);
}

std::string IdOf(const Json& json, std::string_view key) {
  std::string id = json.GetString(key).value_or("");
  return id.size() <= kMaxProviderIdBytes ? id : std::string();
}

}  // namespace postrider
