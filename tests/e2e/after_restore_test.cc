// A backup of the state directory that is restored after what it has queued had left.
#include <filesystem>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/e2e/rig.h"

namespace postrider {
namespace {

using ::testing::HasSubstr;

constexpr int kQueued = 3;

/// Sends what is then queued until Resume().
std::vector<std::string> SendPaused(Rig& rig) {
  const auto paused = rig.NewAdmin()->Pause(PauseFor("a backup"));
  EXPECT_TRUE(paused.ok()) << paused.status();
  std::vector<std::string> ids;
  for (int i = 0; i < kQueued; ++i) ids.push_back(rig.Send(RequestTo(kRecipient)));
  return ids;
}

void Resume(const Rig& rig) {
  const auto resumed = rig.NewAdmin()->Resume(ResumeFor("looked through"));
  EXPECT_TRUE(resumed.ok()) << resumed.status();
}

class AfterRestoreCommandTest : public ::testing::Test {
 protected:
  static CommandResult AfterRestore(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), {POSTRIDERD, "after-restore"});
    return RunCommand(arguments);
  }

  /// Its owner too: Postgres takes no other's data.
  static void Copy(const std::string& from, const std::string& to) {
    std::filesystem::remove_all(to);
    ASSERT_EQ(RunCommand({"/bin/cp", "-a", from, to}).exit.status, 0);
  }

  Rig rig_{{.private_postgres = true}};
  const std::string state_dir_ = rig_.gateway.state_dir();
  const std::string data_ = state_dir_ + "/postgres";
  const std::string backup_ = state_dir_ + "/backup";
};

TEST_F(AfterRestoreCommandTest, WhatHasLeftSinceTheBackupIsNotSentAgain) {
  const std::vector<std::string> ids = SendPaused(rig_);
  rig_.gateway.Stop();
  Copy(data_, backup_);
  ASSERT_TRUE(rig_.gateway.Start());
  Resume(rig_);
  for (const std::string& id : ids) rig_.AwaitState(id, v1::MESSAGE_STATE_DELIVERED);

  const CommandResult refused =
      AfterRestore({"--reason", "the disk was lost", "--state-dir", state_dir_});
  EXPECT_EQ(refused.exit.status, 1) << "a gateway uses it";
  rig_.gateway.Stop();
  ASSERT_EQ(ReadLedger(rig_.gateway.ledger_file()).size(), kQueued);

  Copy(backup_, data_);
  std::filesystem::remove_all(state_dir_ + "/spool");  // as on another machine
  const CommandResult settled =
      AfterRestore({"--reason", "the disk was lost", "--state-dir", state_dir_});
  ASSERT_EQ(settled.exit.status, 0) << settled.err;
  EXPECT_THAT(settled.out, HasSubstr("paused     1 tenant"));
  EXPECT_THAT(settled.out, HasSubstr("unknown    3 messages"));
  EXPECT_THAT(settled.out, HasSubstr("scheduled  0 messages"));

  ASSERT_TRUE(rig_.gateway.Start());
  for (const std::string& id : ids) EXPECT_EQ(rig_.StateOf(id), v1::MESSAGE_STATE_UNKNOWN);
  const std::string sent_after = rig_.Send(RequestTo(kRecipient));
  Resume(rig_);
  rig_.AwaitState(sent_after, v1::MESSAGE_STATE_DELIVERED);
  EXPECT_EQ(ReadLedger(rig_.gateway.ledger_file()).size(), kQueued + 1) << "the new one alone";
  for (const std::string& id : ids) EXPECT_EQ(rig_.StateOf(id), v1::MESSAGE_STATE_UNKNOWN);
}

TEST_F(AfterRestoreCommandTest, WrongUseIsToldInOneLine) {
  const std::string url = rig_.gateway.database_url();
  const CommandResult why = AfterRestore({"--database-url", url});
  EXPECT_EQ(why.exit.status, 2);
  EXPECT_THAT(why.err, HasSubstr("--reason"));
  EXPECT_EQ(AfterRestore({"--reason", "", "--database-url", url}).exit.status, 2);
  const CommandResult misspelt = AfterRestore({"--reason", "a test", "--database-ulr", url});
  EXPECT_EQ(misspelt.exit.status, 78);
  EXPECT_THAT(misspelt.err, HasSubstr("--database-url"));
  const CommandResult nowhere =
      AfterRestore({"--reason", "a test", "--state-dir", state_dir_ + "/nowhere"});
  EXPECT_EQ(nowhere.exit.status, 1);
  EXPECT_THAT(nowhere.err, HasSubstr("restore it first"));
  EXPECT_FALSE(std::filesystem::exists(state_dir_ + "/nowhere"));
  std::filesystem::create_directories(state_dir_ + "/empty/postgres");
  EXPECT_EQ(AfterRestore({"--reason", "a test", "--state-dir", state_dir_ + "/empty"}).exit.status,
            1)
      << "a new database is not made there";
  const CommandResult beside = AfterRestore({"--reason", "a test", "--database-url", url});
  EXPECT_EQ(beside.exit.status, 0) << beside.err;
  EXPECT_THAT(beside.out, HasSubstr("paused     1 tenant")) << "a gateway that runs already";
}

TEST(ReplacedDatabaseTest, AGatewayThatRunsOnSendsNothingFromABackup) {
  Rig rig;
  const std::vector<std::string> ids = SendPaused(rig);
  // The backup is of just after the dispatch was resumed, with nothing left yet.
  rig.gateway.Stop();
  rig.sql.Ask("DELETE FROM dispatch_pause");
  rig.database->BackUp();
  ASSERT_TRUE(rig.gateway.Start());
  for (const std::string& id : ids) rig.AwaitState(id, v1::MESSAGE_STATE_DELIVERED);
  ASSERT_EQ(ReadLedger(rig.gateway.ledger_file()).size(), kQueued);

  rig.database->Restore();
  EXPECT_TRUE(Await([&] {
    std::string why;
    return HttpGet(rig.gateway.ops_url() + "/readyz", &why) == 503 &&
           why.find("it lacks what this gateway has seen committed") != std::string::npos;
  }));
  const auto refused = rig.ImpatientClient()->Send(RequestTo(kRecipient));
  EXPECT_TRUE(absl::IsUnavailable(refused.status())) << refused.status();
  EXPECT_EQ(rig.sql.Number("SELECT count(*) FROM message WHERE state = 1"), kQueued);
  EXPECT_EQ(rig.sql.Number("SELECT count(*) FROM attempt"), 0);
  EXPECT_EQ(ReadLedger(rig.gateway.ledger_file()).size(), kQueued);
  rig.gateway.Kill();

  // A new one does not know what was seen: README.md, Backup, has what comes first.
  const CommandResult settled = RunCommand({POSTRIDERD, "after-restore", "--reason", "the standby",
                                            "--database-url", rig.database->url()});
  EXPECT_EQ(settled.exit.status, 0) << settled.err;
  ASSERT_TRUE(rig.gateway.Start());
  Resume(rig);
  rig.AwaitState(rig.Send(RequestTo(kRecipient)), v1::MESSAGE_STATE_DELIVERED);
  EXPECT_EQ(ReadLedger(rig.gateway.ledger_file()).size(), kQueued + 1);
}

}  // namespace
}  // namespace postrider
