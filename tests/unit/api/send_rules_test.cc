#include <functional>

#include <gmock/gmock.h>

#include "tests/unit/api/rules_fixture.h"

// What a tenant's setup does to SendMessage.
namespace postrider {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class SendRulesTest : public RulesTest {
 protected:
  SendRulesTest() : RulesTest("rule-") {}

  v1::SendMessageRequest Of(const std::string& campaign, const std::string& text) {
    return OfCampaign(campaign, text);
  }
  std::vector<std::string> Findings() const {
    std::vector<std::string> findings;
    for (const auto& violation : last_->precondition.violations()) {
      findings.push_back(StrCat(violation.subject(), ": ", violation.description()));
    }
    return findings;
  }
};

TEST_F(SendRulesTest, ATenantWithoutCampaignsNamesAny) {
  EXPECT_EQ(ReasonOf(Of("whatever", "hello")), "");
  EXPECT_EQ(ReasonOf(Of("", "hello")), "");
}

TEST_F(SendRulesTest, OnlyActiveCampaignsAreSent) {
  const WallTime now = clock_.Wall();
  Change([&](TenantRow& tenant) {
    tenant.campaigns = {{.campaign_id = "off", .active = false},
                        {.campaign_id = "on"},
                        {.campaign_id = "over", .active_until = now},
                        {.campaign_id = "soon", .active_from = now + 1s},
                        {.campaign_id = "today", .active_until = now + std::chrono::hours(1)}};
  });
  EXPECT_EQ(ReasonOf(Of("on", "hello")), "");
  EXPECT_EQ(ReasonOf(Of("today", "hello")), "");
  EXPECT_EQ(ReasonOf(Of("", "hello")), "") << "none is required";
  const struct {
    const char* campaign;
    const char* why;
  } cases[] = {{"off", "is switched off"},
               {"over", "is over"},
               {"soon", "has not begun"},
               {"other", "is not registered"}};
  for (const auto& c : cases) {
    EXPECT_EQ(ReasonOf(Of(c.campaign, "hello")), "CAMPAIGN_NOT_ACTIVE") << c.campaign;
    EXPECT_THAT(Findings(), ElementsAre(StrCat(c.campaign, ": ", c.why)));
  }
  v1::SendMessageRequest late = Of("today", "hello");
  late.mutable_not_before()->set_seconds((now + std::chrono::hours(2)).time_since_epoch() /
                                         std::chrono::seconds(1));
  EXPECT_EQ(ReasonOf(late), "CAMPAIGN_NOT_ACTIVE") << "it would leave when the campaign is over";
  Change([](TenantRow& tenant) { tenant.campaign_required = true; });
  EXPECT_EQ(ReasonOf(Of("", "hello")), "CAMPAIGN_NOT_ACTIVE");
}

TEST_F(SendRulesTest, ASenderThatIsNotActiveIsNotRegistered) {
  Change([](TenantRow& tenant) { tenant.senders.front().active = false; });
  EXPECT_EQ(ReasonOf(Good()), "SENDER_NOT_REGISTERED");
}

TEST_F(SendRulesTest, ARefusedTextIsToldWhatAndWhere) {
  Change([](TenantRow& tenant) {
    tenant.campaigns = {
        {.campaign_id = "spring", .forbidden_words = {"loan"}, .links = LinkRule::kNone}};
  });
  EXPECT_EQ(ReasonOf(Of("spring", "A loan: see example.com")), "CONTENT_NOT_APPROVED");
  EXPECT_EQ(last_->code, grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_EQ(last_->info.metadata().at("rules"), "forbidden_word,link");
  EXPECT_THAT(Findings(),
              ElementsAre("forbidden_word: characters 3 to 6: forbidden_words[0] of the campaign",
                          "link: characters 13 to 23: the campaign's texts have no links"));
  EXPECT_EQ(ReasonOf(Of("spring", "All well")), "");
}

TEST_F(SendRulesTest, ATemplateIsFilledIn) {
  Change([](TenantRow& tenant) {
    tenant.templates = {{"visit", "Hi {name}, at {time}."}};
    tenant.campaigns = {{.campaign_id = "visits", .templates = {"visit"}}};
  });
  v1::SendMessageRequest request = Good("t-1");
  request.set_campaign_id("visits");
  request.mutable_template_()->set_name("visit");
  auto& values = *request.mutable_template_()->mutable_values();
  values["name"] = "Ann";
  EXPECT_EQ(ReasonOf(request), "INVALID_FIELD");
  ASSERT_EQ(last_->bad_request.field_violations_size(), 1);
  EXPECT_EQ(last_->bad_request.field_violations(0).field(), "template.values");
  EXPECT_EQ(last_->bad_request.field_violations(0).description(),
            "time: is required by the template");
  values["time"] = "9:30";
  EXPECT_EQ(ReasonOf(request), "");
  EXPECT_EQ(response_.message().text(), "Hi Ann, at 9:30.");
  EXPECT_EQ(ReasonOf(request), "") << "a repeat";
  EXPECT_TRUE(response_.deduplicated());
  request.set_request_id("t-1-other");
  request.mutable_template_()->set_name("other");
  EXPECT_EQ(ReasonOf(request), "INVALID_FIELD");
  EXPECT_EQ(last_->bad_request.field_violations(0).field(), "template.name");
  EXPECT_EQ(ReasonOf(Of("visits", "Hi Bob, at 10.")), "") << "a text that is of the template";
  EXPECT_EQ(ReasonOf(Of("visits", "Buy now")), "CONTENT_NOT_APPROVED");
}

v1::SendMessageRequest ByTemplate(v1::SendMessageRequest request, const std::string& name,
                                  const std::string& value) {
  request.mutable_template_()->set_name(name);
  (*request.mutable_template_()->mutable_values())["name"] = value;
  return request;
}

TEST_F(SendRulesTest, ARepeatByTemplateIsTheFirstWhateverBecameOfTheTemplate) {
  Change([](TenantRow& tenant) { tenant.templates = {{"visit", "Hi {name}"}}; });
  const v1::SendMessageRequest request = ByTemplate(Good("t-3"), "visit", "Ann");
  ASSERT_EQ(ReasonOf(request), "");
  EXPECT_EQ(response_.message().template_name(), "visit");
  const std::string first = response_.message().message_id();
  const std::pair<const char*, std::vector<MessageTemplate>> changes[] = {
      {"reworded", {{"visit", "Dear {name}"}}},
      {"other places", {{"visit", "Hi {first}"}}},
      {"too long now", {{"visit", std::string(760, 'x') + " {name}"}}},
      {"renamed", {{"visit2", "Hi {name}"}}},
      {"removed", {}}};
  for (const auto& [what, templates] : changes) {
    SCOPED_TRACE(what);
    Change([&](TenantRow& tenant) { tenant.templates = templates; });
    EXPECT_EQ(ReasonOf(request), "");
    EXPECT_TRUE(response_.deduplicated());
    EXPECT_EQ(response_.message().message_id(), first);
    EXPECT_EQ(response_.message().text(), "Hi Ann");
  }
  EXPECT_EQ(ReasonOf(ByTemplate(Good("t-4"), "visit", "Ann")), "INVALID_FIELD") << "no repeat";
}

TEST_F(SendRulesTest, OtherContentUnderTheRequestIdIsNamed) {
  Change([](TenantRow& tenant) {
    tenant.templates = {{"visit", "Hi {name}"}, {"again", "Hi {name}"}};
  });
  ASSERT_EQ(ReasonOf(ByTemplate(Good("t-5"), "visit", "Ann")), "");
  v1::SendMessageRequest as_text = Good("t-5");
  as_text.set_text("Hi Ann");
  v1::SendMessageRequest elsewhere = ByTemplate(Good("t-5"), "visit", "Ann");
  elsewhere.set_time_zone("UTC");
  v1::SendMessageRequest both = ByTemplate(elsewhere, "visit", "Bob");
  const struct {
    v1::SendMessageRequest repeat;
    const char* fields;
  } cases[] = {{ByTemplate(Good("t-5"), "visit", "Bob"), "template"},
               {ByTemplate(Good("t-5"), "again", "Ann"), "template"},
               {as_text, "text,template"},
               {elsewhere, "time_zone"},
               {both, "template,time_zone"}};
  for (const bool gone : {false, true}) {
    if (gone) Change([](TenantRow& tenant) { tenant.templates.clear(); });
    for (const auto& c : cases) {
      SCOPED_TRACE(c.repeat.ShortDebugString());
      EXPECT_EQ(ReasonOf(c.repeat), "REQUEST_ID_REUSED");
      EXPECT_EQ(last_->info.metadata().at("fields"), c.fields);
    }
  }
  v1::SendMessageRequest text = Good("t-6");
  ASSERT_EQ(ReasonOf(text), "");
  EXPECT_EQ(ReasonOf(ByTemplate(Good("t-6"), "visit", "Ann")), "REQUEST_ID_REUSED");
  EXPECT_EQ(last_->info.metadata().at("fields"), "text,template");
}

TEST_F(SendRulesTest, AConversationThatOnlyTheRepeatNamesIsNamed) {
  ASSERT_EQ(ReasonOf(Good("c-1")), "");
  v1::SendMessageRequest repeat = Good("c-1");
  repeat.set_conversation_id(response_.message().conversation_id());
  EXPECT_EQ(ReasonOf(repeat), "REQUEST_ID_REUSED");
  EXPECT_EQ(last_->info.metadata().at("fields"), "conversation_id");
}

TEST_F(SendRulesTest, ANameThatIsNoPlaceIsRefusedAndNotRepeatedWhole) {
  Change([](TenantRow& tenant) { tenant.templates = {{"visit", "Hi {name}"}}; });
  v1::SendMessageRequest request = Good("t-2");
  request.mutable_template_()->set_name("visit");
  (*request.mutable_template_()->mutable_values())[std::string(20000, 'x')] = "y";
  EXPECT_EQ(ReasonOf(request), "INVALID_FIELD");
  ASSERT_EQ(last_->bad_request.field_violations_size(), 1);
  EXPECT_LT(last_->bad_request.field_violations(0).field().size(), 200U);
  EXPECT_THAT(last_->bad_request.field_violations(0).description(),
              HasSubstr("no name of a place"));
}

TEST_F(SendRulesTest, ARepeatIsAnsweredAlsoWhenItsSenderIsNotActiveAnyMore) {
  EXPECT_EQ(ReasonOf(Good("s-1")), "");
  Change([](TenantRow& tenant) { tenant.senders.front().active = false; });
  EXPECT_EQ(ReasonOf(Good("s-1")), "");
  EXPECT_TRUE(response_.deduplicated());
  EXPECT_EQ(ReasonOf(Good("s-2")), "SENDER_NOT_REGISTERED");
}

TEST_F(SendRulesTest, OnlyDestinationsOfTheTenantAreSentTo) {
  Change([](TenantRow& tenant) { tenant.destinations = {{"+44", std::nullopt}, {"+1555", 2}}; });
  v1::SendMessageRequest abroad = Good("d-1");
  abroad.set_recipient("+4915112345678");
  EXPECT_EQ(ReasonOf(abroad), "DESTINATION_NOT_ALLOWED");
  EXPECT_EQ(ReasonOf(Good("d-2")), "");
  EXPECT_EQ(ReasonOf(Good("d-3")), "");
  EXPECT_EQ(ReasonOf(Good("d-4")), "QUOTA_EXCEEDED");
  ASSERT_EQ(last_->quota.violations_size(), 1);
  EXPECT_EQ(last_->quota.violations(0).subject(), "destination:+1555");
  EXPECT_EQ(ReasonOf(Good("d-3")), "") << "a repeat of what was accepted";
}

TEST_F(SendRulesTest, ACampaignHasItsCapADay) {
  Change([](TenantRow& tenant) { tenant.campaigns = {{.campaign_id = "spring", .daily_cap = 1}}; });
  EXPECT_EQ(ReasonOf(Of("spring", "one")), "");
  EXPECT_EQ(ReasonOf(Of("spring", "two")), "QUOTA_EXCEEDED");
  EXPECT_EQ(last_->quota.violations(0).subject(), "campaign:spring");
  clock_.Advance(std::chrono::hours(24));
  EXPECT_EQ(ReasonOf(Of("spring", "three")), "");
}

TEST_F(SendRulesTest, TheFirstMessageOfAConversationSaysHowToOptOut) {
  Change([](TenantRow& tenant) {
    tenant.campaigns = {{.campaign_id = "spring",
                         .campaign_class = CampaignClass::kMarketing,
                         .opt_out_text = "Reply STOP to end"}};
  });
  EXPECT_EQ(ReasonOf(Of("spring", "An offer")), "CONTENT_NOT_APPROVED");
  EXPECT_THAT(Findings(), ElementsAre("opt_out_text: the first message of a conversation must have "
                                      "\"Reply STOP to end\""));
  EXPECT_EQ(ReasonOf(Of("spring", "An offer. reply stop to END.")), "");
  EXPECT_EQ(ReasonOf(Of("spring", "An offer")), "") << "not the first";
}

TEST_F(SendRulesTest, WhatARuleRefusesIsOnRecordBeforeTheAnswer) {
  Change([](TenantRow& tenant) {
    tenant.campaigns = {{.campaign_id = "spring", .forbidden_words = {"loan"}}};
  });
  const v1::SendMessageRequest request = Of("spring", "A loan");
  EXPECT_EQ(ReasonOf(request), "CONTENT_NOT_APPROVED");
  const std::vector<RefusalRow> refused = Refused();
  ASSERT_THAT(refused, SizeIs(1));
  EXPECT_EQ(refused[0].tenant_id, kTenant);
  EXPECT_EQ(refused[0].request_id, request.request_id());
  EXPECT_EQ(refused[0].reason, "CONTENT_NOT_APPROVED");
  EXPECT_EQ(refused[0].campaign_id, "spring");
  EXPECT_EQ(refused[0].sender, request.sender());
  EXPECT_THAT(refused[0].recipient, HasSubstr("***"));
  EXPECT_EQ(refused[0].detail,
            "forbidden_word characters 3 to 6: forbidden_words[0] of the campaign");

  v1::SendMessageRequest only_checked = Of("spring", "A loan");
  only_checked.set_validate_only(true);
  EXPECT_EQ(ReasonOf(only_checked), "CONTENT_NOT_APPROVED");
  v1::SendMessageRequest wrong = Of("spring", "");
  EXPECT_EQ(ReasonOf(wrong), "INVALID_FIELD");
  EXPECT_THAT(Refused(), SizeIs(1)) << "a question and a mistake are no refusals";
}

TEST_F(SendRulesTest, ARefusalThatCannotBeRecordedIsAskedForAgain) {
  fail_refusals_ = true;
  Change([](TenantRow& tenant) { tenant.campaign_required = true; });
  EXPECT_EQ(ReasonOf(Of("", "hello")), "STORE_UNAVAILABLE");
  EXPECT_THAT(Refused(), IsEmpty());
}

TEST_F(SendRulesTest, ARepeatOfWhatWasAcceptedGivesTheFirst) {
  const v1::SendMessageRequest request = Of("spring", "A loan");
  EXPECT_EQ(ReasonOf(request), "");
  Change([](TenantRow& tenant) {
    tenant.campaigns = {{.campaign_id = "spring", .forbidden_words = {"loan"}}};
  });
  EXPECT_EQ(ReasonOf(request), "");
  EXPECT_TRUE(response_.deduplicated());
}

}  // namespace
}  // namespace postrider
