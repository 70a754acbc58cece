#include <algorithm>
#include <deque>
#include <map>
#include <span>

#include <gtest/gtest.h>

#include "server/dispatch/dispatcher.h"
#include "server/dispatch/tenant_lanes.h"
#include "server/model/dispatch_limits.h"
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

TEST(FairnessTest, TwoTenantsWithABacklogShareTheTimeOfOnePosterAboutEqually) {
  FairWorld world;
  const TenantId tenants[] = {world.tenant, {MakeUuidV4(world.random)}};
  std::map<std::string, int> sent;
  for (const TenantId tenant : tenants) {
    world.SetRate(tenant, 200, 20);
    const std::string recipient = tenant == world.tenant ? "+15550000001" : "+15550000002";
    for (int i = 0; i < 1000; ++i) world.Accept(tenant, recipient);
  }
  Replica replica(world);
  // A POST takes 10 ms: 100 a second leave, of the 400 that both licences would let through.
  for (int post = 0; post < 1000; ++post) {
    if (post % 2 == 0) {
      replica.owner.Step();
      replica.dispatcher.ChooseStep();
    }
    world.clock.Advance(10ms);
    replica.dispatcher.PostStep();
    replica.RecordAll();
  }
  for (const SendRequest& request : world.outside.sent()) ++sent[request.recipient];
  ASSERT_EQ(sent.size(), 2U);
  EXPECT_EQ(world.Metric("postrider_intents_taken_back_total"), 0) << "no intent grew too old";
  for (const auto& [recipient, count] : sent) EXPECT_NEAR(count, 500, 25) << recipient;
}

TEST(FairnessTest, TwoTenantsWithABacklogComeToHaveAboutAsManyPosters) {
  constexpr int kPosters = 48;
  constexpr int kEnds = 1200;
  DispatchWorld world;
  TenantLanes lanes(world.clock, world.metrics, kPosters);
  const OwnedSlot slot{.lease = {}, .since = world.clock.Now() - 1h};
  const TenantId tenants[] = {{MakeUuidV4(world.random)}, {MakeUuidV4(world.random)}};
  std::deque<TenantId> under_way;
  std::map<TenantId, int> began;
  for (int end = 0; end < kEnds; ++end) {
    // The second one comes when the first has all that one may have.
    for (const TenantId tenant : std::span(tenants).first(end < kPosters ? 1 : 2)) {
      world.SetRate(tenant, 100, 5);
      std::vector<QueuedIntent> intents(
          static_cast<std::size_t>(lanes.Room(tenant, slot, *world.settings[tenant])[0]));
      for (QueuedIntent& intent : intents) {
        intent.key = {tenant, {MakeUuidV7(world.clock.Wall(), world.random)}};
        intent.start_by = world.clock.Now() + kStartBy;
      }
      EXPECT_TRUE(lanes.Push(std::move(intents)).empty());
    }
    while (const auto turn = lanes.Pop({})) {
      if (turn->stale) continue;
      under_way.push_back(turn->intent.key.tenant_id);
      if (end >= kEnds / 4) ++began[under_way.back()];
    }
    world.clock.Advance(10ms);
    // The POST that began first.
    lanes.Done(under_way.front(), 1);
    under_way.pop_front();
  }
  constexpr int kAbout = kEnds * 3 / 4 / 2;
  for (const TenantId tenant : tenants) {
    EXPECT_NEAR(began[tenant], kAbout, kAbout / 10);
    const auto has = std::count(under_way.begin(), under_way.end(), tenant);
    EXPECT_NEAR(static_cast<double>(has), kPosters / 3.0, 1) << "a third one would find as many";
  }
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
