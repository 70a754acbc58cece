// Opt-outs by text, by receipt and by operators, through the front door.
#include <algorithm>
#include <fstream>

#include "absl/time/time.h"
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "server/base/clock.h"
#include "server/base/strings.h"
#include "tests/e2e/rig.h"
#include "tests/support/child_program.h"
#include "tests/support/test_database.h"

namespace postrider {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr const char* kOther = "+15557654321";

std::string MinutesAgo(int minutes) {
  const absl::Time at = absl::FromChrono(SystemClock().Wall()) - absl::Minutes(minutes);
  return absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", at, absl::UTCTimeZone());
}

class ConsentTest : public ::testing::Test {
 protected:
  void Receive(const std::string& text, const std::string& said_at) {
    const std::string body =
        StrCat(R"({"id":"in-)", ++texts_, R"(","channel":{"messageId":"c","to":{"id":")", kSender,
               R"("},"from":{"id":")", kRecipient, R"("},"time":")", said_at,
               R"("},"type":"Text","text":")", text, R"(","direction":"Inbound"})");
    ASSERT_EQ(HttpPost(rig_.gateway.webhook_url(), body), 200);
    ASSERT_TRUE(
        Await([&] { return rig_.sql.Number("SELECT count(*) FROM inbound_message") == texts_; }));
  }
  /// Why a message to `recipient` is refused; empty when it is not.
  std::string RefusalOf(const std::string& recipient) {
    const auto sent = rig_.client().Send(RequestTo(recipient));
    return sent.ok() ? "" : client::DecodeError(sent.status()).reason;
  }
  CommandResult Consent(std::vector<std::string> args) const {
    args.insert(args.begin(), {POSTRIDER, "consent"});
    args.insert(args.end(), {"--address", rig_.gateway.admin_address(), "--token-file",
                             rig_.gateway.operator_token_file()});
    return RunCommand(args);
  }

  Rig rig_;
  int texts_ = 0;
};

TEST_F(ConsentTest, ATextThatIsAKeywordOptsOutAndInAgain) {
  Receive("Stop please", "2026-02-01T10:00:00Z");
  EXPECT_EQ(RefusalOf(kRecipient), "") << "no single word, so no keyword";
  Receive("  sToP! ", "2026-02-01T10:01:00Z");
  EXPECT_EQ(RefusalOf(kRecipient), "RECIPIENT_OPTED_OUT");
  EXPECT_EQ(RefusalOf(kOther), "");
  Receive("Unstop", "2026-02-01T10:02:00Z");
  EXPECT_EQ(RefusalOf(kRecipient), "");
  Receive("QUIT", "2026-02-01T10:01:30Z");
  EXPECT_EQ(RefusalOf(kRecipient), "") << "it was said before the last";

  const CommandResult shown = Consent({"show", kRecipient});
  EXPECT_EQ(shown.exit.status, 0) << shown.err;
  EXPECT_THAT(shown.out, AllOf(HasSubstr("no opt-out is in force"), HasSubstr("KEYWORD"),
                               HasSubstr("QUIT"), HasSubstr("OPT_IN")));
}

TEST_F(ConsentTest, AKeywordIsAnsweredWithOneTextWhereThatIsSetUp) {
  const TestDir dir;
  const std::string file = dir.path() + "/setup.yaml";
  std::ofstream(file) << "opt_out_confirmation: You get no more texts from Acme.\n";
  const auto apply = [&] {
    return RunCommand({POSTRIDER, "apply", "--file", file, "--reason", "the law", "--address",
                       rig_.gateway.admin_address(), "--token-file",
                       rig_.gateway.operator_token_file()});
  };
  EXPECT_EQ(apply().exit.status, 0);
  rig_.AwaitState(rig_.Send(RequestTo(kRecipient)), v1::MESSAGE_STATE_DELIVERED);
  Receive("STOP", MinutesAgo(2));
  const std::string answer = rig_.sql.Text("SELECT message_id FROM message WHERE answers_opt_out");
  ASSERT_NE(answer, "");
  rig_.AwaitState(answer, v1::MESSAGE_STATE_DELIVERED);
  EXPECT_EQ(rig_.sql.Text("SELECT (sender, recipient, body, priority) FROM message "
                          "WHERE answers_opt_out"),
            StrCat("(", kSender, ",", kRecipient, ",\"You get no more texts from Acme.\",1)"));
  EXPECT_EQ(RefusalOf(kRecipient), "RECIPIENT_OPTED_OUT");
  Receive("STOP", MinutesAgo(1));
  EXPECT_EQ(rig_.sql.Number("SELECT count(*) FROM message WHERE answers_opt_out"), 1);
  EXPECT_EQ(rig_.sql.Number("SELECT count(*) FROM attempt WHERE left_before_opt_out"), 0);
  const auto status = rig_.client().GetStatus(answer);
  ASSERT_TRUE(status.ok()) << status.status();
  EXPECT_TRUE(status->message().answers_opt_out());

  const CommandResult list = Consent({"list", "--from", kSender});
  EXPECT_EQ(list.exit.status, 0) << list.err;
  EXPECT_THAT(list.out, AllOf(HasSubstr("+*********67"), HasSubstr(kSender)));
  EXPECT_THAT(Consent({"list", "--to", kOther}).out, HasSubstr("no opt-outs in force"));

  std::ofstream(file) << "opt_out_confirmation: " << std::string(161, 'a') << "\n";
  const CommandResult refused = apply();
  EXPECT_NE(refused.exit.status, 0);
  EXPECT_THAT(refused.err, HasSubstr("setup.yaml:1:1: opt_out_confirmation"));
  std::ofstream(file) << "opt_out_confirmation: \"\"\n";
  EXPECT_EQ(apply().exit.status, 0);
  Receive("START", "2026-02-01T10:06:00Z");
  Receive("STOP", "2026-02-01T10:07:00Z");
  EXPECT_EQ(RefusalOf(kRecipient), "RECIPIENT_OPTED_OUT");
  EXPECT_EQ(rig_.sql.Number("SELECT count(*) FROM message WHERE answers_opt_out"), 1);
}

TEST_F(ConsentTest, AReceiptThatSaysSoOptsOut) {
  const std::string number = "+15550000004";  // OPTED_OUT (server/sandbox/magic_numbers.cc).
  rig_.AwaitState(rig_.Send(RequestTo(number)), v1::MESSAGE_STATE_FAILED);
  EXPECT_EQ(RefusalOf(number), "RECIPIENT_OPTED_OUT");
  EXPECT_EQ(rig_.sql.Text("SELECT (source, change, evidence, recipient) FROM consent_event"),
            StrCat("(2,1,RECIPIENT_OPTED_OUT,", number, ")"));
}

TEST_F(ConsentTest, WhatWaitsForWhoOptsOutEndsAndNothingElse) {
  ASSERT_TRUE(rig_.NewAdmin()->Pause(PauseFor("a look")).ok());
  std::vector<std::string> to_end;
  for (int i = 0; i < 3; ++i) to_end.push_back(rig_.Send(RequestTo(kRecipient)));
  const std::string other = rig_.Send(RequestTo(kOther));
  Watcher watcher(rig_.client(), {});

  const CommandResult out = Consent({"opt-out", kRecipient, "--reason", "asked by phone",
                                     "--evidence", "call 7", "--request-id", "call-7"});
  EXPECT_EQ(out.exit.status, 0) << out.err;
  EXPECT_EQ(out.out, "recorded 1, opted out 1, opted in 0\n");
  for (const std::string& id : to_end) rig_.AwaitState(id, v1::MESSAGE_STATE_SUPPRESSED);
  EXPECT_TRUE(Await([&] {
    const std::vector<StreamedChange> changes = watcher.Changes();
    return std::count_if(changes.begin(), changes.end(), [](const StreamedChange& change) {
             return change.state == v1::MESSAGE_STATE_SUPPRESSED;
           }) == 3;
  })) << "streams are told";
  EXPECT_EQ(rig_.StateOf(other), v1::MESSAGE_STATE_QUEUED);
  EXPECT_EQ(RefusalOf(kRecipient), "RECIPIENT_OPTED_OUT");

  EXPECT_EQ(Consent({"opt-out", kRecipient, "--reason", "again", "--request-id", "call-7"}).out,
            "recorded 0, opted out 0, opted in 0\n");
  EXPECT_EQ(rig_.sql.Text("SELECT string_agg(concat_ws(' ', action, target, reason), ',') "
                          "FROM operator_action WHERE action = 'RECORD_CONSENT'"),
            "RECORD_CONSENT 1 recipients asked by phone");
  EXPECT_EQ(rig_.sql.Number("SELECT count(*) FROM attempt"), 0);
}

TEST_F(ConsentTest, AListIsImportedOnceWithWhatIsWrongNamed) {
  const TestDir dir;
  const std::string file = dir.path() + "/opt-outs.csv";
  std::ofstream(file) << "recipient,change,said_at,evidence\n"
                         "+15551110001,opt-out,2026-01-01T00:00:00Z,\"letter, page 3\"\n"
                         "+15551110002,,,\n"
                         "+15551110002,opt-in,2025-01-01T00:00:00Z,\n";
  const CommandResult first = Consent({"import", file, "--reason", "from the old system"});
  EXPECT_EQ(first.exit.status, 0) << first.err;
  EXPECT_EQ(first.out, "recorded 3, opted out 2, opted in 0\n");
  EXPECT_EQ(Consent({"import", file, "--reason", "once more"}).out,
            "recorded 0, opted out 0, opted in 0\n");
  EXPECT_EQ(RefusalOf("+15551110001"), "RECIPIENT_OPTED_OUT");
  EXPECT_EQ(RefusalOf("+15551110002"), "RECIPIENT_OPTED_OUT") << "the opt-in was said before";

  std::ofstream(file) << "recipient,change\n+15551110003,perhaps\n";
  const CommandResult unclear = Consent({"import", file, "--reason", "x"});
  EXPECT_EQ(unclear.exit.status, 2);
  EXPECT_THAT(unclear.err, AllOf(HasSubstr("line 2"), HasSubstr("change"), HasSubstr("perhaps")));
  std::ofstream(file) << "recipient\n12\n";
  const CommandResult refused = Consent({"import", file, "--reason", "x"});
  EXPECT_NE(refused.exit.status, 0);
  EXPECT_THAT(refused.err, AllOf(HasSubstr("line 2: recipient: must be E.164"),
                                 HasSubstr("nothing of lines 2 to 2 is recorded")));
  std::ofstream(file) << "recipient,sender\n+15551110003,\n+15551110004,+15550009999\n";
  EXPECT_THAT(Consent({"import", file, "--reason", "x"}).err,
              AllOf(HasSubstr("line 3: sender: must be a sender of the tenant"),
                    HasSubstr("the 0 rows before them are")));

  // Of all senders is not of one.
  ASSERT_EQ(Consent({"opt-out", "+15551110005", "--sender", kSender, "--reason", "x"}).exit.status,
            0);
  EXPECT_THAT(Consent({"opt-in", "+15551110005", "--reason", "x"}).out,
              HasSubstr("1 of those who opted in are opted out still"));
}

TEST_F(ConsentTest, WhatIsWrongIsNamedAndOnlyOperatorsMay) {
  const auto admin = rig_.NewAdmin();
  v1::RecordConsentRequest request;
  request.add_consents();
  const auto bare = client::DecodeError(admin->RecordConsent(request).status());
  EXPECT_EQ(bare.violations.size(), 5U);
  request.set_tenant("default");
  request.set_request_id("r-1");
  request.set_reason("asked");
  request.mutable_consents(0)->set_recipient(kRecipient);
  request.mutable_consents(0)->set_change(v1::CONSENT_CHANGE_OPT_OUT);
  request.mutable_consents(0)->set_sender("+15550000099");
  EXPECT_EQ(client::DecodeError(admin->RecordConsent(request).status()).reason,
            "SENDER_NOT_REGISTERED");
  request.mutable_consents(0)->set_sender(kSender);
  request.set_tenant("nobody");
  EXPECT_EQ(client::DecodeError(admin->RecordConsent(request).status()).reason, "TENANT_NOT_FOUND");
  request.set_tenant("default");
  const auto recorded = admin->RecordConsent(request);
  ASSERT_TRUE(recorded.ok()) << recorded.status();
  EXPECT_EQ(recorded->opted_out_count(), 1);
  v1::GetConsentRequest get;
  get.set_tenant("default");
  get.set_recipient(kRecipient);
  const auto found = admin->GetConsent(get);
  ASSERT_TRUE(found.ok()) << found.status();
  ASSERT_EQ(found->suppressions_size(), 1);
  EXPECT_EQ(found->suppressions(0).sender(), kSender);
  EXPECT_EQ(found->history(0).actor(), "operator token file");
  EXPECT_EQ(found->history(0).source(), v1::CONSENT_SOURCE_RECORDED);
}

}  // namespace
}  // namespace postrider
