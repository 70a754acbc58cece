// Partitions and rows that are past their time go, and nothing that still waits.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "server/base/strings.h"
#include "tests/integration/store/pg_fixture.h"
#include "tests/support/shifted_clock.h"

namespace postrider {
namespace {

using namespace std::chrono_literals;
using std::chrono::days;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::UnorderedElementsAre;

class RetentionTest : public ::testing::Test {
 protected:
  PartitionDrops Drop(PgStore& store) {
    const auto drops = store.DropOld(KeepTimes{}, std::stop_token());
    EXPECT_TRUE(drops.ok()) << drops.status();
    if (!drops.ok()) return {};
    EXPECT_THAT(drops->failed, IsEmpty()) << drops->why;
    return *drops;
  }
  PartitionDrops Drop() { return Drop(pg_.store); }

  void ForgetAll() {
    for (int i = 0; i < 100; ++i) {
      const auto more = pg_.store.ForgetOld(KeepTimes{});
      ASSERT_TRUE(more.ok()) << more.status();
      if (!*more) return;
    }
  }

  /// Makes the partition of `parent` that begins `ago` and is of `length`; returns its name.
  std::string MakePartition(const std::string& parent, days ago, days length) {
    const WallTime from = std::chrono::floor<days>(pg_.clock.Wall()) - ago;
    const std::string name =
        StrCat(parent, pg_.sql.Value(StrCat("SELECT to_char(date 'epoch' + ",
                                            from.time_since_epoch() / days(1), ", 'YYYYMMDD')")));
    pg_.sql.Run(StrCat("CREATE TABLE ", name, " PARTITION OF ", parent, " FOR VALUES FROM ('",
                       LeastUuidV7(from).ToString(), "') TO ('",
                       LeastUuidV7(from + length).ToString(), "')"));
    return name;
  }

  bool Exists(const std::string& table) {
    return pg_.sql.Number(StrCat("SELECT count(*) FROM pg_class WHERE relname = '", table, "'")) >
           0;
  }

  /// A message that was accepted `ago`, by its id.
  MessageKey Accepted(days ago) {
    NewMessage message = pg_.Fresh(tenant_, "+15550000001");
    message.message_id = {MakeUuidV7(pg_.clock.Wall() - ago, pg_.random)};
    const auto verdicts = pg_.store.Accept({&message, 1});
    EXPECT_TRUE(verdicts.ok()) << verdicts.status();
    return {tenant_, message.message_id};
  }
  MessageKey Ended(days ago) {
    const MessageKey key = Accepted(ago);
    EXPECT_TRUE(pg_.store.Cancel(key).ok());
    return key;
  }
  void AddAttempt(const MessageKey& key, const char* outcome) {
    pg_.sql.Run(StrCat(
        "INSERT INTO attempt (tenant_id, message_id, attempt, slot, epoch, replica_id, outcome) "
        "VALUES ('",
        key.tenant_id.ToString(), "', '", key.message_id.ToString(), "', 1, ", SlotOf(tenant_),
        ", 1, gen_random_uuid(), ", outcome, ")"));
  }
  bool Found(const MessageKey& key) {
    const auto found = pg_.store.GetMessage(key);
    EXPECT_TRUE(found.ok() || absl::IsNotFound(found.status())) << found.status();
    return found.ok();
  }

  InboxRow Webhook(days ago, const char* body = "{}") {
    const InboxRow row{tenant_, {MakeUuidV7(pg_.clock.Wall() - ago, pg_.random)}, "guide", body};
    EXPECT_TRUE(pg_.store.AppendInbox({&row, 1}).ok());
    return row;
  }
  void Bury(const InboxRow& row) { EXPECT_TRUE(pg_.store.BuryReceipt(row, "refused").ok()); }

  std::int64_t Count(const std::string& table) {
    return pg_.sql.Number(StrCat("SELECT count(*) FROM ", table));
  }

  PgFixture pg_;
  const TenantId tenant_ = pg_.NewTenant("acme");
};

TEST_F(RetentionTest, MessagesGoWithTheirPartitionAndYoungerOnesStay) {
  const std::string messages = MakePartition("message", days(420), days(7));
  const std::string attempts = MakePartition("attempt", days(420), days(7));
  const std::string younger = MakePartition("message", days(399), days(7));
  const MessageKey old = Ended(days(415));
  AddAttempt(old, "2");
  const MessageKey young = Ended(days(395));
  const MessageKey fresh = Accepted(days(0));
  EXPECT_TRUE(Found(old));

  const PartitionDrops drops = Drop();
  EXPECT_THAT(drops.dropped, ElementsAre(messages, attempts));
  EXPECT_THAT(drops.kept, IsEmpty());
  EXPECT_FALSE(Found(old));
  EXPECT_TRUE(Found(young));
  EXPECT_TRUE(Found(fresh));
  EXPECT_EQ(Count("attempt"), 0);
  EXPECT_TRUE(Exists(younger));
  EXPECT_THAT(Drop().dropped, IsEmpty());
  EXPECT_TRUE(absl::IsNotFound(pg_.store.GetMessageByRequest(tenant_, "of the old").status()));
}

TEST_F(RetentionTest, APartitionIsKeptWhileAMessageInItWaits) {
  const std::string messages = MakePartition("message", days(420), days(7));
  const std::string attempts = MakePartition("attempt", days(420), days(7));
  const MessageKey queued = Accepted(days(415));
  EXPECT_THAT(Drop().kept, ElementsAre(messages, attempts)) << "in the queue";

  pg_.sql.Run("DELETE FROM dispatch_queue");
  AddAttempt(queued, "NULL");
  EXPECT_THAT(Drop().kept, Contains(messages)) << "an attempt is open";

  pg_.sql.Run("UPDATE attempt SET outcome = 5");
  pg_.sql.Run(StrCat("INSERT INTO reconcile_queue (tenant_id, message_id, slot) VALUES ('",
                     tenant_.ToString(), "', '", queued.message_id.ToString(), "', 0)"));
  EXPECT_THAT(Drop().kept, Contains(messages)) << "news are waited for";
  EXPECT_TRUE(Found(queued));

  pg_.sql.Run("DELETE FROM reconcile_queue");
  EXPECT_THAT(Drop().dropped, ElementsAre(messages, attempts));
}

TEST_F(RetentionTest, AClockThatIsAheadDropsAndErasesNothing) {
  TenantRow tenant;
  tenant.tenant_id = {MakeUuidV4(pg_.random)};
  tenant.name = "forgetful";
  tenant.client_id = tenant.webhook_key = "forgetful";
  tenant.keep_texts_days = tenant.keep_numbers_days = 31;
  ASSERT_TRUE(pg_.store.PutTenant(tenant).ok());
  NewMessage message = pg_.Fresh(tenant.tenant_id, "+15550000001");
  ASSERT_TRUE(pg_.store.Accept({&message, 1}).ok());
  ASSERT_TRUE(pg_.store.Cancel({tenant.tenant_id, message.message_id}).ok());

  ShiftedClock clock;
  clock.Advance(days(1000));
  PgStore ahead(clock, pg_.random, {.pool = {.conninfo = pg_.database.url(), .max_sessions = 1}});
  EXPECT_THAT(Drop(ahead).dropped, IsEmpty());
  ASSERT_TRUE(ahead.ForgetOld(KeepTimes{}).ok());
  const auto erased = ahead.EraseSome();
  ASSERT_TRUE(erased.ok()) << erased.status();
  EXPECT_EQ(erased->texts, 0);
  EXPECT_TRUE(Found({tenant.tenant_id, message.message_id}));
}

TEST_F(RetentionTest, ALockThatIsHeldIsNotWaitedForLongAndThePartitionGoesLater) {
  const std::string messages = MakePartition("message", days(420), days(7));
  SqlSession reader(pg_.database.url());
  reader.Run(StrCat("BEGIN; SELECT count(*) FROM ", messages));
  const auto drops = pg_.store.DropOld(KeepTimes{}, std::stop_token());
  ASSERT_TRUE(drops.ok()) << drops.status();
  EXPECT_THAT(drops->failed, ElementsAre(messages));
  EXPECT_THAT(drops->why, HasSubstr("lock"));
  EXPECT_TRUE(Exists(messages));
  reader.Run("COMMIT");
  EXPECT_THAT(Drop().dropped, ElementsAre(messages));
}

TEST_F(RetentionTest, ReplicasThatDropAtTheSameTimeAllSucceed) {
  std::vector<std::string> made;
  for (int i = 0; i < 8; ++i) made.push_back(MakePartition("message", days(500 - 7 * i), days(7)));
  for (int i = 0; i < 4; ++i) {
    made.push_back(MakePartition("webhook_inbox", days(120 - i), days(1)));
    made.push_back(MakePartition("receipt_applied", days(120 - i), days(1)));
    Bury(Webhook(days(120 - i)));
  }
  PgStore other(pg_.clock, pg_.random,
                {.pool = {.conninfo = pg_.database.url(), .max_sessions = 2}});
  PartitionDrops drops[2];
  InParallel(2, [&](int i) { drops[i] = Drop(i == 0 ? pg_.store : other); });
  std::vector<std::string> all = drops[0].dropped;
  all.insert(all.end(), drops[1].dropped.begin(), drops[1].dropped.end());
  const PartitionDrops last = Drop();  // What one left because the other was at it.
  all.insert(all.end(), last.dropped.begin(), last.dropped.end());
  EXPECT_THAT(all, ::testing::UnorderedElementsAreArray(made));
}

TEST_F(RetentionTest, WebhooksGoByDayAndWhatHasNoEndGoesBackToWhereItIsFound) {
  const std::string inbox = MakePartition("webhook_inbox", days(100), days(1));
  const std::string applied = MakePartition("receipt_applied", days(100), days(1));
  const std::string younger = MakePartition("webhook_inbox", days(50), days(1));
  const std::chrono::hours within(99 * 24);
  const auto webhook = [&](const char* body) {
    const WallTime at = std::chrono::floor<days>(pg_.clock.Wall()) - within - 12h;
    const InboxRow row{tenant_, {MakeUuidV7(at, pg_.random)}, "guide", body};
    EXPECT_TRUE(pg_.store.AppendInbox({&row, 1}).ok());
    return row;
  };
  Bury(webhook("cannot be read"));
  const InboxRow waiting = webhook("nobody has looked at it");
  const InboxRow parked = webhook("of a message that is not known");
  Receipt of_nobody;
  of_nobody.message_id = {MakeUuidV7(WallTime{}, pg_.random)};
  const ParsedReceipt orphan{parked, of_nobody};
  ASSERT_EQ(pg_.store.ApplyReceipts({&orphan, 1})->parked, 1);
  Webhook(days(0));
  ASSERT_EQ(Count(inbox), 3);
  ASSERT_EQ(Count(applied), 1);

  const PartitionDrops drops = Drop();
  EXPECT_THAT(drops.dropped, ElementsAre(inbox));
  EXPECT_THAT(drops.kept, ElementsAre(applied)) << "two of that day wait";
  EXPECT_TRUE(Exists(younger));
  EXPECT_EQ(Count("webhook_inbox_default"), 2);
  const std::vector<TenantId> tenants = {tenant_};
  const auto swept = pg_.store.SweepInbox(tenants, WallTime{}, 10);
  ASSERT_TRUE(swept.ok()) << swept.status();
  ASSERT_EQ(swept->size(), 1U);
  EXPECT_EQ(swept->front().inbox_id, waiting.inbox_id);
  EXPECT_EQ(swept->front().body, waiting.body);
  EXPECT_EQ(pg_.sql.Number("SELECT parked FROM webhook_account"), 1);

  ForgetAll();
  EXPECT_EQ(Count("webhook_inbox_default"), 2) << "not before their end";
  for (const InboxRow& row : {waiting, parked}) Bury(row);
  ForgetAll();
  EXPECT_EQ(Count("webhook_inbox_default"), 0);
  EXPECT_THAT(Drop().dropped, ElementsAre(applied));
  EXPECT_EQ(Count("dead_letter"), 3) << "as long as messages";
}

TEST_F(RetentionTest, ADayThatAReplicaLeftDetachedIsFinishedByTheNextLook) {
  const std::string inbox = MakePartition("webhook_inbox", days(100), days(3));
  const std::string applied = MakePartition("receipt_applied", days(100), days(3));
  Bury(Webhook(days(98), "ended"));
  const InboxRow waiting = Webhook(days(98), "waits");
  pg_.sql.Run(StrCat("ALTER TABLE webhook_inbox DETACH PARTITION ", inbox));
  EXPECT_EQ(Count("webhook_inbox"), 0);
  EXPECT_THAT(Drop().dropped, Contains(inbox));
  EXPECT_FALSE(Exists(inbox));
  EXPECT_TRUE(Exists(applied));
  EXPECT_EQ(Count("webhook_inbox"), 1);
  EXPECT_EQ(pg_.sql.Value("SELECT inbox_id FROM webhook_inbox"), waiting.inbox_id.ToString());
}

/// Events of transactions up to 100, and of later ones: in partitions of their own.
class EventRetentionTest : public RetentionTest {
 protected:
  EventRetentionTest() {
    pg_.sql.Run(
        "DROP TABLE status_event0; "
        "CREATE TABLE status_event0 PARTITION OF status_event FOR VALUES FROM ('0') TO ('100'); "
        "CREATE TABLE status_event900 PARTITION OF status_event "
        "FOR VALUES FROM ('100') TO ('4000000')");
  }
  void AddEvent(const MessageKey& key, days ago) {
    pg_.sql.Run(StrCat(
        "INSERT INTO status_event (xid, slot, tenant_id, message_id, revision, previous, state, "
        "cause, attempt, final, conversation_id, external_contact_id, campaign_id, at) VALUES "
        "('50', ",
        SlotOf(tenant_), ", '", tenant_.ToString(), "', '", key.message_id.ToString(),
        "', 7, 1, 10, 1, 1, true, gen_random_uuid(), '', '', now() - interval '", ago.count(),
        " days')"));
  }
};

TEST_F(EventRetentionTest, EventsGoOnceNoMessageOfTheirTimeIsLeft) {
  const std::string messages = MakePartition("message", days(420), days(7));
  const MessageKey old = Ended(days(418));
  AddEvent(old, days(417));
  const std::string younger = MakePartition("message", days(399), days(7));
  EXPECT_THAT(Drop().dropped, ElementsAre(messages, "status_event0"));
  EXPECT_TRUE(Exists("status_event900"));
}

TEST_F(EventRetentionTest, AMessageThatIsKeptKeepsItsHistory) {
  MakePartition("message", days(420), days(7));
  const MessageKey queued = Accepted(days(418));
  AddEvent(queued, days(417));
  EXPECT_THAT(Drop().dropped, IsEmpty());
  EXPECT_EQ(pg_.store.GetMessage(queued)->history.size(), 1U) << "and what the test made up";
  EXPECT_EQ(Count("status_event0"), 1);
}

TEST_F(EventRetentionTest, AMessageInTheDefaultPartitionKeepsItsHistoryToo) {
  const MessageKey queued = Accepted(days(418));
  AddEvent(queued, days(417));
  EXPECT_THAT(Drop().dropped, IsEmpty());
  pg_.store.Cancel(queued).IgnoreError();
  ForgetAll();
  EXPECT_FALSE(Found(queued));
  EXPECT_THAT(Drop().dropped, ElementsAre("status_event0"));
}

TEST_F(EventRetentionTest, NothingGoesThatATickWhichIsKeptMayStillTell) {
  AddEvent({tenant_, {MakeUuidV7(pg_.clock.Wall() - days(418), pg_.random)}}, days(417));
  pg_.sql.Run("UPDATE tick SET snap = '60:60:'");
  EXPECT_THAT(Drop().dropped, IsEmpty());
  EXPECT_TRUE(Exists("status_event0"));
}

TEST_F(EventRetentionTest, StreamsAndTokensAreHonestAboutWhatIsGone) {
  const std::string messages = MakePartition("message", days(420), days(7));
  const MessageKey old = Ended(days(418));
  AddEvent(old, days(417));
  const Tick before = *pg_.store.MakeTick();
  pg_.sql.Run("UPDATE tick SET at = now() - interval '73 hours'");
  const MessageKey young = Ended(days(1));
  while (pg_.store.MakeTick()->number == before.number) {
  }
  const Tick now = *pg_.store.MakeTick();
  ASSERT_TRUE(pg_.store.ForgetSome().ok());
  EXPECT_THAT(Drop().dropped, ElementsAre(messages, "status_event0"));

  EXPECT_TRUE(absl::IsOutOfRange(pg_.store.FindTick(before.number, before.nonce).status()));
  EXPECT_TRUE(absl::IsOutOfRange(pg_.store.EventsBetween(before, now, tenant_).status()));
  const auto oldest = pg_.store.OldestTick();
  ASSERT_TRUE(oldest.ok()) << oldest.status();
  EXPECT_TRUE(pg_.store.FindTick(oldest->number, oldest->nonce).ok());
  const MessageKey later = Ended(days(0));
  Tick latest = *oldest;
  while (latest.number == oldest->number) latest = *pg_.store.MakeTick();
  const auto events = pg_.store.EventsBetween(*oldest, latest, tenant_);
  ASSERT_TRUE(events.ok()) << events.status();
  ASSERT_EQ(events->size(), 2U);
  EXPECT_EQ(events->front().message_id, later.message_id);

  EventFilter all;
  all.tenant_id = tenant_;
  const auto snapshot = pg_.store.CurrentStates(all, {}, 10);
  ASSERT_TRUE(snapshot.ok()) << snapshot.status();
  ASSERT_EQ(snapshot->size(), 2U);
  EXPECT_EQ(snapshot->front().message_id, young.message_id);
  EXPECT_EQ(pg_.store.GetMessage(young)->history.size(), 2U);
  EXPECT_FALSE(Found(old));
}

TEST_F(RetentionTest, RowsOfDefaultPartitionsGoInChunksUnlessTheyWait) {
  const MessageKey queued = Accepted(days(500));
  const MessageKey young = Ended(days(300));
  pg_.sql.Run(StrCat(
      "INSERT INTO message SELECT (jsonb_populate_record(m, jsonb_build_object('message_id', "
      "'01600000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'), 'request_id', 'r' || n))).* "
      "FROM message m, generate_series(1, 7000) n WHERE m.message_id = '",
      young.message_id.ToString(), "'"));
  AddAttempt({tenant_, *MessageId::Parse("01600000-0000-7000-8000-000000000001")}, "1");
  AddAttempt(queued, "2");
  ForgetAll();
  EXPECT_TRUE(Found(queued));
  EXPECT_TRUE(Found(young));
  EXPECT_EQ(Count("message"), 2);
  EXPECT_EQ(Count("attempt"), 1);
}

TEST_F(RetentionTest, TextsThatCameInAndDeadLettersGoWhenTheyAreAsOldAsMessages) {
  const auto inbound = [&](days ago) {
    pg_.sql.Run(StrCat(
        "INSERT INTO inbound_message (tenant_id, inbound_id, conversation_id, sender_id, "
        "recipient, recipient_key, body, keyword, provider_message_id, provider_conversation_id, "
        "dedupe_key) VALUES ('",
        tenant_.ToString(), "', '", MakeUuidV7(pg_.clock.Wall() - ago, pg_.random).ToString(),
        "', gen_random_uuid(), gen_random_uuid(), '+1555', '', 'Hello', 0, '', '', "
        "uuid_send(gen_random_uuid()))"));
  };
  inbound(days(401));
  inbound(days(399));
  const InboxRow old = Webhook(days(401), "old");
  const InboxRow young = Webhook(days(399), "young");
  for (const InboxRow& row : {old, young}) Bury(row);
  const InboxRow replayed = Webhook(days(450), "is tried again");
  Bury(replayed);
  const DeadLetterChoice choice{{.tenant_id = tenant_}, {{replayed.inbox_id.uuid}}};
  ASSERT_EQ(
      pg_.store.ReplayDeadLetters(choice, 0us, {MakeUuidV4(pg_.random), "ops", "mended"})->changed,
      1);
  ForgetAll();
  EXPECT_EQ(Count("inbound_message"), 1);
  EXPECT_EQ(Count("dead_letter"), 2);
  EXPECT_FALSE(pg_.store.FindDeadLetter(tenant_, {old.inbox_id.uuid}).ok());
  EXPECT_TRUE(pg_.store.FindDeadLetter(tenant_, {young.inbox_id.uuid}).ok());
  EXPECT_EQ(Count("receipt_parked"), 1);
}

TEST_F(RetentionTest, ErasingGoesOnWhereItStoodAndInChunks) {
  pg_.sql.Run("UPDATE tenant SET keep_texts_days = 31");
  const MessageKey first = Ended(days(100));
  pg_.sql.Run(StrCat(
      "INSERT INTO message SELECT (jsonb_populate_record(m, jsonb_build_object('message_id', "
      "left(m.message_id::text, 24) || lpad(to_hex(n), 12, '0'), 'request_id', 'r' || n))).* "
      "FROM message m, generate_series(1, 5000) n WHERE m.message_id = '",
      first.message_id.ToString(), "'"));
  int chunks = 0;
  int texts = 0;
  for (bool more = true; more && chunks < 10; ++chunks) {
    const auto erased = pg_.store.EraseSome();
    ASSERT_TRUE(erased.ok()) << erased.status();
    texts += erased->texts;
    more = erased->has_more;
  }
  EXPECT_EQ(chunks, 3);
  EXPECT_EQ(texts, 5001);
  EXPECT_EQ(pg_.sql.Number("SELECT count(*) FROM message WHERE body <> ''"), 0);
  EXPECT_EQ(pg_.sql.Number("SELECT count(*) FROM message WHERE metadata <> '{}'"), 0);
}

TEST_F(RetentionTest, NoIndexHoldsWhatIsErasedOfAMessageSoThatNoneNeedsToBeTouched) {
  const auto indexes_with = [&](const char* columns) {
    return pg_.sql.Number(StrCat(
        "SELECT count(*) FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid "
        "AND a.attnum = ANY(i.indkey) WHERE i.indrelid = 'message'::regclass AND a.attname IN ",
        columns));
  };
  EXPECT_EQ(indexes_with("('body', 'metadata', 'recipient', 'recipient_key')"), 0);
  EXPECT_GT(indexes_with("('conversation_id')"), 0);
}

TEST_F(RetentionTest, ReplicasThatEraseAtTheSameTimeAllSucceed) {
  pg_.sql.Run("UPDATE tenant SET keep_texts_days = 31, keep_numbers_days = 31");
  for (int i = 0; i < 20; ++i) Ended(days(50));
  PgStore other(pg_.clock, pg_.random,
                {.pool = {.conninfo = pg_.database.url(), .max_sessions = 2}});
  InParallel(2, [&](int i) {
    PgStore& store = i == 0 ? pg_.store : other;
    for (int round = 0; round < 5; ++round) EXPECT_TRUE(store.EraseSome().ok());
  });
  ASSERT_TRUE(pg_.store.EraseSome().ok());
  EXPECT_EQ(pg_.sql.Number("SELECT count(*) FROM message WHERE body <> '' OR recipient <> '' "
                           "OR recipient_key <> ''"),
            0);
}

TEST_F(RetentionTest, WhatATenantWantsKeptAfterAllIsKept) {
  pg_.sql.Run("UPDATE tenant SET keep_texts_days = 31");
  const MessageKey key = Accepted(days(50));
  ASSERT_TRUE(pg_.store.EraseSome().ok());
  EXPECT_EQ(Count("erasure_waiting"), 1);
  ASSERT_TRUE(pg_.store.Cancel(key).ok());
  const auto erase_due = [&] {
    pg_.sql.Run("UPDATE erasure_waiting SET next_try_at = now()");
    const auto erased = pg_.store.EraseSome();
    return erased.ok() ? erased->texts : -1;
  };
  pg_.sql.Run("UPDATE tenant SET keep_texts_days = NULL");
  EXPECT_EQ(erase_due(), 0);
  pg_.sql.Run("UPDATE tenant SET keep_texts_days = 100");
  EXPECT_EQ(erase_due(), 0);
  EXPECT_EQ(Count("erasure_waiting"), 1);
  pg_.sql.Run("UPDATE tenant SET keep_texts_days = 31");
  EXPECT_EQ(erase_due(), 1);
  EXPECT_EQ(Count("erasure_waiting"), 0);
}

}  // namespace
}  // namespace postrider
