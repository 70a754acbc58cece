#include <fstream>
#include <map>
#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "client/cli/context.h"
#include "client/cli/exit_code.h"
#include "client/cli/settings.h"
#include "tests/unit/client/fake_gateway.h"

namespace postrider::cli {
namespace {

using client::Change;
using client::CheckpointAt;
using client::Reason;
using client::RichStatus;
using testing::HasSubstr;
using testing::Not;

TEST(ExitCodeTest, EveryStatusCodeHasOne) {
  using Code = absl::StatusCode;
  const std::map<Code, int> expected = {
      {Code::kOk, 0},
      {Code::kInvalidArgument, 3},
      {Code::kFailedPrecondition, 3},
      {Code::kAlreadyExists, 3},
      {Code::kOutOfRange, 3},
      {Code::kAborted, 3},
      {Code::kNotFound, 4},
      {Code::kUnauthenticated, 5},
      {Code::kPermissionDenied, 5},
      {Code::kUnavailable, 6},
      {Code::kDeadlineExceeded, 6},
      {Code::kResourceExhausted, 6},
      {Code::kCancelled, 6},
      {Code::kInternal, 7},
      {Code::kUnknown, 7},
      {Code::kDataLoss, 7},
      {Code::kUnimplemented, 7},
  };
  for (int code = 0; code <= 16; ++code) {
    EXPECT_EQ(ExitCodeOf(static_cast<Code>(code)), expected.at(static_cast<Code>(code))) << code;
  }
}

/// `postrider` run against a gateway in this process.
class CliTest : public testing::Test {
 protected:
  int Run(const std::vector<std::string>& args) {
    out_.str("");
    err_.str("");
    const Context context{.in = in_,
                          .out = out_,
                          .err = err_,
                          .env =
                              [this](const std::string& name) {
                                const auto found = env_.find(name);
                                return found == env_.end() ? std::string() : found->second;
                              },
                          .stop = stop_.get_token(),
                          .seams = time_.seams()};
    return RunCli(context, args);
  }
  std::string FileOf(const std::string& name, const std::string& text) {
    const std::string path =
        StrCat(testing::TempDir(), "/cli_test_",
               testing::UnitTest::GetInstance()->current_test_info()->name(), "_", name);
    std::ofstream(path, std::ios::trunc | std::ios::binary) << text;
    return path;
  }
  void FailNext(const grpc::Status& status) {
    gateway_.OnSend([status](grpc::ServerContext&, const auto&, auto&) { return status; });
  }

  client::FakeGateway gateway_;
  client::FakeTime time_;
  std::map<std::string, std::string> env_ = {{"POSTRIDER_ADDRESS", gateway_.address()},
                                             {"POSTRIDER_TOKEN", "secret"},
                                             {"POSTRIDER_SENDER", "Acme"}};
  std::istringstream in_;
  std::ostringstream out_;
  std::ostringstream err_;
  std::stop_source stop_;
};

TEST_F(CliTest, TokenTable) {
  struct Case {
    const char* name;
    std::map<std::string, std::string> env;
    bool is_root;
    std::string flag;
    std::string token;
    std::string file;
  };
  const Case cases[] = {
      {"the flag beats all", {{"POSTRIDER_TOKEN", "t"}}, false, "/f", "", "/f"},
      {"the token beats its file",
       {{"POSTRIDER_TOKEN", "t"}, {"POSTRIDER_TOKEN_FILE", "/g"}},
       false,
       "",
       "t",
       ""},
      {"the file beats the default", {{"POSTRIDER_TOKEN_FILE", "/g"}}, false, "", "", "/g"},
      {"the state directory",
       {{"POSTRIDER_STATE_DIR", "/s"}, {"XDG_STATE_HOME", "/x"}},
       true,
       "",
       "",
       "/s/default.token"},
      {"root's", {{"HOME", "/root"}}, true, "", "", "/var/lib/postrider/default.token"},
      {"XDG's",
       {{"XDG_STATE_HOME", "/x"}, {"HOME", "/h"}},
       false,
       "",
       "",
       "/x/postrider/default.token"},
      {"the home's", {{"HOME", "/h"}}, false, "", "", "/h/.local/state/postrider/default.token"},
  };
  for (const Case& c : cases) {
    const Context context{.in = in_,
                          .out = out_,
                          .err = err_,
                          .env =
                              [&c](const std::string& name) {
                                const auto found = c.env.find(name);
                                return found == c.env.end() ? std::string() : found->second;
                              },
                          .is_root = c.is_root,
                          .seams = time_.seams()};
    Settings settings;
    settings.token_file = c.flag;
    const TokenSource source = TokenOf(settings, context);
    EXPECT_EQ(source.token, c.token) << c.name;
    EXPECT_EQ(source.file, c.file) << c.name;
  }
}

TEST_F(CliTest, SendSetsEveryFieldFromItsFlag) {
  ASSERT_EQ(Run({"send",
                 "--to",
                 "+15550000001",
                 "--text",
                 "-hi",
                 "--request-id",
                 "r",
                 "--contact",
                 "c",
                 "--campaign",
                 "k",
                 "--conversation",
                 "v",
                 "--metadata",
                 "a=b=c",
                 "--metadata",
                 "d=",
                 "--priority",
                 "urgent",
                 "--expire-at",
                 "1970-01-01T00:00:07Z",
                 "--policy",
                 "at_least_once",
                 "--validate-only"}),
            kExitOk)
      << err_.str();
  EXPECT_EQ(gateway_.authorization(), "Bearer secret");
  const v1::SendMessageRequest request = gateway_.sent().at(0);
  EXPECT_EQ(request.recipient(), "+15550000001");
  EXPECT_EQ(request.sender(), "Acme");
  EXPECT_EQ(request.text(), "-hi");
  EXPECT_EQ(request.request_id(), "r");
  EXPECT_EQ(request.external_contact_id(), "c");
  EXPECT_EQ(request.campaign_id(), "k");
  EXPECT_EQ(request.conversation_id(), "v");
  EXPECT_EQ(request.metadata().at("a"), "b=c");
  EXPECT_EQ(request.priority(), v1::PRIORITY_URGENT);
  EXPECT_EQ(request.expire_at().seconds(), 7);
  EXPECT_EQ(request.duplicate_policy(), v1::DUPLICATE_POLICY_AT_LEAST_ONCE);
  EXPECT_TRUE(request.validate_only());
}

TEST_F(CliTest, WrongUsageIsOneLineAndExit2) {
  const std::string csv = FileOf("f.csv", "recipient,text\n+1,x\n");
  const std::vector<std::vector<std::string>> cases = {
      {},
      {"snd"},
      {"send", "--text", "x"},
      {"send", "--to", "+1"},
      {"send", "--to", "+1", "--text", "x", "--bogus"},
      {"send", "--to", "+1", "--text", "x", "--priority", "asap"},
      {"send", "--to", "+1", "--text", "x", "--metadata", "novalue"},
      {"send", "--file", csv, "--to", "+1"},
      {"send", "--file", csv + ".missing.csv"},
      {"send", "--file", testing::TempDir(), "--format", "csv"},
      {"send", "--file", "-"},
      {"status"},
      {"status", "m", "--request-id", "r"},
      {"cancel"},
      {"watch", "--until-final"},
      {"watch", "--state", "gone"},
      {"watch", "--resume", "t", "--snapshot"},
      {"-o", "xml", "cancel", "m"},
  };
  for (const auto& args : cases) {
    EXPECT_EQ(Run(args), kExitUsage) << testing::PrintToString(args);
    const std::string said = err_.str();
    EXPECT_TRUE(said.starts_with("postrider: ")) << said;
    EXPECT_EQ(said.find('\n'), said.size() - 1) << said;
  }
  EXPECT_TRUE(gateway_.sent().empty());
}

TEST_F(CliTest, HelpNamesTheExitCodes) {
  EXPECT_EQ(Run({"--help"}), kExitOk);
  EXPECT_THAT(out_.str(), HasSubstr("5  not authenticated"));
}

TEST_F(CliTest, ARefusalNamesEveryFieldAndExits3) {
  google::rpc::BadRequest bad;
  bad.add_field_violations()->set_field("recipient");
  bad.add_field_violations()->set_field("text");
  FailNext(RichStatus(grpc::StatusCode::INVALID_ARGUMENT, "2 wrong", Reason("INVALID_FIELD"), bad));
  EXPECT_EQ(Run({"send", "--to", "1", "--text", "x"}), kExitRefused);
  EXPECT_THAT(err_.str(), HasSubstr("INVALID_FIELD: 2 wrong - recipient: ; text: "));
}

TEST_F(CliTest, WhatIsRefusedForSureIsNotSaidToBeInDoubt) {
  FailNext(RichStatus(grpc::StatusCode::RESOURCE_EXHAUSTED, "used up", Reason("QUOTA_EXCEEDED")));
  EXPECT_EQ(Run({"send", "--to", "+1", "--text", "x"}), kExitUnavailable);
  EXPECT_THAT(err_.str(), HasSubstr("QUOTA_EXCEEDED"));
  EXPECT_THAT(err_.str(), ::testing::Not(HasSubstr("--request-id")));
  FailNext(RichStatus(grpc::StatusCode::RESOURCE_EXHAUSTED, "full", Reason("QUEUE_FULL")));
  EXPECT_EQ(Run({"--retry-for", "0", "send", "--to", "+1", "--text", "x"}), kExitUnavailable);
  EXPECT_THAT(err_.str(), HasSubstr("--request-id")) << "an earlier try may have been accepted";
}

TEST_F(CliTest, AMissingTokenFileSaysHowToGetOneAndExits5) {
  env_.erase("POSTRIDER_TOKEN");
  env_["POSTRIDER_STATE_DIR"] = testing::TempDir() + "/none";
  EXPECT_EQ(Run({"status", "m"}), kExitNotAllowed);
  EXPECT_THAT(err_.str(), HasSubstr("/none/default.token does not exist. `postriderd serve`"));
}

TEST_F(CliTest, AnUnreachableGatewayExits6AndNamesTheRequestId) {
  EXPECT_EQ(Run({"--address", "127.0.0.1:1", "send", "--to", "+1", "--text", "x", "--request-id",
                 "mine"}),
            kExitUnavailable);
  EXPECT_THAT(err_.str(), HasSubstr("is the gateway running at 127.0.0.1:1?"));
  EXPECT_THAT(err_.str(), HasSubstr("add --request-id mine"));
}

TEST_F(CliTest, SendWatchFollowsToTheEndAndTellsByItsExitCode) {
  struct Case {
    v1::MessageState state;
    int exit;
  };
  for (const Case& c : {Case{v1::MESSAGE_STATE_DELIVERED, 0}, Case{v1::MESSAGE_STATE_FAILED, 1}}) {
    gateway_.OnStream(
        {.elements = {Change("m", 1, v1::MESSAGE_STATE_SENT, "t1"), Change("m", 2, c.state, "t2")},
         .end = grpc::Status::OK});
    EXPECT_EQ(Run({"send", "--to", "+1", "--text", "x", "--request-id", "r", "--watch"}), c.exit);
    EXPECT_EQ(gateway_.streamed().back().message_ids(0), "id-of-r");
    EXPECT_TRUE(gateway_.streamed().back().until_final());
  }
  EXPECT_THAT(out_.str(), HasSubstr("FAILED"));
}

TEST_F(CliTest, SendFileSendsGoodLinesAndReportsTheOthersByNumber) {
  const std::string path = FileOf("f.csv",
                                  "recipient,text\n"
                                  "+15550000001,one\n"
                                  "+15550000002\n"
                                  "+15550000003,three\n");
  EXPECT_EQ(Run({"send", "--file", path, "--window", "1"}), kExitSomeFailed);
  EXPECT_EQ(gateway_.sent().size(), 2U);
  EXPECT_EQ(err_.str(), StrCat(path, ":3: has 1 fields, the header row has 2\n"));
  EXPECT_THAT(out_.str(), HasSubstr("sent        2"));
  EXPECT_THAT(out_.str(), HasSubstr("unparsable  1"));
}

TEST_F(CliTest, AFileSentTwiceHasTheSameRequestIds) {
  const std::string path = FileOf("f.csv", "recipient,text\n+1,a\n+2,b\n+1,a\n");
  EXPECT_EQ(Run({"send", "--file", path, "--window", "1"}), kExitOk) << err_.str();
  EXPECT_EQ(Run({"send", "--file", path, "--window", "1"}), kExitOk);
  const auto sent = gateway_.sent();
  ASSERT_EQ(sent.size(), 6U);
  for (std::size_t i = 0; i < 3; ++i) EXPECT_EQ(sent[i].request_id(), sent[i + 3].request_id());
  EXPECT_NE(sent[0].request_id(), sent[2].request_id());
}

TEST_F(CliTest, SendFileCountsRepeatsAndRefusalsByReason) {
  gateway_.OnSend([](grpc::ServerContext&, const auto&, v1::SendMessageResponse& response) {
    response.set_deduplicated(true);
    return grpc::Status::OK;
  });
  FailNext(RichStatus(grpc::StatusCode::FAILED_PRECONDITION, "no", Reason("RECIPIENT_OPTED_OUT")));
  const std::string path = FileOf("f.csv", "recipient,text\n+1,a\n+2,b\n+3,c\n");
  EXPECT_EQ(Run({"-o", "jsonl", "send", "--file", path, "--window", "1"}), kExitSomeFailed);
  EXPECT_THAT(err_.str(), HasSubstr(":3: RECIPIENT_OPTED_OUT: no"));
  EXPECT_THAT(out_.str(), HasSubstr("\"line\":2"));
  EXPECT_THAT(out_.str(), HasSubstr("\"reason\":\"RECIPIENT_OPTED_OUT\""));
  EXPECT_THAT(out_.str(), HasSubstr("{\"summary\":{\"sent\":1,\"repeated\":1,"
                                    "\"refused\":{\"RECIPIENT_OPTED_OUT\":1},\"unparsable\":0,"
                                    "\"unanswered\":0,\"complete\":true}}"));
}

TEST_F(CliTest, SendFileStopsAtWhatEveryLineWouldMeet) {
  FailNext(RichStatus(grpc::StatusCode::UNAUTHENTICATED, "bad token", Reason("TOKEN_INVALID")));
  std::string text = "recipient,text\n";
  for (int i = 0; i < 100; ++i) text += "+1,x\n";
  EXPECT_EQ(Run({"send", "--file", FileOf("f.csv", text), "--window", "1"}), kExitNotAllowed);
  EXPECT_LE(gateway_.sent().size(), 2U);
  EXPECT_THAT(err_.str(), HasSubstr("TOKEN_INVALID: bad token - give a valid token"));
  EXPECT_THAT(err_.str(), HasSubstr("run the same command again to send the rest"));
}

TEST_F(CliTest, SendFileWatchCountsTheFinalStates) {
  gateway_.OnStream({.elements = {Change("id-of-a", 1, v1::MESSAGE_STATE_DELIVERED, "t1"),
                                  Change("id-of-b", 1, v1::MESSAGE_STATE_SENT, "t2"),
                                  Change("id-of-b", 2, v1::MESSAGE_STATE_FAILED, "t3")},
                     .end = grpc::Status::OK});
  const std::string path = FileOf("f.jsonl",
                                  "{\"recipient\":\"+1\",\"text\":\"x\",\"request_id\":\"a\"}\n"
                                  "{\"recipient\":\"+2\",\"text\":\"x\",\"request_id\":\"b\"}\n");
  EXPECT_EQ(Run({"-o", "json", "send", "--file", path, "--watch"}), kExitSomeFailed) << err_.str();
  EXPECT_THAT(out_.str(), HasSubstr("\"states\":{\"DELIVERED\":1,\"FAILED\":1}"));
  EXPECT_EQ(gateway_.streamed().at(0).message_ids_size(), 2);
}

TEST_F(CliTest, StatusPrintsTheMessageItsHistoryAndAttempts) {
  v1::GetStatusResponse response;
  response.mutable_message()->set_message_id("m-1");
  response.mutable_message()->set_text("evil \033[2J");
  *response.add_history() = Change("m-1", 1, v1::MESSAGE_STATE_QUEUED, "").change();
  response.add_attempts()->set_http_status(202);
  gateway_.OnGetStatus(grpc::Status::OK, response);
  EXPECT_EQ(Run({"status", "m-1"}), kExitOk) << err_.str();
  EXPECT_THAT(out_.str(), HasSubstr("m-1"));
  EXPECT_THAT(out_.str(), HasSubstr("QUEUED"));
  EXPECT_THAT(out_.str(), HasSubstr("202"));
  EXPECT_THAT(out_.str(), Not(HasSubstr("\033")));
  gateway_.OnGetStatus(RichStatus(grpc::StatusCode::NOT_FOUND, "no", Reason("MESSAGE_NOT_FOUND")),
                       {});
  EXPECT_EQ(Run({"status", "--request-id", "r"}), kExitNotFound);
}

TEST_F(CliTest, AConversationIsShownOverItsPagesUpToTheLimit) {
  v1::GetConversationResponse newer;
  newer.mutable_conversation()->set_conversation_id("c-1");
  newer.add_entries()->mutable_received()->set_text("evil \033[2J");
  newer.mutable_entries(0)->mutable_received()->set_keyword(v1::KEYWORD_OPT_OUT);
  newer.set_next_page_token("older");
  v1::GetConversationResponse older = newer;
  older.mutable_entries(0)->mutable_sent()->set_provider_conversation_id("conv-7");
  older.mutable_entries(0)->mutable_sent()->set_text_erased(true);
  older.set_next_page_token("oldest");
  gateway_.OnGetConversation(newer);
  gateway_.OnGetConversation(older);
  EXPECT_EQ(Run({"conversation", "show", "--from", "+1", "--contact", "mother", "--limit", "2"}),
            kExitOk)
      << err_.str();
  for (const char* said : {"c-1", "received", "OPT_OUT", "conv-7", "(erased)", "older ones"}) {
    EXPECT_THAT(out_.str(), HasSubstr(said));
  }
  EXPECT_THAT(out_.str(), Not(HasSubstr("\033")));
  const auto asked = gateway_.timelines_asked();
  ASSERT_EQ(asked.size(), 2U);
  EXPECT_EQ(asked[0].contact().sender(), "+1");
  EXPECT_EQ(asked[0].contact().external_contact_id(), "mother");
  EXPECT_EQ(asked[1].page_token(), "older");
  EXPECT_EQ(asked[1].page_size(), 1);

  older.clear_next_page_token();
  gateway_.OnGetConversation(older);
  EXPECT_EQ(Run({"conversation", "show", "c-1", "-o", "jsonl"}), kExitOk) << err_.str();
  EXPECT_THAT(out_.str(), HasSubstr("\"provider_conversation_id\":\"conv-7\""));
  EXPECT_EQ(gateway_.timelines_asked().back().conversation_id(), "c-1");
}

TEST_F(CliTest, WhichConversationMustBeClear) {
  env_.erase("POSTRIDER_SENDER");
  for (const std::vector<std::string>& args : std::vector<std::vector<std::string>>{
           {}, {"c-1", "--to", "+1"}, {"--contact", "a", "--to", "+1"}, {"--to", "+1"}}) {
    std::vector<std::string> show = {"conversation", "show"};
    show.insert(show.end(), args.begin(), args.end());
    EXPECT_EQ(Run(show), kExitUsage) << args.size();
    EXPECT_THAT(err_.str(), HasSubstr("--from"));
  }
  env_["POSTRIDER_SENDER"] = "+9";
  gateway_.OnGetConversation({});
  EXPECT_EQ(Run({"conversation", "show", "--to", "+1"}), kExitOk) << err_.str();
  EXPECT_EQ(gateway_.timelines_asked().back().contact().sender(), "+9");
  EXPECT_THAT(out_.str(), HasSubstr("no texts that are kept"));
}

TEST_F(CliTest, ConversationsAreListedOverShortPages) {
  v1::ListConversationsResponse empty;
  empty.set_next_page_token("more");
  v1::ListConversationsResponse last;
  last.add_conversations()->set_conversation_id("c-9");
  gateway_.OnListConversations(empty);
  gateway_.OnListConversations(last);
  env_["POSTRIDER_SENDER"] = "+9";
  EXPECT_EQ(Run({"conversation", "list", "--to", "+1"}), kExitOk) << err_.str();
  EXPECT_THAT(out_.str(), HasSubstr("c-9"));
  EXPECT_THAT(out_.str(), HasSubstr("(the number)"));
  ASSERT_EQ(gateway_.lists_asked().size(), 2U);
  EXPECT_EQ(gateway_.lists_asked()[0].recipient(), "+1");
  EXPECT_EQ(gateway_.lists_asked()[0].sender(), "") << "only what is given narrows a list";
  EXPECT_EQ(gateway_.lists_asked()[1].page_token(), "more");
  gateway_.OnListConversations({});
  EXPECT_EQ(Run({"conversation", "list"}), kExitOk) << err_.str();
  EXPECT_THAT(out_.str(), HasSubstr("no conversations"));
}

TEST_F(CliTest, WatchPassesItsFiltersAndPrintsChangesAsJson) {
  gateway_.OnStream(
      {.elements = {CheckpointAt("t0"), Change("m", 1, v1::MESSAGE_STATE_DELIVERED, "t1")},
       .end = grpc::Status::OK});
  EXPECT_EQ(Run({"watch", "--message", "m", "--until-final", "--campaign", "k", "--state",
                 "delivered", "-o", "jsonl"}),
            kExitOk)
      << err_.str();
  const v1::StreamStatusRequest request = gateway_.streamed().at(0);
  EXPECT_EQ(request.message_ids(0), "m");
  EXPECT_EQ(request.campaign_id(), "k");
  EXPECT_EQ(request.states(0), v1::MESSAGE_STATE_DELIVERED);
  EXPECT_THAT(out_.str(), HasSubstr("\"resume_token\":\"t1\""));
  EXPECT_THAT(out_.str(), Not(HasSubstr("checkpoint"))) << "they are not changes";
}

TEST_F(CliTest, AWatchThatIsStoppedEndsWellAndTellsItsToken) {
  stop_.request_stop();
  EXPECT_EQ(Run({"watch", "--resume", "t7"}), kExitOk);
  EXPECT_THAT(err_.str(), HasSubstr("postrider watch --resume t7"));
}

}  // namespace
}  // namespace postrider::cli
