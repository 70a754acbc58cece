#include "server/store/event_feed.h"

#include <set>

#include <gtest/gtest.h>

#include "server/base/strings.h"
#include "tests/support/fake_clock.h"
#include "tests/support/fake_store.h"

namespace postrider {
namespace {

/// Keeps what was published.
class Ledger final : public EventSink {
 public:
  void Publish(std::shared_ptr<const EventBatch> batch) override { batches.push_back(*batch); }
  bool HasReaders() const override { return readers; }

  std::size_t events() const {
    std::size_t count = 0;
    for (const EventBatch& batch : batches) count += batch.events.size();
    return count;
  }

  std::vector<EventBatch> batches;
  bool readers = true;
};

class EventFeedTest : public ::testing::Test {
 protected:
  EventFeedTest() { stopped_.request_stop(); }

  /// One round without waiting for the idle time: a stopped worker's last.
  absl::StatusOr<std::size_t> Round() {
    clock_.Advance(std::chrono::milliseconds(30));
    return feed_.Step(stopped_.get_token());
  }
  void MustRound() {
    const auto done = Round();
    ASSERT_TRUE(done.ok()) << done.status();
  }

  void Accept(int count = 1) {
    std::vector<NewMessage> batch(static_cast<std::size_t>(count));
    for (NewMessage& message : batch) {
      message.request.tenant_id = {MakeUuidV4(random_)};
      message.request.request_id = "r";
      message.message_id = {MakeUuidV7(clock_.Wall(), random_)};
      message.new_conversation_id = {MakeUuidV4(random_)};
    }
    ASSERT_TRUE(store_.Accept(batch).ok());
    accepted_ += batch.size();
  }

  /// Batches follow one another without a gap, no event is told twice.
  void ExpectContiguous() const {
    std::set<std::pair<MessageId, int>> told;
    for (std::size_t i = 0; i < ledger_.batches.size(); ++i) {
      const EventBatch& batch = ledger_.batches[i];
      if (i > 0) {
        EXPECT_EQ(batch.from.number, ledger_.batches[i - 1].to.number);
        EXPECT_EQ(batch.from.nonce, ledger_.batches[i - 1].to.nonce);
        EXPECT_LE(batch.from.number, batch.to.number);
      }
      for (const StatusEvent& event : batch.events) {
        EXPECT_TRUE(told.insert({event.message_id, event.status.revision}).second) << "told twice";
      }
    }
  }

  FakeClock clock_;
  SeededRandom random_{1};
  Metrics metrics_;
  FakeStore store_{clock_};
  Ledger ledger_;
  EventFeed feed_{clock_, metrics_, store_, ledger_};
  std::stop_source stopped_;
  std::size_t accepted_ = 0;
};

TEST_F(EventFeedTest, BeginsWhereReadersOfBeforeThisStartMayStand) {
  for (int i = 0; i < 4; ++i) {
    ASSERT_TRUE(store_.MakeTick().ok());
    Accept();
    clock_.Advance(kRecentAge / 2 + std::chrono::seconds(1));
  }
  MustRound();
  EXPECT_EQ(ledger_.events(), 2U) << "of ticks that old and older nobody is expected";
  ExpectContiguous();
}

TEST_F(EventFeedTest, BeginsAtTheNewestTickWhenNobodyIsExpected) {
  ledger_.readers = false;
  Accept(3);
  MustRound();
  ASSERT_EQ(ledger_.batches.size(), 1U);
  EXPECT_EQ(ledger_.batches[0].from.number, ledger_.batches[0].to.number);
  EXPECT_EQ(ledger_.events(), 0U);
}

TEST_F(EventFeedTest, TellsEveryEventOnceInBatchesWithoutAGap) {
  MustRound();
  for (int round = 0; round < 20; ++round) {
    Accept(round % 4);
    MustRound();
  }
  EXPECT_EQ(ledger_.events(), accepted_);
  ExpectContiguous();
}

TEST_F(EventFeedTest, GoesOnWhereItWasAfterTheStoreWasAway) {
  MustRound();
  for (const char* operation : {"MakeTick", "NextTick", "EventsBetween"}) {
    for (const auto when : {FakeStore::When::kBefore, FakeStore::When::kAfter}) {
      SCOPED_TRACE(operation);
      Accept(2);
      store_.FailNext(2, when, operation);
      for (int i = 0; i < 4; ++i) {
        const auto done = Round();
        EXPECT_TRUE(done.ok() || absl::IsUnavailable(done.status())) << done.status();
      }
      EXPECT_EQ(ledger_.events(), accepted_);
    }
  }
  ExpectContiguous();
}

TEST_F(EventFeedTest, ALongCatchUpGoesInBatchesOfAboutASecond) {
  MustRound();
  for (int second = 0; second < 10; ++second) {
    Accept();
    clock_.Advance(std::chrono::seconds(2));
    ASSERT_TRUE(store_.MakeTick().ok());
  }
  MustRound();
  EXPECT_EQ(ledger_.events(), 10U);
  EXPECT_GE(ledger_.batches.size(), 10U);
  ExpectContiguous();
}

TEST_F(EventFeedTest, WithoutReadersNothingIsReadAndTheGapIsTold) {
  MustRound();
  ledger_.readers = false;
  const int reads = store_.Calls("EventsBetween");
  for (int i = 0; i < 3; ++i) {
    Accept();
    MustRound();
  }
  EXPECT_EQ(store_.Calls("EventsBetween"), reads);
  const EventBatch gap = ledger_.batches.back();
  EXPECT_EQ(gap.from.number, gap.to.number) << "who joins now is behind up to here";
  EXPECT_TRUE(gap.events.empty());
  ledger_.readers = true;
  Accept(2);
  MustRound();
  EXPECT_EQ(ledger_.events(), 2U) << "from the gap's end on, everything";
  EXPECT_EQ(ledger_.batches.back().from.number, gap.to.number);
}

TEST_F(EventFeedTest, ReportsHowManyEventsItTold) {
  MustRound();
  Accept(5);
  const auto told = Round();
  ASSERT_TRUE(told.ok()) << told.status();
  EXPECT_EQ(*told, 5U);
  EXPECT_EQ(*Round(), 0U);
}

TEST_F(EventFeedTest, ANudgeIsEnoughToHaveTheEventsTold) {
  MustRound();
  Accept();
  clock_.Advance(std::chrono::seconds(1));
  feed_.Nudge();
  feed_.Nudge();
  const auto told = feed_.Step(std::stop_token());
  ASSERT_TRUE(told.ok()) << told.status();
  EXPECT_EQ(*told, 1U);
}

/// A store whose ticks are replaced, as a restore of the database does.
class RestoredStore final : public EventStore {
 public:
  absl::StatusOr<Tick> MakeTick() override { return newest; }
  absl::StatusOr<Tick> FindTick(std::int64_t, const Uuid&) override {
    return absl::OutOfRangeError("gone");
  }
  absl::StatusOr<Tick> OldestTick() override { return newest; }
  absl::StatusOr<Tick> TickOfAge(std::chrono::seconds) override { return newest; }
  absl::StatusOr<Tick> NextTick(const Tick&, std::chrono::milliseconds) override { return newest; }
  absl::StatusOr<std::vector<StatusEvent>> EventsBetween(const Tick& a, const Tick&,
                                                         std::optional<TenantId>) override {
    if (a.nonce != valid) return absl::OutOfRangeError("gone");
    return std::vector<StatusEvent>(2);
  }
  absl::StatusOr<std::vector<StatusEvent>> CurrentStates(const EventFilter&, MessageId,
                                                         int) override {
    return std::vector<StatusEvent>();
  }

  Tick newest;
  Uuid valid;
};

TEST_F(EventFeedTest, AfterARestoreItBeginsAnewInsteadOfSkippingInSilence) {
  struct Case {
    const char* name;
    std::int64_t number;  ///< Of the newest tick after the restore.
  };
  const Case cases[] = {{"the number went back", 50}, {"the number went on", 150}};
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    RestoredStore store;
    Ledger ledger;
    EventFeed feed(clock_, metrics_, store, ledger);
    store.newest = {100, MakeUuidV4(random_), clock_.Wall()};
    ASSERT_TRUE(feed.Step(stopped_.get_token()).ok());
    store.newest = {c.number, MakeUuidV4(random_), clock_.Wall()};
    ASSERT_TRUE(feed.Step(stopped_.get_token()).ok());
    ASSERT_EQ(ledger.batches.size(), 2U);
    EXPECT_EQ(ledger.batches[1].from.number, c.number) << "not contiguous: readers see a new start";
    EXPECT_TRUE(ledger.batches[1].events.empty());

    store.valid = store.newest.nonce;
    store.newest = {c.number + 1, MakeUuidV4(random_), clock_.Wall()};
    EXPECT_EQ(*feed.Step(stopped_.get_token()), 2U) << "and goes on from there";
  }
}

}  // namespace
}  // namespace postrider
