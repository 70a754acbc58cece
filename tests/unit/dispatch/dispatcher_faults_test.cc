#include <algorithm>

#include <gtest/gtest.h>

#include "server/dispatch/dispatcher.h"
#include "server/model/dispatch_limits.h"
#include "tests/support/dispatch_rig.h"

// What the dispatcher survives: lost leases, a store that is away, draining.
namespace postrider {
namespace {

using State = MessageState;

TEST(DispatcherFaultsTest, AFencedOwnerPostsNothing) {
  DispatchWorld world;
  Replica replica(world);
  replica.WorkFor(1s);
  const MessageKey key = world.Accept();
  replica.dispatcher.WakeAll();
  replica.dispatcher.ChooseStep();
  ASSERT_EQ(world.StateOf(key), State::kDispatching);
  world.clock.Advance(kLeaseTime + 1ms);
  Replica heir(world);
  ASSERT_FALSE(heir.owner.Current()->slots.empty());
  replica.Post();
  replica.RecordAll();
  EXPECT_EQ(world.Sent(), 0U);
  EXPECT_EQ(world.StateOf(key), State::kUnknown) << "the heir cannot know that";
  heir.WorkFor(10s);
  EXPECT_EQ(world.Sent(), 0U);
}

TEST(DispatcherFaultsTest, WithinTheMarginNothingLeaves) {
  DispatchWorld world;
  Replica replica(world);
  replica.WorkFor(1s);
  const MonotonicTime until = replica.owner.Current()->until;
  world.clock.Advance(until - world.clock.Now() - 100ms);
  const MessageKey key = world.Accept();
  replica.dispatcher.WakeAll();
  replica.dispatcher.ChooseStep();
  ASSERT_EQ(world.StateOf(key), State::kDispatching);
  world.clock.Advance(100ms);
  replica.Post();
  replica.RecordAll();
  EXPECT_EQ(world.Sent(), 0U);
  EXPECT_EQ(world.StateOf(key), State::kQueued) << "it was still its to take back";
  world.Accept();
  replica.dispatcher.WakeAll();
  EXPECT_EQ(replica.dispatcher.ChooseStep(), 0U) << "and nothing is intended";
  replica.WorkFor(2s);
  EXPECT_EQ(world.Sent(), 2U) << "until the lease is renewed";
}

TEST(DispatcherFaultsTest, AStaleIntentIsTakenBackAndGoesOutLater) {
  DispatchWorld world;
  Replica replica(world);
  replica.WorkFor(1s);
  const MessageKey key = world.Accept();
  replica.dispatcher.WakeAll();
  replica.dispatcher.ChooseStep();
  world.clock.Advance(kStartBy);
  replica.owner.Step();
  replica.Post();
  replica.RecordAll();
  EXPECT_EQ(world.Sent(), 0U);
  EXPECT_EQ(world.StateOf(key), State::kQueued);
  EXPECT_EQ(world.Record(key).attempts[0].outcome.kind, OutcomeKind::kTakenBack);
  replica.WorkFor(1s);
  EXPECT_EQ(world.Sent(), 1U);
  EXPECT_EQ(world.outside.sent()[0].attempt, 2);
}

TEST(DispatcherFaultsTest, AnOutageBetweenPostAndRecordLosesNoOutcome) {
  for (const auto when : {FakeStore::When::kBefore, FakeStore::When::kAfter}) {
    DispatchWorld world;
    Replica replica(world);
    replica.WorkFor(1s);
    std::vector<MessageKey> keys;
    for (int i = 0; i < 3; ++i) keys.push_back(world.Accept());
    replica.dispatcher.WakeAll();
    replica.dispatcher.ChooseStep();
    replica.Post();
    ASSERT_EQ(world.Sent(), 3U);
    world.store.FailNext(7, when, "RecordOutcomes");
    replica.WorkFor(1s);
    for (const MessageKey& key : keys) EXPECT_EQ(world.StateOf(key), State::kSubmitted);
    EXPECT_EQ(world.Sent(), 3U);
  }
}

TEST(DispatcherFaultsTest, WhileOutcomesCannotBeStoredIntentsAreBounded) {
  DispatchWorld world;
  world.SetRate(world.tenant, 100000, 100000);
  Replica replica(world);
  for (std::size_t i = 0; i < kIntentsOutstanding + 500; ++i) world.Accept();
  world.store.FailNext(100000, FakeStore::When::kBefore, "RecordOutcomes");
  for (int i = 0; i < 50; ++i) {
    world.clock.Advance(10ms);
    replica.Work();
  }
  EXPECT_EQ(world.Sent(), kIntentsOutstanding);
}

TEST(DispatcherFaultsTest, ALongQueueIsNotReadAhead) {
  DispatchWorld world;
  world.SetRate(world.tenant, 10, 5);
  Replica replica(world);
  constexpr int kQueued = 3000;
  std::vector<MessageKey> keys;
  for (int i = 0; i < kQueued; ++i) keys.push_back(world.Accept());
  // Nothing is posted: what was read of the queue waits in memory.
  for (int i = 0; i < 100; ++i) {
    world.clock.Advance(10ms);
    replica.owner.Step();
    replica.dispatcher.ChooseStep();
  }
  const auto left = std::count_if(keys.begin(), keys.end(), [&](const MessageKey& key) {
    return world.StateOf(key) == State::kQueued;
  });
  EXPECT_LT(left, kQueued) << "it works at all";
  EXPECT_GE(left, kQueued - 20) << "a second of the rate and the burst";
}

TEST(DispatcherFaultsTest, AnIntendInDoubtIsNeverPostedTwiceAndNeverForgotten) {
  struct Case {
    const char* name;
    FakeStore::When when;
    int attempt;
  };
  const Case cases[] = {
      {"it had happened: taken back, then the second attempt leaves", FakeStore::When::kAfter, 2},
      {"it had not: the first attempt leaves", FakeStore::When::kBefore, 1},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    DispatchWorld world;
    Replica replica(world);
    replica.WorkFor(1s);
    const MessageKey key = world.Accept();
    world.store.FailNext(1, c.when, "Intend");
    replica.WorkFor(10s);
    EXPECT_EQ(world.StateOf(key), State::kSubmitted);
    const auto sent = world.outside.sent();
    ASSERT_EQ(sent.size(), 1U);
    EXPECT_EQ(sent[0].attempt, c.attempt);
  }
}

TEST(DispatcherFaultsTest, AnIntendInDoubtIsTakenBackWhenItsSlotWasLetGoMeanwhile) {
  DispatchWorld world;
  // In the last slot, which is let go first.
  TenantId tenant;
  do {
    tenant = {MakeUuidV4(world.random)};
  } while (SlotOf(tenant) != kSlots - 1);
  world.SetRate(tenant, 10, 5);
  Replica first(world);
  first.WorkFor(1s);
  const MessageKey key = world.Accept(tenant);
  world.store.FailNext(1, FakeStore::When::kBefore, "Intend");
  first.dispatcher.WakeAll();
  first.dispatcher.ChooseStep();
  Replica second(world);
  // It acts there no more, and has not given it back yet: the store still takes its intents.
  world.store.FailNext(1, FakeStore::When::kBefore, "ReleaseIdleSlots");
  world.clock.Advance(kLeaseRenewal);
  first.owner.Step();
  ASSERT_EQ(first.owner.Current()->Find(kSlots - 1), nullptr);
  first.dispatcher.ChooseStep();
  first.Post();
  EXPECT_EQ(world.Sent(), 0U);
  for (int i = 0; i < 50; ++i) {
    first.WorkFor(100ms, 100ms);
    second.Work();
  }
  EXPECT_EQ(world.StateOf(key), State::kSubmitted);
  ASSERT_EQ(world.Sent(), 1U);
  EXPECT_EQ(world.outside.sent()[0].attempt, 2) << "the first was taken back";
}

TEST(DispatcherFaultsTest, ACancelAndAnIntentNeverBothWin) {
  DispatchWorld world;
  Replica replica(world);
  replica.WorkFor(1s);
  const MessageKey key = world.Accept();
  // The cancel commits between choosing and intending.
  world.store.BeforeEach([&](const std::string& operation) {
    if (operation == "Intend") {
      EXPECT_TRUE(world.store.Cancel(key).ok());
    }
  });
  replica.WorkFor(3s);
  EXPECT_EQ(world.StateOf(key), State::kCancelled);
  EXPECT_EQ(world.Sent(), 0U);
}

TEST(DispatcherFaultsTest, AnOutcomeWithTextsThatCannotBeStoredIsStoredWithoutThem) {
  DispatchWorld world;
  Replica replica(world);
  world.store.Poison("\xff");
  Outcome strange;
  strange.kind = OutcomeKind::kAccepted;
  strange.detail = "reply \xff";
  world.outside.Script("+15550000255", {strange});
  std::vector<MessageKey> keys;
  for (int i = 0; i < 5; ++i) {
    keys.push_back(world.Accept(i == 2 ? "+15550000255" : "+15550000001"));
  }
  replica.WorkFor(2s);
  for (const MessageKey& key : keys) EXPECT_EQ(world.StateOf(key), State::kSubmitted);
  EXPECT_EQ(world.Record(keys[0]).message.provider_message_id.substr(0, 4), "msg-");
}

TEST(DispatcherFaultsTest, EverythingIsSentOnceThroughAnUnsteadyStore) {
  DispatchWorld world;
  world.SetRate(world.tenant, 50, 10);
  Replica replica(world);
  std::vector<MessageKey> keys;
  for (int i = 0; i < 100; ++i) keys.push_back(world.Accept());
  world.store.BeforeEach([&](const std::string& operation) {
    const double chance = world.random.Fraction();
    if (chance < 0.2) world.store.FailNext(1, FakeStore::When::kBefore, operation);
    if (chance > 0.8) world.store.FailNext(1, FakeStore::When::kAfter, operation);
  });
  replica.WorkFor(60s);
  world.store.BeforeEach({});
  replica.WorkFor(10s);
  std::map<MessageId, int> posts;
  for (const SendRequest& request : world.outside.sent()) ++posts[request.message_id];
  for (const MessageKey& key : keys) {
    EXPECT_EQ(world.StateOf(key), State::kSubmitted);
    EXPECT_EQ(posts[key.message_id], 1);
  }
}

TEST(DispatcherFaultsTest, ADrainTakesBackWhatWasNotPostedAndRecordsTheRest) {
  DispatchWorld world;
  Replica replica(world);
  replica.WorkFor(1s);
  const MessageKey posted = world.Accept();
  const MessageKey waiting = world.Accept();
  replica.dispatcher.WakeAll();
  replica.dispatcher.ChooseStep();
  replica.dispatcher.PostStep();
  ASSERT_EQ(world.Sent(), 1U);
  world.store.FailNext(2, FakeStore::When::kBefore, "RecordOutcomes");
  EXPECT_TRUE(replica.dispatcher.Drain(10s));
  const bool first = world.outside.sent()[0].message_id == posted.message_id;
  EXPECT_EQ(world.StateOf(first ? posted : waiting), State::kSubmitted);
  EXPECT_EQ(world.StateOf(first ? waiting : posted), State::kQueued);
  ASSERT_TRUE(replica.owner.Drain().ok());
  Replica next(world);
  next.WorkFor(2s);
  EXPECT_EQ(world.Sent(), 2U);
}

TEST(DispatcherFaultsTest, WorkersSendEverythingOnceAndADrainWaitsForThem) {
  DispatchWorld world;
  SystemClock clock;
  FakeStore store(clock);
  SlotOwner owner(store, clock, world.random, world.metrics, {.name = "test"});
  const auto settings = std::make_shared<const TenantSettings>(
      TenantSettings{.rate_per_s = 5000, .burst = 50, .senders = {}, .account = {}});
  Dispatcher dispatcher(
      store, world.outside, owner, clock, world.random, world.metrics,
      {.posters_min = 8, .posters_max = 8, .doubt = {}, .settings = [&](TenantId) {
         return settings;
       }});
  owner.Start();
  dispatcher.Start();
  std::vector<MessageKey> keys;
  for (int i = 0; i < 400; ++i) {
    NewMessage message;
    message.request.tenant_id = world.tenant;
    message.request.request_id = StrCat("r", i);
    message.request.recipient = "+15550000001";
    message.message_id = {MakeUuidV7(clock.Wall(), world.random)};
    message.new_conversation_id = {MakeUuidV4(world.random)};
    ASSERT_TRUE(store.Accept({&message, 1}).ok());
    keys.push_back({world.tenant, message.message_id});
    dispatcher.WakeAll();
  }
  ASSERT_TRUE(world.outside.WaitForSends(400));
  EXPECT_TRUE(dispatcher.Drain(10s));
  EXPECT_TRUE(owner.Drain().ok());
  EXPECT_EQ(world.Sent(), 400U);
  for (const MessageKey& key : keys) {
    EXPECT_EQ(store.GetMessage(key)->message.status.state, State::kSubmitted);
  }
}

TEST(DispatcherFaultsTest, ADrainLetsAPostOnItsWayEnd) {
  DispatchWorld world;
  SystemClock clock;
  FakeStore store(clock);
  SlotOwner owner(store, clock, world.random, world.metrics, {.name = "test"});
  const auto settings = std::make_shared<const TenantSettings>(
      TenantSettings{.rate_per_s = 5000, .burst = 50, .senders = {}, .account = {}});
  Dispatcher dispatcher(
      store, world.outside, owner, clock, world.random, world.metrics,
      {.posters_min = 2, .posters_max = 2, .doubt = {}, .settings = [&](TenantId) {
         return settings;
       }});
  NewMessage message;
  message.request.tenant_id = world.tenant;
  message.message_id = {MakeUuidV7(clock.Wall(), world.random)};
  ASSERT_TRUE(store.Accept({&message, 1}).ok());
  world.outside.CloseGate();
  owner.Start();
  dispatcher.Start();
  ASSERT_TRUE(world.outside.WaitForSends(1));
  {
    Worker opener("opener", [&](std::stop_token stop) {
      world.outside.OpenGate();
      WaitOrStop(stop, 1s);
    });
    EXPECT_TRUE(dispatcher.Drain(10s));
  }
  EXPECT_EQ(store.GetMessage({world.tenant, message.message_id})->message.status.state,
            State::kSubmitted);
  EXPECT_TRUE(owner.Drain().ok());
}

}  // namespace
}  // namespace postrider
