#include "server/fanout/hub.h"

#include <map>
#include <random>
#include <set>
#include <thread>

#include <gtest/gtest.h>

#include "server/base/strings.h"
#include "server/fanout/resume_token.h"
#include "tests/support/event_log.h"

namespace postrider {
namespace {

const TenantId kTenant{UuidOf(1)};
const TenantId kOther{UuidOf(2)};

EventFilter AllOf(TenantId tenant) {
  EventFilter filter;
  filter.tenant_id = tenant;
  return filter;
}

EventPosition ExactlyAt(const Tick& tick) { return {tick, {}, {}, 0, false}; }

/// A hub that is fed from a log, as the event feed does it.
class HubTest : public testing::Test {
 protected:
  /// Publishes all up to a new tick.
  void Publish() { PublishTo(log_.MakeTick()); }
  void PublishTo(const Tick& tick) {
    hub_.Publish(std::make_shared<const EventBatch>(log_.Between(published_, tick)));
    published_ = tick;
  }
  std::shared_ptr<Subscription> Subscribe(EventFilter filter, const Tick& at) {
    auto made = hub_.Subscribe(std::move(filter), [this] { ++wakes_; });
    EXPECT_TRUE(made.ok());
    (*made)->Begin(ExactlyAt(at));
    return *made;
  }
  /// Reads what the subscription asks for; true when it asked.
  bool CatchUp(Subscription& subscription) {
    const auto read = subscription.Behind();
    if (!read) return false;
    subscription.Feed(log_.Between(read->from, read->to, subscription.filter().tenant_id));
    return true;
  }
  /// All changes there are, as message number : revision.
  std::vector<std::string> Drain(Subscription& subscription) {
    std::vector<std::string> seen;
    do {
      while (const auto change = subscription.Next()) {
        seen.push_back(
            StrCat(change->event->message_id.uuid.bytes[15], ":", change->event->status.revision));
      }
    } while (CatchUp(subscription) || subscription.HasChanges());
    return seen;
  }

  using Seen = std::vector<std::string>;

  EventLog log_;
  Metrics metrics_;
  Hub hub_{metrics_, {.buffer = 4, .streams_per_tenant = 3, .recent_batches = 0}};
  Tick published_ = log_.Latest();
  int wakes_ = 0;
};

TEST_F(HubTest, ALiveSubscriptionGetsMatchingEventsAndIsWoken) {
  Publish();
  auto subscription = Subscribe(AllOf(kTenant), published_);
  EXPECT_EQ(subscription->Behind(), std::nullopt) << "it is where the hub is";
  log_.Append(kTenant, {UuidOf(5)});
  log_.Append(kOther, {UuidOf(6)});
  log_.Append(kTenant, {UuidOf(5)});
  Publish();
  EXPECT_EQ(wakes_, 1);
  EXPECT_EQ(Drain(*subscription), (Seen{"5:1", "5:2"}));
}

TEST_F(HubTest, OnlyTheFiltersEventsArrive) {
  Publish();
  EventFilter filter = AllOf(kTenant);
  filter.message_ids = {{UuidOf(5)}};
  filter.states = {MessageState::kSent};
  auto subscription = Subscribe(filter, published_);
  EXPECT_EQ(Drain(*subscription), Seen{});
  log_.Append(kTenant, {UuidOf(5)}, MessageState::kSubmitted);
  log_.Append(kTenant, {UuidOf(6)}, MessageState::kSent);
  Publish();
  EXPECT_EQ(wakes_, 0);
  log_.Append(kTenant, {UuidOf(5)}, MessageState::kSent);
  Publish();
  EXPECT_EQ(Drain(*subscription), Seen{"5:2"});
}

TEST_F(HubTest, TheFullBufferIsDroppedAndTheStoreServesTheRest) {
  Publish();
  auto slow = Subscribe(AllOf(kTenant), published_);
  auto quick = Subscribe(AllOf(kTenant), published_);
  EXPECT_EQ(Drain(*slow), Seen{});
  EXPECT_EQ(Drain(*quick), Seen{});
  Seen expected;
  for (int i = 1; i <= 10; ++i) {
    log_.Append(kTenant, {UuidOf(5)});
    Publish();
    expected.push_back(StrCat("5:", i));
    EXPECT_EQ(Drain(*quick), Seen{StrCat("5:", i)}) << "a slow neighbour must not be noticed";
  }
  EXPECT_EQ(slow->Next(), std::nullopt) << "nothing is kept of a buffer that overflowed";
  EXPECT_EQ(Drain(*slow), expected);
  log_.Append(kTenant, {UuidOf(5)});
  Publish();
  EXPECT_NE(slow->Next(), std::nullopt) << "it is live again";
}

TEST_F(HubTest, OneBatchLargerThanTheBufferIsReadFromTheStore) {
  Publish();
  auto subscription = Subscribe(AllOf(kTenant), published_);
  EXPECT_EQ(Drain(*subscription), Seen{});
  for (int i = 0; i < 6; ++i) log_.Append(kTenant, {UuidOf(5)});
  Publish();
  EXPECT_EQ(wakes_, 1);
  EXPECT_EQ(subscription->Next(), std::nullopt);
  EXPECT_EQ(Drain(*subscription).size(), 6U);
}

TEST_F(HubTest, ThePositionNeverGoesAheadOfAnUndeliveredChange) {
  Publish();
  auto subscription = Subscribe(AllOf(kTenant), published_);
  EXPECT_EQ(Drain(*subscription), Seen{});
  const EventPosition before = subscription->Position();
  log_.Append(kTenant, {UuidOf(5)});
  log_.Append(kTenant, {UuidOf(6)});
  Publish();
  EXPECT_EQ(subscription->Position(), before);
  const auto first = subscription->Next();
  ASSERT_TRUE(first.has_value());
  EXPECT_EQ(subscription->Position(), first->position);
  Publish();
  EXPECT_EQ(subscription->Position(), first->position);
  ASSERT_TRUE(subscription->Next().has_value());
  EXPECT_EQ(subscription->Position(), ExactlyAt(published_));
}

TEST_F(HubTest, AnIdleSubscriptionsPositionMovesWithTheHub) {
  Publish();
  auto subscription = Subscribe(AllOf(kTenant), published_);
  EXPECT_EQ(Drain(*subscription), Seen{});
  for (int i = 0; i < 3; ++i) {
    log_.Append(kOther, {UuidOf(6)});
    Publish();
    EXPECT_EQ(subscription->Position(), ExactlyAt(published_));
  }
  EXPECT_EQ(wakes_, 0) << "another tenant's events cost it nothing";
}

TEST_F(HubTest, APositionAheadOfTheHubWaitsForIt) {
  Publish();
  log_.Append(kTenant, {UuidOf(5)});
  const Tick ahead = log_.MakeTick();
  auto subscription = Subscribe(AllOf(kTenant), ahead);
  EXPECT_EQ(subscription->Behind(), std::nullopt);
  log_.Append(kTenant, {UuidOf(5)});
  Publish();  // one batch, from before `ahead` to after it
  EXPECT_EQ(wakes_, 1);
  EXPECT_EQ(Drain(*subscription), Seen{"5:2"}) << "what the position covers does not come again";
}

TEST_F(HubTest, AGapInTheFeedSendsEveryReaderToTheStore) {
  Publish();
  auto subscription = Subscribe(AllOf(kTenant), published_);
  EXPECT_EQ(Drain(*subscription), Seen{});
  log_.Append(kTenant, {UuidOf(5)});
  published_ = log_.MakeTick();  // a batch that the hub never gets
  log_.Append(kTenant, {UuidOf(5)});
  Publish();
  EXPECT_EQ(wakes_, 1);
  EXPECT_EQ(Drain(*subscription), (Seen{"5:1", "5:2"}));
}

/// A hub that remembers three batches of two events or fewer.
class RememberingHubTest : public HubTest {
 protected:
  RememberingHubTest() {
    Publish();
    for (int i = 0; i < 5; ++i) {
      log_.Append(kTenant, {UuidOf(5)});
      log_.MakeTick();  // another replica's
      log_.Append(i % 2 == 0 ? kOther : kTenant, {UuidOf(i % 2 == 0 ? 6 : 5)});
      before_[i] = published_;
      PublishTo(log_.MakeTick());
    }
  }
  void PublishTo(const Tick& tick) {
    remembering_.Publish(std::make_shared<const EventBatch>(log_.Between(published_, tick)));
    published_ = tick;
  }
  std::shared_ptr<Subscription> SubscribeAt(const EventPosition& position) {
    auto made = remembering_.Subscribe(AllOf(kTenant), [this] { ++wakes_; });
    EXPECT_TRUE(made.ok());
    (*made)->Begin(position);
    return *made;
  }
  /// What comes without a read of the store.
  Seen Remembered(Subscription& subscription) {
    Seen seen;
    do {
      while (const auto change = subscription.Next()) {
        seen.push_back(
            StrCat(change->event->message_id.uuid.bytes[15], ":", change->event->status.revision));
      }
      EXPECT_EQ(subscription.Behind(), std::nullopt);
    } while (subscription.HasChanges());
    return seen;
  }

  Hub remembering_{metrics_, {.recent_batches = 3, .recent_events = 6, .absent_beats = 2}};
  Tick before_[5];  ///< Where each batch began.
};

TEST_F(RememberingHubTest, WhatIsRememberedNeedsNoReadOfTheStore) {
  auto subscription = SubscribeAt(ExactlyAt(before_[2]));
  EXPECT_EQ(Remembered(*subscription), (Seen{"5:4", "5:5", "5:6", "5:7"}));
  EXPECT_EQ(subscription->Position(), ExactlyAt(published_));
  log_.Append(kTenant, {UuidOf(5)});
  PublishTo(log_.MakeTick());
  EXPECT_EQ(wakes_, 1) << "it is live";
  EXPECT_EQ(Remembered(*subscription), Seen{"5:8"});
}

TEST_F(RememberingHubTest, APlaceInsideARememberedBatchIsFoundThere) {
  auto first = SubscribeAt(ExactlyAt(before_[3]));
  EXPECT_EQ(first->Behind(), std::nullopt);
  const auto change = first->Next();
  ASSERT_TRUE(change.has_value());
  ASSERT_EQ(change->event->status.revision, 5);
  ASSERT_NE(change->position.upto.number, 0) << "the batch has one more";
  auto resumed = SubscribeAt(change->position);
  EXPECT_EQ(Remembered(*resumed), (Seen{"5:6", "5:7"}));
}

TEST_F(RememberingHubTest, WhatIsOlderIsReadUpToWhatIsRemembered) {
  auto subscription = SubscribeAt(ExactlyAt(before_[0]));
  const auto read = subscription->Behind();
  ASSERT_TRUE(read.has_value());
  EXPECT_EQ(read->to.number, before_[2].number);
  subscription->Feed(log_.Between(read->from, read->to, kTenant));
  EXPECT_EQ(Remembered(*subscription).size(), 7U);
}

TEST_F(RememberingHubTest, FromAnotherReplicasTickOneReadLeadsToWhatIsRemembered) {
  auto subscription = SubscribeAt(ExactlyAt(log_.At(before_[3].number + 1)));
  const auto read = subscription->Behind();
  ASSERT_TRUE(read.has_value());
  EXPECT_EQ(read->to.number, before_[4].number);
  subscription->Feed(log_.Between(read->from, read->to, kTenant));
  EXPECT_EQ(Remembered(*subscription), (Seen{"5:6", "5:7"}));
}

TEST_F(RememberingHubTest, AGapIsNotRemembered) {
  const Tick last = published_;
  EXPECT_TRUE(remembering_.Find(before_[4].number, before_[4].nonce).has_value());
  EXPECT_TRUE(remembering_.Find(last.number, last.nonce).has_value());
  EXPECT_FALSE(remembering_.Find(last.number, before_[4].nonce).has_value()) << "of a restore";
  log_.Append(kTenant, {UuidOf(5)});
  published_ = log_.MakeTick();
  PublishTo(log_.MakeTick());
  EXPECT_FALSE(remembering_.Find(last.number, last.nonce).has_value());
  EXPECT_NE(SubscribeAt(ExactlyAt(last))->Behind(), std::nullopt);
}

TEST_F(RememberingHubTest, ReadersThatWentAreAwaitedForAWhile) {
  EXPECT_TRUE(remembering_.HasReaders()) << "those of before this process";
  remembering_.Beat();
  remembering_.Beat();
  EXPECT_FALSE(remembering_.HasReaders());
  const auto subscription = SubscribeAt(ExactlyAt(published_));
  for (int i = 0; i < 3; ++i) remembering_.Beat();
  EXPECT_TRUE(remembering_.HasReaders());
  remembering_.Unsubscribe(subscription);
  remembering_.Beat();
  EXPECT_TRUE(remembering_.HasReaders());
  remembering_.Beat();
  EXPECT_FALSE(remembering_.HasReaders());
}

TEST(RecentBatchesTest, TheOldestGoWhenThereAreTooManyEvents) {
  EventLog log;
  RecentBatches recent(10, 3);
  std::vector<Tick> at = {log.Latest()};
  const auto add = [&](int events) {
    for (int i = 0; i < events; ++i) log.Append(kTenant, {UuidOf(5)});
    at.push_back(log.MakeTick());
    recent.Add(std::make_shared<const EventBatch>(log.Between(at[at.size() - 2], at.back())));
  };
  add(2);
  add(1);
  EXPECT_EQ(recent.From(at[0], 10).size(), 2U);
  EXPECT_EQ(recent.From(at[0], 1).size(), 1U);
  add(1);
  EXPECT_EQ(recent.From(at[0], 10).size(), 0U);
  EXPECT_EQ(recent.EntryAfter(at[0].number)->number, at[1].number);
  EXPECT_EQ(recent.From(at[1], 10).size(), 2U);
  add(4);
  EXPECT_EQ(recent.From(at[3], 10).size(), 0U) << "larger than all that may be kept";
  EXPECT_EQ(recent.EntryAfter(at[0].number), std::nullopt);
  EXPECT_TRUE(recent.Find(at[4].number, at[4].nonce).has_value()) << "its end is a good beginning";
}

TEST_F(HubTest, ATenantHasItsNumberOfStreams) {
  std::vector<std::shared_ptr<Subscription>> open;
  for (int i = 0; i < 3; ++i) open.push_back(*hub_.Subscribe(AllOf(kTenant), [] {}));
  EXPECT_TRUE(absl::IsResourceExhausted(hub_.Subscribe(AllOf(kTenant), [] {}).status()));
  EXPECT_TRUE(hub_.Subscribe(AllOf(kOther), [] {}).ok());
  hub_.Unsubscribe(open.back());
  hub_.Unsubscribe(open.back());
  EXPECT_EQ(hub_.subscriptions(), 3U);
  EXPECT_TRUE(hub_.Subscribe(AllOf(kTenant), [] {}).ok());
}

TEST_F(HubTest, AnUnsubscribedReaderHoldsAndGetsNothing) {
  Publish();
  auto subscription = Subscribe(AllOf(kTenant), published_);
  EXPECT_EQ(Drain(*subscription), Seen{});
  hub_.Unsubscribe(subscription);
  log_.Append(kTenant, {UuidOf(5)});
  Publish();
  EXPECT_EQ(wakes_, 0);
  EXPECT_EQ(subscription.use_count(), 1);
}

TEST_F(HubTest, TheHeartbeatWakesEveryone) {
  Subscribe(AllOf(kTenant), published_);
  Subscribe(AllOf(kOther), published_);
  hub_.Beat();
  EXPECT_EQ(wakes_, 2);
}

/// A stream of a random reader: slow at times, cut at times, resumed with any token it was given.
struct RandomReader {
  EventFilter filter;
  std::shared_ptr<Subscription> subscription;
  std::vector<std::string> tokens;           ///< Every one it was given.
  std::set<std::pair<MessageId, int>> seen;  ///< Over all of its streams.
  std::set<std::pair<MessageId, int>> in_this_stream;
  std::map<MessageId, int> last;  ///< Revisions in this stream.
};

void ReadSome(const EventLog& log, RandomReader& reader, std::mt19937_64& random, bool all) {
  std::uint64_t budget = all ? ~0ULL : random() % 12;
  while (budget-- > 0) {
    if (const auto change = reader.subscription->Next()) {
      const StatusEvent& event = *change->event;
      ASSERT_TRUE(Matches(reader.filter, event));
      const std::pair key(event.message_id, event.status.revision);
      ASSERT_TRUE(reader.in_this_stream.insert(key).second) << "twice within a stream";
      ASSERT_GT(event.status.revision, reader.last[event.message_id]) << "out of order";
      reader.last[event.message_id] = event.status.revision;
      reader.seen.insert(key);
      reader.tokens.push_back(EncodeResumeToken(change->position, reader.filter.tenant_id));
      continue;
    }
    const auto read = reader.subscription->Behind();
    if (!read && reader.subscription->HasChanges()) continue;
    if (!read) break;
    Tick to = read->to;
    if (!read->exact) {
      to = log.At(read->from.number + 1 +
                  static_cast<std::int64_t>(
                      random() % static_cast<std::uint64_t>(to.number - read->from.number)));
    }
    reader.subscription->Feed(log.Between(read->from, to, reader.filter.tenant_id));
  }
  if (random() % 4 == 0) {
    reader.tokens.push_back(
        EncodeResumeToken(reader.subscription->Position(), reader.filter.tenant_id));
  }
}

void Reopen(Hub& hub, RandomReader& reader, const std::string& token) {
  if (reader.subscription) hub.Unsubscribe(reader.subscription);
  auto made = hub.Subscribe(reader.filter, [] {});
  ASSERT_TRUE(made.ok());
  const auto position = ParseResumeToken(token, reader.filter.tenant_id);
  ASSERT_TRUE(position.ok()) << position.status();
  reader.subscription = *made;
  reader.subscription->Begin(*position);
  reader.in_this_stream.clear();
  reader.last.clear();
}

void RunInterleaving(std::uint64_t seed) {
  SCOPED_TRACE(StrCat("seed ", seed));
  std::mt19937_64 random(seed);
  EventLog log;
  Metrics metrics;
  Hub hub(metrics, {.buffer = 1 + random() % 8,
                    .recent_batches = random() % 8,
                    .recent_events = 1 + random() % 30});
  Tick published = log.Latest();
  const Tick start = published;
  const auto publish = [&](const Tick& to) {
    hub.Publish(std::make_shared<const EventBatch>(log.Between(published, to)));
    published = to;
  };

  std::vector<RandomReader> readers(4);
  for (RandomReader& reader : readers) {
    reader.filter.tenant_id = random() % 2 == 0 ? kTenant : kOther;
    if (random() % 2 == 0) reader.filter.message_ids = {{UuidOf(random() % 6)}, {UuidOf(3)}};
    reader.tokens = {EncodeResumeToken(ExactlyAt(start), reader.filter.tenant_id)};
    Reopen(hub, reader, reader.tokens[0]);
  }
  for (int step = 0; step < 300; ++step) {
    const std::uint64_t dice = random() % 10;
    if (dice < 4) {
      const MessageId message{UuidOf(random() % 6)};
      log.Append(message.uuid.bytes[15] % 2 == 0 ? kTenant : kOther, message);
    } else if (dice < 5) {
      log.MakeTick();  // another replica's: the hub's next batch spans it
    } else if (dice < 7) {
      publish(log.MakeTick());
    } else {
      RandomReader& reader = readers[random() % readers.size()];
      if (dice == 9 && random() % 2 == 0) {
        Reopen(hub, reader, reader.tokens[random() % reader.tokens.size()]);
      }
      ReadSome(log, reader, random, false);
    }
    if (testing::Test::HasFatalFailure()) return;
  }
  publish(log.MakeTick());
  const EventBatch everything = log.Between(start, published);
  for (RandomReader& reader : readers) {
    ReadSome(log, reader, random, true);
    std::size_t expected = 0;
    for (const StatusEvent& event : everything.events) {
      if (!Matches(reader.filter, event)) continue;
      ++expected;
      EXPECT_TRUE(reader.seen.contains({event.message_id, event.status.revision})) << "missed";
    }
    EXPECT_EQ(reader.seen.size(), expected);
    EXPECT_EQ(reader.subscription->Position(), ExactlyAt(published));
  }
}

TEST(HubInterleavingTest, EveryMatchingEventOnceWithinAStreamAndAtLeastOnceOverResumes) {
  for (std::uint64_t seed = 1; seed <= 200; ++seed) {
    RunInterleaving(seed);
    if (testing::Test::HasFailure()) return;
  }
}

TEST(HubConcurrencyTest, ReadersAndThePublisherAtOnceLoseNothing) {
  constexpr int kBatches = 300;
  EventLog log;
  Metrics metrics;
  Hub hub(metrics, {.buffer = 8});
  const Tick start = log.Latest();
  std::atomic<bool> published_all = false;
  std::vector<int> counts(3);
  {
    std::vector<std::jthread> workers;
    for (int& count : counts) {
      workers.emplace_back([&hub, &log, &published_all, &count, start] {
        EventFilter filter;
        filter.tenant_id = kTenant;
        auto subscription = *hub.Subscribe(filter, [] {});
        subscription->Begin(ExactlyAt(start));
        while (true) {
          const bool last = published_all;
          if (subscription->Next()) {
            ++count;
          } else if (const auto read = subscription->Behind()) {
            subscription->Feed(log.Between(read->from, read->to, kTenant));
          } else if (last && subscription->Position() == ExactlyAt(hub.Latest())) {
            break;
          }
        }
        hub.Unsubscribe(subscription);
      });
    }
    Tick from = start;
    for (int i = 0; i < kBatches; ++i) {
      for (int k = 0; k < 3; ++k) log.Append(kTenant, {UuidOf(static_cast<std::uint64_t>(k))});
      const Tick to = log.MakeTick();
      hub.Publish(std::make_shared<const EventBatch>(log.Between(from, to)));
      from = to;
    }
    published_all = true;
  }
  for (const int count : counts) EXPECT_EQ(count, 3 * kBatches);
}

}  // namespace
}  // namespace postrider
