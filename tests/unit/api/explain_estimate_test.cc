// The estimate of ExplainMessage against what then happens: the dispatcher itself, on a fake clock.
#include <cmath>

#include <google/protobuf/util/time_util.h>
#include <gtest/gtest.h>

#include "server/api/explain.h"
#include "tests/support/dispatch_rig.h"

namespace postrider {
namespace {

using google::protobuf::util::TimeUtil;
using Seconds = std::chrono::duration<double>;

class EstimateTest : public ::testing::Test {
 protected:
  EstimateTest() { world_.SetRate(world_.tenant, 10, 1); }

  MessageKey Accept(Priority priority, const std::string& campaign) {
    world_.clock.Advance(1ms);
    return world_.AcceptWith([&](MessageRequest& request) {
      request.priority = priority;
      request.campaign_id = campaign;
      request.sender_id = world_.sender;
    });
  }
  void AcceptMany(int count, Priority priority, const std::string& campaign) {
    for (int i = 0; i < count; ++i) Accept(priority, campaign);
  }

  /// Seconds from now to when it is expected to leave; below zero: nobody knows.
  double Estimate(Replica& replica, const MessageKey& key, double sender_per_s = 1000) {
    const absl::StatusOr<QueuePlace> place = world_.store.FindQueuePlace(key, 10'000);
    EXPECT_TRUE(place.ok()) << place.status();
    if (!place.ok()) return -1;
    const std::vector<LaneFacts> lanes = replica.dispatcher.Look();
    v1::ExplainMessageResponse answer;
    ExplainQueued(world_.Record(key).message.status, *place,
                  {.tenant_per_s = 10, .sender_per_s = sender_per_s},
                  lanes.empty() ? std::nullopt : std::optional(lanes.front()), answer);
    if (!answer.has_estimated_at()) return -1;
    return static_cast<double>(TimeUtil::TimestampToMilliseconds(answer.estimated_at()) -
                               TimeUtil::TimestampToMilliseconds(answer.at())) /
           1e3;
  }

  /// Works until it has left; the seconds that took.
  double Leaves(Replica& replica, const MessageKey& key) {
    const MonotonicTime begin = world_.clock.Now();
    while (world_.StateOf(key) != MessageState::kSubmitted) {
      replica.WorkFor(20ms);
      if (world_.clock.Now() - begin > 1h) break;
    }
    return Seconds(world_.clock.Now() - begin).count();
  }

  /// Within a tenth, and half a second.
  void ExpectAsTold(double told_s, double took_s) {
    EXPECT_GT(told_s, 1);
    EXPECT_NEAR(took_s, told_s, told_s * 0.1 + 0.5);
  }

  DispatchWorld world_;
};

TEST_F(EstimateTest, HoldsForTheLastOfAQueue) {
  Replica replica(world_);
  AcceptMany(300, Priority::kNormal, "a");
  const MessageKey last = Accept(Priority::kNormal, "a");
  replica.WorkFor(1s);
  const double told = Estimate(replica, last);
  ExpectAsTold(told, Leaves(replica, last));
}

TEST_F(EstimateTest, HoldsForCampaignsThatTakeTurns) {
  Replica replica(world_);
  AcceptMany(200, Priority::kNormal, "a");
  AcceptMany(30, Priority::kNormal, "b");
  const MessageKey last_of_b = Accept(Priority::kNormal, "b");
  replica.WorkFor(1s);
  const double told = Estimate(replica, last_of_b);
  ExpectAsTold(told, Leaves(replica, last_of_b));
  EXPECT_LT(told, 8) << "not after all of the other campaign";
}

TEST_F(EstimateTest, HoldsForTheFloorOfALowerPriority) {
  Replica replica(world_);
  AcceptMany(2000, Priority::kNormal, "a");
  AcceptMany(5, Priority::kBulk, "b");
  const MessageKey bulk = Accept(Priority::kBulk, "b");
  replica.WorkFor(200ms);
  const double told = Estimate(replica, bulk);
  ExpectAsTold(told, Leaves(replica, bulk));
  EXPECT_LT(told, 10) << "not after all that is more urgent";
}

TEST_F(EstimateTest, HoldsForASlowSender) {
  world_.Configure(world_.tenant,
                   [&](TenantSettings& settings) { settings.senders[world_.sender] = 2; });
  Replica replica(world_);
  AcceptMany(60, Priority::kNormal, "a");
  const MessageKey last = Accept(Priority::kNormal, "a");
  replica.WorkFor(1s);
  const double told = Estimate(replica, last, 2);
  ExpectAsTold(told, Leaves(replica, last));
  EXPECT_GT(told, 25);
}

TEST_F(EstimateTest, HoldsWhileTheRateComesBackAfterA429) {
  Replica replica(world_);
  Outcome throttled;
  throttled.kind = OutcomeKind::kNotSent;
  throttled.pauses_tenant = true;
  throttled.retry_after = 7s;
  world_.outside.Script("+15550000429", {throttled});
  world_.Accept("+15550000429");
  replica.WorkFor(200ms);
  AcceptMany(300, Priority::kNormal, "a");
  const MessageKey last = Accept(Priority::kNormal, "a");
  replica.WorkFor(2s);
  const double told = Estimate(replica, last);
  ExpectAsTold(told, Leaves(replica, last));
  EXPECT_GT(told, 40) << "at the full rate it would be 36";
}

}  // namespace
}  // namespace postrider
