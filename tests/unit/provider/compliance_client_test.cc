#include "server/provider/compliance_client.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "server/base/strings.h"
#include "tests/unit/provider/scripted_genesys.h"

namespace postrider {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;

class ComplianceClientTest : public ::testing::Test {
 protected:
  ComplianceQuestion Question(const ScriptedGenesys& at) {
    return {.tenant_id = {},
            .url = StrCat(at.base_url(), "/api/v2/check"),
            .sender = "+15559876543",
            .text = "Hi \"Ann\"",
            .campaign_id = "spring",
            .template_name = "hello"};
  }
  HttpResponse Says(const std::string& body, int status = 200) {
    return {.status = status, .body = body, .content_type = "application/json"};
  }

  SystemClock clock_;
  Metrics metrics_;
  ScriptedGenesys genesys_{clock_};
  ScriptedGenesys elsewhere_{clock_};
  ProfileFactory factory_{clock_, metrics_};
  std::optional<ProviderAccount> account_ = ProviderAccount{.base_url = genesys_.base_url(),
                                                            .send_path = "/messages",
                                                            .token_url = genesys_.token_url(),
                                                            .client_id = "client",
                                                            .client_secret = Secret("secret")};
  ComplianceClient client_{factory_, [this](TenantId) { return account_; }, clock_};
};

TEST_F(ComplianceClientTest, ItIsAskedInTheGuidesShapeWithoutTheRecipient) {
  genesys_.ScriptMessage(Says(R"({"compliant":true})"));
  const auto verdict = client_.Ask(Question(genesys_)).verdict;
  ASSERT_TRUE(verdict.ok()) << verdict.status();
  EXPECT_TRUE(verdict->approved);
  ASSERT_THAT(genesys_.messages(), SizeIs(1));
  const HttpRequest request = genesys_.messages()[0];
  EXPECT_EQ(request.method, "POST");
  EXPECT_EQ(request.path, "/api/v2/check");
  EXPECT_EQ(request.body, R"({"type":"sms","from":"+15559876543","message":"Hi \"Ann\"",)"
                          R"("metadata":{"campaignId":"spring","template":"hello"}})");
  EXPECT_EQ(request.headers.Get("Content-Type"), "application/json");
}

TEST_F(ComplianceClientTest, TheTokenGoesToTheOwnGenesysAndNowhereElse) {
  genesys_.ScriptMessage(Says(R"({"compliant":true})"));
  ASSERT_TRUE(client_.Ask(Question(genesys_)).verdict.ok());
  EXPECT_EQ(genesys_.messages()[0].headers.Get("Authorization"), "Bearer token-1");
  elsewhere_.ScriptMessage(Says(R"({"compliant":true})"));
  ASSERT_TRUE(client_.Ask(Question(elsewhere_)).verdict.ok());
  ASSERT_THAT(elsewhere_.messages(), SizeIs(1));
  EXPECT_EQ(elsewhere_.messages()[0].headers.Get("Authorization"), std::nullopt);
  EXPECT_THAT(elsewhere_.token_requests(), IsEmpty());
  account_ = std::nullopt;
  genesys_.ScriptMessage(Says(R"({"compliant":true})"));
  ASSERT_TRUE(client_.Ask(Question(genesys_)).verdict.ok());
  EXPECT_EQ(genesys_.messages()[1].headers.Get("Authorization"), std::nullopt);
}

TEST_F(ComplianceClientTest, ARefusalNamesItsRules) {
  elsewhere_.ScriptMessage(
      Says(R"({"compliant":false,"violations":[{"rule":"no_loans","message":"says\n\"loan\""},)"
           R"({"rule":"bad name!"},{"message":"nameless"}]})"));
  const auto verdict = client_.Ask(Question(elsewhere_)).verdict;
  ASSERT_TRUE(verdict.ok()) << verdict.status();
  EXPECT_FALSE(verdict->approved);
  EXPECT_EQ(verdict->violations,
            (std::map<std::string, std::string>{
                {"no_loans", "says \"loan\""}, {"bad_name_", ""}, {"unnamed", "nameless"}}));
}

TEST_F(ComplianceClientTest, WhatIsToldOfRulesIsBounded) {
  std::string body = R"({"compliant":false,"violations":[)";
  for (int i = 0; i < 50; ++i) {
    StrAppend(body, i == 0 ? "" : ",", R"({"rule":")", i, std::string(100, 'r'), R"(","message":")",
              std::string(600, 'm'), "\\u00e4\"}");
  }
  const auto reply = ParseJson(StrCat(body, "]}"));
  ASSERT_TRUE(reply.ok()) << reply.status();
  const auto verdict = ParseComplianceVerdict(*reply);
  ASSERT_TRUE(verdict.ok()) << verdict.status();
  EXPECT_THAT(verdict->violations, SizeIs(20));
  for (const auto& [rule, why] : verdict->violations) {
    EXPECT_EQ(rule.size(), 64U);
    EXPECT_EQ(why.size(), 200U);
  }
}

TEST_F(ComplianceClientTest, ARefusalWithoutRulesIsOne) {
  const auto verdict = ParseComplianceVerdict(*ParseJson(R"({"compliant":false})"));
  ASSERT_TRUE(verdict.ok());
  EXPECT_THAT(verdict->violations, SizeIs(1));
}

TEST_F(ComplianceClientTest, AnythingElseIsNoVerdict) {
  const HttpResponse odd[] = {
      Says(R"({"compliant":true})", 500),
      Says(R"({"compliant":true})", 404),
      {.status = 302, .headers = {{"Location", "/api/v2/check"}}},
      Says("", 204),
      Says("<html>"),
      Says("[true]"),
      Says("{}"),
      Says(R"({"compliant":"true"})"),
      Says(R"({"compliant":true,"violations":[{"rule":"x"}]})"),
      Says(R"({"compliant":true})" + std::string(2 << 20, ' ')),
      {.hang_up = true},
  };
  for (ScriptedGenesys* const at : {&genesys_, &elsewhere_}) {
    for (const HttpResponse& response : odd) {
      at->ScriptMessage(response);
      const auto verdict = client_.Ask(Question(*at)).verdict;
      EXPECT_TRUE(absl::IsUnavailable(verdict.status()))
          << response.status << response.body.substr(0, 100);
      EXPECT_THAT(std::string(ToStd(verdict.status().message())), Not(HasSubstr("Ann")));
    }
  }
  ComplianceQuestion nowhere = Question(elsewhere_);
  nowhere.url = "http://127.0.0.1:1/check";
  EXPECT_TRUE(absl::IsUnavailable(client_.Ask(nowhere).verdict.status()));
}

TEST_F(ComplianceClientTest, A429OfTheOwnGenesysTellsTheAccountToWait) {
  HttpResponse slow{.status = 429, .headers = {{"Retry-After", "7"}}};
  for (ScriptedGenesys* const at : {&genesys_, &elsewhere_}) {
    at->ScriptMessage(slow);
    const ComplianceAnswer answer = client_.Ask(Question(*at));
    EXPECT_TRUE(absl::IsUnavailable(answer.verdict.status()));
    const bool own = at == &genesys_;
    EXPECT_EQ(answer.account_waits, std::chrono::seconds(own ? 7 : 0));
  }
  slow.headers = {{"Retry-After", "99999999"}};
  genesys_.ScriptMessage(slow);
  EXPECT_EQ(client_.Ask(Question(genesys_)).account_waits, std::chrono::hours(24));
  genesys_.ScriptMessage(Says("{}", 503));
  EXPECT_EQ(client_.Ask(Question(genesys_)).account_waits, std::chrono::nanoseconds(0));
}

TEST_F(ComplianceClientTest, ATokenThatIsRefusedIsNoVerdict) {
  genesys_.ScriptToken({.status = 401, .body = R"({"error":"invalid_client"})"});
  EXPECT_TRUE(absl::IsUnavailable(client_.Ask(Question(genesys_)).verdict.status()));
}

}  // namespace
}  // namespace postrider
