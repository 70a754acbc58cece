#include "server/dispatch/content_sweep.h"

#include <gtest/gtest.h>

#include "server/model/content_limits.h"
#include "tests/support/dispatch_rig.h"

namespace postrider {
namespace {

constexpr const char* kPaused = "postrider_content_clusters_total{paused=\"yes\"}";
constexpr const char* kNotPaused = "postrider_content_clusters_total{paused=\"no\"}";

/// A replica whose messages carriers reject.
struct RejectedWorld {
  DispatchWorld world;
  Replica replica{world};
  ContentSweep sweep{world.store, replica.owner, world.metrics};
  int receipts = 0;

  /// Messages of a campaign that are sent, and rejected.
  void Reject(int count, const std::string& campaign) {
    for (int i = 0; i < count; ++i) {
      const MessageKey key =
          world.AcceptWith([&](MessageRequest& request) { request.campaign_id = campaign; });
      replica.WorkFor(1s, 100ms);
      Receipt receipt;
      receipt.message_id = key.message_id;
      receipt.status.state = MessageState::kFailed;
      receipt.status.failure = FailureReason::kCarrierRejected;
      const std::string body = StrCat("rejected ", ++receipts);
      receipt.status.hash = Sha256Bytes(body);
      const ParsedReceipt row{
          {key.tenant_id, {MakeUuidV7(world.clock.Wall(), world.random)}, "guide", body}, receipt};
      ASSERT_TRUE(world.store.ApplyReceipts({&row, 1}).ok());
      ASSERT_EQ(world.StateOf(key), MessageState::kFailed);
    }
  }
};

TEST(ContentSweepTest, ItCountsRejectionsAndClustersAndRestsWhenNoneWait) {
  RejectedWorld w;
  EXPECT_FALSE(w.sweep.Step());
  w.Reject(kClusterRejections - 1, "spring");
  EXPECT_TRUE(w.sweep.Step());
  EXPECT_FALSE(w.sweep.Step());
  EXPECT_EQ(w.world.Metric("postrider_content_rejections_total"), kClusterRejections - 1);
  EXPECT_EQ(w.world.Metric(kPaused), 0);
  w.Reject(1, "spring");
  w.Reject(kClusterRejections, "");
  EXPECT_TRUE(w.sweep.Step());
  EXPECT_TRUE(w.sweep.Step());
  EXPECT_FALSE(w.sweep.Step());
  EXPECT_EQ(w.world.Metric(kPaused), 1);
  EXPECT_EQ(w.world.Metric(kNotPaused), 1) << "of those without a campaign";

  const MessageKey held =
      w.world.AcceptWith([](MessageRequest& request) { request.campaign_id = "spring"; });
  const MessageKey other =
      w.world.AcceptWith([](MessageRequest& request) { request.campaign_id = "autumn"; });
  w.replica.WorkFor(2s, 100ms);
  EXPECT_EQ(w.world.StateOf(held), MessageState::kQueued);
  EXPECT_EQ(w.world.StateOf(other), MessageState::kSubmitted);
}

TEST(ContentSweepTest, AStoreThatIsAwayIsAskedAgain) {
  RejectedWorld w;
  w.Reject(kClusterRejections, "spring");
  w.world.store.FailNext(1, FakeStore::When::kBefore, "JudgeContent");
  EXPECT_FALSE(w.sweep.Step());
  EXPECT_EQ(w.world.Metric(kPaused), 0);
  EXPECT_TRUE(w.sweep.Step());
  EXPECT_EQ(w.world.Metric(kPaused), 1);
}

}  // namespace
}  // namespace postrider
