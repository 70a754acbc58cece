#include "server/dispatch/tenant_buckets.h"

#include <algorithm>

#include <gtest/gtest.h>

#include "server/model/dispatch_limits.h"
#include "tests/support/fake_clock.h"
#include "tests/unit/dispatch/sender_of.h"

namespace postrider {
namespace {

TenantSettings Settings(double rate_per_s, double burst, std::map<SenderId, double> senders = {}) {
  TenantSettings settings;
  settings.rate_per_s = rate_per_s;
  settings.burst = burst;
  settings.senders = std::move(senders);
  return settings;
}

/// Messages of one segment that leave within `time`, looked at every millisecond.
int LeaveWithin(FakeClock& clock, TenantBuckets& buckets, std::chrono::milliseconds time,
                SenderId sender = SenderOf(1)) {
  int left = 0;
  for (std::chrono::milliseconds passed{}; passed < time; passed += 1ms) {
    clock.Advance(1ms);
    while (buckets.Wait() == 0ns && buckets.WaitOf(sender) == 0ns) {
      buckets.Take(sender, 1);
      ++left;
    }
  }
  return left;
}

TEST(TenantBucketsTest, AllBeginEmptyButForWhatHasComeSince) {
  FakeClock clock;
  TenantBuckets fresh(clock, Settings(10, 5, {{SenderOf(1), 1}}), clock.Now());
  EXPECT_GT(fresh.Wait(), 0ns);
  EXPECT_GT(fresh.WaitOf(SenderOf(1)), 0ns);
  EXPECT_EQ(fresh.TryTakeRead(1, false), 0);
  TenantBuckets old(clock, Settings(10, 5, {{SenderOf(1), 1}}), clock.Now() - 1h);
  EXPECT_EQ(old.Wait(), 0ns);
  EXPECT_DOUBLE_EQ(old.MessagesWithin(0ns), 5);
  EXPECT_DOUBLE_EQ(old.SegmentsWithin(SenderOf(1), 0ns), 1);
}

TEST(TenantBucketsTest, TheTightestBucketDecidesTable) {
  struct Case {
    const char* name;
    double requests, messages, sender;
    int in_ten_seconds;
  };
  const Case cases[] = {
      {"the credential", 2, 50, 50, 20},
      {"the licence", 50, 3, 50, 30},
      {"the sender", 50, 50, 1, 10},
      {"a sender without a bound", 50, 4, 0, 40},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    FakeClock clock;
    TenantSettings settings = Settings(c.messages, 1);
    settings.requests_per_s = c.requests;
    settings.requests_burst = 1;
    if (c.sender > 0) settings.senders[SenderOf(1)] = c.sender;
    TenantBuckets buckets(clock, settings, clock.Now());
    EXPECT_NEAR(LeaveWithin(clock, buckets, 10s), c.in_ten_seconds, 1);
  }
}

TEST(TenantBucketsTest, ASenderPaysAllSegmentsOfAMessage) {
  FakeClock clock;
  TenantBuckets buckets(clock, Settings(100, 10, {{SenderOf(1), 1}}), clock.Now() - 1h);
  EXPECT_EQ(buckets.WaitOf(SenderOf(1)), 0ns);
  buckets.Take(SenderOf(1), 5);
  EXPECT_EQ(buckets.WaitOf(SenderOf(1)), 5s);
  EXPECT_LT(buckets.SegmentsWithin(SenderOf(1), kIntentAhead), 0);
  EXPECT_EQ(buckets.Wait(), 0ns) << "other senders go on";
  EXPECT_EQ(buckets.WaitOf(SenderOf(2)), 0ns);
}

TEST(TenantBucketsTest, RecoveryGoesInStepsFromHalfTheRate) {
  FakeClock clock;
  TenantBuckets buckets(clock, Settings(10, 1), clock.Now() - 1h);
  buckets.Pause(30s, true);
  buckets.Pause(20s, true);  // Of a POST that was under way: the same event.
  EXPECT_EQ(buckets.EffectiveRate(), 0);
  EXPECT_EQ(LeaveWithin(clock, buckets, 30s), 0);
  const int per_ten_seconds[] = {50, 60, 70, 80, 90, 100, 100};
  for (const int wanted : per_ten_seconds) {
    clock.Advance(1ns);
    EXPECT_DOUBLE_EQ(buckets.EffectiveRate(), wanted / 10.0);
    EXPECT_NEAR(LeaveWithin(clock, buckets, 10s), wanted, 2);
  }
}

TEST(TenantBucketsTest, EachFurther429HalvesDownToATenth) {
  FakeClock clock;
  TenantBuckets buckets(clock, Settings(10, 1), clock.Now());
  const double wanted[] = {5, 2.5, 1.25, 1, 1};
  for (const double rate : wanted) {
    buckets.Pause(1s, true);
    clock.Advance(1s + 1ms);
    EXPECT_DOUBLE_EQ(buckets.EffectiveRate(), rate);
  }
  clock.Advance(2min);
  EXPECT_DOUBLE_EQ(buckets.EffectiveRate(), 10);
}

TEST(TenantBucketsTest, AStopOfTheTenantNeedsNoRecovery) {
  FakeClock clock;
  TenantBuckets buckets(clock, Settings(10, 1), clock.Now());
  buckets.Pause(1min, false);
  clock.Advance(1min + 1ns);
  EXPECT_DOUBLE_EQ(buckets.EffectiveRate(), 10);
}

TEST(TenantBucketsTest, ReadsGetAFifthInQuietTimesAndAFiftiethBesideSends) {
  FakeClock clock;
  TenantBuckets quiet(clock, Settings(10, 5), clock.Now());
  int reads = 0;
  for (int i = 0; i < 100'000; ++i) {
    clock.Advance(1ms);
    reads += quiet.TryTakeRead(1, false);
  }
  EXPECT_NEAR(reads, 200, 2);

  TenantBuckets busy(clock, Settings(10, 5), clock.Now());
  int sends = 0;
  reads = 0;
  for (int i = 0; i < 100'000; ++i) {
    clock.Advance(1ms);
    if (busy.Wait() == 0ns) {
      busy.Take(SenderOf(1), 1);
      ++sends;
    }
    if (i % 200 == 0) reads += busy.TryTakeRead(1, true);
  }
  EXPECT_NEAR(reads, 20, 2);
  EXPECT_GE(sends, 970);
  EXPECT_LE(sends + reads, 1005) << "all out of one credential";
}

TEST(TenantBucketsTest, ASearchIsPaidBeforeItBegins) {
  FakeClock clock;
  TenantBuckets buckets(clock, Settings(10, 5), clock.Now());
  clock.Advance(400ms);
  EXPECT_EQ(buckets.TryTakeRead(5, false), 0) << "four tokens are there";
  clock.Advance(100ms);
  EXPECT_EQ(buckets.TryTakeRead(5, false), 5);
  EXPECT_EQ(buckets.Wait(), 100ms) << "nothing is left";
  buckets.ReturnReads(2);
  EXPECT_EQ(buckets.Wait(), 0ns);

  clock.Advance(10s);
  EXPECT_EQ(buckets.TryTakeRead(7, false), 5) << "never more than the burst";
}

TEST(TenantBucketsTest, SearchesBesideSendsGetTheirTokensAndTheirShare) {
  FakeClock clock;
  TenantBuckets busy(clock, Settings(10, 5), clock.Now());
  int sends = 0;
  int requests = 0;
  for (int i = 0; i < 300'000; ++i) {
    clock.Advance(1ms);
    if (busy.Wait() == 0ns) {
      busy.Take(SenderOf(1), 1);
      ++sends;
    }
    if (i % 500 == 0) requests += busy.TryTakeRead(5, true);
  }
  EXPECT_NEAR(requests, 60, 10) << "a fiftieth of 3000";
  EXPECT_GE(sends + requests, 2900);
  EXPECT_LE(sends + requests, 3005);
}

TEST(TenantBucketsTest, MoreRequestsThanAskedForArePaidLater) {
  FakeClock clock;
  TenantBuckets buckets(clock, Settings(1, 1), clock.Now() - 1h);
  buckets.Take(SenderOf(1), 1);
  buckets.SpendRequests(1);
  EXPECT_EQ(buckets.Wait(), 2s);
}

TEST(TenantBucketsTest, ChangedSettingsApply) {
  FakeClock clock;
  TenantBuckets buckets(clock, Settings(1, 1, {{SenderOf(1), 1}}), clock.Now());
  EXPECT_FALSE(buckets.Follow(Settings(1, 1, {{SenderOf(1), 1}})));
  EXPECT_GT(buckets.WaitOf(SenderOf(1)), 0ns);
  EXPECT_TRUE(buckets.Follow(Settings(100, 1, {{SenderOf(1), 50}})));
  EXPECT_EQ(buckets.WaitOf(SenderOf(1)), 20ms);
  EXPECT_TRUE(buckets.Follow(Settings(100, 1)));
  EXPECT_EQ(buckets.WaitOf(SenderOf(1)), 0ns);
}

}  // namespace
}  // namespace postrider
