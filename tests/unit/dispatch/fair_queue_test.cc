#include "server/dispatch/fair_queue.h"

#include <gtest/gtest.h>

#include "server/base/strings.h"
#include "server/model/dispatch_limits.h"
#include "tests/unit/dispatch/sender_of.h"

namespace postrider {
namespace {

constexpr auto kNothing = [](const Flow&, std::size_t) { return false; };

Flow Of(Priority priority, const std::string& campaign, std::uint8_t sender = 1) {
  return {.tenant_id = {},
          .priority = priority,
          .campaign_id = campaign,
          .sender_id = SenderOf(sender)};
}
Flow Bulk(const std::string& campaign, std::uint8_t sender = 1) {
  return Of(Priority::kBulk, campaign, sender);
}

/// `turns` turns with room for one a step, as "campaign/sender"; how often each.
std::map<std::string, int> Served(FairQueue& queue, int turns,
                                  const FairQueue::Skip& skip = kNothing,
                                  const std::function<int(const Flow&)>& cost = {}) {
  std::map<std::string, int> served;
  for (int i = 0; i < turns; ++i) {
    FairQueue::Rooms rooms = {1, 1, 1};
    const auto turn = queue.Next(rooms, skip);
    if (!turn.has_value()) continue;
    EXPECT_EQ(rooms[turn->rank], 0);
    if (cost) queue.Charge(turn->flow, cost(turn->flow) - 1);
    ++served[StrCat(turn->flow.campaign_id, "/", turn->flow.sender_id.uuid.bytes[15])];
  }
  return served;
}

TEST(FairQueueTest, WithRoomForOneAStepEveryFlowComesRound) {
  FairQueue queue;
  for (const char* campaign : {"a", "b", "c"}) queue.Add(Bulk(campaign));
  const std::map<std::string, int> served = Served(queue, 30);
  for (const char* flow : {"a/1", "b/1", "c/1"}) EXPECT_EQ(served.at(flow), 10) << flow;
}

TEST(FairQueueTest, CampaignsShareEquallyHoweverManySendersTheyUse) {
  FairQueue queue;
  for (std::uint8_t sender = 1; sender <= 4; ++sender) queue.Add(Bulk("wide", sender));
  queue.Add(Bulk("narrow", 9));
  std::map<std::string, int> served = Served(queue, 80);
  EXPECT_EQ(served.at("narrow/9"), 40);
  for (const char* flow : {"wide/1", "wide/2", "wide/3", "wide/4"})
    EXPECT_EQ(served[flow], 10) << flow;
}

TEST(FairQueueTest, TurnsAreCountedInSegments) {
  FairQueue queue;
  queue.Add(Bulk("long"));
  queue.Add(Bulk("short"));
  const std::map<std::string, int> served = Served(
      queue, 120, kNothing, [](const Flow& flow) { return flow.campaign_id == "long" ? 5 : 1; });
  EXPECT_NEAR(served.at("short/1"), 100, 2);
  EXPECT_NEAR(served.at("long/1"), 20, 2);
}

TEST(FairQueueTest, WhoComesAndGoesKeepsItsDebt) {
  FairQueue queue;
  queue.Add(Bulk("steady"));
  int hops = 0;
  for (int i = 0; i < 100; ++i) {
    queue.Add(Bulk("hopping"));
    FairQueue::Rooms rooms = {1, 1, 1};
    const auto turn = queue.Next(rooms, kNothing);
    ASSERT_TRUE(turn.has_value());
    if (turn->flow.campaign_id != "hopping") continue;
    ++hops;
    queue.Charge(turn->flow, 4);
    queue.Remove(turn->flow);
  }
  EXPECT_LE(hops, 20) << "one of six turns, each of five segments";
  EXPECT_GE(hops, 15);
}

TEST(FairQueueTest, PrioritiesAndTheFloorTable) {
  struct Case {
    const char* name;
    std::vector<Priority> waiting;
    int urgent, normal, bulk;  ///< Of 100 turns.
  };
  const auto u = Priority::kUrgent;
  const auto n = Priority::kNormal;
  const auto b = Priority::kBulk;
  const Case cases[] = {
      {"alone", {b}, 0, 0, 100},
      {"one in ten is the lower one's", {u, b}, 90, 0, 10},
      {"also below NORMAL", {n, b}, 0, 90, 10},
      {"each lower one's", {u, n, b}, 80, 10, 10},
      {"nobody waits", {}, 0, 0, 0},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    FairQueue queue;
    for (const Priority priority : c.waiting) queue.Add(Of(priority, StrCat(RankOf(priority))));
    std::map<std::string, int> served = Served(queue, 100);
    EXPECT_NEAR(served["0/1"], c.urgent, 1);
    EXPECT_NEAR(served["1/1"], c.normal, 1);
    EXPECT_NEAR(served["2/1"], c.bulk, 1);
  }
}

TEST(FairQueueTest, ALoneUrgentOneIsNextHoweverLongTheOthersHaveWaited) {
  FairQueue queue;
  for (int i = 0; i < 1000; ++i) queue.Add(Bulk(StrCat(i)));
  Served(queue, 500);
  queue.Add(Of(Priority::kUrgent, "code"));
  EXPECT_EQ(Served(queue, 1).count("code/1"), 1U);
}

TEST(FairQueueTest, ATurnOfTheFloorGoesWithTheRankThatItWasGivenBy) {
  FairQueue queue;
  queue.Add(Of(Priority::kUrgent, "code"));
  queue.Add(Bulk("news"));
  for (int i = 1; i <= kFloorEvery; ++i) {
    FairQueue::Rooms rooms = {1, 0, 0};
    const auto turn = queue.Next(rooms, kNothing);
    ASSERT_TRUE(turn.has_value());
    EXPECT_EQ(turn->flow.campaign_id, i == kFloorEvery ? "news" : "code");
    EXPECT_EQ(turn->rank, 0U);
  }
}

TEST(FairQueueTest, RoomTable) {
  struct Case {
    const char* name;
    FairQueue::Rooms rooms;
    int urgent, bulk;
  };
  const Case cases[] = {
      {"none", {0, 0, 0}, 0, 0},
      {"only for urgent ones", {3, 0, 0}, 3, 0},
      {"what urgent ones take is gone for others", {1, 1, 1}, 1, 0},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    FairQueue queue;
    queue.Add(Of(Priority::kUrgent, "code"));
    queue.Add(Bulk("news"));
    FairQueue::Rooms rooms = c.rooms;
    std::map<std::string, int> served;
    while (const auto turn = queue.Next(rooms, kNothing)) ++served[turn->flow.campaign_id];
    EXPECT_EQ(served["code"], c.urgent);
    EXPECT_EQ(served["news"], c.bulk);
  }
}

TEST(FairQueueTest, WhatMustWaitIsPassedOverAndComesBackInItsTurn) {
  FairQueue queue;
  queue.Add(Bulk("a", 1));
  queue.Add(Bulk("b", 2));
  const auto first_waits = [](const Flow& flow, std::size_t) {
    return flow.sender_id == SenderOf(1);
  };
  EXPECT_EQ(Served(queue, 10, first_waits).at("b/2"), 10);
  const std::map<std::string, int> after = Served(queue, 20);
  EXPECT_NEAR(after.at("a/1"), 10, 1) << "no turns are saved up while waiting";
  const auto all_wait = [](const Flow&, std::size_t) { return true; };
  EXPECT_TRUE(Served(queue, 5, all_wait).empty());
}

TEST(FairQueueTest, ItsMemoryIsBounded) {
  FairQueue queue;
  for (int i = 0; i < static_cast<int>(kMaxFlowsOfTenant) + 100; ++i) queue.Add(Bulk(StrCat(i)));
  EXPECT_EQ(queue.size(), kMaxFlowsOfTenant);
  Served(queue, static_cast<int>(kMaxFlowsOfTenant), kNothing, [](const Flow&) { return 2; });
  for (int i = 0; i < static_cast<int>(kMaxFlowsOfTenant); ++i) queue.Remove(Bulk(StrCat(i)));
  EXPECT_TRUE(queue.Empty());
  queue.Add(Bulk("new"));
  EXPECT_EQ(queue.size(), 1U) << "debts of those who left make room";
}

}  // namespace
}  // namespace postrider
