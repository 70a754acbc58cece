#include <gtest/gtest.h>

#include "server/dispatch/dispatcher.h"
#include "tests/support/dispatch_rig.h"

// Who is next: through the dispatcher, at the rate of the licence.
namespace postrider {
namespace {

struct FairWorld : DispatchWorld {
  MessageKey AcceptAs(Priority priority, const std::string& campaign,
                      const std::string& recipient = "+15550000001") {
    return AcceptWith([&](MessageRequest& request) {
      request.priority = priority;
      request.campaign_id = campaign;
      request.recipient = recipient;
    });
  }
  std::map<std::string, int> SentOfCampaigns() const {
    std::map<std::string, int> sent;
    for (const SendRequest& request : outside.sent()) ++sent[request.campaign_id];
    return sent;
  }
};

TEST(FairnessTest, AtAFewMessagesASecondEveryCampaignComesRound) {
  FairWorld world;
  world.SetRate(world.tenant, 4.9, 5);
  Replica replica(world);
  for (int i = 0; i < 200; ++i) world.AcceptAs(Priority::kBulk, "a");
  for (int i = 0; i < 200; ++i) world.AcceptAs(Priority::kBulk, "b");
  for (int i = 0; i < 200; ++i) world.AcceptAs(Priority::kBulk, "c");
  replica.WorkFor(30s);
  const std::map<std::string, int> sent = world.SentOfCampaigns();
  ASSERT_EQ(sent.size(), 3U);
  for (const auto& [campaign, count] : sent) EXPECT_NEAR(count, 49, 2) << campaign;
}

TEST(FairnessTest, AnUrgentOneOvertakesWhatIsAlreadyIntended) {
  FairWorld world;
  world.SetRate(world.tenant, 4.9, 1);
  Replica replica(world);
  for (int i = 0; i < 50; ++i) world.AcceptAs(Priority::kBulk, "news");
  replica.WorkFor(10s);
  // Work() ends with the next one intended or not: until it is.
  while (world.Metric("postrider_intents_waiting") < 1) replica.WorkFor(10ms, 10ms);
  const std::size_t before = world.Sent();
  world.AcceptAs(Priority::kUrgent, "code");
  replica.dispatcher.WakeAll();
  replica.WorkFor(1s, 10ms);
  ASSERT_GT(world.Sent(), before + 1);
  EXPECT_EQ(world.outside.sent()[before].campaign_id, "code") << "with the very next token";
}

TEST(FairnessTest, UrgentOnesForeverLeaveOneInTenToBulk) {
  FairWorld world;
  world.SetRate(world.tenant, 4.9, 5);
  Replica replica(world);
  for (int i = 0; i < 500; ++i) world.AcceptAs(Priority::kUrgent, "codes");
  for (int i = 0; i < 500; ++i) world.AcceptAs(Priority::kBulk, "news");
  replica.WorkFor(60s);
  const std::map<std::string, int> sent = world.SentOfCampaigns();
  EXPECT_NEAR(sent.at("news"), 29, 2);
  EXPECT_NEAR(sent.at("codes"), 264, 6);
  EXPECT_EQ(world.Metric("postrider_intents_taken_back_total"), 0) << "no intent grew too old";
}

TEST(FairnessTest, AnotherTenantsMassesDoNotDelayACode) {
  FairWorld world;
  const TenantId other{MakeUuidV4(world.random)};
  world.SetRate(other, 1000, 100);
  Replica replica(world);
  for (int i = 0; i < 3000; ++i) world.Accept(other);
  replica.WorkFor(1s);
  const MessageKey code = world.AcceptAs(Priority::kUrgent, "code");
  replica.dispatcher.WakeAll();
  replica.Work();
  EXPECT_EQ(world.StateOf(code), MessageState::kSubmitted) << "in the next step";
}

TEST(FairnessTest, AFlowOfScheduledMessagesTakesNobodysTurns) {
  FairWorld world;
  world.SetRate(world.tenant, 4.9, 5);
  Replica replica(world);
  for (int i = 0; i < 50; ++i) {
    world.AcceptWith([&](MessageRequest& request) {
      request.priority = Priority::kUrgent;
      request.campaign_id = StrCat("later-", i);
      request.not_before = world.clock.Wall() + 1h;
    });
  }
  for (int i = 0; i < 100; ++i) world.AcceptAs(Priority::kBulk, "news");
  replica.WorkFor(10s);
  EXPECT_GE(world.Sent(), 48U);
}

}  // namespace
}  // namespace postrider
