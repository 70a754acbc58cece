#include <algorithm>
#include <deque>

#include <gtest/gtest.h>

#include "server/dispatch/dispatcher.h"
#include "tests/support/dispatch_rig.h"

// How fast messages leave: through the dispatcher, on a fake clock.
namespace postrider {
namespace {

Outcome TooFast(std::chrono::nanoseconds retry_after) {
  Outcome outcome;
  outcome.kind = OutcomeKind::kNotSent;
  outcome.http_status = 429;
  outcome.retry_after = retry_after;
  outcome.pauses_tenant = true;
  return outcome;
}

TEST(RatesTest, TheLicensedRateIsUsedAndNeverExceeded) {
  DispatchWorld world;
  world.SetRate(world.tenant, 4.9, 5);
  Replica replica(world);
  constexpr auto kStep = 20ms;
  constexpr auto kRun = 20min;
  std::vector<double> sent_at_s;
  std::deque<double> minute;  // The sandbox's window: 300 in any 60 s, else 429.
  const MonotonicTime begin = world.clock.Now();
  while (world.clock.Now() < begin + kRun) {
    if (world.made - static_cast<int>(world.Sent()) < 20) {
      for (int i = 0; i < 20; ++i) world.Accept();
    }
    replica.WorkFor(kStep, kStep);
    const double now_s = std::chrono::duration<double>(world.clock.Now() - begin).count();
    while (sent_at_s.size() < world.Sent()) {
      sent_at_s.push_back(now_s);
      minute.push_back(now_s);
    }
    while (!minute.empty() && minute.front() <= now_s - 60) minute.pop_front();
    ASSERT_LE(minute.size(), 300U) << "a 429 at " << now_s;
  }
  const double run_s = std::chrono::duration<double>(kRun).count();
  EXPECT_GE(static_cast<double>(sent_at_s.size()), 0.97 * 5.0 * run_s) << "of the licence's 5";
  for (std::size_t i = 0; i < sent_at_s.size(); i += 3) {
    for (std::size_t k = i; k < std::min(i + 400, sent_at_s.size()); k += 3) {
      const double window_s = sent_at_s[k] - sent_at_s[i];
      ASSERT_LE(static_cast<double>(k - i + 1), 5 + 4.9 * (window_s + 0.2) + 1e-6);
    }
  }
}

TEST(RatesTest, ASenderWithoutTokensDoesNotHoldUpTheTenantsOthers) {
  DispatchWorld world;
  world.SetRate(world.tenant, 50, 10);
  const SenderId slow = world.sender;
  const SenderId fast{MakeUuidV4(world.random)};
  world.Configure(world.tenant, [&](TenantSettings& s) { s.senders = {{slow, 1}, {fast, 20}}; });
  Replica replica(world);
  for (int i = 0; i < 400; ++i) {
    world.AcceptWith([&](MessageRequest& request) {
      request.sender_id = i < 200 ? slow : fast;
      request.sender = i < 200 ? "slow" : "fast";
    });
  }
  replica.WorkFor(10s);
  std::map<std::string, int> sent;
  for (const SendRequest& request : world.outside.sent()) ++sent[request.sender];
  EXPECT_NEAR(sent["slow"], 10, 2);
  EXPECT_GE(sent["fast"], 190);
  EXPECT_EQ(world.Metric("postrider_intents_taken_back_total"), 0);
}

TEST(RatesTest, LongTextsCountAllTheirSegments) {
  DispatchWorld world;
  world.SetRate(world.tenant, 50, 10);
  world.Configure(world.tenant, [&](TenantSettings& s) { s.senders = {{world.sender, 2}}; });
  Replica replica(world);
  for (int i = 0; i < 50; ++i) {
    world.AcceptWith([](MessageRequest& request) { request.text = std::string(600, 'x'); });
  }
  replica.WorkFor(60s);
  EXPECT_NEAR(static_cast<double>(world.Sent()), 30, 2) << "of four segments each";
  EXPECT_EQ(world.Metric("postrider_intents_taken_back_total"), 0);
}

TEST(RatesTest, AnUrgentOneOvertakesOnTheSameSlowSender) {
  DispatchWorld world;
  world.SetRate(world.tenant, 4.9, 5);
  world.Configure(world.tenant, [&](TenantSettings& s) { s.senders = {{world.sender, 1}}; });
  Replica replica(world);
  for (int i = 0; i < 100; ++i) {
    world.AcceptWith([](MessageRequest& request) { request.priority = Priority::kBulk; });
  }
  replica.WorkFor(5s);
  while (world.Metric("postrider_intents_waiting") < 1) replica.WorkFor(10ms, 10ms);
  const std::size_t before = world.Sent();
  world.AcceptWith([](MessageRequest& request) {
    request.priority = Priority::kUrgent;
    request.text = "code";
  });
  replica.dispatcher.WakeAll();
  replica.WorkFor(2s, 10ms);
  ASSERT_GT(world.Sent(), before);
  EXPECT_EQ(world.outside.sent()[before].text, "code");
}

TEST(RatesTest, RetryAfterTable) {
  struct Case {
    const char* name;
    std::chrono::nanoseconds said;  ///< As read: 0 also for garbage and what is negative.
    std::chrono::nanoseconds least, most;
  };
  const Case cases[] = {
      {"nothing readable: a second and the backoff", 0ns, 1s, 2s},
      {"less than a second", 1ms, 1s, 1s},
      {"seconds", 30s, 30s, 30s},
      {"absurd: a day", 10'000h, 24h, 24h},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    DispatchWorld world;
    Replica replica(world);
    world.outside.Script("+15550000429", {TooFast(c.said)});
    world.Accept("+15550000429");
    while (world.Sent() == 0) replica.WorkFor(20ms);
    EXPECT_EQ(replica.dispatcher.EffectiveRate(world.tenant), 0);
    world.Accept();
    replica.WorkFor(c.least - 20ms, std::max<std::chrono::nanoseconds>(20ms, c.least / 1000));
    EXPECT_EQ(world.Sent(), 1U) << "too soon";
    replica.WorkFor(c.most - c.least + 3s);
    EXPECT_GE(world.Sent(), 2U);
    EXPECT_EQ(replica.dispatcher.EffectiveRate(world.tenant), 5) << "half of the rate";
  }
}

TEST(RatesTest, AfterA429TheRateComesBackInSteps) {
  DispatchWorld world;
  world.SetRate(world.tenant, 10, 1);
  Replica replica(world);
  world.outside.Script("+15550000429", {TooFast(5s)});
  world.Accept("+15550000429");
  for (int i = 0; i < 1000; ++i) world.Accept();
  while (replica.dispatcher.EffectiveRate(world.tenant) != 0) replica.WorkFor(20ms);
  replica.WorkFor(6s);
  EXPECT_EQ(world.Metric("postrider_dispatch_rate_limit"), 5);
  replica.WorkFor(40s);
  EXPECT_EQ(world.Metric("postrider_dispatch_rate_limit"), 9);
  replica.WorkFor(20s);
  EXPECT_EQ(world.Metric("postrider_dispatch_rate_limit"), 10);
}

TEST(RatesTest, APauseThatIsRecordedAfterTheSlotWasTakenBindsToo) {
  DispatchWorld world;
  Replica replica(world);
  replica.WorkFor(2s);
  ASSERT_EQ(replica.dispatcher.EffectiveRate(world.tenant), std::nullopt);
  // As the owner before does, whose POST was answered late.
  const MessageKey key = world.Accept();
  const auto own = replica.owner.Current();
  ASSERT_TRUE(world.store.Intend(own->replica, own->Leases(), {&key, 1}).ok());
  AttemptOutcome row{.key = key, .attempt = 1, .outcome = TooFast(60s), .again_in = 60s};
  row.outcome.hold = HoldReason::kRetryAfter;
  ASSERT_TRUE(world.store.RecordOutcomes(own->replica, {&row, 1}).ok());
  replica.WorkFor(2s);
  EXPECT_EQ(replica.dispatcher.EffectiveRate(world.tenant), 0);
  world.Accept();
  replica.WorkFor(55s);
  EXPECT_EQ(world.Sent(), 0U);
  replica.WorkFor(5s);
  EXPECT_EQ(world.Sent(), 2U);
}

}  // namespace
}  // namespace postrider
