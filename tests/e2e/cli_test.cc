// `postrider` as scripts use it.
#include <fstream>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "server/base/strings.h"
#include "server/json/json.h"
#include "tests/e2e/rig.h"

namespace postrider {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

enum Exit {
  kOk = 0,
  kSomeFailed = 1,
  kUsage = 2,
  kRefused = 3,
  kNotFound = 4,
  kNotAllowed = 5,
  kUnavailable = 6
};

CommandResult Postrider(const Rig& rig, std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), POSTRIDER);
  return RunCommand(std::move(arguments),
                    {"POSTRIDER_ADDRESS=" + rig.gateway.grpc_address(),
                     "POSTRIDER_TOKEN_FILE=" + rig.gateway.token_file(), "NO_COLOR=1"});
}

/// Of what a command printed with -o json or as one line of -o jsonl.
Json Parsed(const std::string& text) {
  auto json = ParseJson(text);
  if (!json.ok()) ADD_FAILURE() << json.status() << ": " << text;
  return json.ok() ? *json : *ParseJson("{}");
}

TEST(CliTest, AFileWithBadLinesSendsTheOthersOnceHoweverOftenItIsRun) {
  Rig rig;
  const TestDir dir;
  const std::string file = dir.path() + "/texts.csv";
  std::ofstream(file) << "recipient,text,campaign_id\n"          // 1
                         "+15553000001,\"Hello, one\",spring\n"  // 2
                         "nonsense,Two,spring\n"                 // 3
                         "+15553000003,Three\n"                  // 4: a field missing
                         "+15553000004,\"Four with a \"\"quote\"\"\",spring\n"  // 5
                         "+15553000005,Five,spring,too many\n"                  // 6
                         "+15553000006,Six,spring\n";                           // 7
  const std::vector<std::string> send = {"send", "--file", file, "--from", kSender};
  const CommandResult first = Postrider(rig, send);
  EXPECT_EQ(first.exit.status, kSomeFailed);
  EXPECT_THAT(first.err, AllOf(HasSubstr("texts.csv:3: "), HasSubstr("recipient"),
                               HasSubstr("texts.csv:6: "), Not(HasSubstr("texts.csv:2: ")),
                               Not(HasSubstr("texts.csv:5: ")), Not(HasSubstr("texts.csv:7: "))));
  const std::int64_t sent = rig.sql.Number("SELECT count(*) FROM message");
  EXPECT_GE(sent, 3);
  EXPECT_EQ(rig.sql.Text("SELECT body FROM message WHERE recipient = '+15553000004'"),
            "Four with a \"quote\"");
  // 7: delivered.
  const auto all_delivered = [&] {
    return rig.sql.Number("SELECT count(*) FROM message WHERE state = 7") == sent;
  };
  EXPECT_TRUE(Await(all_delivered));

  const CommandResult second = Postrider(rig, send);
  EXPECT_EQ(second.exit.status, kSomeFailed);
  EXPECT_THAT(second.out, HasSubstr("repeated"));
  EXPECT_EQ(rig.sql.Number("SELECT count(*) FROM message"), sent);
  EXPECT_TRUE(Await(all_delivered));
  const std::vector<LedgerPost> ledger = ReadLedger(rig.gateway.ledger_file());
  std::set<std::string> recipients;
  for (const LedgerPost& post : ledger) recipients.insert(post.recipient);
  EXPECT_EQ(ledger.size(), static_cast<std::size_t>(sent));
  EXPECT_EQ(recipients.size(), ledger.size());
}

TEST(CliTest, AFileIsFollowedToItsEnd) {
  Rig rig;
  const TestDir dir;
  const std::string file = dir.path() + "/texts.jsonl";
  {
    std::ofstream out(file);
    for (int i = 0; i < 20; ++i) {
      out << R"({"recipient":"+1555310)" << 1000 + i << R"(","text":"Text )" << i << "\"}\n";
    }
  }
  const CommandResult result =
      Postrider(rig, {"send", "--file", file, "--from", kSender, "--watch", "-o", "json"});
  EXPECT_EQ(result.exit.status, kOk) << result.err;
  const auto summary = Parsed(result.out).GetObject("summary");
  ASSERT_TRUE(summary.has_value()) << result.out;
  EXPECT_EQ(summary->GetInt("sent"), 20);
  EXPECT_EQ(summary->GetBool("complete"), true);
  const auto states = summary->GetObject("states");
  ASSERT_TRUE(states.has_value());
  EXPECT_EQ(states->GetInt("DELIVERED"), 20);
}

TEST(CliTest, OneMessageIsSentShownAndWatchedInJson) {
  Rig rig;
  const CommandResult sent =
      Postrider(rig, {"send", "--to", kRecipient, "--from", kSender, "--text", "Hello",
                      "--request-id", "order-4711", "-o", "json"});
  ASSERT_EQ(sent.exit.status, kOk) << sent.err;
  const auto message = Parsed(sent.out).GetObject("message");
  ASSERT_TRUE(message.has_value()) << sent.out;
  const std::string id = message->GetString("message_id").value_or("");
  EXPECT_EQ(message->GetString("request_id"), "order-4711");

  const CommandResult watched =
      Postrider(rig, {"watch", "--message", id, "--until-final", "-o", "jsonl"});
  EXPECT_EQ(watched.exit.status, kOk) << watched.err;
  EXPECT_THAT(watched.out, HasSubstr("MESSAGE_STATE_DELIVERED"));

  const CommandResult status =
      Postrider(rig, {"status", "--request-id", "order-4711", "-o", "json"});
  ASSERT_EQ(status.exit.status, kOk) << status.err;
  const Json record = Parsed(status.out);
  EXPECT_EQ(record.GetArray("history")->size(), 5U);
  EXPECT_EQ(record.GetObject("message")->GetObject("status")->GetString("state"),
            "MESSAGE_STATE_DELIVERED");
  const CommandResult table = Postrider(rig, {"status", id});
  EXPECT_EQ(table.exit.status, kOk);
  EXPECT_THAT(table.out, AllOf(HasSubstr("DELIVERED"), HasSubstr("final")));
}

TEST(CliTest, ItsExitStatusTellsScriptsWhatHappened) {
  Rig rig;
  const std::string unknown = "01890a5d-ac96-774b-bcce-b302099a8057";
  struct Case {
    const char* what;
    std::vector<std::string> arguments;
    int exit;
    const char* says;
  };
  const Case cases[] = {
      {"wrong flag", {"send", "--nonsense"}, kUsage, "nonsense"},
      {"no such file", {"send", "--file", "/nonexistent.csv"}, kUsage, "/nonexistent.csv"},
      {"refused", {"send", "--to", "12", "--from", kSender, "--text", "x"}, kRefused, "recipient"},
      {"unknown message", {"status", unknown}, kNotFound, "MESSAGE_NOT_FOUND"},
      {"cancel of an unknown message", {"cancel", unknown}, kNotFound, "MESSAGE_NOT_FOUND"},
      {"a message that fails",
       {"send", "--to", "+15550000001", "--from", kSender, "--text", "x", "--watch"},
       kSomeFailed,
       ""},
      {"no gateway",
       {"--address", "127.0.0.1:1", "--retry-for", "1", "status", unknown},
       kUnavailable,
       ""},
      {"a token of nobody", {"--token-file", "/etc/hostname", "status", unknown}, kNotAllowed, ""},
  };
  for (const Case& c : cases) {
    const CommandResult result = Postrider(rig, c.arguments);
    EXPECT_EQ(result.exit.status, c.exit) << c.what << ": " << result.err;
    EXPECT_THAT(result.err, HasSubstr(c.says)) << c.what;
  }
}

}  // namespace
}  // namespace postrider
