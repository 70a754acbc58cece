#include "server/provider/oauth.h"

#include <algorithm>
#include <utility>

#include "server/base/digest.h"
#include "server/base/log.h"
#include "server/base/strings.h"
#include "server/base/url.h"
#include "server/http/client.h"
#include "server/json/json.h"
#include "server/model/limits.h"
#include "server/provider/outcome_table.h"

namespace postrider {

namespace {

constexpr std::chrono::nanoseconds kFailureKept = std::chrono::seconds(1);
// The shortest and the longest life that the provider documents; a reply that names none gets
// the shortest.
constexpr std::chrono::seconds kShortestLife = std::chrono::minutes(5);
constexpr std::chrono::seconds kLongestLife = std::chrono::hours(48);

// What goes into a header must not be able to end it.
bool IsFitForHeader(std::string_view token) {
  return !token.empty() && token.size() <= 8192 &&
         std::all_of(token.begin(), token.end(), [](char c) { return c > ' ' && c < 0x7f; });
}

Outcome NoToken(std::string_view why) {
  return OutcomeWithoutReply(false, StrCat("no access token: ", why));
}

// What a reply that brings no token means for the Send. Whatever it says, the message has not
// left: only how long to wait, and whether to go on at all, differ.
Outcome RefusalOf(const HttpResult::Response& reply, WallTime now) {
  const absl::StatusOr<Json> body = ParseJson(reply.body);
  const std::string error = body.ok() ? body->GetString("error").value_or("") : "";
  const bool refused = reply.status == 401 || reply.status == 403 || error == "invalid_client" ||
                       error == "unauthorized_client";
  Outcome outcome = NoToken(refused ? "credentials refused" : StrCat("HTTP ", reply.status));
  outcome.provider_code = CleanCode(error);
  if (refused) {
    outcome.failure = FailureReason::kNotAuthorized;
    outcome.hold = HoldReason::kTenantStopped;
    outcome.stops_tenant = true;
  } else if (reply.status == 429) {
    const Outcome told =
        OutcomeOf({.http_status = 429,
                   .retry_after = std::string(reply.headers.Get("Retry-After").value_or(""))},
                  now);
    outcome.hold = told.hold;
    outcome.retry_after = told.retry_after;
    outcome.pauses_tenant = told.pauses_tenant;
  }
  return outcome;
}

}  // namespace

TokenSource::TokenSource(Options options, const Clock& clock, Metrics& metrics)
    : options_(std::move(options)),
      clock_(clock),
      fetched_(metrics.CounterOf("postrider_oauth_fetches_total", "Requests for access tokens",
                                 {{"result", "ok"}})),
      failed_(metrics.CounterOf("postrider_oauth_fetches_total", "Requests for access tokens",
                                {{"result", "failed"}})) {}

std::chrono::nanoseconds TokenSource::UsedFor(std::chrono::nanoseconds life) {
  const std::chrono::nanoseconds earlier = std::min(life / 10 * 9, life - std::chrono::seconds(60));
  return std::max(life / 2, earlier);
}

std::variant<Secret, Outcome> TokenSource::Get(MonotonicTime deadline) {
  {
    MutexLock lock(mu_);
    for (;;) {
      const MonotonicTime now = clock_.Now();
      const bool good = !token_.empty() && now < ends_at_;
      // A token that is to be renewed still serves those who find the renewal under way, or just
      // failed.
      if (good && (now < refresh_at_ || fetching_ || now < failed_until_)) return token_;
      if (now < failed_until_) return failure_;
      if (!fetching_) break;
      if (now >= deadline) return NoToken("another worker's request takes too long");
      changed_.WaitFor(mu_, {}, deadline - now,
                       [this]() ABSL_NO_THREAD_SAFETY_ANALYSIS { return !fetching_; });
    }
    fetching_ = true;
  }
  return Keep(Fetch(deadline));
}

TokenSource::Fetched TokenSource::Fetch(MonotonicTime deadline) const {
  const absl::StatusOr<BaseUrl> url = ParseBaseUrl(options_.token_url);
  if (!url.ok()) return {.failure = NoToken("token_url cannot be used")};
  // Asked for once in hours: a connection is not worth keeping.
  const absl::StatusOr<std::unique_ptr<HttpClient>> client =
      HttpClient::Create({.base_url = StrCat(url->tls ? "https://" : "http://", url->Authority()),
                          .ca_file = options_.ca_file,
                          .tls = options_.tls},
                         clock_);
  if (!client.ok()) return {.failure = NoToken(ToStd(client.status().message()))};
  const std::string pair = StrCat(options_.client_id, ":", options_.client_secret.Reveal());
  const HttpResult result =
      (*client)->Send({.method = "POST",
                       .path = url->prefix.empty() ? "/" : url->prefix,
                       .headers = {{"Authorization", StrCat("Basic ", Base64Of(pair))},
                                   {"Accept", "application/json"}},
                       .body = "grant_type=client_credentials",
                       .content_type = "application/x-www-form-urlencoded",
                       .timeout = deadline - clock_.Now()});
  if (!result.response) return {.failure = NoToken(result.error)};
  if (result.response->status != 200)
    return {.failure = RefusalOf(*result.response, clock_.Wall())};
  const absl::StatusOr<Json> body = ParseJson(result.response->body);
  const std::string token = body.ok() ? body->GetString("access_token").value_or("") : "";
  if (!IsFitForHeader(token)) return {.failure = NoToken("the reply has none")};
  const std::chrono::seconds life(body->GetInt("expires_in").value_or(kShortestLife.count()));
  return {.token = Secret(token), .life = std::clamp(life, std::chrono::seconds(1), kLongestLife)};
}

void TokenSource::Invalidate(const Secret& token) {
  MutexLock lock(mu_);
  if (token_.Reveal() == token.Reveal()) token_ = Secret();
}

std::variant<Secret, Outcome> TokenSource::Keep(Fetched fetched) {
  const bool ok = !fetched.token.empty();
  (ok ? fetched_ : failed_).Add();
  if (!ok)
    PR_LOG(kWarning, "no access token", {"client_id", options_.client_id},
           {"detail", fetched.failure.detail}, {"code", fetched.failure.provider_code});
  std::variant<Secret, Outcome> result;
  {
    MutexLock lock(mu_);
    const MonotonicTime now = clock_.Now();
    fetching_ = false;
    if (ok) {
      token_ = std::move(fetched.token);
      refresh_at_ = now + UsedFor(fetched.life);
      ends_at_ = now + fetched.life;
      failed_until_ = {};
      result = token_;
    } else {
      failure_ = std::move(fetched.failure);
      failed_until_ = now + std::max(kFailureKept, failure_.retry_after);
      // The renewal failed, the old one still is good.
      if (!token_.empty() && now < ends_at_) {
        result = token_;
      } else {
        result = failure_;
      }
    }
  }
  changed_.NotifyAll();
  return result;
}

}  // namespace postrider
