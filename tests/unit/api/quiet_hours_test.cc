// Quiet hours as callers meet them: held, told, or refused.
#include <gmock/gmock.h>
#include <google/protobuf/util/time_util.h>
#include <gtest/gtest.h>

#include "server/api/convert.h"
#include "tests/unit/api/message_service_fixture.h"

namespace postrider {
namespace {

using google::protobuf::util::TimeUtil;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

/// It is 01:00 in UTC, the zone of the recipients, and quiet from 21:00 to 08:00.
class QuietHoursApiTest : public MessageServiceTest {
 protected:
  QuietHoursApiTest() {
    Configure([](TenantRow& tenant) {
      tenant.default_class = CampaignClass::kMarketing;
      tenant.quiet.own = HourSpan{21 * 60, 8 * 60};
    });
  }
  void Configure(const std::function<void(TenantRow&)>& change) {
    TenantRow tenant = store_.LoadTenants()->front();
    change(tenant);
    EXPECT_TRUE(store_.PutTenant(tenant).ok());
    EXPECT_TRUE(tenants_.Refresh().ok());
  }
  static v1::SendMessageRequest ToGermany(const std::string& request_id = "offer-1") {
    v1::SendMessageRequest request = Good(request_id);
    request.set_recipient("+4915112345678");
    request.set_time_zone("UTC");
    return request;
  }
  v1::Message Stored(const std::string& message_id) {
    v1::GetStatusRequest ask;
    ask.set_message_id(message_id);
    v1::GetStatusResponse answer;
    EXPECT_TRUE(stub_->GetStatus(Context().get(), ask, &answer).ok());
    return answer.message();
  }
  static std::string HoldOf(const v1::Message& message) {
    if (!message.status().has_hold()) return "none";
    const v1::Hold& hold = message.status().hold();
    return StrCat(v1::HoldReason_Name(hold.reason()), " ", TimeUtil::ToString(hold.until()));
  }

  v1::SendMessageResponse sent_;
};

TEST_F(QuietHoursApiTest, MarketingIsHeldUntilTheyEndAndEveryAnswerSaysSo) {
  ASSERT_TRUE(Send(ToGermany(), sent_).ok());
  EXPECT_EQ(HoldOf(sent_.message()), "HOLD_REASON_QUIET_HOURS 1970-01-01T08:00:00Z");
  EXPECT_EQ(sent_.message().status().state(), v1::MESSAGE_STATE_QUEUED);
  EXPECT_THAT(sent_.warnings(), IsEmpty());
  EXPECT_EQ(Stored(sent_.message().message_id()).DebugString(), sent_.message().DebugString());

  v1::ExplainMessageRequest ask;
  ask.set_message_id(sent_.message().message_id());
  v1::ExplainMessageResponse why;
  ASSERT_TRUE(stub_->ExplainMessage(Context().get(), ask, &why).ok());
  ASSERT_EQ(why.gates_size(), 1);
  EXPECT_EQ(why.gates(0).kind(), v1::GATE_KIND_QUIET_HOURS);
  EXPECT_EQ(TimeUtil::ToString(why.gates(0).until()), "1970-01-01T08:00:00Z");
}

TEST_F(QuietHoursApiTest, WhatIsScheduledGoesByItsTimeTable) {
  const struct {
    const char* what;
    const char* not_before;
    const char* hold;
  } kCases[] = {
      {"within them", "1970-01-01T05:00:00Z", "HOLD_REASON_QUIET_HOURS 1970-01-01T08:00:00Z"},
      {"the next night", "1970-01-01T23:30:00Z", "HOLD_REASON_QUIET_HOURS 1970-01-02T08:00:00Z"},
      {"by day", "1970-01-01T15:00:00Z", "HOLD_REASON_SCHEDULE 1970-01-01T15:00:00Z"},
      {"as they end", "1970-01-01T08:00:00Z", "HOLD_REASON_SCHEDULE 1970-01-01T08:00:00Z"},
  };
  for (const auto& c : kCases) {
    v1::SendMessageRequest request = ToGermany(c.not_before);
    ASSERT_TRUE(TimeUtil::FromString(c.not_before, request.mutable_not_before()));
    ASSERT_TRUE(Send(request, sent_).ok()) << c.what;
    EXPECT_EQ(HoldOf(sent_.message()), c.hold) << c.what;
    EXPECT_EQ(HoldOf(Stored(sent_.message().message_id())), c.hold) << c.what;
  }
}

TEST_F(QuietHoursApiTest, WhatIsNoMarketingOrOfNobodyWhoSleepsLeavesAtOnce) {
  Configure([](TenantRow& tenant) { tenant.default_class = CampaignClass::kTransactional; });
  ASSERT_TRUE(Send(ToGermany("receipt"), sent_).ok());
  EXPECT_EQ(HoldOf(sent_.message()), "none");
  Configure([](TenantRow& tenant) { tenant.default_class = CampaignClass::kOneTimeCode; });
  ASSERT_TRUE(Send(ToGermany("code"), sent_).ok());
  EXPECT_EQ(HoldOf(sent_.message()), "none");
  Configure([](TenantRow& tenant) {
    tenant.default_class = CampaignClass::kMarketing;
    tenant.quiet.on = false;
  });
  ASSERT_TRUE(Send(ToGermany("off"), sent_).ok());
  EXPECT_EQ(HoldOf(sent_.message()), "none");
  Configure([](TenantRow& tenant) { tenant.quiet.on = true; });
  v1::SendMessageRequest elsewhere = ToGermany("elsewhere");
  elsewhere.set_time_zone("Asia/Tokyo");  // 10:00
  ASSERT_TRUE(Send(elsewhere, sent_).ok());
  EXPECT_EQ(HoldOf(sent_.message()), "none");
}

TEST_F(QuietHoursApiTest, WhatCannotLeaveBeforeItExpiresIsRefusedWithTheNextTime) {
  v1::SendMessageRequest request = ToGermany();
  ASSERT_TRUE(TimeUtil::FromString("1970-01-01T08:00:00Z", request.mutable_expire_at()));
  const Decoded error(Send(request, sent_));
  EXPECT_EQ(error.code, grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_EQ(error.info.reason(), "QUIET_HOURS");
  EXPECT_EQ(error.info.metadata().at("next_allowed_at"), "1970-01-01T08:00:00Z");
  EXPECT_EQ(error.precondition.violations_size(), 1);
  EXPECT_EQ(store_.Calls("Accept"), 0);
  request.mutable_expire_at()->set_seconds(request.expire_at().seconds() + 1);
  EXPECT_TRUE(Send(request, sent_).ok()) << "a second is enough";
}

TEST_F(QuietHoursApiTest, WithoutACommonHourTheCallerIsToldToSayWhere) {
  Configure([](TenantRow& tenant) { tenant.quiet.own = HourSpan{0, 21 * 60}; });
  v1::SendMessageRequest request = ToGermany();
  request.set_recipient("+12125550123");
  const Decoded error(Send(request, sent_));
  EXPECT_EQ(error.info.reason(), "QUIET_HOURS");
  EXPECT_FALSE(error.info.metadata().contains("next_allowed_at"));
}

TEST_F(QuietHoursApiTest, ARepeatGetsItsFirstMessageWhateverTheHour) {
  clock_.Advance(std::chrono::hours(11));
  v1::SendMessageRequest request = ToGermany();
  ASSERT_TRUE(TimeUtil::FromString("1970-01-01T22:00:00Z", request.mutable_expire_at()));
  ASSERT_TRUE(Send(request, sent_).ok());
  EXPECT_EQ(HoldOf(sent_.message()), "none");
  clock_.Advance(std::chrono::minutes(9 * 60 + 30));
  v1::SendMessageResponse again;
  ASSERT_TRUE(Send(request, again).ok());
  EXPECT_TRUE(again.deduplicated());
  EXPECT_EQ(again.message().message_id(), sent_.message().message_id());
}

TEST_F(QuietHoursApiTest, ValidateOnlyWarns) {
  v1::SendMessageRequest request = ToGermany();
  request.set_validate_only(true);
  ASSERT_TRUE(Send(request, sent_).ok());
  EXPECT_THAT(sent_.warnings(), ElementsAre(HasSubstr("held until 1970-01-01T08:00:00Z")));
  EXPECT_EQ(sent_.message().message_id(), "");
  EXPECT_EQ(store_.Calls("Accept"), 0);
  clock_.Advance(std::chrono::hours(8));
  ASSERT_TRUE(Send(request, sent_).ok());
  EXPECT_THAT(sent_.warnings(), IsEmpty());
}

TEST_F(QuietHoursApiTest, WhatTheyHoldFillsHalfOfTheQueueAndTheOtherHalfIsForTheRest) {
  Configure([](TenantRow& tenant) { tenant.queue_limit = 4; });
  TenantRow tenant = store_.LoadTenants()->front();
  tenant.campaigns = {{.campaign_id = "codes"}};
  store_.SetSetup(tenant);
  ASSERT_TRUE(tenants_.Refresh().ok());
  ASSERT_TRUE(Send(ToGermany("offer-1"), sent_).ok());
  ASSERT_TRUE(Send(ToGermany("offer-2"), sent_).ok());
  EXPECT_EQ(Decoded(Send(ToGermany("offer-3"), sent_)).info.reason(), "QUEUE_FULL");
  for (const char* id : {"code-1", "code-2"}) {
    v1::SendMessageRequest code = ToGermany(id);
    code.set_campaign_id("codes");
    EXPECT_TRUE(Send(code, sent_).ok()) << id;
  }
}

TEST_F(QuietHoursApiTest, WhatWouldLeaveWhenItsCampaignIsOverIsRefused) {
  TenantRow tenant = store_.LoadTenants()->front();
  Campaign night{.campaign_id = "night", .campaign_class = CampaignClass::kMarketing};
  night.active_until = clock_.Wall() + std::chrono::hours(2);
  tenant.campaigns = {night};
  store_.SetSetup(tenant);
  ASSERT_TRUE(tenants_.Refresh().ok());
  v1::SendMessageRequest request = ToGermany();
  request.set_campaign_id("night");
  EXPECT_EQ(Decoded(Send(request, sent_)).info.reason(), "CAMPAIGN_NOT_ACTIVE");
}

}  // namespace
}  // namespace postrider
