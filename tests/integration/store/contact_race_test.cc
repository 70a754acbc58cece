// Contacts under contention, on the real store: a number that becomes known, contacts that are
// merged, and the one answer to an opt-out.
#include <atomic>
#include <map>
#include <set>

#include <gtest/gtest.h>

#include "server/base/strings.h"
#include "server/model/consent_limits.h"
#include "tests/integration/store/pg_fixture.h"
#include "tests/support/store_contract.h"

namespace postrider {
namespace {

using Kind = Acceptance::Kind;

NewMessage To(PgFixture& pg, TenantId tenant, const std::string& contact,
              const std::string& number) {
  NewMessage message = pg.Fresh(tenant, number);
  message.request.external_contact_id = contact;
  return message;
}

TEST(ContactRaceTest, AHundredCallersAtOnceWithAndWithoutTheContactGetOneConversation) {
  constexpr int kCallers = 100;
  PgFixture pg(16);
  const TenantId tenant = pg.NewTenant("acme");
  for (int round = 0; round < 6; ++round) {
    const std::string number = StrCat("+1555", 1000 + round);
    // In half of the rounds the number was written to before.
    if (round % 2 == 0) {
      const NewMessage first = To(pg, tenant, "", number);
      ASSERT_TRUE(pg.store.Accept({&first, 1}).ok());
    }
    std::vector<ConversationId> got(kCallers);
    InParallel(kCallers, [&](int caller) {
      const std::string contact = caller % 3 == 0 ? "" : StrCat("contact-", round);
      const NewMessage message = To(pg, tenant, contact, number);
      const auto verdicts = pg.store.Accept({&message, 1});
      ASSERT_TRUE(verdicts.ok()) << verdicts.status();
      ASSERT_EQ(verdicts->front().kind, Kind::kNew);
      got[static_cast<std::size_t>(caller)] = verdicts->front().conversation_id;
    });
    EXPECT_EQ(std::set<ConversationId>(got.begin(), got.end()).size(), 1U) << number;
  }
  EXPECT_EQ(pg.sql.Number("SELECT count(*) FROM conversation"), 6);
  EXPECT_EQ(pg.sql.Number("SELECT count(*) FROM conversation WHERE contact_key LIKE 'x:%'"), 6);
  EXPECT_EQ(pg.sql.Number("SELECT count(*) FROM message"), 603);
}

TEST(ContactRaceTest, BatchesOfContactsWhoShareNumbersGiveEachContactOneConversation) {
  constexpr int kWorkers = 8;  // Each waits for all others: their square is what it takes.
  PgFixture pg(kWorkers);
  const TenantId tenant = pg.NewTenant("acme");
  std::atomic<int> made = 0;
  InParallel(kWorkers, [&](int worker) {
    for (int i = 0; i < 8; ++i) {
      std::vector<NewMessage> batch;
      for (int row = 0; row < 40; ++row) {
        // Numbers go up for one half of the workers and down for the other; a third names nobody.
        const int number = worker % 2 == 0 ? row / 2 : 19 - row / 2;
        const int contact = (row + worker * 7 + i) % 5;
        batch.push_back(To(pg, tenant, contact < 2 ? "" : StrCat("c-", number, "-", contact),
                           StrCat("+1555", 2000 + number)));
      }
      const auto verdicts = pg.store.Accept(batch);
      ASSERT_TRUE(verdicts.ok()) << verdicts.status();
      for (const Acceptance& verdict : *verdicts) made += verdict.kind == Kind::kNew ? 1 : 0;
    }
  });
  EXPECT_EQ(made, kWorkers * 8 * 40);
  EXPECT_EQ(pg.sql.Number("SELECT count(*) FROM message"), made);
  EXPECT_EQ(pg.sql.Number("SELECT count(*) FROM request_key"), made);
  EXPECT_EQ(pg.sql.Number("SELECT sum(depth) FROM queue_depth"), made);
  EXPECT_EQ(pg.sql.Number("SELECT count(*) FROM (SELECT external_contact_id FROM message "
                          "WHERE external_contact_id <> '' GROUP BY external_contact_id "
                          "HAVING count(DISTINCT conversation_id) > 1) t"),
            0);
  EXPECT_EQ(pg.sql.Number("SELECT count(*) FROM (SELECT conversation_id FROM message "
                          "WHERE external_contact_id <> '' GROUP BY conversation_id "
                          "HAVING count(DISTINCT external_contact_id) > 1) t"),
            0);
  EXPECT_EQ(pg.sql.Number("SELECT count(*) FROM (SELECT conversation_id FROM message "
                          "GROUP BY conversation_id HAVING count(DISTINCT recipient) > 1) t"),
            0);
  EXPECT_EQ(pg.sql.Number("SELECT count(*) FROM message m WHERE NOT EXISTS (SELECT FROM "
                          "conversation c WHERE c.conversation_id = m.conversation_id)"),
            0);
}

TEST(ContactRaceTest, WhatIsAcceptedWhileContactsAreMergedNeverBeginsOneThatStaysApart) {
  constexpr int kWorkers = 8;
  PgFixture pg(kWorkers + 2);
  const TenantId tenant = pg.NewTenant("acme");
  for (int round = 0; round < 10; ++round) {
    const std::string home = StrCat("home-", round);
    const std::string work = StrCat("work-", round);
    const std::string home_number = StrCat("+15551", 1000 + round);
    const std::string work_number = StrCat("+15552", 1000 + round);
    const NewMessage known[] = {To(pg, tenant, home, home_number),
                                To(pg, tenant, work, work_number)};
    const auto before = pg.store.Accept(known);
    ASSERT_TRUE(before.ok()) << before.status();
    std::atomic<bool> merged = false;
    InParallel(kWorkers, [&](int worker) {
      if (worker == 0) {
        absl::StatusOr<ContactMerge> merge;
        do {  // As an operator's client repeats it.
          merge = pg.store.MergeContacts(tenant, StrCat("x:", work), StrCat("x:", home),
                                         {MakeUuidV7(pg.clock.Wall(), pg.random), "ops", "one"});
        } while (absl::IsUnavailable(merge.status()));
        ASSERT_TRUE(merge.ok()) << merge.status();
        merged = true;
        return;
      }
      for (int i = 0; i < 12; ++i) {
        NewMessage message = To(pg, tenant, worker % 2 == 0 ? work : home,
                                worker % 2 == 0 ? work_number : home_number);
        // A sender that neither had before.
        if (worker % 3 == 0) message.request.sender_id = {before->front().conversation_id.uuid};
        const bool after = merged;
        const auto verdicts = pg.store.Accept({&message, 1});
        ASSERT_TRUE(verdicts.ok()) << verdicts.status();
        ASSERT_EQ(verdicts->front().kind, Kind::kNew);
        if (after && worker % 3 != 0) {
          EXPECT_EQ(verdicts->front().conversation_id, before->front().conversation_id);
        }
      }
    });
    EXPECT_EQ(pg.sql.Number(StrCat("SELECT count(*) FROM conversation WHERE contact_key = 'x:",
                                   work, "' AND merged_into IS NULL")),
              0);
  }
  EXPECT_EQ(pg.sql.Number("SELECT count(*) FROM conversation c JOIN conversation s "
                          "ON s.conversation_id = c.merged_into WHERE s.merged_into IS NOT NULL "
                          "OR s.sender_id <> c.sender_id"),
            0);
  EXPECT_EQ(pg.sql.Number("SELECT count(*) FROM operator_action WHERE action = 'MERGE_CONTACTS' "
                          "AND before IS NOT NULL AND after IS NOT NULL"),
            10);
}

TEST(ContactRaceTest, AnOptOutThatIsToldManyTimesAtOnceIsAnsweredOnceAndNothingElseLeaves) {
  constexpr int kWorkers = 8;
  constexpr int kRecipients = 30;
  PgFixture pg(kWorkers + 2);
  const TenantId tenant = pg.NewTenant("acme");
  pg.sql.Run("UPDATE tenant SET opt_out_confirmation = 'No more.'");
  const std::string sender = pg.sql.Value("SELECT address FROM sender");
  const auto number = [](int i) { return StrCat("+1555", 3000 + i); };
  std::vector<NewMessage> queued;
  for (int i = 0; i < kRecipients; ++i) queued.push_back(pg.Fresh(tenant, number(i)));
  ASSERT_TRUE(pg.store.Accept(queued).ok());
  std::atomic<int> answered = 0;
  InParallel(kWorkers, [&](int worker) {
    for (int i = 0; i < kRecipients; ++i) {
      const int of = worker % 2 == 0 ? i : kRecipients - 1 - i;
      NewInbound text;
      text.row = {tenant,
                  {MakeUuidV7(pg.clock.Wall(), pg.random)},
                  "guide",
                  StrCat("STOP ", worker, " of ", of)};
      // Half of them are copies of one text, half were said anew.
      text.text.provider_message_id = StrCat("in-", worker % 2 == 0 ? 0 : worker, "-", of);
      text.text.sender = sender;
      text.text.recipient = number(of);
      text.text.text = "STOP";
      text.keyword = Keyword::kOptOut;
      text.new_conversation_id = {MakeUuidV4(pg.random)};
      text.new_message_id = {MakeUuidV7(pg.clock.Wall(), pg.random)};
      ASSERT_TRUE(pg.store.AppendInbox({&text.row, 1}).ok());
      for (int told = 0; told < 2; ++told) {
        const auto ends = pg.store.RecordInbound({&text, 1});
        ASSERT_TRUE(ends.ok()) << ends.status();
        answered += ends->front().answered ? 1 : 0;
      }
    }
  });
  EXPECT_EQ(answered, kRecipients);
  EXPECT_EQ(pg.sql.Number("SELECT count(*) FROM message WHERE answers_opt_out"), kRecipients);
  EXPECT_EQ(pg.sql.Number("SELECT count(DISTINCT recipient) FROM message WHERE answers_opt_out"),
            kRecipients);
  EXPECT_EQ(pg.sql.Number("SELECT sum(depth) FROM queue_depth"),
            pg.sql.Number("SELECT count(*) FROM dispatch_queue"));
  while (pg.store.SuppressQueued(AllSlots())->value_or(0) > 0) {
  }
  EXPECT_EQ(pg.sql.Number("SELECT count(*) FROM message WHERE state = 12"), kRecipients);
  EXPECT_EQ(pg.sql.Number("SELECT count(*) FROM dispatch_queue WHERE NOT answers_opt_out"), 0);
  EXPECT_EQ(pg.sql.Number("SELECT count(*) FROM dispatch_queue WHERE answers_opt_out "
                          "AND priority = 1 AND expire_at <= now() + interval '5 minutes'"),
            kRecipients);
}

}  // namespace
}  // namespace postrider
