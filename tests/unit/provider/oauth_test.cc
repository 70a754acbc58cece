#include "server/provider/oauth.h"

#include <atomic>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "server/base/digest.h"
#include "tests/support/shifted_clock.h"
#include "tests/unit/provider/scripted_genesys.h"

namespace postrider {
namespace {

using namespace std::chrono_literals;

class TokenSourceTest : public testing::Test {
 protected:
  std::variant<Secret, Outcome> Get() { return tokens_.Get(clock_.Now() + 10s); }
  std::string GetToken() {
    const auto got = Get();
    const auto* token = std::get_if<Secret>(&got);
    return token == nullptr ? StrCat("none: ", std::get<Outcome>(got).detail)
                            : std::string(token->Reveal());
  }

  ShiftedClock clock_;
  Metrics metrics_;
  ScriptedGenesys genesys_{clock_};
  TokenSource tokens_{{.token_url = genesys_.token_url(),
                       .client_id = "an-id",
                       .client_secret = Secret("a-secret")},
                      clock_,
                      metrics_};
};

TEST_F(TokenSourceTest, AsksByClientCredentialsAndKeepsTheToken) {
  EXPECT_EQ(GetToken(), "token-1");
  EXPECT_EQ(GetToken(), "token-1");
  const std::vector<HttpRequest> requests = genesys_.token_requests();
  ASSERT_EQ(requests.size(), 1U);
  EXPECT_EQ(requests[0].headers.Get("Authorization").value_or(""),
            StrCat("Basic ", Base64Of("an-id:a-secret")));
  EXPECT_EQ(requests[0].headers.Get("Content-Type").value_or(""),
            "application/x-www-form-urlencoded");
  EXPECT_EQ(requests[0].body, "grant_type=client_credentials");
}

TEST_F(TokenSourceTest, ManyWorkersMakeOneRequest) {
  genesys_.CloseGate();
  std::atomic<int> served = 0;
  {
    std::vector<std::jthread> workers;
    for (int i = 0; i < 16; ++i)
      workers.emplace_back([&] { served += GetToken() == "token-1" ? 1 : 0; });
    EXPECT_TRUE(genesys_.WaitForTokenRequests(1));
    genesys_.OpenGate();
  }
  EXPECT_EQ(served, 16);
  EXPECT_EQ(genesys_.token_requests().size(), 1U);
}

TEST_F(TokenSourceTest, RenewsBeforeTheEnd) {
  EXPECT_EQ(GetToken(), "token-1");
  clock_.Advance(21h);
  EXPECT_EQ(GetToken(), "token-1");
  clock_.Advance(1h);
  EXPECT_EQ(GetToken(), "token-2");
}

TEST_F(TokenSourceTest, OneWorkerRenewsWhileTheOthersUseTheOldToken) {
  EXPECT_EQ(GetToken(), "token-1");
  clock_.Advance(22h);
  genesys_.CloseGate();
  {
    std::jthread renews([&] { EXPECT_EQ(GetToken(), "token-2"); });
    EXPECT_TRUE(genesys_.WaitForTokenRequests(2));
    EXPECT_EQ(GetToken(), "token-1");
    genesys_.OpenGate();
  }
  EXPECT_EQ(GetToken(), "token-2");
}

TEST_F(TokenSourceTest, AFailedRenewalLeavesTheOldTokenInUseUntilItEnds) {
  EXPECT_EQ(GetToken(), "token-1");
  genesys_.ScriptToken({.status = 500});
  genesys_.ScriptToken({.status = 500});
  clock_.Advance(22h);
  EXPECT_EQ(GetToken(), "token-1");
  clock_.Advance(2h);
  EXPECT_EQ(GetToken(), "none: no access token: HTTP 500");
}

TEST_F(TokenSourceTest, AFailureIsGivenOutForASecondThenAskedAgain) {
  genesys_.ScriptToken({.status = 500});
  for (int i = 0; i < 3; ++i) EXPECT_EQ(GetToken(), "none: no access token: HTTP 500");
  EXPECT_EQ(genesys_.token_requests().size(), 1U);
  clock_.Advance(2s);
  EXPECT_EQ(GetToken(), "token-2");
}

TEST_F(TokenSourceTest, ARefusedTokenIsReplacedOnce) {
  EXPECT_EQ(GetToken(), "token-1");
  tokens_.Invalidate(Secret("token-1"));
  EXPECT_EQ(GetToken(), "token-2");
  tokens_.Invalidate(Secret("token-1"));  // a second worker, later
  EXPECT_EQ(GetToken(), "token-2");
}

TEST_F(TokenSourceTest, FailuresTable) {
  struct Case {
    const char* name;
    HttpResponse response;
    const char* code;
    HoldReason hold;
    std::chrono::seconds retry_after;
    bool stops;
  };
  const std::string bad_client = R"({"error":"invalid_client","description":"..."})";
  const Case cases[] = {
      {"wrong secret",
       {.status = 401, .body = bad_client},
       "invalid_client",
       HoldReason::kTenantStopped,
       0s,
       true},
      {"wrong secret, said with 400",
       {.status = 400, .body = bad_client},
       "invalid_client",
       HoldReason::kTenantStopped,
       0s,
       true},
      {"401 without a word", {.status = 401}, "", HoldReason::kTenantStopped, 0s, true},
      {"forbidden", {.status = 403}, "", HoldReason::kTenantStopped, 0s, true},
      {"another mistake",
       {.status = 400, .body = R"({"error":"invalid_request"})"},
       "invalid_request",
       HoldReason::kBackoff,
       0s,
       false},
      {"too fast",
       {.status = 429, .headers = {{"Retry-After", "42"}}},
       "",
       HoldReason::kRetryAfter,
       42s,
       false},
      {"away", {.status = 503}, "", HoldReason::kBackoff, 0s, false},
      {"redirect",
       {.status = 302, .headers = {{"Location", "/elsewhere"}}},
       "",
       HoldReason::kBackoff,
       0s,
       false},
      {"a page", {.status = 200, .body = "<html>"}, "", HoldReason::kBackoff, 0s, false},
      {"no token", {.status = 200, .body = "{}"}, "", HoldReason::kBackoff, 0s, false},
      {"a token that ends the header", ScriptedGenesys::TokenAnswer("a\\r\\nX: b", 300), "",
       HoldReason::kBackoff, 0s, false},
      {"no answer", {.hang_up = true}, "", HoldReason::kBackoff, 0s, false},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    genesys_.ScriptToken(c.response);
    clock_.Advance(25h);  // past whatever an earlier case left
    const auto got = Get();
    const auto* outcome = std::get_if<Outcome>(&got);
    ASSERT_NE(outcome, nullptr);
    // The message has not left, whatever the token request met.
    EXPECT_EQ(outcome->kind, OutcomeKind::kNotSent);
    EXPECT_EQ(outcome->http_status, 0);
    EXPECT_EQ(outcome->provider_code, c.code);
    EXPECT_EQ(outcome->hold, c.hold);
    EXPECT_EQ(outcome->retry_after, c.retry_after);
    EXPECT_EQ(outcome->stops_tenant, c.stops);
  }
}

TEST_F(TokenSourceTest, AServerThatIsNotThereIsAFailure) {
  TokenSource tokens({.token_url = "http://127.0.0.1:1/oauth/token",
                      .client_id = "an-id",
                      .client_secret = Secret("a-secret")},
                     clock_, metrics_);
  const auto got = tokens.Get(clock_.Now() + 10s);
  ASSERT_TRUE(std::holds_alternative<Outcome>(got));
  EXPECT_EQ(std::get<Outcome>(got).kind, OutcomeKind::kNotSent);
  EXPECT_FALSE(std::get<Outcome>(got).stops_tenant);
}

TEST_F(TokenSourceTest, AWorkerWaitsForAnothersRequestOnlyUntilItsDeadline) {
  genesys_.CloseGate();
  std::jthread first([&] { EXPECT_EQ(GetToken(), "token-1"); });
  ASSERT_TRUE(genesys_.WaitForTokenRequests(1));
  const auto got = tokens_.Get(clock_.Now() + 1ms);
  EXPECT_TRUE(std::holds_alternative<Outcome>(got));
  genesys_.OpenGate();
}

TEST(TokenSourceUseTest, Table) {
  struct Case {
    std::chrono::seconds life;
    std::chrono::seconds used;
  };
  const Case cases[] = {{24h, 77760s}, {600s, 540s}, {300s, 240s}, {120s, 60s},
                        {100s, 50s},   {60s, 30s},   {2s, 1s}};
  for (const Case& c : cases)
    EXPECT_EQ(TokenSource::UsedFor(c.life), c.used) << c.life.count() << " s";
}

}  // namespace
}  // namespace postrider
