// What a restored backup has queued: nobody knows what of it has left since.
#include "server/store/after_restore.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "server/base/strings.h"
#include "server/model/dispatch_limits.h"
#include "tests/integration/store/pg_fixture.h"
#include "tests/support/store_contract.h"

namespace postrider {
namespace {

using ::testing::Each;
using ::testing::ElementsAre;

struct RestoreFixture {
  PgFixture pg;
  PgPool pool{pg.clock, pg.random, {.conninfo = pg.database.url(), .max_sessions = 1}};
  const TenantId acme = pg.NewTenant("acme");
  const TenantId clinic = pg.NewTenant("clinic");
  const ReplicaId replica{MakeUuidV7(pg.clock.Wall(), pg.random)};

  MessageKey Queued(TenantId tenant, WallTime not_before = {}) {
    NewMessage message = pg.Fresh(tenant, "+15550000001");
    message.request.not_before = not_before;
    EXPECT_TRUE(pg.store.Accept({&message, 1}).ok());
    return {tenant, message.message_id};
  }

  std::vector<Lease> Own() {
    EXPECT_TRUE(pg.store.RenewReplica(replica, "here").value());
    return pg.store.AcquireSlots(replica)->owned;
  }

  RestoredQueue Settle() {
    const auto settled = SettleRestoredQueue(pool, pg.clock, pg.random, "the disk was lost");
    EXPECT_TRUE(settled.ok()) << settled.status();
    return settled.value_or(RestoredQueue());
  }

  /// "revision previous>state cause", in their order.
  std::vector<std::string> EventsOf(const MessageKey& key) {
    std::vector<std::string> events;
    for (const auto& row : pg.sql.Run(StrCat(
             "SELECT revision, previous, state, cause FROM status_event WHERE message_id = '",
             key.message_id.ToString(), "' ORDER BY revision"))) {
      events.push_back(StrCat(row[0], " ", row[1], ">", row[2], " ", row[3]));
    }
    return events;
  }
};

TEST(AfterRestoreTest, WhatIsQueuedIsUnknownAndWhatWaitsForItsTimeStays) {
  RestoreFixture restored;
  SqlSession& sql = restored.pg.sql;
  const WallTime tomorrow = restored.pg.clock.Wall() + std::chrono::hours(24);
  const MessageKey due = restored.Queued(restored.acme);
  const MessageKey scheduled = restored.Queued(restored.acme, tomorrow);
  const MessageKey other = restored.Queued(restored.clinic);
  const MessageKey at_night = restored.Queued(restored.clinic);
  sql.Run(
      StrCat("UPDATE message SET hold_reason = 7, hold_until = now() + interval '8 hours' "
             "WHERE message_id = '",
             at_night.message_id.ToString(), "'"));

  const RestoredQueue settled = restored.Settle();
  EXPECT_EQ(settled.paused, 2);
  EXPECT_EQ(settled.unknown, 2);
  EXPECT_EQ(settled.scheduled, 2);
  for (const MessageKey& key : {due, other}) {
    EXPECT_THAT(restored.EventsOf(key), ElementsAre("1 1>1 1", "2 1>2 2", "3 2>3 9"));
    const auto found = restored.pg.store.GetMessage(key);
    ASSERT_TRUE(found.ok()) << found.status();
    EXPECT_EQ(found->message.status.state, MessageState::kUnknown);
  }
  EXPECT_THAT(restored.EventsOf(scheduled), ElementsAre("1 1>1 1"));
  EXPECT_THAT(sql.Run("SELECT outcome, left_before_opt_out, detail FROM attempt"),
              Each(ElementsAre("5", "f",
                               "it may have left after the backup was made that this database was "
                               "restored from")));
  EXPECT_EQ(sql.Number("SELECT count(*) FROM attempt"), 2);
  EXPECT_EQ(sql.Number("SELECT count(*) FROM reconcile_queue WHERE kind = 1"), 2);
  EXPECT_EQ(sql.Number("SELECT count(*) FROM dispatch_queue"), 2);
  EXPECT_EQ(sql.Number("SELECT sum(depth) FROM queue_depth"), 2);
  EXPECT_THAT(
      sql.Run("SELECT action, target, reason, actor = session_user FROM operator_action "
              "WHERE reason <> '' ORDER BY action DESC"),
      ElementsAre(
          ElementsAre("PAUSE", "tenant", "after a restore: the disk was lost", "t"),
          ElementsAre("PAUSE", "tenant", "after a restore: the disk was lost", "t"),
          ElementsAre("AFTER_RESTORE", "1 message", "after a restore: the disk was lost", "t"),
          ElementsAre("AFTER_RESTORE", "1 message", "after a restore: the disk was lost", "t")));

  const auto doubtful = restored.pg.store.TakeDoubtful(restored.replica, restored.Own(), 10);
  ASSERT_EQ(doubtful->size(), 2U);
  for (const DoubtfulMessage& message : *doubtful) {
    EXPECT_EQ(message.intended_at, WallTime{}) << "nobody knows when it left";
  }
}

TEST(AfterRestoreTest, RepeatingItLeavesAloneWhatCameSince) {
  RestoreFixture restored;
  restored.Queued(restored.acme);
  EXPECT_EQ(restored.Settle().unknown, 1);
  const MessageKey since = restored.Queued(restored.acme);
  const RestoredQueue again = restored.Settle();
  EXPECT_EQ(again.paused, 0);
  EXPECT_EQ(again.unknown, 0);
  EXPECT_THAT(restored.EventsOf(since), ElementsAre("1 1>1 1"));
}

TEST(AfterRestoreTest, APauseOfBeforeTheBackupIsReplaced) {
  RestoreFixture restored;
  restored.Queued(restored.acme);
  const OperatorAction action{.action_id = MakeUuidV7(restored.pg.clock.Wall(), restored.pg.random),
                              .actor = "ann",
                              .reason = "the carrier asked us to"};
  const PauseTarget acme{restored.acme, PauseScope::kTenant, ""};
  ASSERT_TRUE(restored.pg.store.PauseDispatch(acme, WallTime{}, action).ok());
  const RestoredQueue settled = restored.Settle();
  EXPECT_EQ(settled.paused, 2);
  EXPECT_EQ(settled.unknown, 1) << "it may have been resumed since the backup";
}

TEST(AfterRestoreTest, NothingLeavesUntilAnOperatorResumes) {
  RestoreFixture restored;
  PgStore& store = restored.pg.store;
  const std::vector<Lease> leases = restored.Own();
  const MessageKey under_way = restored.Queued(restored.acme);
  ASSERT_EQ(store.Intend(restored.replica, leases, {&under_way, 1})->front().kind,
            Intent::Kind::kPost);
  const MessageKey before = restored.Queued(restored.acme);
  EXPECT_EQ(restored.Settle().unknown, 1);
  EXPECT_EQ(restored.EventsOf(under_way).size(), 2U) << "its owner lives, and will say";

  const MessageKey after = restored.Queued(restored.acme);
  const std::vector<MessageKey> both = {before, after};
  for (const auto paused = store.Intend(restored.replica, leases, both);
       const Intent& intent : *paused) {
    EXPECT_EQ(intent.kind, Intent::Kind::kGone);
  }
  EXPECT_TRUE(store.FlowsWithWork(AllSlots())->empty());

  const OperatorAction action{.action_id = MakeUuidV7(restored.pg.clock.Wall(), restored.pg.random),
                              .actor = "ann",
                              .reason = "looked through"};
  EXPECT_TRUE(store.ResumeDispatch({restored.acme, PauseScope::kTenant, ""}, action).value());
  const auto intents = store.Intend(restored.replica, leases, both);
  EXPECT_EQ(intents->at(0).kind, Intent::Kind::kGone) << "it is not sent again";
  EXPECT_EQ(intents->at(1).kind, Intent::Kind::kPost);
}

TEST(AfterRestoreTest, WhatGoesToWhoOptedOutIsMarked) {
  RestoreFixture restored;
  restored.Queued(restored.acme);
  ConsentEvent event{.tenant_id = restored.acme, .consent_id = MakeUuidV4(restored.pg.random)};
  event.recipient = "+15550000001";
  ASSERT_TRUE(restored.pg.store.RecordConsent({&event, 1}, std::nullopt).ok());
  EXPECT_EQ(restored.Settle().unknown, 1);
  EXPECT_EQ(restored.pg.sql.Value("SELECT left_before_opt_out FROM attempt"), "t");
}

TEST(AfterRestoreTest, ALongQueueIsGoneThroughInParts) {
  RestoreFixture restored;
  constexpr int kQueued = kRestoredAtOnce + 10;
  std::vector<NewMessage> batch;
  for (int i = 0; i < kQueued; ++i)
    batch.push_back(restored.pg.Fresh(restored.acme, "+15550000001"));
  batch.front().request.not_before = restored.pg.clock.Wall() + std::chrono::hours(1);
  ASSERT_TRUE(restored.pg.store.Accept(batch).ok());
  const RestoredQueue settled = restored.Settle();
  EXPECT_EQ(settled.unknown, kQueued - 1);
  EXPECT_EQ(settled.scheduled, 1);
  EXPECT_EQ(
      restored.pg.sql.Number("SELECT count(*) FROM operator_action WHERE action = 'AFTER_RESTORE'"),
      2);
  EXPECT_EQ(restored.pg.sql.Number("SELECT sum(depth) FROM queue_depth"), 1);
}

}  // namespace
}  // namespace postrider
