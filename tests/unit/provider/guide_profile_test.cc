#include "server/provider/guide_profile.h"

#include <thread>

#include <gtest/gtest.h>

#include "server/provider/profile_factory.h"
#include "tests/support/shifted_clock.h"
#include "tests/unit/provider/scripted_genesys.h"

namespace postrider {
namespace {

using namespace std::chrono_literals;

template <typename T>
T IdOf(std::string_view text) {
  return T::Parse(text).value();
}

SendRequest Request() {
  SendRequest request;
  request.message_id = IdOf<MessageId>("01891f2e-7b1c-7a3d-8f00-0123456789ab");
  request.attempt = 2;
  request.recipient = "+15551234567";
  request.sender = "+15559876543";
  request.text = "Your appointment: 10:00 AM. Reply \"STOP\" to opt out. \xC3\xA9";
  request.conversation_id = IdOf<ConversationId>("8f4e2a1b-9c3d-4e5f-a6b7-8d9e0f1a2b3c");
  request.external_contact_id = "ext-cust-998877";
  request.campaign_id = "appt-reminder-q3";
  request.metadata = {{"triggerSource", "crm-scheduler"}};
  return request;
}

TEST(GuidePayloadTest, IsTheGuidesRequest) {
  EXPECT_EQ(GuidePayload(Request()),
            R"({"to":"+15551234567","from":"+15559876543",)"
            R"("message":"Your appointment: 10:00 AM. Reply \"STOP\" to opt out. )"
            "\xC3\xA9"
            R"(","conversationId":"8f4e2a1b-9c3d-4e5f-a6b7-8d9e0f1a2b3c",)"
            R"("externalContactId":"ext-cust-998877","type":"sms",)"
            R"("metadata":{"campaignId":"appt-reminder-q3","postriderAttempt":"2",)"
            R"("postriderMessageId":"01891f2e-7b1c-7a3d-8f00-0123456789ab",)"
            R"("triggerSource":"crm-scheduler"}})");
}

TEST(GuidePayloadTest, LeavesOutWhatIsNotThere) {
  SendRequest request = Request();
  request.conversation_id = {};
  request.external_contact_id = "";
  request.campaign_id = "";
  request.metadata = {};
  const std::string payload = GuidePayload(request);
  for (const char* name : {"conversationId", "externalContactId", "campaignId"})
    EXPECT_EQ(payload.find(name), std::string::npos) << name;
}

TEST(GuidePayloadTest, TheCallersCampaignIdWins) {
  SendRequest request = Request();
  request.metadata["campaignId"] = "the-callers";
  const std::string payload = GuidePayload(request);
  EXPECT_NE(payload.find(R"("campaignId":"the-callers")"), std::string::npos);
  EXPECT_EQ(payload.find("appt-reminder-q3"), std::string::npos);
}

class GuideProfileTest : public testing::Test {
 protected:
  GuideProfileTest() {
    account_.base_url = genesys_.base_url();
    account_.send_path = "/messages";
    account_.token_url = genesys_.token_url();
    account_.client_id = "an-id";
    account_.client_secret = Secret("a-secret");
  }
  std::unique_ptr<Provider> Make() {
    auto made = factory_.Make(account_);
    EXPECT_TRUE(made.ok()) << made.status();
    return *std::move(made);
  }

  ShiftedClock clock_;
  Metrics metrics_;
  ScriptedGenesys genesys_{clock_};
  ProfileFactory factory_{clock_, metrics_};
  ProviderAccount account_;
};

TEST_F(GuideProfileTest, PostsOnceWithTheTokenAndReadsTheIds) {
  const Outcome outcome = Make()->Send(Request());
  EXPECT_EQ(outcome.kind, OutcomeKind::kAccepted);
  EXPECT_EQ(outcome.http_status, 202);
  EXPECT_EQ(outcome.provider_message_id, "msg-1");
  EXPECT_EQ(outcome.provider_conversation_id, "conv-1");
  const std::vector<HttpRequest> posts = genesys_.messages();
  ASSERT_EQ(posts.size(), 1U);
  EXPECT_EQ(posts[0].headers.Get("Authorization").value_or(""), "Bearer token-1");
  EXPECT_EQ(posts[0].headers.Get("Content-Type").value_or(""), "application/json");
  EXPECT_EQ(posts[0].body, GuidePayload(Request()));
}

TEST_F(GuideProfileTest, A401IsRepeatedOnceWithANewToken) {
  genesys_.ScriptMessage({.status = 401});
  EXPECT_EQ(Make()->Send(Request()).kind, OutcomeKind::kAccepted);
  const std::vector<HttpRequest> posts = genesys_.messages();
  ASSERT_EQ(posts.size(), 2U);
  EXPECT_EQ(posts[0].headers.Get("Authorization").value_or(""), "Bearer token-1");
  EXPECT_EQ(posts[1].headers.Get("Authorization").value_or(""), "Bearer token-2");
}

TEST_F(GuideProfileTest, ASecond401StopsTheTenant) {
  genesys_.ScriptMessage({.status = 401});
  genesys_.ScriptMessage({.status = 401, .body = R"({"code":"bad.credentials"})"});
  const Outcome outcome = Make()->Send(Request());
  EXPECT_EQ(outcome.kind, OutcomeKind::kNotSent);
  EXPECT_TRUE(outcome.stops_tenant);
  EXPECT_EQ(outcome.hold, HoldReason::kTenantStopped);
  EXPECT_EQ(outcome.provider_code, "bad.credentials");
  EXPECT_EQ(genesys_.messages().size(), 2U);
}

TEST_F(GuideProfileTest, OutcomesOverHttpTable) {
  struct Case {
    const char* name;
    HttpResponse response;
    OutcomeKind kind;
    const char* code;
    const char* correlation;
    std::chrono::seconds retry_after;
  };
  const Case cases[] = {
      {"no answer", {.hang_up = true}, OutcomeKind::kUnknown, "", "", 0s},
      {"a page", {.status = 200, .body = "<html>"}, OutcomeKind::kAccepted, "", "", 0s},
      {"too fast",
       {.status = 429,
        .body = R"({"code":"too.many.requests.retry.after","contextId":"c-1"})",
        .headers = {{"Retry-After", "42"}}},
       OutcomeKind::kNotSent,
       "too.many.requests.retry.after",
       "c-1",
       42s},
      {"header before body",
       {.status = 400,
        .body = R"({"code":"invalid.value","contextId":"c-1"})",
        .headers = {{"ININ-Correlation-Id", "c-2"}}},
       OutcomeKind::kRejected,
       "invalid.value",
       "c-2",
       0s},
      {"the other header",
       {.status = 500, .headers = {{"Genesys-Correlation-Id", "c-3"}}},
       OutcomeKind::kUnknown,
       "",
       "c-3",
       0s},
      {"a redirect is not followed",
       {.status = 307, .headers = {{"Location", "/messages"}}},
       OutcomeKind::kRejected,
       "",
       "",
       0s},
      {"a code that is a text",
       {.status = 400, .body = R"({"code":"call +15551234567"})"},
       OutcomeKind::kRejected,
       "",
       "",
       0s},
  };
  const std::unique_ptr<Provider> provider = Make();
  std::size_t posts = 0;
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    genesys_.ScriptMessage(c.response);
    const Outcome outcome = provider->Send(Request());
    EXPECT_EQ(outcome.kind, c.kind);
    EXPECT_EQ(outcome.provider_code, c.code);
    EXPECT_EQ(outcome.correlation_id, c.correlation);
    EXPECT_EQ(outcome.retry_after, c.retry_after);
    EXPECT_EQ(outcome.detail.find("1555"), std::string::npos) << outcome.detail;
    EXPECT_EQ(genesys_.messages().size(), ++posts) << "posted exactly once";
  }
}

TEST_F(GuideProfileTest, AServerThatIsNotThereMeansNotSent) {
  account_.base_url = "http://127.0.0.1:1";
  const Outcome outcome = Make()->Send(Request());
  EXPECT_EQ(outcome.kind, OutcomeKind::kNotSent);
  EXPECT_EQ(outcome.hold, HoldReason::kBackoff);
  EXPECT_FALSE(outcome.detail.empty());
}

TEST_F(GuideProfileTest, WithoutATokenNothingIsPosted) {
  genesys_.ScriptToken({.status = 401, .body = R"({"error":"invalid_client"})"});
  const Outcome outcome = Make()->Send(Request());
  EXPECT_EQ(outcome.kind, OutcomeKind::kNotSent);
  EXPECT_TRUE(outcome.stops_tenant);
  EXPECT_TRUE(genesys_.messages().empty());
}

TEST_F(GuideProfileTest, ATokenThatComesTooLateForTheIntentIsKeptForTheNext) {
  genesys_.CloseGate();
  const std::unique_ptr<Provider> provider = Make();
  Outcome outcome;
  {
    std::jthread worker([&] { outcome = provider->Send(Request()); });
    ASSERT_TRUE(genesys_.WaitForTokenRequests(1));
    clock_.Advance(3s);
    genesys_.OpenGate();
  }
  EXPECT_EQ(outcome.kind, OutcomeKind::kNotSent);
  EXPECT_TRUE(genesys_.messages().empty());
  EXPECT_EQ(provider->Send(Request()).kind, OutcomeKind::kAccepted);
  EXPECT_EQ(genesys_.token_requests().size(), 1U);
}

TEST_F(GuideProfileTest, ProvidersOfOneAccountShareItsToken) {
  EXPECT_EQ(Make()->Send(Request()).kind, OutcomeKind::kAccepted);
  EXPECT_EQ(Make()->Send(Request()).kind, OutcomeKind::kAccepted);
  EXPECT_EQ(genesys_.token_requests().size(), 1U);
  account_.client_secret = Secret("a-new-secret");
  EXPECT_EQ(Make()->Send(Request()).kind, OutcomeKind::kAccepted);
  EXPECT_EQ(genesys_.token_requests().size(), 2U);
}

TEST_F(GuideProfileTest, AnAccountThatCannotWorkIsRefusedByTheNameOfTheSetting) {
  struct Case {
    const char* names;
    void (*spoil)(ProviderAccount&);
  };
  const Case cases[] = {
      {"profile", [](ProviderAccount& a) { a.profile = "telegraph"; }},
      {"base_url", [](ProviderAccount& a) { a.base_url = ""; }},
      {"base_url", [](ProviderAccount& a) { a.base_url = "ftp://example.com"; }},
      {"base_url", [](ProviderAccount& a) { a.base_url = "http://example.com/"; }},
      {"base_url", [](ProviderAccount& a) { a.base_url = "http://user:pw@example.com"; }},
      {"send_path", [](ProviderAccount& a) { a.send_path = "messages"; }},
      {"send_path", [](ProviderAccount& a) { a.send_path = "/a b"; }},
      {"token_url", [](ProviderAccount& a) { a.token_url = "example.com/oauth/token"; }},
      {"client_id", [](ProviderAccount& a) { a.client_id = ""; }},
      {"client_id", [](ProviderAccount& a) { a.client_id = "a:b"; }},
      {"client_secret", [](ProviderAccount& a) { a.client_secret = Secret(); }},
      {"ca_file",
       [](ProviderAccount& a) {
         a.base_url = "https://example.com";
         a.ca_file = "/nowhere.pem";
       }},
  };
  for (const Case& c : cases) {
    ProviderAccount account = account_;
    c.spoil(account);
    const auto made = factory_.Make(account);
    ASSERT_FALSE(made.ok()) << c.names;
    EXPECT_EQ(made.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_TRUE(ToStd(made.status().message()).starts_with(StrCat(c.names, ":"))) << made.status();
  }
}

}  // namespace
}  // namespace postrider
