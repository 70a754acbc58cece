#include "server/provider/platform_profile.h"

#include <gtest/gtest.h>

#include "server/model/limits.h"
#include "server/provider/profile_factory.h"
#include "tests/support/http_raw_server.h"
#include "tests/support/shifted_clock.h"
#include "tests/unit/provider/scripted_genesys.h"

namespace postrider {
namespace {

using namespace std::chrono_literals;

SendRequest PlatformRequest() {
  SendRequest request;
  request.message_id = MessageId::Parse("01891f2e-7b1c-7a3d-8f00-0123456789ab").value();
  request.recipient = "+15551234567";
  request.sender = "+15559876543";
  request.text = "Your appointment: 10:00 AM.";
  request.campaign_id = "appt-reminder-q3";
  request.metadata = {{"triggerSource", "crm-scheduler"}};
  return request;
}

ReadRequest Reads(const std::string& id) {
  ReadRequest request;
  request.provider_message_id = id;
  return request;
}

TEST(PlatformPayloadTest, IsWhatThePlatformKnowsAndNothingElse) {
  EXPECT_EQ(PlatformPayload(PlatformRequest(), false),
            R"({"fromAddress":"+15559876543","toAddress":"+15551234567",)"
            R"("toAddressMessengerType":"sms","textBody":"Your appointment: 10:00 AM."})");
  EXPECT_TRUE(PlatformPayload(PlatformRequest(), true)
                  .ends_with(R"("useExistingActiveConversation":true})"));
}

class PlatformProfileTest : public testing::Test {
 protected:
  PlatformProfileTest() {
    account_.profile = "platform";
    account_.base_url = genesys_.base_url();
    account_.token_url = genesys_.token_url();
    account_.client_id = "an-id";
    account_.client_secret = Secret("a-secret");
  }
  std::unique_ptr<Provider> Make() {
    auto made = factory_.Make(account_);
    EXPECT_TRUE(made.ok()) << made.status();
    return *std::move(made);
  }
  bool Counted(const std::string& line) {
    return metrics_.Expose().find(StrCat("\n", line, "\n")) != std::string::npos;
  }

  ShiftedClock clock_;
  Metrics metrics_;
  ScriptedGenesys genesys_{clock_};
  ProfileFactory factory_{clock_, metrics_};
  ProviderAccount account_;
};

TEST_F(PlatformProfileTest, PostsOnceWithTheTokenAndReadsTheIds) {
  genesys_.ScriptMessage(
      {.status = 200, .body = R"({"message":{"id":"msg-7","conversationId":"conv-7"}})"});
  const Outcome outcome = Make()->Send(PlatformRequest());
  EXPECT_EQ(outcome.kind, OutcomeKind::kAccepted);
  EXPECT_EQ(outcome.provider_message_id, "msg-7");
  EXPECT_EQ(outcome.provider_conversation_id, "conv-7");
  const std::vector<HttpRequest> posts = genesys_.messages();
  ASSERT_EQ(posts.size(), 1U);
  EXPECT_EQ(posts[0].path, "/api/v2/conversations/messages/agentless");
  EXPECT_EQ(posts[0].headers.Get("Authorization").value_or(""), "Bearer token-1");
  EXPECT_EQ(posts[0].body, PlatformPayload(PlatformRequest(), false));
}

TEST_F(PlatformProfileTest, AnActiveConversationIsTreatedAsTheTenantSays) {
  const struct {
    ActiveConversation policy;
    bool asks_to_join;
    OutcomeKind kind;
    HoldReason hold;
    std::chrono::nanoseconds wait;
  } cases[] = {
      {ActiveConversation::kFail, false, OutcomeKind::kRejected, HoldReason::kNone, 0s},
      {ActiveConversation::kHold, false, OutcomeKind::kHeld, HoldReason::kActiveConversation, 60s},
      {ActiveConversation::kJoin, true, OutcomeKind::kHeld, HoldReason::kActiveConversation, 60s},
  };
  std::size_t posts = 0;
  for (const auto& c : cases) {
    SCOPED_TRACE(static_cast<int>(c.policy));
    account_.active_conversation = c.policy;
    genesys_.ScriptMessage({.status = 400, .body = R"({"code":"active.conversation"})"});
    const Outcome outcome = Make()->Send(PlatformRequest());
    EXPECT_EQ(outcome.kind, c.kind);
    EXPECT_EQ(outcome.hold, c.hold);
    EXPECT_EQ(outcome.retry_after, c.wait);
    ASSERT_EQ(genesys_.messages().size(), ++posts);
    EXPECT_EQ(genesys_.messages().back().body, PlatformPayload(PlatformRequest(), c.asks_to_join));
  }
}

TEST_F(PlatformProfileTest, A503IsUnknownUnlessItIsRefusedAtTheEdge) {
  genesys_.ScriptMessage({.status = 503});
  EXPECT_EQ(Make()->Send(PlatformRequest()).kind, OutcomeKind::kUnknown);
  account_.refused_at_edge = true;
  genesys_.ScriptMessage({.status = 503, .headers = {{"Retry-After", "7"}}});
  const Outcome outcome = Make()->Send(PlatformRequest());
  EXPECT_EQ(outcome.kind, OutcomeKind::kNotSent);
  EXPECT_EQ(outcome.retry_after, 7s);
  EXPECT_FALSE(outcome.pauses_tenant);
}

TEST_F(PlatformProfileTest, OddRepliesAreClassifiedByTheTableAndCounted) {
  const struct {
    const char* reason;
    HttpResponse reply;
    OutcomeKind kind;
  } cases[] = {
      {"page", {.status = 200, .body = " <!doctype html>"}, OutcomeKind::kAccepted},
      {"not_json", {.status = 202, .body = "{\"id\":"}, OutcomeKind::kAccepted},
      {"too_long", {.status = 200, .body = std::string(10 << 20, ' ')}, OutcomeKind::kAccepted},
      {"other_message",
       {.status = 200, .body = R"({"id":"msg-9","toAddress":"+15550001111"})"},
       OutcomeKind::kAccepted},
      {"no_id", {.status = 200, .body = "{}"}, OutcomeKind::kAccepted},
      {"redirect",
       {.status = 302, .headers = {{"Location", "/api/v2/elsewhere"}}},
       OutcomeKind::kRejected},
  };
  const std::unique_ptr<Provider> provider = Make();
  std::size_t posts = 0;
  for (const auto& c : cases) {
    SCOPED_TRACE(c.reason);
    genesys_.ScriptMessage(c.reply);
    const Outcome outcome = provider->Send(PlatformRequest());
    EXPECT_EQ(outcome.kind, c.kind);
    EXPECT_EQ(outcome.provider_message_id, "");
    EXPECT_EQ(genesys_.messages().size(), ++posts) << "posted exactly once";
    EXPECT_TRUE(Counted(StrCat("postrider_odd_replies_total{reason=\"", c.reason, "\"} 1")));
  }
}

TEST_F(PlatformProfileTest, AReplyThatIsCutOffIsAcceptedAndItsIdUnknown) {
  HttpRawServer cut_off({[](HttpRawPeer& peer) {
    (void)peer.ReadRequest();
    (void)peer.Write("HTTP/1.1 202 Accepted\r\nContent-Length: 100\r\n\r\n{\"id\":\"msg-1\"");
  }});
  account_.base_url = cut_off.Url();
  const Outcome outcome = Make()->Send(PlatformRequest());
  EXPECT_EQ(outcome.kind, OutcomeKind::kAccepted);
  EXPECT_EQ(outcome.provider_message_id, "");
  EXPECT_TRUE(Counted("postrider_odd_replies_total{reason=\"cut_off\"} 1"));
}

TEST_F(PlatformProfileTest, WhatTheProviderSaysOfItsLimitIsShown) {
  genesys_.ScriptMessage({.status = 202,
                          .body = "{}",
                          .headers = {{"inin-ratelimit-count", "17"},
                                      {"inin-ratelimit-allowed", "300"},
                                      {"inin-ratelimit-reset", "soon"}}});
  (void)Make()->Send(PlatformRequest());
  EXPECT_TRUE(Counted("postrider_provider_ratelimit_count{client_id=\"an-id\"} 17"));
  EXPECT_TRUE(Counted("postrider_provider_ratelimit_allowed{client_id=\"an-id\"} 300"));
  EXPECT_EQ(metrics_.Expose().find("ratelimit_reset"), std::string::npos);
}

TEST_F(PlatformProfileTest, ReadingByIdTakesTheDetailsElseTheConversationsMessage) {
  const std::unique_ptr<Provider> provider = Make();
  EXPECT_TRUE(provider->CanRead());
  genesys_.ScriptMessage({.status = 404});
  genesys_.ScriptMessage({.body = R"({"id":"a/b","status":"delivery-success"})"});
  ReadRequest request = Reads("a/b");
  request.provider_conversation_id = "..";
  const ReadAnswer answer = provider->Read(request);
  EXPECT_EQ(answer.kind, ReadAnswer::Kind::kFound);
  EXPECT_EQ(answer.requests, 2);
  ASSERT_EQ(answer.found.size(), 1U);
  EXPECT_EQ(answer.found[0].status.state, MessageState::kDelivered);
  const std::vector<HttpRequest> asked = genesys_.messages();
  EXPECT_EQ(asked[0].path, "/api/v2/conversations/messages/a/b/details") << "once decoded";
  EXPECT_EQ(asked[1].path, "/api/v2/conversations/messages/../messages/a/b");
}

TEST_F(PlatformProfileTest, AReadThatIsNotAnsweredIsNoNews) {
  const struct {
    const char* name;
    HttpResponse reply;
    ReadAnswer::Kind kind;
  } cases[] = {
      {"absent", {.status = 404}, ReadAnswer::Kind::kAbsent},
      {"failing", {.status = 500}, ReadAnswer::Kind::kNotRead},
      {"no permission", {.status = 403}, ReadAnswer::Kind::kNotRead},
      {"no answer", {.hang_up = true}, ReadAnswer::Kind::kNotRead},
      {"a page", {.body = "<html>"}, ReadAnswer::Kind::kNotRead},
      {"another message", {.body = R"({"id":"m-2","status":"sent"})"}, ReadAnswer::Kind::kNotRead},
      {"no status", {.body = R"({"id":"m-1"})"}, ReadAnswer::Kind::kNotRead},
      {"too fast",
       {.status = 429, .headers = {{"Retry-After", "42"}}},
       ReadAnswer::Kind::kThrottled},
  };
  const std::unique_ptr<Provider> provider = Make();
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    genesys_.ScriptMessage(c.reply);
    const ReadAnswer answer = provider->Read(Reads("m-1"));
    EXPECT_EQ(answer.kind, c.kind);
    EXPECT_TRUE(answer.found.empty());
    EXPECT_EQ(answer.retry_after, answer.kind == ReadAnswer::Kind::kThrottled ? 42s : 0s);
  }
}

TEST_F(PlatformProfileTest, WithoutASearchNothingIsAbsent) {
  genesys_.ScriptMessage({.status = 404});
  EXPECT_EQ(Make()->Read(Reads("")).kind, ReadAnswer::Kind::kNotRead);
}

TEST_F(PlatformProfileTest, TooManyConversationsSettleNothing) {
  std::string found;
  for (std::size_t i = 0; i <= kMaxConversationsRead; ++i)
    StrAppend(found, i == 0 ? "" : ",", R"({"conversationId":"c-)", i, "\"}");
  genesys_.ScriptMessage({.body = StrCat(R"({"conversations":[)", found, "]}")});
  const ReadAnswer answer = Make()->Read(Reads(""));
  EXPECT_EQ(answer.kind, ReadAnswer::Kind::kSeveral);
  EXPECT_EQ(answer.requests, 1);
}

TEST_F(PlatformProfileTest, NeedsNoSendPathAndItsCredentials) {
  EXPECT_TRUE(factory_.Make(account_).ok());
  account_.client_id = "";
  const auto made = factory_.Make(account_);
  ASSERT_FALSE(made.ok());
  EXPECT_TRUE(ToStd(made.status().message()).starts_with("client_id:")) << made.status();
}

}  // namespace
}  // namespace postrider
