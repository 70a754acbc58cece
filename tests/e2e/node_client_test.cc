// The contract from Node: the program of client/examples. Debian has no package of grpc-js: these
// run where NODE_PATH names a folder with @grpc/grpc-js and @grpc/proto-loader.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/e2e/rig.h"

namespace postrider {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

class NodeClientTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const CommandResult found = RunCommand(
        {"/bin/sh", "-c", "node -e \"require('@grpc/grpc-js'); require('@grpc/proto-loader')\""});
    if (found.exit.status != 0) GTEST_SKIP() << "Node finds no @grpc/grpc-js";
  }

  static CommandResult RunExample(const Rig& rig, const std::string& recipient,
                                  const std::string& token) {
    return RunCommand(
        {"node", SOURCE_DIR "/client/examples/node/send_and_follow.js", recipient, kSender, "Hi"},
        {"POSTRIDER_ADDRESS=" + rig.gateway.grpc_address(), "POSTRIDER_TOKEN=" + token});
  }
};

TEST_F(NodeClientTest, SendsAMessageAndFollowsItToItsEnd) {
  const Rig rig;
  const CommandResult result = RunExample(rig, kRecipient, rig.Token());
  EXPECT_EQ(result.exit.status, 0) << result.err;
  EXPECT_THAT(result.out, AllOf(HasSubstr("accepted "), HasSubstr("\n5 DELIVERED final")));
  EXPECT_EQ(rig.sql.Number("SELECT count(*) FROM message WHERE state = 7"), 1);
  const CommandResult failed = RunExample(rig, "+15550000001", rig.Token());
  EXPECT_EQ(failed.exit.status, 1) << failed.err;
  EXPECT_THAT(failed.out, HasSubstr("FAILED final"));
}

TEST_F(NodeClientTest, ReadsWhyItWasRefused) {
  const Rig rig;
  ExpectExampleTellsWhyItWasRefused(rig,
                                    [&rig](const std::string& recipient, const std::string& token) {
                                      return RunExample(rig, recipient, token);
                                    });
}

}  // namespace
}  // namespace postrider
