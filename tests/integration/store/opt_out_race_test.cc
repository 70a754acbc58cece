// Opt-outs against everything else at once, on the real store.
#include <algorithm>
#include <atomic>
#include <map>

#include <gtest/gtest.h>

#include "server/base/mutex.h"
#include "server/base/strings.h"
#include "server/model/consent_limits.h"
#include "tests/integration/store/pg_fixture.h"
#include "tests/support/await.h"
#include "tests/support/store_contract.h"

namespace postrider {
namespace {

std::string NumberOf(int i) { return StrCat("+1555", 1'000'000 + i); }

ConsentEvent OptOutOf(TenantId tenant, const std::string& recipient, Random& random) {
  ConsentEvent event{.tenant_id = tenant, .consent_id = MakeUuidV4(random)};
  event.recipient = recipient;
  return event;
}

TEST(OptOutRaceTest, NoIntentBeginsAfterACommittedOptOut) {
  constexpr int kRecipients = 1000;
  PgFixture pg(6);
  const TenantId tenant = pg.NewTenant("acme");
  ASSERT_TRUE(pg.store.Prepare().ok());
  const ReplicaId replica{MakeUuidV4(pg.random)};
  ASSERT_TRUE(pg.store.RenewReplica(replica, "one").ok());
  const auto share = pg.store.AcquireSlots(replica);
  ASSERT_TRUE(share.ok()) << share.status();

  Mutex mu;
  std::map<std::string, MonotonicTime> opted_out;  // When that had committed.
  std::map<MessageKey, std::string> sent;
  std::atomic<int> accepting = 2;
  std::atomic<int> begun = 0;  // Acceptances.
  std::atomic<int> posted = 0;
  std::atomic<int> suppressed = 0;
  std::atomic<int> refused = 0;
  const auto intend = [&] {
    std::vector<MessageKey> keys;
    {
      MutexLock lock(mu);
      for (const auto& [key, recipient] : sent) {
        if (keys.size() < 20) keys.push_back(key);
      }
      for (const MessageKey& key : keys) sent.erase(key);
    }
    const MonotonicTime began = pg.clock.Now();
    const auto intents = pg.store.Intend(replica, share->owned, keys);
    ASSERT_TRUE(intents.ok()) << intents.status();
    for (const Intent& made : *intents) {
      if (made.kind != Intent::Kind::kPost) {
        ++suppressed;
        continue;
      }
      ++posted;
      MutexLock lock(mu);
      const auto out = opted_out.find(made.request.recipient);
      EXPECT_FALSE(out != opted_out.end() && out->second < began) << out->first;
    }
  };
  InParallel(6, [&](int worker) {
    SeededRandom random(static_cast<std::uint64_t>(worker));
    if (worker < 2) {
      for (int i = worker; i < kRecipients; i += 2) {
        const NewMessage message = pg.Fresh(tenant, NumberOf(i));
        ++begun;
        const auto verdict = pg.store.Accept({&message, 1});
        ASSERT_TRUE(verdict.ok()) << verdict.status();
        refused += verdict->front().kind == Acceptance::Kind::kOptedOut ? 1 : 0;
        if (verdict->front().kind != Acceptance::Kind::kNew) continue;
        MutexLock lock(mu);
        sent[{tenant, message.message_id}] = message.request.recipient;
      }
      --accepting;
    } else if (worker < 4) {
      for (int i = worker - 2; i < kRecipients; i += 2) {
        // Beside its message's acceptance, or some time after it: neither side runs away.
        Await([&] { return begun >= std::min(kRecipients, i + i % 40); });
        const ConsentEvent event = OptOutOf(tenant, NumberOf(i), random);
        ASSERT_TRUE(pg.store.RecordConsent({&event, 1}, std::nullopt).ok());
        MutexLock lock(mu);
        opted_out[event.recipient] = pg.clock.Now();
      }
    } else {
      for (bool more = true; more;) {
        more = accepting > 0;
        intend();
        ASSERT_TRUE(pg.store.SuppressQueued(AllSlots()).ok());
        MutexLock lock(mu);
        more = more || !sent.empty();
      }
    }
  });
  for (auto ended = pg.store.SuppressQueued(AllSlots()); ended->has_value();
       ended = pg.store.SuppressQueued(AllSlots())) {
    ASSERT_TRUE(ended.ok()) << ended.status();
  }
  EXPECT_EQ(pg.sql.Number("SELECT count(*) FROM suppression"), kRecipients);
  EXPECT_EQ(pg.sql.Number("SELECT count(*) FROM dispatch_queue"), 0);
  EXPECT_EQ(pg.sql.Number("SELECT coalesce(sum(depth), 0) FROM queue_depth"), 0);
  EXPECT_EQ(pg.sql.Number("SELECT count(*) FROM message"), kRecipients - refused);
  EXPECT_EQ(pg.sql.Number("SELECT count(*) FROM attempt"), posted);
  EXPECT_GT(posted, 0) << "nothing raced";
  EXPECT_LT(posted, kRecipients) << "nothing raced";
}

TEST(OptOutRaceTest, OptOutsAndOptInsThatCrossEndAsWhatWasSaidLast) {
  PgFixture pg(6);
  const TenantId tenant = pg.NewTenant("acme");
  const WallTime said = pg.clock.Wall() - std::chrono::hours(1);
  constexpr int kRounds = 100;
  for (int round = 0; round < kRounds; ++round) {
    InParallel(4, [&](int worker) {
      SeededRandom random(static_cast<std::uint64_t>(round * 10 + worker));
      ConsentEvent event = OptOutOf(tenant, NumberOf(round), random);
      if (worker % 2 == 1) event.change = ConsentChange::kOptIn;
      // The last that is said is an opt-in in every other round.
      event.said_at = said + std::chrono::seconds((worker + round) % 4);
      ASSERT_TRUE(pg.store.RecordConsent({&event, 1}, std::nullopt).ok());
    });
  }
  for (int round = 0; round < kRounds; ++round) {
    const bool out = (3 - round % 4 + 4) % 4 % 2 == 0;  // Worker 3 - round said the last.
    const auto record = pg.store.FindConsent(tenant, NumberOf(round));
    ASSERT_TRUE(record.ok()) << record.status();
    EXPECT_EQ(record->suppressions.size(), out ? 1U : 0U) << round;
  }
}

TEST(OptOutRaceTest, WhatMayHaveLeftAfterAnOptOutIsMarked) {
  PgFixture pg;
  const TenantId tenant = pg.NewTenant("acme");
  ASSERT_TRUE(pg.store.Prepare().ok());
  const ReplicaId replica{MakeUuidV4(pg.random)};
  ASSERT_TRUE(pg.store.RenewReplica(replica, "one").ok());
  const auto share = pg.store.AcquireSlots(replica);
  ASSERT_TRUE(share.ok()) << share.status();
  struct Case {
    const char* recipient;
    bool opts_out;
    OutcomeKind outcome;
    bool marked;
  };
  const Case cases[] = {{"+15550000001", true, OutcomeKind::kAccepted, true},
                        {"+15550000002", true, OutcomeKind::kUnknown, true},
                        {"+15550000003", true, OutcomeKind::kNotSent, false},
                        {"+15550000004", false, OutcomeKind::kAccepted, false}};
  for (const Case& c : cases) {
    SCOPED_TRACE(c.recipient);
    const NewMessage message = pg.Fresh(tenant, c.recipient);
    ASSERT_EQ(pg.store.Accept({&message, 1})->front().kind, Acceptance::Kind::kNew);
    const MessageKey key{tenant, message.message_id};
    const auto intents = pg.store.Intend(replica, share->owned, {&key, 1});
    ASSERT_EQ(intents->front().kind, Intent::Kind::kPost);
    if (c.opts_out) {
      const ConsentEvent event = OptOutOf(tenant, c.recipient, pg.random);
      ASSERT_TRUE(pg.store.RecordConsent({&event, 1}, std::nullopt).ok());
    }
    AttemptOutcome outcome;
    outcome.key = key;
    outcome.outcome.kind = c.outcome;
    ASSERT_TRUE(pg.store.RecordOutcomes(replica, {&outcome, 1}).ok());
    EXPECT_EQ(pg.sql.Value(StrCat("SELECT left_before_opt_out FROM attempt WHERE message_id = '",
                                  message.message_id.ToString(), "'")),
              c.marked ? "t" : "f");
  }
}

TEST(OptOutRaceTest, ALongQueueIsEndedInPartsAndAllOfIt) {
  constexpr int kQueued = kSuppressedAtOnce + 100;
  PgFixture pg;
  const TenantId tenant = pg.NewTenant("acme");
  std::vector<NewMessage> batch;
  for (int i = 0; i < kQueued; ++i) batch.push_back(pg.Fresh(tenant, NumberOf(1)));
  ASSERT_TRUE(pg.store.Accept(batch).ok());
  const ConsentEvent event = OptOutOf(tenant, NumberOf(1), pg.random);
  ASSERT_EQ(pg.store.RecordConsent({&event, 1}, std::nullopt)->opted_out, 1);
  EXPECT_EQ(*pg.store.SuppressQueued(AllSlots()), kSuppressedAtOnce);
  EXPECT_EQ(*pg.store.SuppressQueued(AllSlots()), 100);
  EXPECT_EQ(pg.store.SuppressQueued(AllSlots())->value_or(0), 0);
  EXPECT_EQ(pg.sql.Number("SELECT count(*) FROM message WHERE state = 12 AND final"), kQueued);
  EXPECT_EQ(pg.sql.Number("SELECT count(*) FROM status_event WHERE state = 12 AND cause = 8"),
            kQueued);
}

TEST(OptOutRaceTest, OptOutsOfOneSenderAndOfAllThatComeTogetherEndAllOfIt) {
  constexpr int kOfEach = kSuppressedAtOnce * 3 / 4;
  PgFixture pg;
  const TenantId tenant = pg.NewTenant("acme");
  // Both opt-outs mean what `pg.sender` sends, and that is found first: it came last.
  std::vector<NewMessage> batch;
  for (int i = 0; i < 2 * kOfEach; ++i) batch.push_back(pg.Fresh(tenant, NumberOf(1)));
  const SenderId other{MakeUuidV4(pg.random)};
  for (int i = 0; i < kOfEach; ++i) batch[static_cast<std::size_t>(i)].request.sender_id = other;
  ASSERT_TRUE(pg.store.Accept(batch).ok());
  ConsentEvent of_one = OptOutOf(tenant, NumberOf(1), pg.random);
  of_one.sender_id = pg.sender;
  for (const ConsentEvent& event : {of_one, OptOutOf(tenant, NumberOf(1), pg.random)}) {
    ASSERT_EQ(pg.store.RecordConsent({&event, 1}, std::nullopt)->opted_out, 1);
  }
  while (pg.store.SuppressQueued(AllSlots())->has_value()) {
  }
  EXPECT_EQ(pg.sql.Number("SELECT count(*) FROM message WHERE state = 12"), 2 * kOfEach);
}

TEST(OptOutRaceTest, WhatAnotherTransactionHeldAtTheFirstLookIsEndedAtTheSecond) {
  PgFixture pg;
  const TenantId tenant = pg.NewTenant("acme");
  const NewMessage message = pg.Fresh(tenant, NumberOf(1));
  ASSERT_EQ(pg.store.Accept({&message, 1})->front().kind, Acceptance::Kind::kNew);
  SqlSession other(pg.database.url());
  other.Run("BEGIN; DELETE FROM dispatch_queue");
  const ConsentEvent event = OptOutOf(tenant, NumberOf(1), pg.random);
  ASSERT_EQ(pg.store.RecordConsent({&event, 1}, std::nullopt)->opted_out, 1);
  EXPECT_EQ(*pg.store.SuppressQueued(AllSlots()), 0);
  other.Run("ROLLBACK");
  EXPECT_EQ(*pg.store.SuppressQueued(AllSlots()), std::nullopt) << "not looked at all the time";

  const std::string passed =
      StrCat(" - interval '", kOptOutSettles / std::chrono::seconds(1) + 2, " seconds'");
  pg.sql.Run(
      StrCat("UPDATE opt_out_queue SET since = since", passed, ", look_at = look_at", passed));
  EXPECT_EQ(*pg.store.SuppressQueued(AllSlots()), 1);
  EXPECT_EQ(pg.sql.Number("SELECT count(*) FROM message WHERE state = 12"), 1);
  EXPECT_EQ(pg.sql.Number("SELECT count(*) FROM opt_out_queue"), 0);
}

}  // namespace
}  // namespace postrider
