#include "server/app/config.h"

#include <filesystem>
#include <fstream>
#include <string>
#include <unistd.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "server/app/option_table.h"
#include "server/base/strings.h"

namespace postrider {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

/// A file in a directory of the test's own.
std::string FileWith(const std::string& text) {
  static int count = 0;
  const std::string path =
      StrCat(::testing::TempDir(), "/config_", getpid(), "_", ++count, ".yaml");
  std::ofstream(path) << text;
  return path;
}

absl::StatusOr<Config> Load(std::vector<std::string> flags, std::vector<std::string> environment,
                            const std::string& yaml = "") {
  environment.push_back("HOME=/home/ada");
  if (!yaml.empty()) environment.push_back("POSTRIDER_CONFIG=" + FileWith(yaml));
  return LoadConfig({.flags = std::move(flags), .environment = std::move(environment)});
}

std::string Message(const absl::Status& status) { return std::string(status.message()); }

TEST(ConfigTest, WithoutAnySourceEveryOptionHasItsDefault) {
  const auto config = Load({}, {});
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->listen.Text(), "127.0.0.1:7070");
  EXPECT_EQ(config->rate_per_second, 4.9);
  EXPECT_EQ(config->burst, 5);
  EXPECT_FALSE(config->sandbox.enabled);
  EXPECT_EQ(config->state_dir, "/home/ada/.local/state/postrider");
}

TEST(ConfigTest, AFlagBeatsAVariableBeatsTheFileBeatsTheDefault) {
  const std::string yaml = "burst: 6\nposters-max: 6\nread-workers: 6\n";
  const auto config =
      Load({"--burst", "8"}, {"POSTRIDER_BURST=7", "POSTRIDER_POSTERS_MAX=7"}, yaml);
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->burst, 8);
  EXPECT_EQ(config->posters_max, 7);
  EXPECT_EQ(config->read_workers, 6);
  EXPECT_EQ(config->group_commit_writers, 3);
}

TEST(ConfigTest, ThePrintedDefaultsParseBackToTheDefaults) {
  const auto by_file = Load({"--config", FileWith(DefaultConfigFile())}, {});
  const auto by_nothing = Load({}, {});
  ASSERT_TRUE(by_file.ok()) << by_file.status();
  EXPECT_EQ(by_file->state_dir, by_nothing->state_dir);
  EXPECT_EQ(by_file->genesys.send_path, by_nothing->genesys.send_path);
  EXPECT_EQ(by_file->rate_per_second, by_nothing->rate_per_second);
  EXPECT_EQ(by_file->sandbox.listen.Text(), by_nothing->sandbox.listen.Text());
  EXPECT_EQ(by_file->senders, by_nothing->senders);
}

TEST(ConfigTest, EveryOptionStandsInHelpAndExceptConfigInTheFile) {
  for (const Option& option : OptionTable()) {
    SCOPED_TRACE(option.name);
    EXPECT_THAT(OptionsHelp(), HasSubstr(StrCat("--", option.name)));
    const std::string line = StrCat("\n", option.name, ": ");
    if (option.in_file) {
      EXPECT_THAT(DefaultConfigFile(), HasSubstr(line));
    } else {
      EXPECT_THAT(DefaultConfigFile(), Not(HasSubstr(line)));
    }
    EXPECT_TRUE(option.fallback.empty() || ParseOption(option, option.fallback).ok());
  }
}

TEST(ConfigTest, ProblemsNameTheKeyItsPlaceItsValueAndWhatIsAllowed) {
  struct Case {
    const char* name;
    std::vector<std::string> flags;
    std::vector<std::string> environment;
    std::string yaml;
    std::string wants;
  };
  const Case cases[] = {
      {"out of range, by flag",
       {"--burst=0"},
       {},
       "",
       "burst = \"0\" (from --burst) must be a whole number from 1 to 100000 requests"},
      {"a negative value is a value", {"--burst", "-5"}, {}, "", "burst = \"-5\" (from --burst)"},
      {"messages for a shorter time than they may wait",
       {"--keep-messages-days=39"},
       {},
       "",
       "keep-messages-days = \"39\" (from --keep-messages-days) must be a whole number from 40 to "
       "3650 days"},
      {"no number, by variable",
       {},
       {"POSTRIDER_RATE_PER_SECOND=fast"},
       "",
       "rate-per-second = \"fast\" (from POSTRIDER_RATE_PER_SECOND) must be a number from 0.01 to"},
      {"not a number at all", {"--rate-per-second=nan"}, {}, "", "rate-per-second = \"nan\""},
      {"no choice, by file",
       {},
       {},
       "\nlog-format: xml\n",
       ".yaml:2) must be one of console, json"},
      {"no address", {"--listen", "7070"}, {}, "", "must be HOST:PORT"},
      {"a port too large", {"--listen", "127.0.0.1:70000"}, {}, "", "must be HOST:PORT"},
      {"IPv6 needs brackets", {"--listen", "::1:7070"}, {}, "", "must be HOST:PORT"},
      {"a secret in clear", {"--genesys-base-url=http://acme.example"}, {}, "", "https://"},
      {"user and password", {"--genesys-base-url=https://a:b@acme.example"}, {}, "", "https://"},
      {"not a sender", {"--senders", "+15551234567,+1555x"}, {}, "", "numbers as +15559876543"},
      {"not a bool", {"--sandbox=maybe"}, {}, "", "must be true or false"},
      {"a NUL", {}, {std::string("POSTRIDER_STATE_DIR=/a\0b", 24)}, "", "control characters"},
      {"an unknown flag",
       {"--lisen", "x:1"},
       {},
       "",
       "--lisen is not an option; the nearest is --listen"},
      {"an unknown variable",
       {},
       {"POSTRIDER_LISEN=x"},
       "",
       "POSTRIDER_LISEN is not an option; the nearest is POSTRIDER_LISTEN"},
      {"an unknown key",
       {},
       {},
       "rate_per_second: 5\n",
       ".yaml:1: rate_per_second is not an option; the nearest is rate-per-second"},
      {"nothing is near", {"--zzzzzzzz"}, {}, "", "--zzzzzzzz is not an option; --help lists them"},
      {"a word too many", {"serve"}, {}, "", "\"serve\" belongs to no flag"},
      {"a flag without its value", {"--database-url"}, {}, "", "--database-url needs a value"},
      {"a flag twice", {"--burst=1", "--burst=2"}, {}, "", "--burst is given 2 times"},
      {"a key twice", {}, {}, "burst: 1\nposters-max: 2\nburst: 3\n", ".yaml:3: burst stands at "},
      {"a file within the file", {}, {}, "config: other.yaml\n", "config is not an option"},
      {"a key without a value", {}, {}, "burst:\n", "this is no single value"},
      {"a list for a number", {}, {}, "burst: [1, 2]\n", "this is no single value"},
      {"not YAML", {}, {}, "burst: [1\n", "is not YAML"},
      {"not a map", {}, {}, "- burst\n", "must be one YAML map"},
      {"no such file", {"--config=/nowhere/x.yaml"}, {}, "", "/nowhere/x.yaml: cannot be read: No"},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    const auto config = Load(c.flags, c.environment, c.yaml);
    ASSERT_FALSE(config.ok());
    EXPECT_EQ(config.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(Message(config.status()), HasSubstr(c.wants));
  }
}

TEST(ConfigTest, AllProblemsAreToldAtOnce) {
  const auto config =
      Load({"--burst=0", "--lisen=x"}, {"POSTRIDER_POSTERS_MAX=0"}, "read-workers: 0\nfoo: 1\n");
  ASSERT_FALSE(config.ok());
  for (const char* name : {"burst", "--lisen", "posters-max", "read-workers", "foo"}) {
    EXPECT_THAT(Message(config.status()), HasSubstr(name));
  }
}

TEST(ConfigTest, ASecretIsNotShown) {
  const auto config = Load({}, {"POSTRIDER_DATABASE_URL=postgresql://u:hush@h/\n"});
  ASSERT_FALSE(config.ok());
  EXPECT_THAT(Message(config.status()), HasSubstr("database-url = (not shown)"));
  EXPECT_THAT(Message(config.status()), Not(HasSubstr("hush")));
}

TEST(ConfigTest, OthersVariablesAreNoProblem) {
  EXPECT_TRUE(Load({}, {"PATH=/bin", "POSTRIDERS=1", "POSTRIDER_TOKEN_FILE=/t", "broken"}).ok());
  // The command line's, as client/README.md names them.
  const auto config = Load({}, {"POSTRIDER_ADDRESS=a", "POSTRIDER_TOKEN=b", "POSTRIDER_SENDER=c",
                                "POSTRIDER_ADMIN_ADDRESS=d", "POSTRIDER_OPERATOR_TOKEN=e",
                                "POSTRIDER_OPERATOR_TOKEN_FILE=/f"});
  EXPECT_TRUE(config.ok()) << config.status();
}

TEST(ConfigTest, ListsComeWithCommasOrAsSequences) {
  const auto by_flag = Load({"--senders=+15551234567, ACME"}, {});
  const auto by_file = Load({}, {}, "senders: [\"+15551234567\", ACME]\n");
  ASSERT_TRUE(by_flag.ok() && by_file.ok());
  EXPECT_THAT(by_flag->senders, ElementsAre("+15551234567", "ACME"));
  EXPECT_EQ(by_file->senders, by_flag->senders);
}

TEST(ConfigTest, AddressTable) {
  struct Case {
    const char* text;
    const char* host;
    int port;
  };
  const Case cases[] = {{"127.0.0.1:0", "127.0.0.1", 0},
                        {"[::1]:7070", "::1", 7070},
                        {"localhost:65535", "localhost", 65535},
                        {"0.0.0.0:80", "0.0.0.0", 80}};
  for (const Case& c : cases) {
    SCOPED_TRACE(c.text);
    const auto config = Load({"--listen", c.text}, {});
    ASSERT_TRUE(config.ok()) << config.status();
    EXPECT_EQ(config->listen.host, c.host);
    EXPECT_EQ(config->listen.port, c.port);
    EXPECT_EQ(config->listen.Text(), c.text);
  }
}

TEST(ConfigTest, TheStateDirectoryFollowsTheUser) {
  struct Case {
    const char* name;
    ConfigSources sources;
    const char* wants;
  };
  const Case cases[] = {
      {"root", {.flags = {}, .environment = {"HOME=/root"}, .root = true}, "/var/lib/postrider"},
      {"XDG", {.flags = {}, .environment = {"XDG_STATE_HOME=/s", "HOME=/h"}}, "/s/postrider"},
      {"relative XDG is no path",
       {.flags = {}, .environment = {"XDG_STATE_HOME=s", "HOME=/h"}},
       "/h/.local/state/postrider"},
      {"a flag", {.flags = {"--state-dir=/x"}, .environment = {}, .root = true}, "/x"},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    const auto config = LoadConfig(c.sources);
    ASSERT_TRUE(config.ok()) << config.status();
    EXPECT_EQ(config->state_dir, c.wants);
  }
  EXPECT_FALSE(LoadConfig({.flags = {}, .environment = {}}).ok()) << "no HOME";
}

TEST(ValidateForServeTest, TheSandboxNeedsNothingElse) {
  const auto config = Load({"--sandbox"}, {});
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_TRUE(ValidateForServe(*config).ok());
  EXPECT_THAT(config->senders, ElementsAre("+15559876543"));
}

TEST(ValidateForServeTest, ProblemTable) {
  const std::string with_secret = "--genesys-client-secret-file=" + FileWith("hush");
  const std::vector<std::string> real = {
      "--genesys-base-url=https://acme.mypurecloud.com",
      "--genesys-token-url=https://login.mypurecloud.com/oauth/token", "--genesys-client-id=id",
      "--senders=+15559876543"};
  struct Case {
    const char* name;
    bool with_real;
    std::vector<std::string> flags;
    std::string wants;
  };
  const Case cases[] = {
      {"nothing",
       false,
       {},
       "set genesys-base-url, genesys-token-url, genesys-client-id, genesys-client-secret-file, "
       "senders; or"},
      {"only the secret is missing", true, {}, "set genesys-client-secret-file; or"},
      {"the secret is not there",
       true,
       {"--genesys-client-secret-file=/nowhere"},
       "genesys-client-secret-file = \"/nowhere\" cannot be read"},
      {"sandbox and Genesys", true, {"--sandbox"}, "genesys-base-url is set together with sandbox"},
      {"half of TLS", false, {"--sandbox", "--tls-cert-file=/etc/passwd"}, "belong together"},
      {"one port twice",
       false,
       {"--sandbox", "--ops-listen=127.0.0.1:7070"},
       "ops-listen and listen are both at 127.0.0.1:7070"},
      {"the operators' port twice",
       false,
       {"--sandbox", "--admin-listen=127.0.0.1:7073"},
       "sandbox-listen and admin-listen are both at 127.0.0.1:7073"},
      {"more than the organisation may",
       true,
       {with_secret, "--rate-per-second=20"},
       "rate-per-second: 20/s with a burst of 5 can be 1205 requests in a minute, and the "
       "organisation's limit is 300"},
      {"more than the organisation may, by the burst",
       true,
       {with_secret, "--burst=7"},
       "rate-per-second: 4.9/s with a burst of 7 can be 301 requests in a minute"},
      {"a region that is none",
       false,
       {with_secret, "--genesys-profile=platform", "--genesys-region=example.org",
        "--genesys-client-id=id", "--senders=+15559876543"},
       "genesys-region: unknown, \"example.org\""},
      {"a burst that no search fits into",
       true,
       {with_secret, "--genesys-profile=platform", "--burst=4"},
       "burst: with profile platform 5 at least"},
      {"guide's path for platform",
       true,
       {with_secret, "--genesys-profile=platform", "--genesys-send-path=/messages"},
       "genesys-send-path: only of profile guide"},
      {"a region for guide",
       false,
       {with_secret, "--genesys-region=mypurecloud.ie", "--genesys-client-id=id",
        "--senders=+15559876543"},
       "genesys-region: only of profile platform"},
      {"webhooks for longer than messages",
       false,
       {"--sandbox", "--keep-webhooks-days=90", "--keep-messages-days=60"},
       "keep-webhooks-days = 90 must not be above keep-messages-days = 60"},
      {"texts for less than a request may be repeated",
       false,
       {"--sandbox", "--keep-texts-days=30"},
       "keep-texts-days = 30 must be 0, for as long as the message, or 31 at least"},
      {"numbers the same",
       false,
       {"--sandbox", "--keep-numbers-days=1"},
       "keep-numbers-days = 1 must be 0"},
      {"quiet hours that are none",
       false,
       {"--sandbox", "--quiet-hours=at night"},
       "quiet-hours: must be law, off, or local times such as 21:00-08:00"},
      {"a zone that is none",
       false,
       {"--sandbox", "--quiet-zone=Berlin"},
       "quiet-zone: must be an IANA time zone"},
      {"active conversations for guide",
       true,
       {with_secret, "--genesys-active-conversation=hold"},
       "genesys-active-conversation: only of profile platform"},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    std::vector<std::string> flags = c.flags;
    if (c.with_real) flags.insert(flags.end(), real.begin(), real.end());
    const auto config = Load(flags, {});
    ASSERT_TRUE(config.ok()) << config.status();
    EXPECT_THAT(Message(ValidateForServe(*config)), HasSubstr(c.wants));
  }
  std::vector<std::string> complete = real;
  complete.push_back(with_secret);
  EXPECT_TRUE(ValidateForServe(*Load(complete, {})).ok());
  for (const char* granted : {"--rate-per-second=20", "--genesys-requests-per-minute=1205"}) {
    complete.push_back(granted);
  }
  EXPECT_TRUE(ValidateForServe(*Load(complete, {})).ok()) << "as fast as Genesys has granted";
}

}  // namespace
}  // namespace postrider
