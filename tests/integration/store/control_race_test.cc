// Operators and callers against the dispatcher, at the same moment and over real transactions.
#include <atomic>
#include <map>
#include <thread>

#include <gtest/gtest.h>

#include "server/base/strings.h"
#include "server/model/limits.h"
#include "tests/integration/store/pg_fixture.h"

namespace postrider {
namespace {

/// A live replica that owns every slot.
struct Owner {
  explicit Owner(PgFixture& pg) : replica{MakeUuidV4(pg.random)} {
    EXPECT_TRUE(pg.store.RenewReplica(replica, "test").value());
    leases = pg.store.AcquireSlots(replica).value();
  }
  const ReplicaId replica;
  std::vector<Lease> leases;
};

std::vector<MessageKey> Queued(PgFixture& pg, TenantId tenant, int count) {
  std::vector<NewMessage> batch;
  std::vector<MessageKey> keys;
  for (int i = 0; i < count; ++i) {
    batch.push_back(pg.Fresh(tenant, StrCat("+1555", 1000 + i)));
    keys.push_back({tenant, batch.back().message_id});
  }
  EXPECT_TRUE(pg.store.Accept(batch).ok());
  return keys;
}

TEST(ControlRaceTest, OfACancelAndAnIntentOfTheSameMessageExactlyOneWins) {
  constexpr int kRounds = 25;
  constexpr int kPairs = 16;
  PgFixture pg(8);
  const TenantId tenant = pg.NewTenant("acme");
  const Owner owner(pg);
  std::map<MessageKey, bool> cancelled;
  std::map<MessageKey, bool> posted;
  for (int round = 0; round < kRounds; ++round) {
    const std::vector<MessageKey> keys = Queued(pg, tenant, kPairs);
    std::vector<Intent> intents;
    std::vector<Cancellation> cancels(keys.size());
    // Half of the cancels go in the intents' order, half against it.
    InParallel(3, [&](int worker) {
      if (worker == 0) {
        intents = pg.store.Intend(owner.replica, owner.leases, keys).value();
        return;
      }
      for (std::size_t i = 0; i < keys.size() / 2; ++i) {
        const std::size_t at = worker == 1 ? i : keys.size() - 1 - i;
        cancels[at] = pg.store.Cancel(keys[at]).value();
      }
    });
    for (std::size_t i = 0; i < keys.size(); ++i) {
      cancelled[keys[i]] = cancels[i].kind == Cancellation::Kind::kCancelled;
      posted[keys[i]] = intents[i].kind == Intent::Kind::kPost;
    }
  }
  int wins = 0;
  for (const auto& [key, was_cancelled] : cancelled) {
    EXPECT_NE(was_cancelled, posted.at(key)) << key.message_id.ToString();
    const MessageState state = pg.store.GetMessage(key)->message.status.state;
    EXPECT_EQ(state, was_cancelled ? MessageState::kCancelled : MessageState::kDispatching);
    wins += was_cancelled ? 1 : 0;
  }
  EXPECT_EQ(pg.sql.Number("SELECT count(*) FROM attempt"), kRounds * kPairs - wins);
  EXPECT_EQ(pg.sql.Number("SELECT count(*) FROM dispatch_queue"), 0);
  EXPECT_EQ(pg.sql.Number("SELECT sum(depth) FROM queue_depth"), 0);
  // Whoever won, it is told: revision 2 of every message says which.
  EXPECT_EQ(pg.sql.Number("SELECT count(*) FROM status_event WHERE revision = 2"),
            kRounds * kPairs);
}

TEST(ControlRaceTest, NoIntentIsCommittedAfterAPause) {
  constexpr int kRounds = 30;
  constexpr int kMessages = 40;
  PgFixture pg(8);
  const TenantId tenant = pg.NewTenant("acme");
  const Owner owner(pg);
  const PauseTarget target{tenant, PauseScope::kTenant, ""};
  for (int round = 0; round < kRounds; ++round) {
    const std::vector<MessageKey> keys = Queued(pg, tenant, kMessages);
    std::atomic<bool> paused = false;
    std::atomic<int> after_the_pause = 0;
    std::atomic<int> before = 0;
    InParallel(2, [&](int worker) {
      if (worker == 1) {
        // At a moment of its own in each round.
        while (before < round) std::this_thread::yield();
        const OperatorAction action{MakeUuidV4(pg.random), "ops", "race"};
        ASSERT_TRUE(pg.store.PauseDispatch(target, {}, action).ok());
        paused = true;
        return;
      }
      for (const MessageKey& key : keys) {
        const bool was_paused = paused;
        const auto intent = pg.store.Intend(owner.replica, owner.leases, {&key, 1});
        ASSERT_TRUE(intent.ok()) << intent.status();
        if (intent->front().kind != Intent::Kind::kPost) continue;
        ++before;
        if (was_paused) ++after_the_pause;
      }
      before = kRounds;  // whatever came first, the other one may go on
    });
    EXPECT_EQ(after_the_pause, 0);
    const OperatorAction over{MakeUuidV4(pg.random), "ops", "over"};
    ASSERT_TRUE(pg.store.ResumeDispatch(target, over).value());
    EXPECT_TRUE(pg.store.Intend(owner.replica, owner.leases, keys).ok());
  }
  EXPECT_EQ(pg.sql.Number("SELECT count(*) FROM attempt"), kRounds * kMessages);
  EXPECT_EQ(pg.sql.Number("SELECT count(*) FROM operator_action"), 2 * kRounds);
}

/// What the lock of the lease is for: an intent that holds it is waited for.
TEST(ControlRaceTest, APauseWaitsForTheIntentThatIsUnderWay) {
  PgFixture pg;
  const TenantId tenant = pg.NewTenant("acme");
  const Owner owner(pg);
  const std::vector<MessageKey> keys = Queued(pg, tenant, 1);
  SqlSession intent(pg.database.url());
  intent.Run(
      StrCat("BEGIN; SELECT slot FROM slot_lease WHERE slot = ", SlotOf(tenant), " FOR KEY SHARE"));
  std::atomic<bool> paused = false;
  InParallel(2, [&](int worker) {
    if (worker == 0) {
      const OperatorAction action{MakeUuidV4(pg.random), "ops", "race"};
      EXPECT_TRUE(pg.store.PauseDispatch({tenant, PauseScope::kTenant, ""}, {}, action).ok());
      paused = true;
      return;
    }
    while (pg.sql.Number("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'") ==
           0) {
    }
    EXPECT_FALSE(paused);
    intent.Run("COMMIT");
  });
  EXPECT_TRUE(paused);
  EXPECT_EQ(pg.store.Intend(owner.replica, owner.leases, keys)->front().kind, Intent::Kind::kGone);
}

}  // namespace
}  // namespace postrider
