#include "server/provider/compliance_client.h"

#include <algorithm>
#include <utility>

#include "server/base/status_macros.h"
#include "server/base/strings.h"
#include "server/base/url.h"
#include "server/base/utf8.h"
#include "server/http/client.h"
#include "server/model/campaign_limits.h"
#include "server/model/compliance_limits.h"
#include "server/model/dispatch_limits.h"

namespace postrider {

namespace {

absl::Status NoVerdict(std::string_view why) {
  return absl::UnavailableError(StrCat("no verdict: ", why));
}

/// A rule's name, fit for records.
std::string RuleOf(std::string_view name) {
  std::string rule(name.substr(0, kMaxRuleBytes));
  for (char& c : rule) {
    const bool good = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                      c == '.' || c == '_' || c == ':' || c == '-';
    if (!good) c = '_';
  }
  return rule.empty() ? "unnamed" : rule;
}

/// One line of it, cut. `text`: UTF-8.
std::string WhyOf(std::string_view text) {
  std::string why;
  std::size_t characters = 0;
  for (const char c : text) {
    const bool begins = (static_cast<unsigned char>(c) & 0xC0) != 0x80;
    if (begins && ++characters > kMaxRuleWhyCharacters) break;
    why += static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
  }
  return why;
}

absl::StatusOr<ComplianceVerdict> VerdictOf(int http_status, const std::optional<Json>& body) {
  if (http_status < 200 || http_status > 299) return NoVerdict(StrCat("HTTP ", http_status));
  if (!body) return NoVerdict("the reply is not a JSON object");
  return ParseComplianceVerdict(*body);
}

/// How long the provider told the account to wait; 0: it did not.
std::chrono::nanoseconds WaitOf(const Outcome& outcome) {
  if (!outcome.pauses_tenant) return {};
  return std::clamp<std::chrono::nanoseconds>(outcome.retry_after, kLeastRetryAfter,
                                              kMaxRetryAfter);
}

}  // namespace

ComplianceClient::ComplianceClient(ProfileFactory& factory, AccountOf account_of,
                                   const Clock& clock)
    : factory_(factory), account_of_(std::move(account_of)), clock_(clock) {}

ComplianceAnswer ComplianceClient::Ask(const ComplianceQuestion& question) {
  const absl::StatusOr<BaseUrl> url = ParseBaseUrl(question.url);
  if (!url.ok()) return {NoVerdict("the check's URL cannot be used")};
  const std::string origin = StrCat(url->tls ? "https://" : "http://", url->Authority());
  HttpCall call{.method = "POST",
                .path = url->prefix.empty() ? "/" : url->prefix,
                .headers = {{"Accept", "application/json"}},
                .body = CompliancePayload(question),
                .content_type = "application/json",
                .timeout = kCheckTimeout};
  std::optional<ProviderAccount> account = account_of_(question.tenant_id);
  const absl::StatusOr<BaseUrl> own = ParseBaseUrl(account ? account->base_url : "");
  if (own.ok() && IsSameOrigin(*own, *url)) return AskAccount(*std::move(account), origin, call);
  return {AskOther(origin, url->tls, call)};
}

ComplianceAnswer ComplianceClient::AskAccount(ProviderAccount account, const std::string& origin,
                                              HttpCall call) {
  account.base_url = origin;
  const absl::StatusOr<std::unique_ptr<ApiClient>> client = factory_.MakeClient(account);
  if (!client.ok()) return {client.status()};
  call.headers = {};
  const MonotonicTime deadline = clock_.Now() + kCheckTimeout;
  // One request, as it was counted; the next question has a new token.
  const auto reply = (*client)->Call(std::move(call), deadline, deadline, 1);
  if (const auto* none = std::get_if<Outcome>(&reply)) {
    return {NoVerdict(none->detail), WaitOf(*none)};
  }
  const auto& got = std::get<ApiReply>(reply);
  return {VerdictOf(got.facts.http_status, got.body), WaitOf(OutcomeOf(got.facts, clock_.Wall()))};
}

absl::StatusOr<ComplianceVerdict> ComplianceClient::AskOther(const std::string& origin, bool tls,
                                                             const HttpCall& call) {
  HttpClient::Options options{
      .base_url = origin, .connect_timeout = kCheckTimeout, .response_bytes = kMaxCheckReplyBytes};
  if (tls) {
    MutexLock lock(mu_);
    if (tls_ == nullptr) {
      PR_ASSIGN_OR_RETURN(tls_, TlsContext::Create(""));
    }
    options.tls = tls_;
  }
  PR_ASSIGN_OR_RETURN(const std::unique_ptr<HttpClient> client,
                      HttpClient::Create(std::move(options), clock_));
  const HttpResult result = client->Send(call);
  if (!result.response) return NoVerdict(result.error);
  if (result.response->truncated) return NoVerdict("the reply is not all there");
  std::optional<Json> body;
  absl::StatusOr<Json> parsed = ParseJson(result.response->body, {.bytes = kMaxCheckReplyBytes});
  if (parsed.ok() && parsed->IsObject()) body = *std::move(parsed);
  return VerdictOf(result.response->status, body);
}

std::string CompliancePayload(const ComplianceQuestion& question) {
  std::map<std::string, std::string> metadata;
  if (!question.campaign_id.empty()) metadata["campaignId"] = question.campaign_id;
  if (!question.template_name.empty()) metadata["template"] = question.template_name;
  JsonObject body;
  body.Set("type", "sms").Set("from", question.sender).Set("message", question.text);
  body.Set("metadata", metadata);
  return body.Dump();
}

absl::StatusOr<ComplianceVerdict> ParseComplianceVerdict(const Json& reply) {
  const std::optional<bool> compliant = reply.GetBool("compliant");
  if (!compliant) return NoVerdict("the reply has no \"compliant\"");
  const std::vector<Json> violations = reply.GetArray("violations").value_or(std::vector<Json>());
  if (*compliant && !violations.empty()) return NoVerdict("compliant, with violations");
  ComplianceVerdict verdict{.approved = *compliant};
  for (const Json& violation : violations) {
    if (verdict.violations.size() == kMaxFindings) break;
    verdict.violations.emplace(RuleOf(violation.GetString("rule").value_or("")),
                               WhyOf(violation.GetString("message").value_or("")));
  }
  if (!verdict.approved && verdict.violations.empty()) verdict.violations["unnamed"] = "";
  return verdict;
}

}  // namespace postrider
