// Dead letters as operators see and replay them, through the front door.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "server/base/strings.h"
#include "server/model/limits.h"
#include "tests/e2e/rig.h"
#include "tests/support/child_program.h"

namespace postrider {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

/// A text to an address that may become a sender of the tenant later.
std::string TextTo(const std::string& sender, int number) {
  return StrCat(R"({"id":"in-)", number, R"(","channel":{"messageId":"c","to":{"id":")", sender,
                R"("},"from":{"id":"+15551234567"},"time":"2026-02-01T15:04:05Z"},)",
                R"("type":"Text","text":"Hello","direction":"Inbound"})");
}

class DeadLetterTest : public ::testing::Test {
 protected:
  static constexpr const char* kLateSender = "+15550009999";

  void Receive(const std::string& body) {
    ASSERT_EQ(HttpPost(rig_.gateway.webhook_url(), body), 200);
  }
  bool AwaitDead(int count) {
    return Await([&] { return DeadOnes() == count; });
  }
  std::int64_t DeadOnes() const {
    return rig_.sql.Number("SELECT count(*) FROM dead_letter WHERE state = 1");
  }
  static v1::DeadLetterFilter All() {
    v1::DeadLetterFilter filter;
    filter.set_tenant("default");
    return filter;
  }
  CommandResult Dlq(std::vector<std::string> args) const {
    args.insert(args.begin(), {POSTRIDER, "dlq"});
    args.insert(args.end(), {"--address", rig_.gateway.admin_address(), "--token-file",
                             rig_.gateway.operator_token_file()});
    return RunCommand(args);
  }

  const Rig rig_;
  const std::unique_ptr<client::Admin> admin_ = rig_.NewAdmin();
};

TEST_F(DeadLetterTest, AreListedGroupedAndShownWithMaskedNumbers) {
  for (int i = 0; i < 3; ++i) Receive(TextTo(kLateSender, i));
  Receive(R"({"id":"msg-1","status":"teleported","to":"+15551234567"})");
  ASSERT_TRUE(AwaitDead(4));

  v1::ListDeadLettersRequest list;
  *list.mutable_filter() = All();
  list.set_page_size(3);
  auto page = admin_->ListDeadLetters(list);
  ASSERT_TRUE(page.ok()) << page.status();
  EXPECT_EQ(page->dead_letters_size(), 3);
  list.set_page_token(page->next_page_token());
  page = admin_->ListDeadLetters(list);
  ASSERT_TRUE(page.ok()) << page.status();
  EXPECT_EQ(page->dead_letters_size(), 1);
  EXPECT_EQ(page->next_page_token(), "");

  v1::GroupDeadLettersRequest group;
  *group.mutable_filter() = All();
  const auto groups = admin_->GroupDeadLetters(group);
  ASSERT_TRUE(groups.ok()) << groups.status();
  ASSERT_EQ(groups->groups_size(), 2);
  EXPECT_EQ(groups->groups(0).reason(), "UNKNOWN_SENDER");
  EXPECT_EQ(groups->groups(0).count(), 3);

  v1::ListDeadLettersRequest unreadable;
  *unreadable.mutable_filter() = All();
  unreadable.mutable_filter()->set_reason("UNREADABLE");
  page = admin_->ListDeadLetters(unreadable);
  ASSERT_TRUE(page.ok()) << page.status();
  ASSERT_EQ(page->dead_letters_size(), 1);
  v1::GetDeadLetterRequest get;
  get.set_tenant("default");
  get.set_dead_letter_id(page->dead_letters(0).dead_letter_id());
  const auto letter = admin_->GetDeadLetter(get);
  ASSERT_TRUE(letter.ok()) << letter.status();
  EXPECT_EQ(letter->dead_letter().detail(), "status: unknown, \"teleported\"");
  EXPECT_EQ(letter->body(), R"({"id":"msg-1","status":"teleported","to":"+*********67"})");

  const CommandResult shown = Dlq({"list"});
  EXPECT_EQ(shown.exit.status, 0) << shown.err;
  EXPECT_THAT(shown.out, HasSubstr("UNKNOWN_SENDER"));
  EXPECT_THAT(shown.out, HasSubstr(get.dead_letter_id()));
  const CommandResult one = Dlq({"show", get.dead_letter_id()});
  EXPECT_EQ(one.exit.status, 0) << one.err;
  EXPECT_THAT(one.out, HasSubstr("teleported"));
  EXPECT_THAT(one.out, Not(HasSubstr("1555")));
  EXPECT_THAT(Dlq({"groups"}).out, HasSubstr("UNKNOWN_SENDER  guide   3"));
}

TEST_F(DeadLetterTest, AllThatMatchAreReplayedOnceTheirCauseIsMendedAndItIsOnRecord) {
  const int count = static_cast<int>(kDeadLettersChanged) + 20;  // More than one call takes.
  for (int i = 0; i < count; ++i) Receive(TextTo(kLateSender, i));
  Receive(R"({"id":"msg-1","status":"teleported"})");
  ASSERT_TRUE(AwaitDead(count + 1));
  const std::vector<std::string> replay = {
      "replay", "--all", "--dead-reason", "UNKNOWN_SENDER",
      "--rate", "1000",  "--reason",      "the number is registered now"};
  std::vector<std::string> dry_run = replay;
  dry_run.emplace_back("--dry-run");
  EXPECT_EQ(Dlq(dry_run).out, StrCat(count, " would be replayed\n"));
  EXPECT_EQ(DeadOnes(), count + 1);

  rig_.sql.Ask(
      StrCat("INSERT INTO sender (tenant_id, sender_id, address, segments_per_s) "
             "SELECT tenant_id, gen_random_uuid(), '",
             kLateSender, "', 1 FROM tenant"));
  const CommandResult done = Dlq(replay);
  EXPECT_EQ(done.exit.status, 0) << done.err;
  EXPECT_EQ(done.out, StrCat("replayed ", count, "\n"));
  EXPECT_THAT(done.err, HasSubstr(StrCat("replayed ", kDeadLettersChanged, " of ", count)));
  EXPECT_TRUE(
      Await([&] { return rig_.sql.Number("SELECT count(*) FROM inbound_message") == count; }));
  EXPECT_EQ(DeadOnes(), 1);
  EXPECT_TRUE(Await([&] { return InboxIsAccountedFor(rig_.sql).empty(); }));
  EXPECT_EQ(rig_.sql.Text("SELECT (received, applied, duplicates, parked, dead_letters, waiting) "
                          "FROM webhook_account"),
            StrCat("(", count + 1, ",", count, ",0,0,1,0)"));
  EXPECT_EQ(rig_.sql.Text("SELECT string_agg(actor || ': ' || reason || ' (' || target || ')', "
                          "'; ' ORDER BY at) FROM operator_action "
                          "WHERE action = 'REPLAY_DEAD_LETTERS'"),
            StrCat("operator token file: the number is registered now (", kDeadLettersChanged,
                   " dead letters, reason UNKNOWN_SENDER); operator token file: the number is "
                   "registered now (20 dead letters, reason UNKNOWN_SENDER)"));
}

TEST_F(DeadLetterTest, WhatFailsAgainIsDeadAgainAndIsLeftOutAfterThreeReplays) {
  Receive(TextTo(kLateSender, 1));
  ASSERT_TRUE(AwaitDead(1));
  v1::ReplayDeadLettersRequest replay;
  *replay.mutable_filter() = All();
  replay.set_reason("to see");
  for (int i = 1; i <= kMostReplays; ++i) {
    const auto replayed = admin_->ReplayDeadLetters(replay);
    ASSERT_TRUE(replayed.ok()) << replayed.status();
    EXPECT_EQ(replayed->replayed_count(), 1);
    ASSERT_TRUE(AwaitDead(1));
  }
  EXPECT_EQ(admin_->ReplayDeadLetters(replay)->replayed_count(), 0);
  const std::string id = rig_.sql.Text("SELECT dead_letter_id FROM dead_letter");
  const CommandResult groups = Dlq({"groups", "--output", "json"});
  EXPECT_THAT(groups.out, HasSubstr("\"only_by_id_count\": \"1\""));
  EXPECT_EQ(Dlq({"replay", id, "--reason", "on purpose"}).out, "replayed 1\n");
  ASSERT_TRUE(AwaitDead(1));
  EXPECT_THAT(InboxIsAccountedFor(rig_.sql), IsEmpty());
}

TEST_F(DeadLetterTest, ADiscardedOneIsGoneAndItsBytesStay) {
  Receive(TextTo(kLateSender, 1));
  Receive(TextTo(kLateSender, 2));
  ASSERT_TRUE(AwaitDead(2));
  const std::string id =
      rig_.sql.Text("SELECT dead_letter_id FROM dead_letter ORDER BY at LIMIT 1");
  EXPECT_EQ(Dlq({"discard", id, "--reason", "a test of theirs"}).out, "discarded 1\n");
  EXPECT_EQ(Dlq({"discard", id, "--reason", "a test of theirs"}).out, "discarded 0\n");
  EXPECT_EQ(DeadOnes(), 1);
  EXPECT_EQ(rig_.sql.Number("SELECT count(*) FROM dead_letter WHERE length(body) > 0"), 2);
  EXPECT_EQ(rig_.sql.Text(
                "SELECT reason || ' (' || target || ')' FROM operator_action WHERE reason <> ''"),
            StrCat("a test of theirs (1 dead letter ", id, ")"));
  EXPECT_EQ(Dlq({"show", id}).exit.status, 4);
  EXPECT_THAT(InboxIsAccountedFor(rig_.sql), IsEmpty());
}

TEST_F(DeadLetterTest, RefusedRequestsNameWhatIsWrong) {
  v1::ListDeadLettersRequest list;
  auto refused = admin_->ListDeadLetters(list).status();
  EXPECT_EQ(client::DecodeError(refused).reason, "INVALID_FIELD");
  list.mutable_filter()->set_tenant("nobody");
  EXPECT_EQ(client::DecodeError(admin_->ListDeadLetters(list).status()).reason, "TENANT_NOT_FOUND");
  list.mutable_filter()->set_tenant("default");
  list.set_page_token("yesterday");
  EXPECT_EQ(client::DecodeError(admin_->ListDeadLetters(list).status()).reason,
            "PAGE_TOKEN_INVALID");
  const CommandResult unclear = Dlq({"replay", "--reason", "all of them"});
  EXPECT_EQ(unclear.exit.status, 2);
  EXPECT_THAT(unclear.err, HasSubstr("--all"));
  const CommandResult twice =
      Dlq({"discard", "--all", "01891f2e-7b1c-7a3d-8f00-0123456789ab", "--reason", "both"});
  EXPECT_EQ(twice.exit.status, 2);
  EXPECT_EQ(Dlq({"replay", "--all"}).exit.status, 2) << "why is required";
}

}  // namespace
}  // namespace postrider
