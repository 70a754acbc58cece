#include "server/dispatch/dispatcher.h"

#include <gtest/gtest.h>

#include "server/model/dispatch_limits.h"
#include "tests/support/dispatch_rig.h"

namespace postrider {
namespace {

using State = MessageState;

Outcome NotSent() {
  Outcome outcome;
  outcome.kind = OutcomeKind::kNotSent;
  outcome.detail = "connection refused";
  return outcome;
}

Outcome TooFast(std::chrono::nanoseconds retry_after) {
  Outcome outcome = NotSent();
  outcome.http_status = 429;
  outcome.retry_after = retry_after;
  outcome.pauses_tenant = true;
  return outcome;
}

Outcome OfKind(OutcomeKind kind) {
  Outcome outcome;
  outcome.kind = kind;
  return outcome;
}

TEST(DispatcherTest, AnAcceptedMessageIsPostedOnceAndRecorded) {
  DispatchWorld world;
  Replica replica(world);
  replica.WorkFor(1s);
  const MessageKey key = world.Accept("+15550000042");
  replica.dispatcher.WakeAll();
  replica.Work();
  EXPECT_EQ(world.StateOf(key), State::kSubmitted);
  replica.WorkFor(5s);
  const auto sent = world.outside.sent();
  ASSERT_EQ(sent.size(), 1U);
  EXPECT_EQ(sent[0].message_id, key.message_id);
  EXPECT_EQ(sent[0].attempt, 1);
  EXPECT_EQ(sent[0].recipient, "+15550000042");
  EXPECT_EQ(sent[0].text, "Hello");
  EXPECT_EQ(world.Record(key).message.provider_message_id, "msg-1");
}

TEST(DispatcherTest, AnIntentIsOnRecordBeforeThePost) {
  DispatchWorld world;
  Replica replica(world);
  replica.WorkFor(1s);
  const MessageKey key = world.Accept();
  replica.dispatcher.WakeAll();
  replica.dispatcher.ChooseStep();
  EXPECT_EQ(world.StateOf(key), State::kDispatching);
  EXPECT_EQ(world.Sent(), 0U);
}

TEST(DispatcherTest, TheRateIsNeverExceededInAnyWindow) {
  DispatchWorld world;
  world.SetRate(world.tenant, 4.9, 5);
  Replica replica(world);
  for (int i = 0; i < 300; ++i) world.Accept();
  std::vector<std::size_t> ledger = {0};
  const auto step = 10ms;
  for (int i = 0; i < 3000; ++i) {
    replica.WorkFor(step, step);
    ledger.push_back(world.Sent());
  }
  for (std::size_t from = 0; from < ledger.size(); from += 7) {
    for (std::size_t to = from; to < ledger.size(); to += 11) {
      const double seconds = static_cast<double>(to - from) * 0.010;
      ASSERT_LE(static_cast<double>(ledger[to] - ledger[from]), 5 + 4.9 * seconds + 1e-6)
          << from << " to " << to;
    }
  }
  EXPECT_GE(ledger.back(), 145U) << "and it is used: 30 s x 4.9";
}

TEST(DispatcherTest, ANewOwnerStartsWithAnEmptyBucket) {
  DispatchWorld world;
  world.SetRate(world.tenant, 1, 5);
  Replica replica(world);
  for (int i = 0; i < 10; ++i) world.Accept();
  replica.Work();
  EXPECT_EQ(world.Sent(), 0U);
  replica.WorkFor(2s);
  EXPECT_EQ(world.Sent(), 2U);
}

TEST(DispatcherTest, ALoneMessageOfAnIdleTenantDoesNotWaitForATokenFromItsFirstSight) {
  DispatchWorld world;
  world.SetRate(world.tenant, 1, 5);
  Replica replica(world);
  replica.WorkFor(10s, 500ms);
  for (int i = 0; i < 10; ++i) world.Accept();
  replica.dispatcher.WakeAll();
  replica.Work();
  EXPECT_EQ(world.Sent(), 5U) << "a burst has come together since the slot was taken";
}

TEST(DispatcherTest, AWakeLooksAtOnceAndAPollFindsWhatOthersAccepted) {
  DispatchWorld world;
  Replica replica(world);
  replica.WorkFor(1s);
  const MessageKey quiet = world.Accept();
  replica.dispatcher.ChooseStep();
  EXPECT_EQ(world.StateOf(quiet), State::kQueued) << "the last look was just now";
  replica.WorkFor(kDispatchPoll);
  EXPECT_EQ(world.StateOf(quiet), State::kSubmitted);
}

TEST(DispatcherTest, A429StopsTheWholeTenantUntilRetryAfter) {
  DispatchWorld world;
  Replica replica(world);
  const MessageKey refused = world.Accept("+15550000429");
  std::vector<MessageKey> others;
  for (int i = 0; i < 20; ++i) others.push_back(world.Accept());
  world.outside.Script("+15550000429", {TooFast(30s)});
  replica.WorkFor(300ms);
  const std::size_t before = world.Sent();
  ASSERT_GE(before, 1U);
  ASSERT_LT(before, 6U);
  EXPECT_EQ(world.Record(refused).message.status.hold_reason, HoldReason::kRetryAfter);
  replica.WorkFor(29s);
  EXPECT_EQ(world.Sent(), before);
  replica.WorkFor(10s);
  EXPECT_EQ(world.Sent(), 22U);
  EXPECT_EQ(world.StateOf(refused), State::kSubmitted);
}

TEST(DispatcherTest, ARetryAfterBindsTheNextOwnerToo) {
  DispatchWorld world;
  {
    Replica first(world);
    world.Accept("+15550000429");
    world.outside.Script("+15550000429", {TooFast(60s)});
    first.WorkFor(300ms);
    ASSERT_EQ(world.Sent(), 1U);
    ASSERT_TRUE(first.dispatcher.Drain(1s));
    ASSERT_TRUE(first.owner.Drain().ok());
  }
  for (int i = 0; i < 5; ++i) world.Accept();
  Replica second(world);
  second.WorkFor(50s);
  EXPECT_EQ(world.Sent(), 1U);
  second.WorkFor(15s);
  EXPECT_EQ(world.Sent(), 7U);
}

TEST(DispatcherTest, OneTenantsPauseDoesNotHoldUpAnother) {
  DispatchWorld world;
  const TenantId other{MakeUuidV4(world.random)};
  world.SetRate(other, 10, 5);
  Replica replica(world);
  world.Accept("+15550000429");
  world.outside.Script("+15550000429", {TooFast(1h)});
  replica.WorkFor(300ms);
  std::vector<MessageKey> keys;
  for (int i = 0; i < 5; ++i) keys.push_back(world.Accept(other));
  world.Accept();
  replica.WorkFor(2s);
  for (const MessageKey& key : keys) EXPECT_EQ(world.StateOf(key), State::kSubmitted);
  EXPECT_EQ(world.Sent(), 6U);
}

TEST(DispatcherTest, NotSentIsTriedAgainAfterALongerAndLongerTime) {
  DispatchWorld world;
  Replica replica(world);
  const MessageKey key = world.Accept("+15550000503");
  world.outside.Script("+15550000503", std::vector<Outcome>(8, NotSent()));
  replica.WorkFor(15min, 100ms);
  EXPECT_EQ(world.StateOf(key), State::kSubmitted);
  const auto attempts = world.Record(key).attempts;
  ASSERT_EQ(attempts.size(), 9U);
  for (std::size_t i = 1; i < attempts.size(); ++i) {
    const auto bound =
        std::min<std::chrono::nanoseconds>(kBackoffFirst * (1 << (i - 1)), kBackoffLongest);
    EXPECT_LE(attempts[i].intended_at - attempts[i - 1].outcome_at, bound + 600ms) << i;
  }
  EXPECT_GT(attempts.back().intended_at - attempts.front().outcome_at, 10s);
}

TEST(DispatcherTest, AnUnknownOutcomeIsNeverPostedAgain) {
  DispatchWorld world;
  Replica replica(world);
  const MessageKey key = world.Accept("+15550000504");
  world.outside.Script("+15550000504", {OfKind(OutcomeKind::kUnknown)});
  replica.WorkFor(10min, 500ms);
  EXPECT_EQ(world.StateOf(key), State::kUnknown);
  EXPECT_EQ(world.Sent(), 1U);
  replica.WorkFor(kReceiptWindow, 1h);
  EXPECT_EQ(replica.dispatcher.CloseStep(), 1U);
  EXPECT_EQ(world.StateOf(key), State::kUndetermined);
  EXPECT_EQ(world.Sent(), 1U);
}

TEST(DispatcherTest, AQuotaHoldsTheMessageLongAndARejectionEndsIt) {
  DispatchWorld world;
  Replica replica(world);
  const MessageKey held = world.Accept("+15550000409");
  const MessageKey rejected = world.Accept("+15550000400");
  world.outside.Script("+15550000409", {OfKind(OutcomeKind::kHeld)});
  world.outside.Script("+15550000400", {OfKind(OutcomeKind::kRejected)});
  replica.WorkFor(10min, 100ms);
  EXPECT_EQ(world.StateOf(rejected), State::kRejected);
  EXPECT_EQ(world.StateOf(held), State::kQueued);
  EXPECT_EQ(world.Record(held).message.status.hold_reason, HoldReason::kQuota);
  replica.WorkFor(6min, 100ms);
  EXPECT_EQ(world.StateOf(held), State::kSubmitted);
}

TEST(DispatcherTest, AHoldLastsAsLongAsTheProviderSaid) {
  DispatchWorld world;
  Replica replica(world);
  Outcome busy = OfKind(OutcomeKind::kHeld);
  busy.retry_after = 60s;
  world.outside.Script("+15550000409", {busy});
  const MessageKey held = world.Accept("+15550000409");
  replica.WorkFor(59s, 100ms);
  EXPECT_EQ(world.StateOf(held), State::kQueued);
  replica.WorkFor(10s, 100ms);
  EXPECT_EQ(world.StateOf(held), State::kSubmitted);
}

TEST(DispatcherTest, RefusedCredentialsStopTheTenantForALongerAndLongerTime) {
  DispatchWorld world;
  Replica replica(world);
  Outcome refused = NotSent();
  refused.http_status = 401;
  refused.stops_tenant = true;
  world.outside.Script("+15550000401", {refused, refused});
  const MessageKey key = world.Accept("+15550000401");
  replica.WorkFor(1s);
  ASSERT_EQ(world.Sent(), 1U);
  EXPECT_EQ(world.Record(key).message.status.hold_reason, HoldReason::kTenantStopped);
  world.Accept();
  replica.WorkFor(55s, 100ms);
  EXPECT_EQ(world.Sent(), 1U) << "nothing of the tenant leaves";
  replica.WorkFor(10s, 100ms);
  EXPECT_GE(world.Sent(), 2U);
  replica.WorkFor(15min, 100ms);
  EXPECT_EQ(world.StateOf(key), State::kSubmitted);
}

TEST(DispatcherTest, AnAccountThatCannotBeUsedStopsTheTenantAndAChangedOneIsTakenUp) {
  DispatchWorld world;
  Replica replica(world);
  world.outside.FailMake(absl::InvalidArgumentError("base_url: not a URL"));
  const MessageKey key = world.Accept();
  replica.WorkFor(1s);
  EXPECT_EQ(world.Record(key).message.status.hold_reason, HoldReason::kTenantStopped);
  world.outside.FailMake(absl::OkStatus());
  replica.WorkFor(2min, 100ms);
  EXPECT_EQ(world.StateOf(key), State::kSubmitted);
  const std::size_t made = world.outside.made().size();
  TenantSettings next = *world.settings[world.tenant];
  world.settings[world.tenant] = std::make_shared<const TenantSettings>(next);
  world.Accept();
  replica.WorkFor(1s);
  EXPECT_EQ(world.outside.made().size(), made) << "the same account keeps its connection";
  next.account.client_secret = Secret("rotated");
  world.settings[world.tenant] = std::make_shared<const TenantSettings>(next);
  world.Accept();
  replica.WorkFor(1s);
  EXPECT_EQ(world.outside.made().size(), made + 1);
}

TEST(DispatcherTest, ARateChangesWithoutARestart) {
  DispatchWorld world;
  world.SetRate(world.tenant, 1, 1);
  Replica replica(world);
  for (int i = 0; i < 100; ++i) world.Accept();
  replica.WorkFor(5s);
  const std::size_t slow = world.Sent();
  EXPECT_LE(slow, 6U);
  world.SetRate(world.tenant, 10, 1);
  replica.WorkFor(5s);
  EXPECT_GE(world.Sent() - slow, 45U);
  EXPECT_LE(world.Sent() - slow, 52U);
}

TEST(DispatcherTest, ATenantWithoutSettingsWaits) {
  DispatchWorld world;
  Replica replica(world);
  const auto settings = world.settings[world.tenant];
  world.settings.clear();
  const MessageKey key = world.Accept();
  replica.WorkFor(5s);
  EXPECT_EQ(world.StateOf(key), State::kQueued);
  world.settings[world.tenant] = settings;
  replica.WorkFor(1s);
  EXPECT_EQ(world.StateOf(key), State::kSubmitted);
}

}  // namespace
}  // namespace postrider
