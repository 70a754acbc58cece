// Operators and callers against the dispatcher, at the same moment and over real transactions.
#include <algorithm>
#include <atomic>
#include <map>
#include <optional>
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
    leases = pg.store.AcquireSlots(replica)->owned;
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
  EXPECT_EQ(pg.sql.Number("SELECT count(*) FROM operator_action WHERE reason <> ''"), 2 * kRounds);
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

/// A live replica that has no slots yet, and takes over from another one.
struct Heir {
  explicit Heir(PgFixture& in) : pg(in), replica{MakeUuidV4(in.random)} {
    EXPECT_TRUE(pg.store.RenewReplica(replica, "heir").value());
  }
  /// Until `tenant`'s slot is its own: the time of `before` is over.
  void TakeOver(ReplicaId before, TenantId tenant) {
    SqlSession(pg.database.url())
        .Run(StrCat("UPDATE replica SET expires_at = clock_timestamp() - interval '1 second' ",
                    "WHERE replica_id = '", before.ToString(), "'"));
    const auto has_slot = [&] {
      return std::any_of(leases.begin(), leases.end(),
                         [&](const Lease& lease) { return lease.slot == SlotOf(tenant); });
    };
    while (!has_slot()) {
      EXPECT_TRUE(pg.store.RenewReplica(replica, "heir").value());
      const auto share = pg.store.AcquireSlots(replica);
      if (share.ok()) leases = share->owned;  // else a lock was held for too long
    }
  }

  PgFixture& pg;
  const ReplicaId replica;
  std::vector<Lease> leases;
};

TEST(ControlRaceTest, NoIntentIsCommittedAfterAPauseThoughAnotherReplicaTakesOverMeanwhile) {
  constexpr int kRounds = 25;
  constexpr int kMessages = 24;
  PgFixture pg(8);
  const TenantId tenant = pg.NewTenant("acme");
  const Owner first(pg);
  ReplicaId owner = first.replica;
  std::vector<Lease> leases = first.leases;
  const PauseTarget target{tenant, PauseScope::kTenant, ""};
  SqlSession eyes(pg.database.url());
  const char* const kAttempts = "SELECT count(*) FROM attempt";
  for (int round = 0; round < kRounds; ++round) {
    const std::vector<MessageKey> keys = Queued(pg, tenant, kMessages);
    Heir heir(pg);
    std::atomic<bool> paused = false;
    std::atomic<int> tries = 0;
    std::atomic<int> after_the_pause = 0;
    std::int64_t at_the_pause = 0;
    const auto intend = [&](ReplicaId replica, const std::vector<Lease>& held,
                            const MessageKey& key) {
      const bool was_paused = paused;
      const auto intent = pg.store.Intend(replica, held, {&key, 1});
      ++tries;
      ASSERT_TRUE(intent.ok()) << intent.status();
      if (was_paused && intent->front().kind == Intent::Kind::kPost) ++after_the_pause;
    };
    InParallel(3, [&](int worker) {
      if (worker == 0) {
        for (const MessageKey& key : keys) intend(owner, leases, key);
      } else if (worker == 1) {
        heir.TakeOver(owner, tenant);
        for (auto key = keys.rbegin(); key != keys.rend(); ++key) {
          intend(heir.replica, heir.leases, *key);
        }
      } else {
        // At a moment of its own in each round.
        while (tries < round) std::this_thread::yield();
        const OperatorAction action{MakeUuidV4(pg.random), "ops", "race"};
        ASSERT_TRUE(pg.store.PauseDispatch(target, {}, action).ok());
        paused = true;
        at_the_pause = eyes.Number(kAttempts);
      }
    });
    EXPECT_EQ(after_the_pause, 0);
    EXPECT_EQ(eyes.Number(kAttempts), at_the_pause) << "begun before it, committed after it";
    const OperatorAction over{MakeUuidV4(pg.random), "ops", "over"};
    ASSERT_TRUE(pg.store.ResumeDispatch(target, over).value());
    EXPECT_TRUE(pg.store.Intend(heir.replica, heir.leases, keys).ok());
    owner = heir.replica;
    leases = heir.leases;
  }
  EXPECT_EQ(eyes.Number(kAttempts), kRounds * kMessages);
  EXPECT_EQ(eyes.Number("SELECT count(*) FROM (SELECT FROM attempt GROUP BY slot, epoch "
                        "HAVING count(DISTINCT replica_id) > 1) e"),
            0);
}

TEST(ControlRaceTest, AnOverrideOutlivesATakeOverAndTheOwnerBeforeStoresNothingAfterIt) {
  constexpr int kRounds = 30;
  constexpr int kStores = 12;
  PgFixture pg(8);
  const TenantId tenant = pg.NewTenant("acme");
  const BreakerKey key{tenant, Breaker::kCarrier};
  const Owner first(pg);
  ReplicaId owner = first.replica;
  std::vector<Lease> leases = first.leases;
  const auto store = [&](ReplicaId replica, const std::vector<Lease>& held, const char* cause) {
    const BreakerChange change{key,
                               {.state = BreakerState::kOpen,
                                .trips = 1,
                                .changed_at = pg.clock.Wall(),
                                .open_until = pg.clock.Wall() + 1h,
                                .cause = cause}};
    const auto stored = pg.store.StoreBreakers(replica, held, {&change, 1});
    EXPECT_TRUE(stored.ok()) << stored.status();
    return stored.ok() && !stored->empty();
  };
  for (int round = 0; round < kRounds; ++round) {
    Heir heir(pg);
    std::atomic<bool> taken = false;
    std::atomic<int> stores = 0;
    // Every third round ends the override that is there.
    std::optional<BreakerState> word;
    if (round % 3 != 2) word = round % 3 == 0 ? BreakerState::kOpen : BreakerState::kClosed;
    const OperatorAction action{MakeUuidV4(pg.random), "ops", StrCat("round ", round)};
    InParallel(3, [&](int worker) {
      if (worker == 0) {
        for (int i = 0; i < kStores || !taken; ++i) {
          const bool was_taken = taken;
          const bool stored = store(owner, leases, "the owner before");
          EXPECT_FALSE(was_taken && stored);
          ++stores;
        }
      } else if (worker == 1) {
        heir.TakeOver(owner, tenant);
        taken = true;
        EXPECT_TRUE(store(heir.replica, heir.leases, "the new owner"));
      } else {
        while (stores < round % kStores) std::this_thread::yield();
        EXPECT_TRUE(pg.store.OverrideBreaker(key, word, pg.clock.Wall() + 1h, action).ok());
      }
    });
    const auto read = pg.store.BreakersOf({&tenant, 1});
    ASSERT_TRUE(read.ok()) << read.status();
    const auto carrier =
        std::find_if(read->breakers.begin(), read->breakers.end(),
                     [&](const BreakerReading& reading) { return reading.key == key; });
    ASSERT_NE(carrier, read->breakers.end());
    EXPECT_EQ(carrier->standing.cause, "the new owner");
    ASSERT_EQ(carrier->override_in_force.has_value(), word.has_value()) << round;
    if (word) {
      EXPECT_EQ(carrier->override_in_force->state, *word);
      EXPECT_EQ(carrier->override_in_force->reason, action.reason);
    }
    owner = heir.replica;
    leases = heir.leases;
  }
  EXPECT_EQ(pg.sql.Number("SELECT count(*) FROM operator_action WHERE reason <> ''"), kRounds);
}

TEST(ControlRaceTest, OfAnExpiryACancelAndAnIntentExactlyOneWins) {
  constexpr int kRounds = 16;
  constexpr int kMessages = 12;
  PgFixture pg(8);
  const TenantId tenant = pg.NewTenant("acme");
  const Owner owner(pg);
  const int slots[] = {SlotOf(tenant)};
  std::map<MessageState, int> wins;
  int expired = 0;
  WallTime::duration took{};  // to accept the batch before
  for (int round = 0; round < kRounds; ++round) {
    const WallTime began = pg.clock.Wall();
    std::vector<NewMessage> batch;
    for (int i = 0; i < kMessages; ++i) {
      batch.push_back(pg.Fresh(tenant, StrCat("+1555", 1000 + i)));
      // Some before and some after an intent or a cancel comes to them.
      batch.back().request.expire_at = began + took + 3ms * i;
    }
    ASSERT_TRUE(pg.store.Accept(batch).ok());
    took = pg.clock.Wall() - began;
    std::map<MessageId, Intent::Kind> intents;
    std::map<MessageId, Cancellation::Kind> cancels;
    std::atomic<int> busy = 2;
    InParallel(3, [&](int worker) {
      if (worker == 0) {
        for (const NewMessage& message : batch) {
          const MessageKey key{tenant, message.message_id};
          intents[key.message_id] =
              pg.store.Intend(owner.replica, owner.leases, {&key, 1})->front().kind;
        }
      } else if (worker == 1) {
        for (auto message = batch.rbegin(); message != batch.rend(); ++message) {
          cancels[message->message_id] = pg.store.Cancel({tenant, message->message_id})->kind;
        }
      } else {
        while (busy > 0) expired += pg.store.ExpireDue(slots).value();
      }
      --busy;
    });
    for (const NewMessage& message : batch) {
      const MessageId id = message.message_id;
      const MessageState state = pg.store.GetMessage({tenant, id})->message.status.state;
      EXPECT_EQ(state == MessageState::kDispatching, intents[id] == Intent::Kind::kPost);
      EXPECT_EQ(state == MessageState::kCancelled, cancels[id] == Cancellation::Kind::kCancelled);
      EXPECT_NE(state, MessageState::kQueued) << "somebody came to each";
      if (intents[id] == Intent::Kind::kEnded) ++expired;
      ++wins[state];
    }
  }
  EXPECT_EQ(wins[MessageState::kExpired], expired);
  for (const MessageState state :
       {MessageState::kDispatching, MessageState::kCancelled, MessageState::kExpired}) {
    EXPECT_GT(wins[state], 0) << static_cast<int>(state) << ": there was no race";
  }
  EXPECT_EQ(pg.sql.Number("SELECT count(*) FROM status_event WHERE revision = 2"),
            kRounds * kMessages);
  EXPECT_EQ(pg.sql.Number("SELECT count(*) FROM status_event WHERE revision > 2"), 0);
  EXPECT_EQ(pg.sql.Number("SELECT count(*) FROM dispatch_queue"), 0);
  EXPECT_EQ(pg.sql.Number("SELECT sum(depth) FROM queue_depth"), 0);
}

}  // namespace
}  // namespace postrider
