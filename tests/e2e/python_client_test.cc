// The contract from another language: the Python programs of client/examples and of README, with
// Debian's python3-grpcio.
#include <filesystem>
#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/e2e/rig.h"

namespace postrider {
namespace {

using ::testing::AllOf;
using ::testing::ContainsRegex;
using ::testing::EndsWith;
using ::testing::HasSubstr;

CommandResult RunExample(const Rig& rig, const std::string& recipient, const std::string& token) {
  return RunCommand({"/usr/bin/python3", PYTHON_EXAMPLE, recipient, kSender, "Hello from Python"},
                    {"POSTRIDER_ADDRESS=" + rig.gateway.grpc_address(), "POSTRIDER_TOKEN=" + token,
                     std::string("POSTRIDER_STUBS=") + PYTHON_STUBS, "PYTHONDONTWRITEBYTECODE=1"});
}

TEST(PythonClientTest, SendsAMessageAndFollowsItToDelivered) {
  const Rig rig;
  const CommandResult result = RunExample(rig, kRecipient, rig.Token());
  EXPECT_EQ(result.exit.status, 0) << result.err;
  EXPECT_THAT(result.out, AllOf(HasSubstr("accepted "), ContainsRegex(" 5 DELIVERED final")));
  EXPECT_EQ(rig.sql.Number("SELECT count(*) FROM message WHERE state = 7"), 1);
}

TEST(PythonClientTest, TheProgramInReadmeDoesWhatReadmeSays) {
  const Rig rig;
  // A reader's clone and home, so that every line runs as it is written.
  const TestDir clone;
  std::filesystem::create_directory_symlink(SOURCE_DIR "/proto", clone.path() + "/proto");
  const std::string state_dir = clone.path() + "/.local/state/postrider";
  std::filesystem::create_directories(state_dir);
  std::ofstream(state_dir + "/default.token") << rig.Token() << "\n";
  std::ofstream(clone.path() + "/first.py") << ReadmeBlock("README.md", "python", "SendMessage");
  const std::string script = "set -e; cd " + clone.path() + "\n" +
                             ReadmeBlock("README.md", "sh", "--grpc_python_out") +
                             ReadmeBlock("README.md", "sh", "python3 first.py");
  const CommandResult result =
      RunCommand({"/bin/sh", "-c", script}, {"POSTRIDER_ADDRESS=" + rig.gateway.grpc_address(),
                                             "HOME=" + clone.path(), "PYTHONDONTWRITEBYTECODE=1"});
  EXPECT_EQ(result.exit.status, 0) << result.err;
  EXPECT_THAT(result.out, EndsWith("MESSAGE_STATE_DELIVERED\n"));
  EXPECT_EQ(rig.sql.Number("SELECT count(*) FROM message WHERE state = 7"), 1);
}

TEST(PythonClientTest, ReadsWhyItWasRefused) {
  const Rig rig;
  ExpectExampleTellsWhyItWasRefused(rig,
                                    [&rig](const std::string& recipient, const std::string& token) {
                                      return RunExample(rig, recipient, token);
                                    });
  const CommandResult failed = RunExample(rig, "+15550000001", rig.Token());
  EXPECT_EQ(failed.exit.status, 1) << failed.err;
  EXPECT_THAT(failed.out, HasSubstr("FAILED final"));
}

}  // namespace
}  // namespace postrider
