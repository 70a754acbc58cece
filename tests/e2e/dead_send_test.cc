// Sends that failed, as operators see and replay them, through the front door.
#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "server/base/strings.h"
#include "tests/e2e/rig.h"
#include "tests/support/child_program.h"

namespace postrider {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr const char* kCarrierRejected = "+15550000001";
/// Processed, without an answer and without receipts.
constexpr const char* kLostAnswer = "+15550000602";

class DeadSendTest : public ::testing::Test {
 protected:
  CommandResult Dlq(std::vector<std::string> args, std::string token_file = {}) const {
    if (token_file.empty()) token_file = rig_.gateway.operator_token_file();
    args.insert(args.begin(), {POSTRIDER, "dlq"});
    args.insert(args.end(),
                {"--address", rig_.gateway.admin_address(), "--token-file", token_file});
    return RunCommand(args);
  }
  std::string Failed() {
    const std::string id = rig_.Send(RequestTo(kCarrierRejected));
    rig_.AwaitState(id, v1::MESSAGE_STATE_FAILED);
    return id;
  }
  std::int64_t Posts() const {
    return static_cast<std::int64_t>(ReadLedger(rig_.gateway.ledger_file()).size());
  }
  bool AwaitAttempt(const std::string& id, int attempt) const {
    return Await([&] {
      return rig_.sql.Number(StrCat("SELECT count(*) FROM message WHERE message_id = '", id,
                                    "' AND state = 8 AND attempt = ", attempt)) == 1;
    });
  }
  /// A file with the token of an operator who may see numbers in clear.
  std::string UnmaskingToken() const {
    const CommandResult made =
        RunCommand({POSTRIDERD, "token", "create", "--operator", "--unmask", "--name", "auditor",
                    "--database-url", rig_.database->url()});
    EXPECT_EQ(made.exit.status, 0) << made.err;
    const std::string path = StrCat(rig_.gateway.ledger_file(), ".auditor");
    std::ofstream(path) << made.out;
    return path;
  }

  Rig rig_{{.flags = {"--receipt-window-s", "1"}}};
  const std::unique_ptr<client::Admin> admin_ = rig_.NewAdmin();
};

TEST_F(DeadSendTest, WhatTheCarrierRejectedIsReplayedAsANewAttempt) {
  const std::string id = Failed();
  const CommandResult listed = Dlq({"list", "--source", "send", "--dead-reason", "FAILED"});
  EXPECT_EQ(listed.exit.status, 0) << listed.err;
  EXPECT_THAT(listed.out, HasSubstr(id));
  EXPECT_THAT(listed.out, HasSubstr("CARRIER_REJECTED, carrier_rejected"));
  EXPECT_THAT(Dlq({"list", "--source", "guide"}).out, HasSubstr("no dead letters"));
  EXPECT_THAT(Dlq({"groups", "--all-tenants"}).out, HasSubstr("default  FAILED  send    1"));
  const CommandResult shown = Dlq({"show", id});
  EXPECT_THAT(shown.out, HasSubstr("+*********01")) << shown.err;
  EXPECT_THAT(shown.out, Not(HasSubstr(kCarrierRejected)));

  const std::vector<std::string> replay = {"replay", "--all",    "--source",
                                           "send",   "--reason", "the carrier takes them now"};
  std::vector<std::string> dry_run = replay;
  dry_run.emplace_back("--dry-run");
  EXPECT_EQ(Dlq(dry_run).out, "1 would be replayed\n");
  EXPECT_EQ(Posts(), 1);
  const CommandResult done = Dlq(replay);
  EXPECT_EQ(done.out, "replayed 1\n") << done.err;
  EXPECT_TRUE(AwaitAttempt(id, 2)) << "it fails again, as a new attempt";
  EXPECT_EQ(Posts(), 2);
  EXPECT_EQ(rig_.sql.Text("SELECT (state, replays, source, reason) FROM dead_letter"),
            "(1,1,send,FAILED)");
  EXPECT_EQ(
      rig_.sql.Text("SELECT target || ': ' || reason FROM operator_action WHERE reason <> ''"),
      "1 dead letter, source send: the carrier takes them now");
  EXPECT_EQ(rig_.sql.Number("SELECT count(*) FROM status_event WHERE cause = 13 AND final"), 1);
  EXPECT_THAT(CheckInvariants(rig_.sql, {}, {}, {}), Not(::testing::Contains(HasSubstr("S10"))));
}

TEST_F(DeadSendTest, WhatMayHaveArrivedIsReplayedOnlyWhenItIsNamed) {
  const std::string id = rig_.Send(RequestTo(kLostAnswer));
  rig_.AwaitState(id, v1::MESSAGE_STATE_UNDETERMINED);
  EXPECT_EQ(Dlq({"replay", "--all", "--reason", "all of them", "--dry-run"}).out,
            "0 would be replayed\n");
  EXPECT_EQ(Dlq({"replay", "--all", "--reason", "all of them"}).out, "replayed 0\n");
  EXPECT_THAT(Dlq({"groups", "--output", "json"}).out, HasSubstr("\"only_by_id_count\": \"1\""));
  EXPECT_THAT(Dlq({"show", id}).out, HasSubstr("by its id only"));
  EXPECT_EQ(rig_.StateOf(id), v1::MESSAGE_STATE_UNDETERMINED);
  EXPECT_EQ(Posts(), 1);
  EXPECT_EQ(Dlq({"replay", id, "--reason", "they did not get it"}).out, "replayed 1\n");
  EXPECT_TRUE(Await([&] { return Posts() == 2; }));
}

TEST_F(DeadSendTest, ADiscardedOneIsGoneAndItsMessageStays) {
  const std::string id = Failed();
  EXPECT_EQ(Dlq({"discard", id, "--reason", "a wrong number"}).out, "discarded 1\n");
  EXPECT_EQ(Dlq({"show", id}).exit.status, 4);
  EXPECT_EQ(rig_.StateOf(id), v1::MESSAGE_STATE_FAILED);
}

TEST_F(DeadSendTest, NumbersAreShownInClearToWhoMayAndThatIsOnRecord) {
  const std::string id = Failed();
  v1::GetDeadLetterRequest get;
  get.set_tenant("default");
  get.set_dead_letter_id(id);
  get.set_unmask(true);
  const client::Error refused = client::DecodeError(admin_->GetDeadLetter(get).status());
  EXPECT_EQ(refused.reason, "SCOPE_MISSING");
  EXPECT_EQ(refused.code, absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(refused.metadata.at("scope"), "unmask");
  EXPECT_EQ(rig_.sql.Number("SELECT count(*) FROM operator_action WHERE reason <> ''"), 0);

  const std::string token = UnmaskingToken();
  EXPECT_EQ(Dlq({"show", id, "--unmask"}, token).exit.status, 2) << "why is required";
  const CommandResult shown =
      Dlq({"show", id, "--unmask", "--reason", "the clinic asks for it"}, token);
  EXPECT_EQ(shown.exit.status, 0) << shown.err;
  EXPECT_THAT(shown.out, HasSubstr(kCarrierRejected));
  EXPECT_EQ(rig_.sql.Text("SELECT actor || ': ' || action || ' ' || target || ', ' || reason "
                          "FROM operator_action WHERE reason <> ''"),
            StrCat("auditor: UNMASK_DEAD_LETTER ", id, ", the clinic asks for it"));
  EXPECT_THAT(Dlq({"show", id}, token).out, Not(HasSubstr(kCarrierRejected)))
      << "masked unless asked";
}

TEST_F(DeadSendTest, RefusedRequestsNameWhatIsWrong) {
  v1::ListDeadLettersRequest list;
  list.mutable_filter()->set_tenant("default");
  list.mutable_filter()->set_source("telegraph");
  const client::Error bad = client::DecodeError(admin_->ListDeadLetters(list).status());
  ASSERT_EQ(bad.violations.size(), 1U);
  EXPECT_EQ(bad.violations[0].subject, "filter.source");
  EXPECT_EQ(Dlq({"list", "--source", "telegraph"}).exit.status, 2);
  EXPECT_NE(RunCommand({POSTRIDERD, "token", "create", "--unmask", "--name", "nobody",
                        "--database-url", rig_.database->url()})
                .exit.status,
            0)
      << "of operators only";
}

}  // namespace
}  // namespace postrider
