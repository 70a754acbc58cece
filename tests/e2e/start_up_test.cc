// What cannot start says so on one line, and what to do, and ends with the status that scripts
// know.
#include <filesystem>
#include <fstream>
#include <signal.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "server/base/strings.h"
#include "server/http/socket.h"
#include "server/store/postgres_files.h"
#include "tests/e2e/rig.h"

namespace postrider {
namespace {

using ::testing::AllOf;
using ::testing::AnyOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::MatchesRegex;
using ::testing::Not;
using ::testing::StartsWith;

constexpr int kConfiguration = 78;

/// The last line: before it there may be log lines.
std::string LastLine(std::string text) {
  while (text.ends_with('\n')) text.pop_back();
  return text.substr(text.rfind('\n') + 1);
}

/// `postriderd serve` with what a test's gateway has, except for `flags`.
CommandResult Serve(const std::string& database_url, std::vector<std::string> flags,
                    std::vector<std::string> environment = {}) {
  const GatewayProcess unstarted(
      {.database_url = database_url, .flags = std::move(flags), .starts = false});
  return RunCommand(unstarted.Arguments(), std::move(environment));
}

TEST(StartUpTest, AWrongDatabaseIsOneClearLine) {
  const TestDatabase database;
  std::string no_such = database.url();
  no_such.replace(no_such.find("/test_"), 6, "/absent_");
  struct Case {
    const char* what;
    std::string url;
    const char* says;
  };
  const Case cases[] = {
      {"no such database", no_such, "does not exist"},
      {"nobody listens", "postgresql://postgres@127.0.0.1:1/postrider", "refused"},
      {"no URL", "postgresql://[", ""},
  };
  for (const Case& c : cases) {
    const CommandResult result = Serve(c.url, {});
    EXPECT_EQ(result.exit.status, 1) << c.what << ": " << result.err;
    EXPECT_THAT(LastLine(result.err), AllOf(StartsWith("postriderd: "), HasSubstr(c.says)))
        << c.what;
    EXPECT_EQ(result.out, "");
  }
}

TEST(StartUpTest, ASchemaThatItDoesNotKnowIsRefusedAndLeftAlone) {
  const TestDatabase database;
  const Sql sql(database.url());
  struct Case {
    const char* what;
    const char* done_to_it;
    const char* says;
  };
  // Each on top of the one before.
  const Case cases[] = {
      {"newer",
       "INSERT INTO schema_migration (number, name, sha256) VALUES (9999, '9999_future', 'x')",
       "9999"},
      {"changed",
       "DELETE FROM schema_migration WHERE number = 9999; "
       "UPDATE schema_migration SET sha256 = 'x' WHERE number = 1",
       "0001"},
      {"not migrated", "DROP SCHEMA postrider CASCADE", "postriderd migrate up"},
  };
  for (const Case& c : cases) {
    sql.Ask(c.done_to_it);
    const CommandResult result = Serve(database.url(), {});
    EXPECT_EQ(result.exit.status, 1) << c.what;
    EXPECT_THAT(LastLine(result.err), AllOf(StartsWith("postriderd: "), HasSubstr(c.says)))
        << c.what;
  }
  EXPECT_EQ(sql.Number("SELECT count(*) FROM pg_namespace WHERE nspname = 'postrider'"), 0);
}

TEST(StartUpTest, MigrateUpMakesAnEmptyDatabaseServe) {
  const TestDatabase database;
  const Sql sql(database.url());
  sql.Ask("DROP SCHEMA postrider CASCADE");
  const CommandResult up =
      RunCommand({POSTRIDERD, "migrate", "up", "--database-url", database.url()});
  EXPECT_EQ(up.exit.status, 0) << up.err;
  const CommandResult verify =
      RunCommand({POSTRIDERD, "migrate", "verify", "--database-url", database.url()});
  EXPECT_EQ(verify.exit.status, 0) << verify.err;
  GatewayProcess gateway({.database_url = database.url()});
  EXPECT_EQ(HttpGet(gateway.ops_url() + "/readyz"), 200);
}

TEST(StartUpTest, APortInUseIsNamed) {
  const TestDatabase database;
  const auto taken = Listen("127.0.0.1", 0, 1);
  ASSERT_TRUE(taken.ok()) << taken.status();
  const std::string address = StrCat("127.0.0.1:", LocalPort(taken->get()));
  for (const char* flag :
       {"--listen", "--admin-listen", "--webhook-listen", "--ops-listen", "--sandbox-listen"}) {
    const CommandResult result = Serve(database.url(), {flag, address});
    EXPECT_EQ(result.exit.status, 1) << flag << ": " << result.err;
    EXPECT_THAT(LastLine(result.err), AllOf(StartsWith("postriderd: "), HasSubstr(address)))
        << flag;
  }
}

TEST(StartUpTest, WrongConfigurationIsToldWithWhatIsAllowed) {
  const TestDir dir;
  const std::string file = dir.path() + "/postrider.yaml";
  std::ofstream(file) << "sandbox: true\nburts: 7\n";
  const std::string secret = dir.path() + "/secret";
  struct Case {
    const char* what;
    std::vector<std::string> flags;
    std::vector<std::string> environment;
    std::vector<const char*> says;
  };
  const Case cases[] = {
      {"unknown flag", {"--sandbx"}, {}, {"sandbx", "--sandbox"}},
      {"unknown variable", {"--sandbox"}, {"POSTRIDER_LISTN=x"}, {"LISTN", "POSTRIDER_LISTEN"}},
      {"unknown key", {"--config", file}, {}, {"burts", "burst"}},
      {"wrong value", {"--sandbox", "--burst", "many"}, {}, {"burst", "many", "whole number"}},
      {"out of range",
       {"--sandbox"},
       {"POSTRIDER_POSTERS_MAX=0"},
       {"posters-max", "0", "1 to 1024"}},
      {"neither organisation nor sandbox", {}, {}, {"sandbox"}},
      {"missing credential",
       {"--genesys-base-url", "https://example.mypurecloud.com", "--genesys-token-url",
        "https://login.mypurecloud.com/oauth/token", "--genesys-client-id", "id", "--senders",
        "+15559876543", "--genesys-client-secret-file", secret},
       {},
       {"secret"}},
  };
  for (const Case& c : cases) {
    std::vector<std::string> arguments = {POSTRIDERD, "serve", "--state-dir", dir.path()};
    arguments.insert(arguments.end(), c.flags.begin(), c.flags.end());
    const CommandResult result = RunCommand(arguments, c.environment);
    EXPECT_EQ(result.exit.status, kConfiguration) << c.what << ": " << result.err;
    for (const char* said : c.says) EXPECT_THAT(result.err, HasSubstr(said)) << c.what;
    EXPECT_EQ(result.out, "") << c.what;
  }
}

TEST(StartUpTest, WhatTheDatabaseRefusesIsNoWrongConfiguration) {
  const TestDatabase database;
  Sql(database.url()).Ask("ALTER TABLE sender ADD CONSTRAINT nobody_sends CHECK (false)");
  const CommandResult result = Serve(database.url(), {});
  EXPECT_EQ(result.exit.status, 1);
  EXPECT_THAT(LastLine(result.err), AllOf(StartsWith("postriderd: "), HasSubstr("SQLSTATE 23514")));
}

TEST(StartUpTest, AFileThatHoldsSomethingElseIsWrongConfiguration) {
  const TestDatabase database;
  const TestDir dir;
  const std::string file = dir.path() + "/no.pem";
  std::ofstream(file) << "not PEM";
  const CommandResult result =
      Serve(database.url(), {"--tls-cert-file", file, "--tls-key-file", file});
  EXPECT_EQ(result.exit.status, kConfiguration) << result.err;
  EXPECT_THAT(LastLine(result.err), HasSubstr(file));
}

TEST(StartUpTest, TwoGatewaysDoNotShareAPrivatePostgres) {
  Rig rig({.private_postgres = true});
  std::vector<std::string> arguments = rig.gateway.Arguments();
  arguments.insert(arguments.end(), {"--log-level", "info"});
  const CommandResult second = RunCommand(arguments);
  EXPECT_EQ(second.exit.status, 1);
  EXPECT_THAT(LastLine(second.err),
              AllOf(StartsWith("postriderd: "), HasSubstr(rig.gateway.state_dir())));
  EXPECT_EQ(HttpGet(rig.gateway.ops_url() + "/readyz"), 200);
}

/// A start that is not waited for.
struct Starting {
  explicit Starting(const std::string& database_url = "")
      : gateway({.database_url = database_url, .starts = false}),
        process({.arguments = gateway.Arguments(),
                 .environment = {},
                 .output_file = gateway.state_dir() + "/stdout.txt",
                 .error_file = gateway.state_dir() + "/stderr.txt"}) {}

  ChildProgram::Exit AwaitExit() {
    const auto exit = process.AwaitExit(std::chrono::seconds(60));
    EXPECT_TRUE(exit.has_value()) << "it does not end";
    return exit.value_or(ChildProgram::Exit{});
  }
  bool Has(const char* file) const {
    return std::filesystem::exists(gateway.state_dir() + "/" + file);
  }
  std::vector<pid_t> PostgresProcesses() const {
    std::vector<pid_t> all = ProcessesIn(gateway.state_dir() + "/postgres");
    const std::vector<pid_t> unfinished = ProcessesIn(gateway.state_dir() + "/postgres.new");
    all.insert(all.end(), unfinished.begin(), unfinished.end());
    return all;
  }

  GatewayProcess gateway;
  ChildProgram process;
};

TEST(SignalWhileStartingTest, EndsTheMakingOfTheDatabaseAndTheNextStartMakesItAnew) {
  Starting starting;
  ASSERT_TRUE(Await([&] { return starting.Has("postgres.new"); }));
  starting.process.Signal(SIGTERM);
  EXPECT_EQ(starting.AwaitExit().status, 128 + SIGTERM) << starting.gateway.Errors();
  EXPECT_EQ(LastLine(starting.gateway.Errors()), "postriderd: stopped before it was ready");
  EXPECT_THAT(starting.PostgresProcesses(), IsEmpty());
  EXPECT_FALSE(starting.Has("addresses"));
  EXPECT_TRUE(starting.gateway.Start());
}

TEST(SignalWhileStartingTest, StopsThePrivatePostgres) {
  Starting starting;
  ASSERT_TRUE(Await([&] { return starting.Has("postgres/postmaster.pid"); }));
  starting.process.Signal(SIGINT);
  // On a machine that stalls us it can have become ready meanwhile: then it has drained.
  EXPECT_THAT(starting.AwaitExit().status, AnyOf(128 + SIGINT, 0)) << starting.gateway.Errors();
  EXPECT_THAT(starting.PostgresProcesses(), IsEmpty());
  EXPECT_FALSE(starting.Has("postgres/postmaster.pid")) << "it was stopped, not cut off";
}

TEST(SignalWhileStartingTest, ASecondOneEndsItAtOnce) {
  // A database that takes the connection and says nothing.
  const auto silent = Listen("127.0.0.1", 0, 1);
  ASSERT_TRUE(silent.ok()) << silent.status();
  Starting starting(StrCat("postgresql://postgres@127.0.0.1:", LocalPort(silent->get()),
                           "/postrider?connect_timeout=60"));
  ASSERT_TRUE(Await([&] { return starting.Has("lock"); }));
  starting.process.Signal(SIGTERM);
  starting.process.Signal(SIGINT);
  EXPECT_THAT(starting.AwaitExit().signal, AnyOf(SIGTERM, SIGINT)) << "whichever was second";
}

}  // namespace
}  // namespace postrider
