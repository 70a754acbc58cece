#include "server/store/private_cluster.h"

#include <filesystem>
#include <fstream>
#include <libpq-fe.h>
#include <signal.h>
#include <string>
#include <sys/stat.h>
#include <unistd.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/test_database.h"

namespace postrider {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

/// The first value of the result, or what went wrong.
std::string Ask(const std::string& url, const char* sql) {
  PGconn* connection = PQconnectdb(url.c_str());
  PGresult* result = PQexec(connection, sql);
  std::string answer =
      PQntuples(result) > 0 ? PQgetvalue(result, 0, 0) : PQerrorMessage(connection);
  PQclear(result);
  PQfinish(connection);
  return answer;
}

std::unique_ptr<PrivateCluster> MustStart(const std::string& dir) {
  auto cluster = PrivateCluster::Start(dir);
  EXPECT_TRUE(cluster.ok()) << cluster.status();
  return cluster.ok() ? *std::move(cluster) : nullptr;
}

/// Kills a process that may be our child and waits for its end.
void Kill(pid_t pid) {
  const auto process = ProcessHandle::Open(pid);
  ASSERT_TRUE(process.ok()) << process.status();
  process->Signal(SIGKILL);
  ASSERT_TRUE(process->AwaitEnd(std::chrono::seconds(30)));
}

TEST(PrivateClusterTest, TheFirstStartMakesADurableDatabaseThatOnlyItsUserReaches) {
  const TestDir dir;
  const auto cluster = MustStart(dir.path() + "/state");
  ASSERT_NE(cluster, nullptr);
  const std::string url = cluster->database_url();
  EXPECT_EQ(Ask(url, "SELECT current_database()"), "postrider");
  struct Case {
    const char* setting;
    const char* wants;
  };
  const Case cases[] = {{"fsync", "on"},
                        {"synchronous_commit", "on"},
                        {"full_page_writes", "on"},
                        {"data_checksums", "on"},
                        {"listen_addresses", ""},
                        {"server_encoding", "UTF8"},
                        {"jit", "off"}};
  for (const Case& c : cases) {
    EXPECT_EQ(Ask(url, ("SHOW " + std::string(c.setting)).c_str()), c.wants) << c.setting;
  }
  EXPECT_EQ(Ask(url, "SELECT datcollate FROM pg_database WHERE datname = current_database()"),
            "C.UTF-8");
  struct stat socket_dir{};
  ASSERT_EQ(stat((dir.path() + "/state/run").c_str(), &socket_dir), 0);
  EXPECT_EQ(socket_dir.st_mode & 0777, 0700U);
}

TEST(PrivateClusterTest, NeverRunsAsRootAndHasAProcessGroupOfItsOwn) {
  const TestDir dir;
  const auto cluster = MustStart(dir.path());
  ASSERT_NE(cluster, nullptr);
  struct stat process{};
  ASSERT_EQ(stat(("/proc/" + std::to_string(cluster->pid())).c_str(), &process), 0);
  EXPECT_NE(process.st_uid, 0U);
  EXPECT_EQ(getpgid(cluster->pid()), cluster->pid());
}

TEST(PrivateClusterTest, ARestartKeepsTheData) {
  const TestDir dir;
  auto cluster = MustStart(dir.path());
  ASSERT_NE(cluster, nullptr);
  Ask(cluster->database_url(), "CREATE TABLE kept AS SELECT 42 AS answer");
  EXPECT_TRUE(cluster->Stop().ok());
  EXPECT_TRUE(cluster->Stop().ok()) << "again";
  cluster.reset();
  cluster = MustStart(dir.path());
  ASSERT_NE(cluster, nullptr);
  EXPECT_EQ(Ask(cluster->database_url(), "SELECT answer FROM kept"), "42");
}

TEST(PrivateClusterTest, AKilledServerIsRecoveredAtTheNextStart) {
  const TestDir dir;
  auto cluster = MustStart(dir.path());
  ASSERT_NE(cluster, nullptr);
  Ask(cluster->database_url(), "CREATE TABLE kept AS SELECT 42 AS answer");
  Kill(cluster->pid());
  cluster.reset();
  cluster = MustStart(dir.path());
  ASSERT_NE(cluster, nullptr);
  EXPECT_EQ(Ask(cluster->database_url(), "SELECT answer FROM kept"), "42");
}

TEST(PrivateClusterTest, AKilledServerIsStartedAgainByEnsureRunning) {
  const TestDir dir;
  const auto cluster = MustStart(dir.path());
  ASSERT_NE(cluster, nullptr);
  EXPECT_TRUE(cluster->EnsureRunning().ok());
  const pid_t first = cluster->pid();
  Kill(first);
  EXPECT_TRUE(cluster->EnsureRunning().ok());
  EXPECT_NE(cluster->pid(), first);
  EXPECT_EQ(Ask(cluster->database_url(), "SELECT 1"), "1");
}

TEST(PrivateClusterTest, TheServerOfAKilledGatewayIsTakenOver) {
  const TestDir dir;
  // The "gateway" starts it and vanishes without a word: ctest's fixture program does just that.
  const std::string file = dir.path() + "/cluster";
  const auto gone =
      RunProgram({.arguments = {TEST_CLUSTER, "start", file}}, std::chrono::minutes(1));
  ASSERT_TRUE(gone.ok()) << gone.status();
  std::string url;
  std::string state_dir;
  std::ifstream in(file);
  std::getline(in, url);
  std::getline(in, state_dir);
  Ask(url, "CREATE TABLE kept AS SELECT 42 AS answer");
  const std::string orphan =
      Ask(url, "SELECT split_part(pg_read_file('postmaster.pid'), chr(10), 1)");

  auto cluster = MustStart(state_dir);
  ASSERT_NE(cluster, nullptr);
  EXPECT_NE(std::to_string(cluster->pid()), orphan);
  EXPECT_EQ(Ask(cluster->database_url(), "SELECT answer FROM kept"), "42");
  cluster.reset();
  fs::remove_all(state_dir);
}

TEST(PrivateClusterTest, AStalePidFileThatNamesAStrangerIsNoObstacle) {
  const TestDir dir;
  auto cluster = MustStart(dir.path());
  ASSERT_NE(cluster, nullptr);
  cluster.reset();
  std::ofstream(dir.path() + "/postgres/postmaster.pid") << getpid() << "\n";
  EXPECT_NE(MustStart(dir.path()), nullptr);
}

TEST(PrivateClusterTest, ASecondGatewayIsRefused) {
  const TestDir dir;
  const auto cluster = MustStart(dir.path());
  ASSERT_NE(cluster, nullptr);
  const auto second = PrivateCluster::Start(dir.path());
  EXPECT_EQ(second.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(second.status().message()), HasSubstr(std::to_string(getpid())));
  EXPECT_EQ(Ask(cluster->database_url(), "SELECT 1"), "1") << "the first is not disturbed";
}

TEST(PrivateClusterTest, ALongPathIsReachedByAShortOne) {
  const TestDir dir;
  const std::string deep = dir.path() + "/" + std::string(120, 'd');
  auto cluster = MustStart(deep);
  ASSERT_NE(cluster, nullptr);
  EXPECT_EQ(Ask(cluster->database_url(), "SELECT 1"), "1");
  const fs::path link = fs::read_symlink(deep + "/run");
  EXPECT_LT(link.string().size(), 85U);
  cluster.reset();
  EXPECT_FALSE(fs::exists(link)) << "goes with the server";
  EXPECT_NE(MustStart(deep), nullptr);
}

TEST(PrivateClusterTest, AnInitdbThatWasCutOffStartsAnew) {
  const TestDir dir;
  fs::create_directories(dir.path() + "/postgres.new/base");
  EXPECT_NE(MustStart(dir.path()), nullptr);
}

TEST(PrivateClusterTest, WhatCannotBeUsedGetsOneClearLine) {
  struct Case {
    const char* name;
    void (*spoil)(const std::string& dir);
    const char* wants;
  };
  const Case cases[] = {
      {"another version's data",
       [](const std::string& dir) {
         fs::create_directory(dir + "/postgres");
         std::ofstream(dir + "/postgres/PG_VERSION") << "9\n";
       },
       "the data is of PostgreSQL 9, but installed is 1"},
      {"a directory of something else",
       [](const std::string& dir) { fs::create_directories(dir + "/postgres/things"); },
       "cannot make"},
      {"a file where the directory should be",
       [](const std::string& dir) {
         fs::remove(dir);
         std::ofstream{dir} << "x";
       },
       "cannot"},
      {"a setting that Postgres does not know",
       [](const std::string& dir) {
         EXPECT_NE(MustStart(dir), nullptr);
         std::ofstream(dir + "/postgres/postgresql.conf", std::ios::app) << "shared_bufers = 1\n";
       },
       "PostgreSQL did not start: FATAL:"},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    const TestDir dir;
    c.spoil(dir.path());
    const auto cluster = PrivateCluster::Start(dir.path());
    ASSERT_FALSE(cluster.ok());
    EXPECT_THAT(std::string(cluster.status().message()), HasSubstr(c.wants));
    EXPECT_EQ(cluster.status().message().find('\n'), absl::string_view::npos);
  }
}

TEST(TestDatabaseTest, EachTestHasADatabaseOfItsOwn) {
  const TestDatabase one;
  const TestDatabase two;
  Ask(one.url(), "CREATE TABLE mine ()");
  EXPECT_EQ(Ask(one.url(), "SELECT count(*) FROM pg_tables WHERE tablename = 'mine'"), "1");
  EXPECT_EQ(Ask(two.url(), "SELECT count(*) FROM pg_tables WHERE tablename = 'mine'"), "0");
}

}  // namespace
}  // namespace postrider
