// Many callers at once, on the same keys: promises P2, P10 and P11 under contention.
#include <atomic>
#include <map>
#include <set>

#include <gtest/gtest.h>

#include "server/base/strings.h"
#include "tests/integration/store/pg_fixture.h"

namespace postrider {
namespace {

using Kind = Acceptance::Kind;

constexpr int kWorkers = 16;
constexpr int kBatches = 12;
constexpr std::size_t kRows = 40;
constexpr int kContacts = 60;

std::string RecipientOf(int contact) { return StrCat("+1555", 1000 + contact); }
bool OptedOut(int contact) { return contact % 6 == 0; }

/// A worker's batches: a fifth repeats requests that all workers share, contacts go up for one
/// half of the workers and down for the other.
std::vector<NewMessage> BatchOf(PgFixture& pg, TenantId tenant, Random& random, int worker,
                                const std::vector<NewMessage>& shared) {
  std::vector<NewMessage> batch;
  const bool upwards = worker % 2 == 0;
  for (std::size_t i = 0; i < kRows; ++i) {
    if (i % 5 == 0) {
      NewMessage again = shared[random.Next() % shared.size()];
      again.message_id = {MakeUuidV7(pg.clock.Wall(), pg.random)};
      again.new_conversation_id = {MakeUuidV4(pg.random)};
      batch.push_back(std::move(again));
      continue;
    }
    const int place = static_cast<int>(i) * kContacts / static_cast<int>(kRows);
    batch.push_back(pg.Fresh(tenant, RecipientOf(upwards ? place : kContacts - 1 - place)));
  }
  return batch;
}

TEST(AcceptRaceTest, WhateverCollidesEveryKeyHasOneMessageAndEveryContactOneConversation) {
  PgFixture pg(kWorkers);
  const TenantId tenants[] = {pg.NewTenant("acme"), pg.NewTenant("other")};
  std::map<TenantId, std::vector<NewMessage>> shared;
  for (const TenantId tenant : tenants) {
    for (int i = 0; i < 50; ++i) shared[tenant].push_back(pg.Fresh(tenant, RecipientOf(i)));
    for (int contact = 0; contact < kContacts; ++contact) {
      if (!OptedOut(contact)) continue;
      pg.sql.Run(StrCat("INSERT INTO suppression (tenant_id, recipient_key, sender_id) VALUES ('",
                        tenant.ToString(), "', convert_to('", RecipientOf(contact), "', 'UTF8'), '",
                        Uuid{}.ToString(), "')"));
    }
  }
  std::atomic<int> refused = 0;
  std::atomic<int> made = 0;
  std::atomic<int> repeated = 0;
  std::atomic<int> cancelled = 0;
  InParallel(kWorkers, [&](int worker) {
    SeededRandom random(static_cast<std::uint64_t>(worker));
    const TenantId tenant = tenants[worker / 2 % 2];
    for (int i = 0; i < kBatches; ++i) {
      const std::vector<NewMessage> batch = BatchOf(pg, tenant, random, worker, shared[tenant]);
      const auto verdicts = pg.store.Accept(batch);
      ASSERT_TRUE(verdicts.ok()) << verdicts.status();
      for (std::size_t row = 0; row < batch.size(); ++row) {
        const Acceptance& verdict = (*verdicts)[row];
        if (verdict.kind == Kind::kOptedOut) ++refused;
        if (verdict.kind == Kind::kDuplicate) ++repeated;
        if (verdict.kind != Kind::kNew) continue;
        ++made;
        EXPECT_EQ(verdict.message_id, batch[row].message_id);
        if (row % 4 != 1) continue;
        const auto cancellation = pg.store.Cancel({tenant, verdict.message_id});
        ASSERT_TRUE(cancellation.ok()) << cancellation.status();
        EXPECT_EQ(cancellation->kind, Cancellation::Kind::kCancelled);
        ++cancelled;
      }
    }
  });
  EXPECT_GT(refused, 0);
  EXPECT_GT(repeated, 0);
  EXPECT_EQ(pg.sql.Number("SELECT count(*) FROM message"), made);
  EXPECT_EQ(pg.sql.Number("SELECT count(*) FROM request_key"), made);
  EXPECT_EQ(pg.sql.Number("SELECT count(*) FROM request_key k JOIN message m ON "
                          "m.tenant_id = k.tenant_id AND m.message_id = k.message_id "
                          "AND m.request_id = k.request_id"),
            made);
  EXPECT_EQ(pg.sql.Number("SELECT count(*) FROM message m JOIN suppression s ON "
                          "s.tenant_id = m.tenant_id AND s.recipient_key = m.recipient_key"),
            0);
  EXPECT_EQ(pg.sql.Number("SELECT count(*) FROM (SELECT DISTINCT tenant_id, recipient_key, "
                          "sender_id, conversation_id FROM message) t"),
            pg.sql.Number("SELECT count(*) FROM (SELECT DISTINCT tenant_id, recipient_key, "
                          "sender_id FROM message) t"));
  EXPECT_EQ(pg.sql.Number("SELECT count(*) FROM message m WHERE NOT EXISTS (SELECT FROM "
                          "conversation c WHERE c.tenant_id = m.tenant_id "
                          "AND c.conversation_id = m.conversation_id "
                          "AND c.recipient_key = m.recipient_key)"),
            0);
  EXPECT_EQ(pg.sql.Number("SELECT count(*) FROM dispatch_queue"), made - cancelled);
  EXPECT_EQ(pg.sql.Number("SELECT sum(depth) FROM queue_depth"), made - cancelled);
  EXPECT_EQ(pg.sql.Number("SELECT count(*) FROM status_event"), made + cancelled);
}

TEST(AcceptRaceTest, NamedConversationsThatCrossAreMadeOnce) {
  PgFixture pg(kWorkers);
  const TenantId tenant = pg.NewTenant("acme");
  std::vector<ConversationId> named;
  for (int i = 0; i < 20; ++i) named.push_back({MakeUuidV4(pg.random)});
  // Each worker gives the same conversations to other contacts, in another order.
  std::atomic<int> made = 0;
  InParallel(kWorkers, [&](int worker) {
    std::vector<NewMessage> batch;
    for (std::size_t i = 0; i < named.size(); ++i) {
      batch.push_back(pg.Fresh(tenant, RecipientOf(static_cast<int>(i) + worker)));
      batch.back().request.conversation_id =
          named[(i * 7 + static_cast<std::size_t>(worker) * 3) % named.size()];
    }
    const auto verdicts = pg.store.Accept(batch);
    ASSERT_TRUE(verdicts.ok()) << verdicts.status();
    for (const Acceptance& verdict : *verdicts) {
      EXPECT_NE(verdict.kind, Kind::kOptedOut) << "nobody has";
      if (verdict.kind == Kind::kNew) ++made;
    }
  });
  EXPECT_GT(made, 0);
  EXPECT_EQ(pg.sql.Number("SELECT count(*) FROM message"), made);
  EXPECT_EQ(pg.sql.Number("SELECT count(*) FROM request_key"), made)
      << "a refusal does not use up the request_id";
  EXPECT_EQ(pg.sql.Number("SELECT sum(depth) FROM queue_depth"), made);
  EXPECT_EQ(pg.sql.Number("SELECT count(*) FROM message m JOIN conversation c ON "
                          "c.tenant_id = m.tenant_id AND c.conversation_id = m.conversation_id "
                          "AND c.recipient_key = m.recipient_key"),
            made);
}

TEST(AcceptRaceTest, ACancelAndAnIntentAgreeWhoWon) {
  PgFixture pg(4);
  const TenantId tenant = pg.NewTenant("acme");
  const ReplicaId replica{MakeUuidV4(pg.random)};
  ASSERT_TRUE(*pg.store.RenewReplica(replica, "test"));
  const std::vector<Lease> leases = pg.store.AcquireSlots(replica)->owned;
  std::vector<MessageKey> keys;
  for (int i = 0; i < 60; ++i) {
    const NewMessage message = pg.Fresh(tenant, RecipientOf(i));
    ASSERT_TRUE(pg.store.Accept({&message, 1}).ok());
    keys.push_back({tenant, message.message_id});
  }
  std::set<MessageId> posted;
  std::set<MessageId> cancelled;
  InParallel(2, [&](int worker) {
    if (worker == 0) {
      for (std::size_t i = 0; i < keys.size(); i += 4) {
        const auto intents = pg.store.Intend(replica, leases, std::span(keys).subspan(i, 4));
        ASSERT_TRUE(intents.ok()) << intents.status();
        for (const Intent& intent : *intents) {
          if (intent.kind == Intent::Kind::kPost) posted.insert(intent.key.message_id);
        }
      }
    } else {
      for (std::size_t i = keys.size(); i-- > 0;) {
        const auto done = pg.store.Cancel(keys[i]);
        ASSERT_TRUE(done.ok()) << done.status();
        if (done->kind == Cancellation::Kind::kCancelled) cancelled.insert(keys[i].message_id);
      }
    }
  });
  EXPECT_EQ(posted.size() + cancelled.size(), keys.size());
  for (const MessageId id : posted) EXPECT_FALSE(cancelled.contains(id));
  EXPECT_EQ(pg.sql.Number("SELECT count(*) FROM attempt"), posted.size());
  EXPECT_EQ(pg.sql.Number("SELECT count(*) FROM dispatch_queue"), 0);
  EXPECT_EQ(pg.sql.Number("SELECT sum(depth) FROM queue_depth"), 0);
}

}  // namespace
}  // namespace postrider
