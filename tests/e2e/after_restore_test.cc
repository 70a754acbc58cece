// A backup of the state directory that is restored after what it has queued had left.
#include <filesystem>

#include <gmock/gmock.h>
#include <google/protobuf/util/time_util.h>
#include <gtest/gtest.h>

#include "tests/e2e/rig.h"

namespace postrider {
namespace {

using google::protobuf::util::TimeUtil;
using ::testing::HasSubstr;

constexpr int kQueued = 3;

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

  /// Holds what is sent, until Resume().
  void Pause() {
    v1::PauseDispatchRequest pause;
    pause.mutable_target()->set_tenant("default");
    pause.set_reason("a backup");
    *pause.mutable_until() = TimeUtil::GetCurrentTime() + TimeUtil::SecondsToDuration(3600);
    const auto paused = rig_.NewAdmin()->Pause(pause);
    ASSERT_TRUE(paused.ok()) << paused.status();
  }

  void Resume() {
    v1::ResumeDispatchRequest resume;
    resume.mutable_target()->set_tenant("default");
    resume.set_reason("looked through");
    const auto resumed = rig_.NewAdmin()->Resume(resume);
    ASSERT_TRUE(resumed.ok()) << resumed.status();
  }

  Rig rig_{{.private_postgres = true}};
  const std::string state_dir_ = rig_.gateway.state_dir();
  const std::string data_ = state_dir_ + "/postgres";
  const std::string backup_ = state_dir_ + "/backup";
};

TEST_F(AfterRestoreCommandTest, WhatHasLeftSinceTheBackupIsNotSentAgain) {
  Pause();
  std::vector<std::string> ids;
  for (int i = 0; i < kQueued; ++i) ids.push_back(rig_.Send(RequestTo(kRecipient)));
  rig_.gateway.Stop();
  Copy(data_, backup_);
  ASSERT_TRUE(rig_.gateway.Start());
  Resume();
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
  Resume();
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

}  // namespace
}  // namespace postrider
