#include <algorithm>

#include "server/model/content_limits.h"
#include "tests/support/content_contract.h"

// What carriers reject for its content: judged by campaign and text, and the campaign paused.
namespace postrider {

TEST_P(ContentContract, ARejectedTextPausesItsCampaignAndNoOther) {
  Reject(kClusterRejections - 1, "spring");
  Reject(kClusterRejections - 1, "autumn");
  Deliver(3, "spring");
  const ContentLook first = Look();
  EXPECT_EQ(first.campaign_id, "spring") << "it waited longest";
  EXPECT_EQ(first.rejections, kClusterRejections - 1);
  EXPECT_FALSE(first.is_cluster);
  EXPECT_EQ(Look().campaign_id, "autumn");
  EXPECT_FALSE(HasMore());
  EXPECT_TRUE(Pauses().empty());

  Reject(1, "spring", "Buy 77 now");
  const ContentLook look = Look();
  EXPECT_EQ(look.tenant_id, tenant_.tenant_id);
  EXPECT_EQ(look.campaign_id, "spring");
  EXPECT_EQ(look.rejections, 1);
  EXPECT_TRUE(look.is_cluster);
  EXPECT_EQ(look.rejected, kClusterRejections);
  EXPECT_EQ(look.answered, kClusterRejections + 3);
  EXPECT_TRUE(look.paused);
  ASSERT_EQ(Pauses().size(), 1U);
  const DispatchPause pause = Pauses()[0];
  EXPECT_EQ(pause.of, (PauseTarget{tenant_.tenant_id, PauseScope::kCampaign, "spring"}));
  EXPECT_EQ(pause.actor, kOwnActor);
  EXPECT_NE(pause.reason.find("carriers rejected 5 of the last 8 messages"), std::string::npos)
      << pause.reason;
  EXPECT_EQ(pause.until, WallTime{});
}

TEST_P(ContentContract, VerdictsOnTextsOfACampaignThatIsNotRegisteredAreVoidToo) {
  const auto epoch = [&] {
    const auto tenants = store_.LoadTenants();
    EXPECT_TRUE(tenants.ok()) << tenants.status();
    const auto its = std::find_if(tenants->begin(), tenants->end(), [&](const TenantRow& row) {
      return row.tenant_id == tenant_.tenant_id;
    });
    return its->verdict_epoch;
  };
  Reject(kClusterRejections, "");
  EXPECT_TRUE(Look().is_cluster);
  EXPECT_EQ(epoch(), 0) << "messages without a campaign have nothing in common";
  Reject(kClusterRejections, "spring");
  EXPECT_TRUE(Look().is_cluster);
  EXPECT_EQ(epoch(), 1);
  ASSERT_TRUE(store_.PutTenant(tenant_).ok());
  EXPECT_EQ(epoch(), 1);
}

TEST_P(ContentContract, WhatWasSentBeforeIsNotHeldAgainstAResumedCampaign) {
  std::vector<MessageKey> under_way;
  for (int i = 0; i < 7; ++i) under_way.push_back(Sent("spring", "Buy 3 now"));
  Reject(kClusterRejections, "spring");
  EXPECT_TRUE(Look().paused);
  const PauseTarget spring{tenant_.tenant_id, PauseScope::kCampaign, "spring"};
  ASSERT_TRUE(store_.ResumeDispatch(spring, ByOperator()).ok());
  // They left before the pause: their rejections tell nothing new.
  for (const MessageKey& key : under_way) {
    Answer(key, MessageState::kFailed, FailureReason::kContent);
  }
  EXPECT_FALSE(Look().is_cluster);
  Reject(kClusterRejections - 1, "spring");
  EXPECT_FALSE(Look().is_cluster);
  EXPECT_TRUE(Pauses().empty());
  Reject(1, "spring");
  EXPECT_TRUE(Look().paused) << "five that were sent since";
  EXPECT_FALSE(HasMore());
}

TEST_P(ContentContract, OnlyContentAndNumbersMakeACluster) {
  // A fifth is the share; another text and another failure are nothing to it.
  Deliver(21, "spring");
  Reject(kClusterRejections, "spring");
  EXPECT_FALSE(Look().is_cluster);
  Reject(kClusterRejections - 1, "autumn", "One text");
  Reject(kClusterRejections - 1, "autumn", "Another text");
  EXPECT_FALSE(Look().is_cluster);
  for (int i = 0; i < 9; ++i) {
    Answer(Sent("winter", "Hello"), MessageState::kFailed, FailureReason::kUnreachable);
  }
  EXPECT_FALSE(HasMore()) << "a handset that is away says nothing of the text";
}

TEST_P(ContentContract, WithoutACampaignNothingIsPausedAndItIsToldOnce) {
  Reject(kClusterRejections, "");
  const ContentLook look = Look();
  EXPECT_EQ(look.campaign_id, "");
  EXPECT_TRUE(look.is_cluster);
  EXPECT_FALSE(look.paused);
  EXPECT_TRUE(Pauses().empty());
  Reject(1, "");
  EXPECT_FALSE(Look().is_cluster);
}

TEST_P(ContentContract, AnOperatorsPauseStaysUnlessItEndsByItself) {
  const PauseTarget spring{tenant_.tenant_id, PauseScope::kCampaign, "spring"};
  const MessageKey one = Sent("spring", "Buy 4 now");
  Reject(kClusterRejections - 1, "spring");
  ASSERT_TRUE(store_.PauseDispatch(spring, {}, ByOperator()).ok());
  Answer(one, MessageState::kFailed, FailureReason::kCarrierRejected);
  const ContentLook look = Look();
  EXPECT_TRUE(look.is_cluster);
  EXPECT_FALSE(look.paused);
  ASSERT_EQ(Pauses().size(), 1U);
  EXPECT_EQ(Pauses()[0].reason, "seen");

  const PauseTarget autumn{tenant_.tenant_id, PauseScope::kCampaign, "autumn"};
  const MessageKey other = Sent("autumn", "Buy 4 now");
  Reject(kClusterRejections - 1, "autumn");
  const WallTime soon = subject_.now() + std::chrono::hours(1);
  ASSERT_TRUE(store_.PauseDispatch(autumn, soon, ByOperator()).ok());
  Answer(other, MessageState::kFailed, FailureReason::kCarrierRejected);
  EXPECT_TRUE(Look().paused) << "it would have gone on in an hour";
  const auto pauses = Pauses();
  EXPECT_EQ(std::count_if(pauses.begin(), pauses.end(),
                          [](const DispatchPause& pause) { return pause.until != WallTime{}; }),
            0);
}

TEST_P(ContentContract, AnotherSlotsRejectionsAreLeft) {
  Reject(kClusterRejections, "spring");
  std::vector<int> others;
  for (const int slot : AllSlots()) {
    if (slot != SlotOf(tenant_.tenant_id)) others.push_back(slot);
  }
  EXPECT_FALSE(store_.JudgeContent(others).value().has_value());
  EXPECT_TRUE(HasMore());
}

TEST_P(ContentContract, AReplayedMessageThatIsRejectedAgainIsJudgedAgain) {
  const MessageKey key = Sent("spring", "Buy now");
  Answer(key, MessageState::kFailed, FailureReason::kCarrierRejected);
  EXPECT_EQ(Look().rejections, 1);
  ASSERT_EQ(store_.ReplayMessage(key, ByOperator())->kind, Replay::Kind::kReplayed);
  Record(replica_, key, Intended(replica_, key), OutcomeKind::kAccepted);
  EXPECT_FALSE(HasMore());
  Answer(key, MessageState::kFailed, FailureReason::kCarrierRejected);
  EXPECT_EQ(Look().rejections, 1);
}

}  // namespace postrider
