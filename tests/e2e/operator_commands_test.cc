// What an operator types beside `serve`: each command as it is written in README.md.
#include <algorithm>
#include <fstream>
#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "server/base/digest.h"
#include "server/base/strings.h"
#include "tests/e2e/rig.h"

namespace postrider {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::MatchesRegex;
using ::testing::Not;
using ::testing::StartsWith;

constexpr int kUsage = 2;
constexpr int kConfiguration = 78;

CommandResult Postriderd(std::vector<std::string> arguments,
                         std::vector<std::string> environment = {}) {
  arguments.insert(arguments.begin(), POSTRIDERD);
  return RunCommand(std::move(arguments), std::move(environment));
}

std::string FileWith(const TestDir& dir, const std::string& text) {
  std::string path = dir.path() + "/postrider.yaml";
  std::ofstream(path) << text;
  return path;
}

std::vector<std::string> PutClinic(const std::string& state_dir) {
  return {"tenant",
          "put",
          "--state-dir",
          state_dir,
          "--name",
          "clinic",
          "--base-url",
          "https://clinic.mypurecloud.com",
          "--token-url",
          "https://login.mypurecloud.com/oauth/token",
          "--client-id",
          "4711",
          "--sender",
          "+15550009999",
          "--rate",
          "2",
          "--burst",
          "3",
          "--client-secret-file",
          "/etc/postrider/clinic.secret"};
}

std::string WithoutNewline(std::string text) {
  while (text.ends_with('\n')) text.pop_back();
  return text;
}

/// A gateway, and beside its default tenant a second one with a caller.
class TwoTenantsTest : public ::testing::Test {
 protected:
  TwoTenantsTest() {
    const CommandResult put = Postriderd(PutClinic(state_dir_));
    EXPECT_EQ(put.exit.status, 0) << put.err;
    EXPECT_THAT(put.out, MatchesRegex("clinic  [-0-9a-f]{36}\nwebhook path  /webhooks/guide/.+\n"));
    const CommandResult created =
        Postriderd({"token", "create", "--state-dir", state_dir_, "--tenant", "clinic", "--name",
                    "booking-service", "--scopes", "send,read", "--days", "365"});
    EXPECT_EQ(created.exit.status, 0) << created.err;
    EXPECT_THAT(created.err, HasSubstr("shown once"));
    token_ = WithoutNewline(created.out);
  }

  std::unique_ptr<Client> ClinicsClient() const {
    auto opened = Client::Open({.address = rig_.gateway.grpc_address(), .token = Secret(token_)});
    EXPECT_TRUE(opened.ok()) << opened.status();
    return opened.ok() ? *std::move(opened) : nullptr;
  }

  Rig rig_;
  const std::string state_dir_ = rig_.gateway.state_dir();
  std::string token_;
};

TEST_F(TwoTenantsTest, AreListedWithTheirWebhookPathsAndSenders) {
  const CommandResult list = Postriderd({"tenant", "list", "--state-dir", state_dir_});
  EXPECT_EQ(list.exit.status, 0) << list.err;
  const std::string key = rig_.sql.Text("SELECT webhook_key FROM tenant WHERE name = 'clinic'");
  EXPECT_THAT(list.out,
              AllOf(HasSubstr("default  "), HasSubstr(StrCat("sender  ", kSender)),
                    HasSubstr("https://clinic.mypurecloud.com  2/s burst 3\n"),
                    HasSubstr(StrCat("/webhooks/guide/", key)), HasSubstr("sender  +15550009999")));
  EXPECT_THAT(list.out, Not(HasSubstr("4711"))) << "its credentials are nobody's business";
}

TEST_F(TwoTenantsTest, PutAgainChangesTheTenantAndNotItsWebhookPath) {
  std::vector<std::string> again = PutClinic(state_dir_);
  *std::find(again.begin(), again.end(), "2") = "4";
  const std::string key = rig_.sql.Text("SELECT webhook_key FROM tenant WHERE name = 'clinic'");
  const CommandResult put = Postriderd(again);
  EXPECT_EQ(put.exit.status, 0) << put.err;
  EXPECT_THAT(put.out, HasSubstr(key));
  EXPECT_EQ(rig_.sql.Number("SELECT rate_per_s FROM tenant WHERE name = 'clinic'"), 4);
  EXPECT_EQ(rig_.sql.Number("SELECT count(*) FROM tenant"), 2);
}

TEST_F(TwoTenantsTest, TextsAndNumbersAreKeptAsLongAsPutSays) {
  const auto put = [&](std::vector<std::string> flags) {
    std::vector<std::string> arguments = PutClinic(state_dir_);
    arguments.insert(arguments.end(), flags.begin(), flags.end());
    return Postriderd(arguments);
  };
  EXPECT_EQ(put({"--keep-texts-days", "31"}).exit.status, 0);
  const CommandResult list = Postriderd({"tenant", "list", "--state-dir", state_dir_});
  EXPECT_THAT(list.out, HasSubstr("  keeps  texts 31 days, numbers as long as the message\n"));
  EXPECT_EQ(put({"--keep-numbers-days", "3650"}).exit.status, 0);
  EXPECT_EQ(rig_.sql.Text("SELECT concat_ws(' ', keep_texts_days, keep_numbers_days) FROM tenant "
                          "WHERE name = 'clinic'"),
            "3650")
      << "what is not given is set anew";
  const CommandResult refused = put({"--keep-texts-days", "30"});
  EXPECT_EQ(refused.exit.status, kUsage);
  EXPECT_THAT(refused.err, AllOf(HasSubstr("--keep-texts-days"), HasSubstr("31")));
}

TEST_F(TwoTenantsTest, AChangedWebhookPathIsTakenBesideTheOneBefore) {
  const std::string base = rig_.gateway.webhook_url();
  const std::string before = base.substr(0, base.find('/', 8));
  const auto answer = [&](const std::string& path) { return HttpPost(before + path, "{}"); };
  const auto path_in = [](const std::string& out) {
    const std::size_t begin = out.find("/webhooks/");
    return out.substr(begin, out.find('\n', begin) - begin);
  };
  const auto change = [&](const char* keep_s) {
    const CommandResult changed = Postriderd({"tenant", "webhook-path", "--name", "clinic",
                                              "--keep-s", keep_s, "--state-dir", state_dir_});
    EXPECT_EQ(changed.exit.status, 0) << changed.err;
    return path_in(changed.out);
  };
  const std::string first = StrCat(
      "/webhooks/guide/", rig_.sql.Text("SELECT webhook_key FROM tenant WHERE name = 'clinic'"));
  const std::string second = change("3600");
  EXPECT_NE(first, second);
  EXPECT_TRUE(Await([&] { return answer(second) == 200; }));
  EXPECT_EQ(answer(first), 200) << "for an hour more";
  const std::string third = change("0");
  EXPECT_TRUE(Await([&] { return answer(third) == 200; }));
  EXPECT_EQ(answer(second), 404);
  EXPECT_EQ(answer(first), 404);
  const CommandResult nobody =
      Postriderd({"tenant", "webhook-path", "--name", "nobody", "--state-dir", state_dir_});
  EXPECT_NE(nobody.exit.status, 0);
  EXPECT_THAT(nobody.err, HasSubstr("there is no tenant nobody"));
}

TEST_F(TwoTenantsTest, PutRefusesWhatCannotWorkByTheFlagsName) {
  const struct {
    std::vector<std::string> flags;
    const char* says;
  } cases[] = {
      {{"--rate", "10"}, "--rate: 10/s with a burst of 3 can be 603 requests in a minute"},
      {{"--profile", "telegraph"}, "--profile: unknown, \"telegraph\""},
      {{"--profile", "platform", "--send-path", "/messages"}, "--send-path: only of profile guide"},
      {{"--profile", "platform", "--region", "mypurecloud.ie"}, "--base-url: follows from region"},
      {{"--region", "mypurecloud.ie"}, "--region: only of profile platform"},
      {{"--active-conversation", "join"}, "--active-conversation: only of profile platform"},
      {{"--active-conversation", "maybe"}, "--active-conversation: must be fail, join or hold"},
      {{"--sender", "+1555x"}, "--sender: a number"},
      {{"--webhook-window-s", "300"}, "--webhook-window-s: needs webhook_secret_file"},
      {{"--sender", "+15550009998:0"}, "--sender: a number"},
  };
  const std::string before = rig_.sql.Text("SELECT t::text FROM tenant t WHERE name = 'clinic'");
  for (const auto& c : cases) {
    SCOPED_TRACE(c.says);
    std::vector<std::string> arguments = PutClinic(state_dir_);
    const auto rate = std::find(arguments.begin(), arguments.end(), "--rate");
    if (c.flags[0] == "--rate") arguments.erase(rate, rate + 2);
    arguments.insert(arguments.end(), c.flags.begin(), c.flags.end());
    const CommandResult put = Postriderd(arguments);
    EXPECT_EQ(put.exit.status, kConfiguration);
    EXPECT_THAT(put.err, HasSubstr(c.says));
  }
  EXPECT_EQ(rig_.sql.Text("SELECT t::text FROM tenant t WHERE name = 'clinic'"), before);
}

TEST_F(TwoTenantsTest, ARegionGivesAPlatformTenantItsUrls) {
  const std::vector<std::string> put = {"tenant",
                                        "put",
                                        "--state-dir",
                                        state_dir_,
                                        "--name",
                                        "spa",
                                        "--profile",
                                        "platform",
                                        "--region",
                                        "mypurecloud.ie",
                                        "--client-id",
                                        "4712",
                                        "--client-secret-file",
                                        "/etc/postrider/spa.secret",
                                        "--active-conversation",
                                        "join",
                                        "--sender",
                                        "+15550008888:2.5"};
  const CommandResult made = Postriderd(put);
  EXPECT_EQ(made.exit.status, 0) << made.err;
  EXPECT_THAT(made.out, HasSubstr("webhook path  /webhooks/platform/"));
  EXPECT_EQ(rig_.sql.Text("SELECT concat_ws(' ', base_url, token_url, active_conversation) "
                          "FROM tenant WHERE name = 'spa'"),
            "https://api.mypurecloud.ie https://login.mypurecloud.ie/oauth/token 2");
  EXPECT_EQ(rig_.sql.Text("SELECT segments_per_s FROM sender WHERE address = '+15550008888'"),
            "2.5");

  std::vector<std::string> misspelt = put;
  *std::find(misspelt.begin(), misspelt.end(), "mypurecloud.ie") = "mypurecloud.yp";
  const CommandResult refused = Postriderd(misspelt);
  EXPECT_EQ(refused.exit.status, kConfiguration);
  EXPECT_THAT(refused.err, HasSubstr("--region: unknown, \"mypurecloud.yp\"; did you mean "
                                     "mypurecloud.jp?"));
}

TEST_F(TwoTenantsTest, ATokenIsShownOnceAndKeptAsItsHash) {
  EXPECT_THAT(token_, MatchesRegex("prt_[-_A-Za-z0-9]{43}"));
  std::string hex;
  for (const char byte : Sha256Bytes(token_)) {
    constexpr char kDigits[] = "0123456789abcdef";
    hex += kDigits[static_cast<unsigned char>(byte) >> 4];
    hex += kDigits[static_cast<unsigned char>(byte) & 15];
  }
  EXPECT_EQ(rig_.sql.Text(StrCat("SELECT name FROM api_token WHERE token_sha256 = '\\x", hex, "'")),
            "booking-service");
  EXPECT_EQ(rig_.sql.Number(StrCat("SELECT count(*) FROM api_token t WHERE t::text LIKE '%",
                                   token_.substr(4), "%'")),
            0);
}

TEST_F(TwoTenantsTest, TheTokenSendsForItsTenantAndSeesNoOthersMessages) {
  const auto clinic = ClinicsClient();
  ASSERT_NE(clinic, nullptr);
  v1::SendMessageRequest request = RequestTo(kRecipient);
  request.set_sender("+15550009999");
  // Its sender becomes known to the running gateway within seconds.
  EXPECT_TRUE(Await([&] { return clinic->Send(request).ok(); }));
  const auto own = clinic->GetStatusByRequestId(request.request_id());
  ASSERT_TRUE(own.ok()) << own.status();
  EXPECT_EQ(rig_.sql.Text("SELECT name FROM tenant JOIN message USING (tenant_id)"), "clinic");

  const std::string other = rig_.Send(RequestTo(kRecipient));
  EXPECT_TRUE(absl::IsNotFound(clinic->GetStatus(other).status()));
  EXPECT_TRUE(absl::IsNotFound(rig_.client().GetStatus(own->message().message_id()).status()));
}

TEST_F(TwoTenantsTest, AnothersConversationLooksLikeNone) {
  const auto clinic = ClinicsClient();
  ASSERT_NE(clinic, nullptr);
  rig_.Send(RequestTo(kRecipient));
  v1::GetConversationRequest others;
  others.set_conversation_id(rig_.sql.Text("SELECT conversation_id FROM conversation"));
  v1::GetConversationRequest nobodys;
  nobodys.set_conversation_id("01890a5d-ac96-474b-bcce-b302099a8057");
  EXPECT_TRUE(rig_.client().GetConversation(others).ok());
  const absl::Status status = clinic->GetConversation(others).status();
  EXPECT_EQ(client::DecodeError(status).reason, "CONVERSATION_NOT_FOUND");
  EXPECT_EQ(status.message(), clinic->GetConversation(nobodys).status().message());
  const auto list = clinic->ListConversations({});
  ASSERT_TRUE(list.ok()) << list.status();
  EXPECT_EQ(list->conversations_size(), 0);
}

TEST(OperatorCommandsTest, ATokenOfNoTenantIsRefusedWithWhereToLook) {
  const TestDatabase database;
  const CommandResult created = Postriderd(
      {"token", "create", "--database-url", database.url(), "--tenant", "nobody", "--name", "x"});
  EXPECT_EQ(created.exit.status, 1);
  EXPECT_EQ(created.out, "");
  EXPECT_THAT(created.err, AllOf(HasSubstr("nobody"), HasSubstr("postriderd tenant list")));
}

TEST(OperatorCommandsTest, MigrateStatusSaysWhatIsThereAndWhatIsMissing) {
  const TestDatabase database;
  const auto status = [&] {
    return Postriderd({"migrate", "status", "--database-url", database.url()});
  };
  EXPECT_THAT(status().out, HasSubstr("0001_foundation  applied\n"));
  Sql(database.url()).Ask("DROP SCHEMA postrider CASCADE");
  const CommandResult empty = status();
  EXPECT_EQ(empty.exit.status, 0) << empty.err;
  EXPECT_THAT(empty.out, HasSubstr("0001_foundation  missing\n"));
}

TEST(OperatorCommandsTest, ThePrintedDefaultsAreAConfigurationThatServes) {
  const CommandResult printed = Postriderd({"config", "print-default"});
  ASSERT_EQ(printed.exit.status, 0) << printed.err;
  const TestDir dir;
  const TestDatabase database;
  const GatewayProcess gateway(
      {.database_url = database.url(), .flags = {"--config", FileWith(dir, printed.out)}});
  EXPECT_EQ(HttpGet(gateway.ops_url() + "/readyz"), 200);
}

TEST(OperatorCommandsTest, VersionAndHelpAreAsked) {
  for (const char* version : {"version", "--version"}) {
    EXPECT_THAT(Postriderd({version}).out, MatchesRegex("postriderd [0-9]+\\.[0-9]+\\.[0-9]+.*\n"));
  }
  struct Case {
    std::vector<std::string> arguments;
    const char* says;
  };
  const Case cases[] = {
      {{"help"}, "postriderd serve"},
      {{"--help"}, "postriderd serve"},
      {{"serve", "--help"}, "--state-dir"},
      {{"migrate", "--help"}, "verify"},
      {{"migrate", "--help"}, "--database-url"},
      {{"tenant", "put", "--help"}, "--client-secret-file"},
      {{"token", "create", "--help"}, "--scopes"},
      {{"audit", "grant", "--help"}, "--role"},
      {{"config", "--help"}, "print-default"},
  };
  for (const Case& c : cases) {
    const CommandResult help = Postriderd(c.arguments);
    EXPECT_EQ(help.exit.status, 0) << c.arguments[0];
    EXPECT_THAT(help.out, HasSubstr(c.says)) << c.arguments[0];
    EXPECT_EQ(help.err, "") << c.arguments[0];
  }
}

TEST(OperatorCommandsTest, WrongUsageIsStatus2) {
  for (const std::vector<std::string>& wrong :
       {std::vector<std::string>{},
        {"sever"},
        {"migrate"},
        {"migrate", "upp"},
        {"tenant", "put"},
        {"tenant", "put", "--name", "Clinic A"},
        {"audit", "grant", "--role", "x"},
        {"config", "print-defaults"},
        {"token", "create", "--name", "x", "--days", "-1"}}) {
    const CommandResult result = Postriderd(wrong);
    EXPECT_EQ(result.exit.status, kUsage) << (wrong.empty() ? "" : wrong.back()) << result.err;
    EXPECT_EQ(result.out, "");
    EXPECT_NE(result.err, "");
  }
}

TEST(OperatorCommandsTest, TheDatabaseIsTakenFromFlagsThenVariablesThenTheFile) {
  const TestDatabase database;
  const TestDir dir;
  const std::string right = StrCat("database-url: \"", database.url(), "\"\n");
  const std::string absent = "postgresql://postgres@127.0.0.1:1/absent";
  struct Case {
    const char* what;
    std::string file;
    std::vector<std::string> flags;
    std::vector<std::string> environment;
    int exit_status;
  };
  const Case cases[] = {
      {"the file alone", right, {}, {}, 0},
      {"a variable over the file", right, {}, {"POSTRIDER_DATABASE_URL=" + absent}, 1},
      {"a variable alone", "", {}, {"POSTRIDER_DATABASE_URL=" + database.url()}, 0},
      {"a flag over both",
       StrCat("database-url: \"", absent, "\"\n"),
       {"--database-url", database.url()},
       {"POSTRIDER_DATABASE_URL=" + absent},
       0},
      {"what only serve needs", right + "burst: 7\nsandbox: true\n", {}, {}, 0},
  };
  for (const Case& c : cases) {
    std::vector<std::string> arguments = {"migrate", "verify", "--config", FileWith(dir, c.file)};
    arguments.insert(arguments.end(), c.flags.begin(), c.flags.end());
    const CommandResult result = Postriderd(arguments, c.environment);
    EXPECT_EQ(result.exit.status, c.exit_status) << c.what << ": " << result.err;
    EXPECT_THAT(result.err, Not(HasSubstr("no gateway runs"))) << c.what;
  }
}

TEST(OperatorCommandsTest, WrongConfigurationIsStatus78ForEveryCommandWithTheNearestName) {
  const TestDir dir;
  struct Case {
    std::vector<std::string> arguments;
    std::vector<std::string> environment;
    const char* says;
  };
  const Case cases[] = {
      {{"migrate", "up", "--databse-url", "x"}, {}, "--database-url"},
      {{"migrate", "status", "--burst", "many"}, {}, "whole number"},
      {{"tenant", "list"}, {"POSTRIDER_DATABASE_ULR=x"}, "POSTRIDER_DATABASE_URL"},
      {{"tenant", "list", "--config", FileWith(dir, "databse-url: x\n")}, {}, "database-url"},
      {{"token", "create", "--name", "x", "--scops", "send"}, {}, "the nearest is --scopes"},
      {{"token", "create", "--nam", "x"}, {}, "the nearest is --name"},
  };
  for (const Case& c : cases) {
    const CommandResult result = Postriderd(c.arguments, c.environment);
    EXPECT_EQ(result.exit.status, kConfiguration) << c.says << ": " << result.err;
    EXPECT_THAT(result.err, AllOf(StartsWith("postriderd: "), HasSubstr(c.says)));
    EXPECT_EQ(result.out, "") << c.says;
  }
}

TEST(OperatorCommandsTest, WithoutADatabaseAndWithoutAGatewayItSaysWhatToDo) {
  const TestDir dir;
  const CommandResult result = Postriderd({"tenant", "list", "--state-dir", dir.path()});
  EXPECT_EQ(result.exit.status, 1);
  EXPECT_THAT(result.err, AllOf(HasSubstr(dir.path()), HasSubstr("--database-url")));
}

}  // namespace
}  // namespace postrider
