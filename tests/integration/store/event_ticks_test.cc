// Ticks: whatever the order of commits, every event is told once (promise P9).
#include <atomic>
#include <map>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "server/base/strings.h"
#include "server/store/event_feed.h"
#include "tests/integration/store/pg_fixture.h"

namespace postrider {
namespace {

using ::testing::ElementsAre;

using EventKey = std::pair<MessageId, int>;

EventKey KeyOf(const StatusEvent& event) { return {event.message_id, event.status.revision}; }

/// An event by SQL: `revision` of a message of `tenant`.
std::string InsertEvent(TenantId tenant, MessageId message, int revision) {
  return StrCat(
      "INSERT INTO status_event (slot, tenant_id, message_id, revision, previous, state, "
      "cause, attempt, final, conversation_id, external_contact_id, campaign_id) VALUES (",
      SlotOf(tenant), ", '", tenant.ToString(), "', '", message.ToString(), "', ", revision,
      ", 1, 1, 1, 1, false, '", message.ToString(), "', '', '')");
}

/// What tick `b` shows and tick `a` does not; each event once and in order, or the test fails.
std::set<EventKey> Between(PgStore& store, const Tick& a, const Tick& b) {
  const auto events = store.EventsBetween(a, b, std::nullopt);
  EXPECT_TRUE(events.ok()) << events.status();
  std::set<EventKey> keys;
  if (!events.ok()) return keys;
  for (const StatusEvent& event : *events) {
    EXPECT_TRUE(keys.empty() || *keys.rbegin() < KeyOf(event)) << "in order, each once";
    keys.insert(KeyOf(event));
  }
  return keys;
}

Tick MustTick(PgStore& store) {
  const auto tick = store.MakeTick();
  EXPECT_TRUE(tick.ok()) << tick.status();
  return tick.ok() ? *tick : Tick{};
}

/// A tick that is not older than this call.
Tick NewTick(PgStore& store) {
  const std::int64_t before = MustTick(store).number;
  while (true) {
    const Tick tick = MustTick(store);
    if (tick.number > before) return tick;
  }
}

/// Ticks all the while, and keeps them.
class Ticker {
 public:
  explicit Ticker(PgStore& store) : store_(store), ticks_{NewTick(store)} {}

  /// Ends the ticking, and returns every tick with one more of now.
  std::vector<Tick> Stop() {
    worker_.Stop();
    ticks_.push_back(NewTick(store_));
    return ticks_;
  }

 private:
  void Step() {
    const Tick tick = MustTick(store_);
    if (tick.number != ticks_.back().number) ticks_.push_back(tick);
  }

  PgStore& store_;
  std::vector<Tick> ticks_;
  Worker worker_{"ticker", [this](std::stop_token) { Step(); }};
};

TEST(EventTicksTest, EveryCommittedEventIsBetweenExactlyTwoTicks) {
  constexpr int kWriters = 5;
  constexpr int kTransactions = 60;
  PgFixture pg(8);
  const TenantId tenant = pg.NewTenant("acme");
  // A foreign transaction that stays open with a transaction id: what holds up xmin.
  SqlSession foreign(pg.database.url());
  foreign.Run("BEGIN; SELECT pg_current_xact_id()");

  Ticker ticker(pg.store);
  std::vector<std::set<EventKey>> committed(kWriters);
  InParallel(kWriters, [&](int writer) {
    SeededRandom random(static_cast<std::uint64_t>(writer));
    SqlSession sql(pg.database.url());
    std::map<MessageId, int> revisions;
    std::vector<MessageId> messages;
    for (int i = 0; i < 4; ++i) messages.push_back({MakeUuidV7(pg.clock.Wall(), pg.random)});
    for (int i = 0; i < kTransactions; ++i) {
      const bool rolls_back = random.Next() % 4 == 0;
      const std::uint64_t length = random.Next() % 3;
      std::set<EventKey> written;
      std::map<MessageId, int> then = revisions;
      sql.Run(random.Next() % 5 == 0 ? "BEGIN; SET LOCAL synchronous_commit = off" : "BEGIN");
      for (std::uint64_t row = 0; row <= length; ++row) {
        const MessageId message = messages[random.Next() % messages.size()];
        sql.Run(InsertEvent(tenant, message, ++then[message]));
        written.insert({message, then[message]});
        // Commits late, with younger transactions before it.
        if (length == 2) sql.Run("SELECT pg_sleep(0.004)");
      }
      sql.Run(rolls_back ? "ROLLBACK" : "COMMIT");
      if (rolls_back) continue;
      revisions = std::move(then);
      committed[static_cast<std::size_t>(writer)].merge(written);
    }
  });
  const std::vector<Tick> ticks = ticker.Stop();
  ASSERT_GT(ticks.size(), 4U);

  std::set<EventKey> all;
  for (const auto& keys : committed) all.insert(keys.begin(), keys.end());
  std::map<MessageId, int> told;
  std::vector<std::set<EventKey>> steps;
  std::size_t count = 0;
  for (std::size_t i = 1; i < ticks.size(); ++i) {
    steps.push_back(Between(pg.store, ticks[i - 1], ticks[i]));
    for (const auto& [message, revision] : steps.back()) {
      EXPECT_EQ(revision, ++told[message]) << "in the order of revisions, none left out";
      EXPECT_TRUE(all.contains({message, revision})) << "rolled back";
    }
    count += steps.back().size();
  }
  EXPECT_EQ(count, all.size()) << "each exactly once, though a transaction is still open";

  // Any two ticks, not only neighbours: a reader may resume from whichever it knows.
  SeededRandom random(99);
  for (int i = 0; i < 40; ++i) {
    const std::size_t a = random.Next() % (ticks.size() - 1);
    const std::size_t b = a + 1 + random.Next() % (ticks.size() - 1 - a);
    std::set<EventKey> sum;
    for (std::size_t step = a; step < b; ++step) sum.insert(steps[step].begin(), steps[step].end());
    EXPECT_EQ(Between(pg.store, ticks[a], ticks[b]), sum);
  }
  foreign.Run("ROLLBACK");
}

TEST(EventTicksTest, ALateCommitIsToldAfterYoungerOnes) {
  PgFixture pg;
  const TenantId tenant = pg.NewTenant("acme");
  const MessageId early{MakeUuidV7(pg.clock.Wall(), pg.random)};
  const MessageId late{MakeUuidV7(pg.clock.Wall(), pg.random)};
  SqlSession slow(pg.database.url());
  const Tick a = NewTick(pg.store);
  slow.Run(StrCat("BEGIN; ", InsertEvent(tenant, late, 1)));
  pg.sql.Run(InsertEvent(tenant, early, 1));
  const Tick b = NewTick(pg.store);
  const Tick c = NewTick(pg.store);
  slow.Run("COMMIT");
  const Tick d = NewTick(pg.store);
  EXPECT_EQ(Between(pg.store, a, b), (std::set<EventKey>{{early, 1}}));
  EXPECT_EQ(Between(pg.store, b, c), (std::set<EventKey>{}));
  EXPECT_EQ(Between(pg.store, c, d), (std::set<EventKey>{{late, 1}}));
  EXPECT_EQ(Between(pg.store, a, d), (std::set<EventKey>{{early, 1}, {late, 1}}));
  EXPECT_EQ(Between(pg.store, b, d), (std::set<EventKey>{{late, 1}}));
}

TEST(EventTicksTest, EventsCrossTheBoundsOfPartitions) {
  PgFixture pg;
  const TenantId tenant = pg.NewTenant("acme");
  const auto fresh = [&] { return MessageId{MakeUuidV7(pg.clock.Wall(), pg.random)}; };
  // The current partition becomes one that ends with the second of these transactions.
  SqlSession before(pg.database.url());
  SqlSession slow(pg.database.url());
  before.Run("BEGIN; SELECT pg_current_xact_id()");
  const std::int64_t bound = slow.Number("BEGIN; SELECT pg_current_xact_id()") + 1;
  pg.sql.Run(
      StrCat("DROP TABLE status_event0; CREATE TABLE low PARTITION OF status_event "
             "FOR VALUES FROM ('0') TO ('",
             bound, "'); CREATE TABLE high PARTITION OF status_event FOR VALUES FROM ('", bound,
             "') TO ('4000000')"));
  std::vector<Tick> ticks{NewTick(pg.store)};
  before.Run(StrCat(InsertEvent(tenant, fresh(), 1), "; COMMIT"));
  ticks.push_back(NewTick(pg.store));
  slow.Run(InsertEvent(tenant, fresh(), 1));
  const MessageId message = fresh();
  for (int revision = 1; revision <= 6; ++revision) {
    pg.sql.Run(InsertEvent(tenant, message, revision));
    if (revision % 2 == 0) ticks.push_back(NewTick(pg.store));
  }
  slow.Run("COMMIT");
  ticks.push_back(NewTick(pg.store));
  ASSERT_EQ(pg.sql.Number("SELECT count(*) FROM low"), 2);
  ASSERT_EQ(pg.sql.Number("SELECT count(*) FROM high"), 6);
  std::vector<std::size_t> told;
  for (std::size_t i = 1; i < ticks.size(); ++i) {
    told.push_back(Between(pg.store, ticks[i - 1], ticks[i]).size());
  }
  EXPECT_THAT(told, ElementsAre(1, 2, 2, 2, 1));
  EXPECT_EQ(Between(pg.store, ticks.front(), ticks.back()).size(), 8U);
}

TEST(EventTicksTest, AReaderOfOneTenantSeesItsEventsOnly) {
  PgFixture pg;
  const TenantId tenants[] = {pg.NewTenant("acme"), pg.NewTenant("other")};
  const Tick a = NewTick(pg.store);
  for (int i = 0; i < 10; ++i)
    pg.sql.Run(InsertEvent(tenants[i % 2], {MakeUuidV7(pg.clock.Wall(), pg.random)}, 1));
  const Tick b = NewTick(pg.store);
  for (const TenantId tenant : tenants) {
    const auto events = pg.store.EventsBetween(a, b, tenant);
    ASSERT_TRUE(events.ok()) << events.status();
    EXPECT_EQ(events->size(), 5U);
    for (const StatusEvent& event : *events) EXPECT_EQ(event.tenant_id, tenant);
  }
}

TEST(EventTicksTest, AfterARestoreTicksFromTheFutureAreVoid) {
  PgFixture pg;
  const Tick old = NewTick(pg.store);
  const Tick last = NewTick(pg.store);
  ASSERT_TRUE(pg.store.Prepare().ok());
  EXPECT_TRUE(pg.store.FindTick(old.number, old.nonce).ok()) << "nothing was restored";
  // As if the database had been set back by a million transactions.
  pg.sql.Run(StrCat("UPDATE tick SET snap = '1000000:1000000:' WHERE tick_no = ", last.number));
  ASSERT_TRUE(pg.store.Prepare().ok());
  EXPECT_TRUE(absl::IsOutOfRange(pg.store.FindTick(old.number, old.nonce).status()));
  EXPECT_TRUE(absl::IsOutOfRange(pg.store.FindTick(last.number, last.nonce).status()));
  const Tick next = NewTick(pg.store);
  EXPECT_GT(next.number, last.number) << "a number is never given out twice";
  EXPECT_TRUE(absl::IsOutOfRange(pg.store.EventsBetween(last, next, std::nullopt).status()));
  ASSERT_TRUE(pg.store.Prepare().ok());
  EXPECT_TRUE(pg.store.FindTick(next.number, next.nonce).ok());
}

TEST(EventTicksTest, TwoTickersNeverTakeTheSameNumber) {
  PgFixture pg(4);
  std::vector<std::vector<Tick>> ticks(4);
  InParallel(4, [&](int i) {
    for (int n = 0; n < 200; ++n) ticks[static_cast<std::size_t>(i)].push_back(MustTick(pg.store));
  });
  std::map<std::int64_t, Uuid> nonces;
  for (const auto& list : ticks) {
    for (const Tick& tick : list) {
      EXPECT_EQ(nonces.try_emplace(tick.number, tick.nonce).first->second, tick.nonce);
    }
  }
  EXPECT_EQ(pg.sql.Number("SELECT max(tick_no) - count(*) FROM tick"), 0) << "without gaps";
}

/// Takes all batches, and wants them to follow one another.
class Ledger final : public EventSink {
 public:
  void Publish(std::shared_ptr<const EventBatch> batch) override {
    MutexLock lock(mu_);
    EXPECT_TRUE(!last_ || batch->from.number == last_->number) << "no gap";
    last_ = batch->to;
    for (const StatusEvent& event : batch->events) {
      EXPECT_TRUE(told_.insert(KeyOf(event)).second) << "told twice";
    }
    changed_.NotifyAll();
  }
  void AwaitEvents(std::size_t count) {
    MutexLock lock(mu_);
    changed_.Wait(mu_, std::stop_token(),
                  [&]() ABSL_NO_THREAD_SAFETY_ANALYSIS { return told_.size() >= count; });
    EXPECT_EQ(told_.size(), count);
  }
  void AwaitBegin() {
    MutexLock lock(mu_);
    changed_.Wait(mu_, std::stop_token(),
                  [&]() ABSL_NO_THREAD_SAFETY_ANALYSIS { return last_.has_value(); });
  }

 private:
  Mutex mu_;
  CondVar changed_;
  std::optional<Tick> last_ ABSL_GUARDED_BY(mu_);
  std::set<EventKey> told_ ABSL_GUARDED_BY(mu_);
};

TEST(EventTicksTest, TheFeedTellsWhatWasAcceptedAlsoWhenItsConnectionsDie) {
  PgFixture pg(4);
  const TenantId tenant = pg.NewTenant("acme");
  Metrics metrics;
  Ledger ledger;
  EventFeed feed(pg.clock, metrics, pg.store, ledger);
  Worker worker("feed", [&](std::stop_token stop) { (void)feed.Step(stop); });
  ledger.AwaitBegin();
  std::size_t accepted = 0;
  for (int i = 0; i < 30; ++i) {
    if (i % 10 == 5) pg.KillConnections();
    std::vector<NewMessage> batch{pg.Fresh(tenant, "+15550000001"),
                                  pg.Fresh(tenant, "+15550000002")};
    absl::Status status = pg.store.Accept(batch).status();
    while (absl::IsUnavailable(status)) status = pg.store.Accept(batch).status();
    ASSERT_TRUE(status.ok()) << status;
    accepted += batch.size();
    feed.Nudge();
  }
  ledger.AwaitEvents(accepted);
}

}  // namespace
}  // namespace postrider
