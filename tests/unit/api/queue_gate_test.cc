#include "server/api/queue_gate.h"

#include <algorithm>
#include <vector>

#include <gtest/gtest.h>

#include "server/model/limits.h"
#include "tests/support/event_log.h"
#include "tests/support/fake_clock.h"

namespace postrider {
namespace {

const QueueBound kQueue{{UuidOf(1)}, 100, 10};

class QueueGateTest : public testing::Test {
 protected:
  FakeClock clock_;
  SeededRandom random_{1};
  QueueGate gate_{clock_, random_};
};

TEST(QueueLimitTest, UnlessSetItIsWhatTheRateDrainsInAnHourAndAThousandAtLeast) {
  TenantRow tenant;
  EXPECT_EQ(QueueLimitOf(tenant), 17640);
  tenant.rate_per_s = 0.1;
  EXPECT_EQ(QueueLimitOf(tenant), 1000);
  tenant.rate_per_s = kMaxRatePerSecond;
  EXPECT_EQ(QueueLimitOf(tenant), 360'000'000);
  tenant.queue_limit = 5;
  EXPECT_EQ(QueueLimitOf(tenant), 5);
}

TEST(QueueBoundTest, AQueueDrainsAsFastAsItsTenantMayAndItsSendersCan) {
  TenantRow tenant;
  tenant.rate_per_s = 10;
  EXPECT_EQ(QueueBoundOf(tenant).drained_per_s, 10) << "without senders";
  tenant.senders.push_back({.sender_id = {}, .address = "+15550000001"});
  EXPECT_EQ(QueueBoundOf(tenant).drained_per_s, 1) << "a long code";
  tenant.senders.push_back({.sender_id = {}, .address = "+15550000002", .segments_per_s = 4});
  EXPECT_EQ(QueueBoundOf(tenant).drained_per_s, 5);
  tenant.senders.push_back({.sender_id = {}, .address = "24365"});
  EXPECT_EQ(QueueBoundOf(tenant).drained_per_s, 10);
}

TEST_F(QueueGateTest, AQueueThatWasNeverFullIsNotInTheWay) {
  for (int i = 0; i < 1000; ++i) EXPECT_FALSE(gate_.TryRefuse(kQueue).has_value());
}

TEST_F(QueueGateTest, AFloodIsRefusedUnaskedButForSomeWhoAskAndNeverForLongerThanAVerdictStands) {
  gate_.Refuse(kQueue, 100);
  int asked = 0;
  for (int i = 0; i < 1000; ++i) asked += gate_.TryRefuse(kQueue) ? 0 : 1;
  EXPECT_EQ(asked, kQueueProbes);
  clock_.Advance(kQueueRefusedUnasked);
  EXPECT_FALSE(gate_.TryRefuse(kQueue).has_value());
}

TEST_F(QueueGateTest, AnotherTenantsQueueIsNotShut) {
  const QueueBound other{{UuidOf(2)}, 100, 10};
  gate_.Refuse(kQueue, 100);
  for (int i = 0; i < 1000; ++i) EXPECT_FALSE(gate_.TryRefuse(other).has_value());
}

TEST_F(QueueGateTest, WhoIsAcceptedOpensItForAll) {
  gate_.Refuse(kQueue, 100);
  gate_.Open(kQueue.tenant_id);
  for (int i = 0; i < 1000; ++i) EXPECT_FALSE(gate_.TryRefuse(kQueue).has_value());
}

TEST_F(QueueGateTest, TheRefusalTellsLimitAndDepth) {
  const ApiError error = gate_.Refuse(kQueue, 117);
  EXPECT_EQ(error.code, absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(error.reason, "QUEUE_FULL");
  EXPECT_EQ(error.metadata.at("limit"), "100");
  EXPECT_EQ(error.metadata.at("depth"), "117");
  EXPECT_FALSE(error.never_retry);
}

TEST_F(QueueGateTest, TheExcessIsWaitedForAtTheRateAtWhichTheQueueDrains) {
  const auto wait = *gate_.Refuse(kQueue, 219).retry_after;  // 120 too many, 10 a second
  EXPECT_GE(wait, 12s);
  EXPECT_LE(wait, 15s);
}

TEST_F(QueueGateTest, CallersComeBackOneAfterTheOtherAsFastAsTheQueueDrains) {
  std::vector<std::chrono::milliseconds> waits;
  for (int i = 0; i < 200; ++i) waits.push_back(*gate_.Refuse(kQueue, 100).retry_after);
  EXPECT_LE(waits.front(), 1250ms);
  EXPECT_GE(waits.back(), 20s);
  EXPECT_LE(waits.back(), 25s);
  std::sort(waits.begin(), waits.end());
  // In any second some twelve of them; the first second's places are all told a second at least.
  int most = 0;
  for (std::size_t i = 0; i < waits.size(); ++i) {
    if (waits[i] < 2s) continue;
    const auto end = std::upper_bound(waits.begin(), waits.end(), waits[i] + 1s);
    most = std::max(most, static_cast<int>(end - waits.begin()) - static_cast<int>(i));
  }
  EXPECT_LE(most, 20);
}

TEST_F(QueueGateTest, TheLineMovesWithTime) {
  for (int i = 0; i < 200; ++i) gate_.Refuse(kQueue, 100);
  clock_.Advance(30s);
  EXPECT_LE(*gate_.Refuse(kQueue, 100).retry_after, 1250ms);
}

TEST_F(QueueGateTest, NobodyIsToldLessThanASecondOrMoreThanAMinuteAndNotAllTheSame) {
  const double rates[] = {1e-9, 0.01, 1, 4.9, 100000};
  const std::int64_t depths[] = {0, 100, 101, 1'000'000'000'000};
  for (const double rate : rates) {
    for (const std::int64_t depth : depths) {
      std::vector<std::chrono::milliseconds> waits;
      for (int i = 0; i < 100; ++i) {
        waits.push_back(*gate_.Refuse({kQueue.tenant_id, 100, rate}, depth).retry_after);
        EXPECT_GE(waits.back(), kQueueRetryShortest);
        EXPECT_LE(waits.back(), kQueueRetryLongest);
      }
      std::sort(waits.begin(), waits.end());
      EXPECT_GE(waits.back() - waits.front(), 200ms) << rate << " " << depth;
    }
  }
}

TEST(QuotaExceededTest, EndsWithTheDayAndIsNotRepeatedBefore) {
  struct Case {
    std::chrono::nanoseconds of_day;
    std::chrono::milliseconds wait;
  };
  const Case cases[] = {{0ns, 24h}, {1h, 23h}, {23h + 59min + 59s, 1s}, {24h - 1ns, 1ms}};
  for (const Case& c : cases) {
    const WallTime now = WallTime(std::chrono::days(20000)) + c.of_day;
    const ApiError error = QuotaExceeded("tenant:one", 10, 10, now);
    EXPECT_EQ(error.retry_after, c.wait);
    EXPECT_TRUE(error.never_retry);
    ASSERT_EQ(error.quotas.size(), 1U);
    EXPECT_EQ(error.quotas[0].subject, "tenant:one");
    EXPECT_EQ(error.metadata.at("quota"), "10");
  }
}

}  // namespace
}  // namespace postrider
