#include <functional>

#include <gmock/gmock.h>

#include "tests/unit/api/rules_fixture.h"

// What a tenant's compliance check does to SendMessage and SendMessages.
namespace postrider {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class ContentRulesTest : public RulesTest {
 protected:
  ContentRulesTest() : RulesTest("content-") {
    Change([](TenantRow& tenant) { tenant.compliance_check.url = "https://check.example/v1"; });
  }
  v1::SendMessageRequest Of(const std::string& text, const std::string& campaign = "") {
    return OfCampaign(campaign, text);
  }
  std::vector<ComplianceQuestion> Asked() {
    MutexLock lock(asked_mu_);
    return asked_;
  }
};

TEST_F(ContentRulesTest, ATextIsAskedAboutWithoutItsRecipient) {
  EXPECT_EQ(ReasonOf(Of("Your code is 1234", "codes")), "");
  EXPECT_EQ(ReasonOf(Of("Your code is 99", "codes")), "");
  EXPECT_EQ(ReasonOf(Of("Your code is 99", "other")), "");
  const std::vector<ComplianceQuestion> asked = Asked();
  ASSERT_THAT(asked, SizeIs(2)) << "of each campaign once";
  EXPECT_EQ(asked[0].tenant_id, kTenant);
  EXPECT_EQ(asked[0].url, "https://check.example/v1");
  EXPECT_EQ(asked[0].sender, "+15559876543");
  EXPECT_EQ(asked[0].text, "Your code is 1234");
  EXPECT_EQ(asked[0].campaign_id, "codes");
  EXPECT_EQ(asked[0].template_name, "");
}

TEST_F(ContentRulesTest, VerdictsOfCampaignsThatAreNotRegisteredHoldForAnEpochOfTheTenants) {
  const auto send_all = [&] {
    for (const char* campaign : {"spring", ""}) {
      EXPECT_EQ(ReasonOf(Of("Your code is 1234", campaign)), "");
    }
  };
  Change([](TenantRow& tenant) { tenant.campaigns = {}; });
  send_all();
  EXPECT_THAT(Asked(), SizeIs(2));
  Change([](TenantRow& tenant) { ++tenant.verdict_epoch; });
  send_all();
  ASSERT_THAT(Asked(), SizeIs(3));
  EXPECT_EQ(Asked()[2].campaign_id, "spring");
  Change([](TenantRow& tenant) { tenant.campaigns = {{.campaign_id = "spring"}}; });
  send_all();
  EXPECT_THAT(Asked(), SizeIs(4)) << "registered: a version of its own";
}

TEST_F(ContentRulesTest, ATenantWithoutACheckAsksNobody) {
  Change([](TenantRow& tenant) { tenant.compliance_check = {}; });
  EXPECT_EQ(ReasonOf(Of("A loan")), "");
  EXPECT_THAT(Asked(), IsEmpty());
}

TEST_F(ContentRulesTest, ARefusedTextIsToldTheRuleAndOnRecordWithoutTheChecksWords) {
  EXPECT_EQ(ReasonOf(Of("A loan")), "CONTENT_NOT_APPROVED");
  EXPECT_EQ(last_->code, grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_EQ(last_->info.metadata().at("rules"), "no_loans");
  ASSERT_EQ(last_->precondition.violations_size(), 1);
  EXPECT_EQ(last_->precondition.violations(0).type(), "COMPLIANCE_CHECK");
  EXPECT_EQ(last_->precondition.violations(0).subject(), "no_loans");
  EXPECT_EQ(last_->precondition.violations(0).description(), "says \"loan\"");
  ASSERT_THAT(Refused(), SizeIs(1));
  EXPECT_EQ(Refused()[0].reason, "CONTENT_NOT_APPROVED");
  EXPECT_EQ(Refused()[0].detail, "compliance_check no_loans");
  EXPECT_EQ(ReasonOf(Of("A loan")), "CONTENT_NOT_APPROVED") << "from memory";
  EXPECT_THAT(Asked(), SizeIs(1));
  EXPECT_THAT(Refused(), SizeIs(2));
}

TEST_F(ContentRulesTest, ATemplateIsAskedAboutOnceAlsoWhenItsTextComesWhole) {
  Change([](TenantRow& tenant) {
    tenant.templates = {{"visit", "Hi {name}, at {time}."}, {"free", "{text}"}};
    tenant.campaigns = {{.campaign_id = "visits", .templates = {"visit"}}, {.campaign_id = "any"}};
  });
  const auto by_template = [&](const std::string& name, const std::string& campaign) {
    v1::SendMessageRequest request = Of("", campaign);
    request.mutable_template_()->set_name("visit");
    (*request.mutable_template_()->mutable_values())["name"] = name;
    (*request.mutable_template_()->mutable_values())["time"] = "noon";
    return request;
  };
  EXPECT_EQ(ReasonOf(by_template("Ann", "visits")), "");
  EXPECT_EQ(ReasonOf(by_template("Bob", "visits")), "");
  EXPECT_EQ(ReasonOf(Of("Hi Eve, at ten.", "visits")), "");
  ASSERT_THAT(Asked(), SizeIs(1));
  EXPECT_EQ(Asked()[0].text, "Hi Ann, at noon.");
  EXPECT_EQ(Asked()[0].template_name, "visit");
  // A campaign that names no templates; by its name it is known all the same.
  EXPECT_EQ(ReasonOf(by_template("Ann", "any")), "");
  EXPECT_EQ(ReasonOf(by_template("Bob", "any")), "");
  EXPECT_THAT(Asked(), SizeIs(2));
  EXPECT_EQ(ReasonOf(Of("Hi Eve, at ten.", "any")), "");
  EXPECT_THAT(Asked(), SizeIs(3));
}

TEST_F(ContentRulesTest, ATextThatWasMadePlainIsOfItsTemplateStill) {
  Change([](TenantRow& tenant) {
    tenant.plain_punctuation = true;
    tenant.templates = {{"ready", "It\u2019s ready, {name}"}};
    tenant.campaigns = {{.campaign_id = "shop", .templates = {"ready"}}};
  });
  EXPECT_EQ(ReasonOf(Of("It\u2019s ready, Ann", "shop")), "");
  EXPECT_EQ(ReasonOf(Of("It's ready, Bob", "shop")), "");
  ASSERT_THAT(Asked(), SizeIs(1));
  EXPECT_EQ(Asked()[0].text, "It's ready, Ann");
  EXPECT_EQ(Asked()[0].template_name, "ready");
}

TEST_F(ContentRulesTest, TheCampaignsOwnRulesAreAskedOfEveryText) {
  Change([](TenantRow& tenant) {
    tenant.templates = {{"visit", "Hi {name}"}};
    tenant.campaigns = {
        {.campaign_id = "visits", .templates = {"visit"}, .forbidden_words = {"casino"}}};
  });
  EXPECT_EQ(ReasonOf(Of("Hi Ann", "visits")), "");
  EXPECT_EQ(ReasonOf(Of("Hi casino", "visits")), "CONTENT_NOT_APPROVED");
  EXPECT_EQ(last_->info.metadata().at("rules"), "forbidden_word");
  EXPECT_THAT(Asked(), SizeIs(1));
}

TEST_F(ContentRulesTest, AChangeOfTheCampaignOrOfTheCheckAsksAnew) {
  const auto campaign = [](TenantRow& tenant) { tenant.campaigns = {{.campaign_id = "spring"}}; };
  Change(campaign);
  EXPECT_EQ(ReasonOf(Of("hi", "spring")), "");
  EXPECT_EQ(ReasonOf(Of("hi", "spring")), "");
  EXPECT_THAT(Asked(), SizeIs(1));
  Change([](TenantRow& tenant) { tenant.campaigns.front().forbidden_words = {"casino"}; });
  EXPECT_EQ(ReasonOf(Of("hi", "spring")), "");
  EXPECT_THAT(Asked(), SizeIs(2));
  Change([](TenantRow& tenant) { tenant.compliance_check.url = "https://other.example"; });
  EXPECT_EQ(ReasonOf(Of("hi", "spring")), "");
  EXPECT_THAT(Asked(), SizeIs(3));
  Change(campaign);
  Change([](TenantRow& tenant) { tenant.compliance_check.url = "https://check.example/v1"; });
  EXPECT_EQ(ReasonOf(Of("hi", "spring")), "");
  EXPECT_THAT(Asked(), SizeIs(3)) << "it is as it was";
}

TEST_F(ContentRulesTest, WithoutAVerdictAMessageIsRefusedForNow) {
  check_away_ = true;
  const v1::SendMessageRequest request = Of("hi");
  EXPECT_EQ(ReasonOf(request), "COMPLIANCE_CHECK_UNAVAILABLE");
  EXPECT_EQ(last_->code, grpc::StatusCode::UNAVAILABLE);
  EXPECT_TRUE(last_->has_retry);
  EXPECT_EQ(last_->retry.retry_delay().seconds(), 5);
  EXPECT_EQ(Trailer("grpc-retry-pushback-ms"), "5000");
  EXPECT_THAT(Refused(), IsEmpty()) << "no rule refused it";
  check_away_ = false;
  EXPECT_EQ(ReasonOf(request), "");
  EXPECT_FALSE(response_.deduplicated()) << "nothing was kept before";
}

TEST_F(ContentRulesTest, ATenantMaySendWithoutAVerdict) {
  Change([](TenantRow& tenant) {
    tenant.compliance_check.when_unavailable = WhenUnavailable::kAllow;
  });
  check_away_ = true;
  EXPECT_EQ(ReasonOf(Of("hi")), "");
  EXPECT_THAT(response_.warnings(), ElementsAre(HasSubstr("no verdict")));
  EXPECT_NE(response_.message().message_id(), "");
  check_away_ = false;
  EXPECT_EQ(ReasonOf(Of("a loan")), "CONTENT_NOT_APPROVED") << "a verdict counts";
}

TEST_F(ContentRulesTest, ARepeatGivesTheFirstWhateverTheCheckSaysMeanwhile) {
  const v1::SendMessageRequest request = Of("hi");
  EXPECT_EQ(ReasonOf(request), "");
  const std::string first = response_.message().message_id();
  clock_.Advance(std::chrono::hours(24));
  check_away_ = true;
  EXPECT_EQ(ReasonOf(request), "");
  EXPECT_TRUE(response_.deduplicated());
  EXPECT_EQ(response_.message().message_id(), first);
  Change([](TenantRow& tenant) { tenant.compliance_check = {}; });
  const v1::SendMessageRequest loan = Of("a loan");
  EXPECT_EQ(ReasonOf(loan), "");
  check_away_ = false;
  Change([](TenantRow& tenant) { tenant.compliance_check.url = "https://check.example/v1"; });
  EXPECT_EQ(ReasonOf(loan), "");
  EXPECT_TRUE(response_.deduplicated());
  EXPECT_THAT(Refused(), IsEmpty());
}

TEST_F(ContentRulesTest, ValidateOnlyAsksTooAndKeepsNothing) {
  v1::SendMessageRequest request = Of("a loan");
  request.set_validate_only(true);
  EXPECT_EQ(ReasonOf(request), "CONTENT_NOT_APPROVED");
  EXPECT_THAT(Refused(), IsEmpty());
  request.set_text("hi");
  EXPECT_EQ(ReasonOf(request), "");
  EXPECT_EQ(response_.message().message_id(), "");
  EXPECT_THAT(Asked(), SizeIs(2));
  EXPECT_THAT(store_.Records(), IsEmpty());
}

TEST_F(ContentRulesTest, AStreamOfMessagesIsAnsweredInOrderWhileTextsAreAskedAbout) {
  const auto context = Context();
  const auto stream = stub_->SendMessages(context.get());
  const std::vector<std::string> texts = {"hi 1", "a loan", "hi 2", "other", "a loan", "hi 3"};
  for (const std::string& text : texts) {
    v1::SendMessagesRequest request;
    *request.mutable_request() = Of(text);
    ASSERT_TRUE(stream->Write(request));
  }
  stream->WritesDone();
  std::vector<bool> accepted;
  v1::SendMessagesResponse verdict;
  while (stream->Read(&verdict)) {
    EXPECT_EQ(verdict.request_id(), StrCat("content-", accepted.size() + 1));
    accepted.push_back(verdict.has_accepted());
  }
  EXPECT_TRUE(stream->Finish().ok());
  EXPECT_THAT(accepted, ElementsAre(true, false, true, true, false, true));
  EXPECT_THAT(Asked(), SizeIs(3));
}

}  // namespace
}  // namespace postrider
