// The contract from another language: the Python example, with stubs of its own and Debian's
// python3-grpcio.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/e2e/rig.h"

namespace postrider {
namespace {

using ::testing::AllOf;
using ::testing::ContainsRegex;
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

TEST(PythonClientTest, ReadsWhyItWasRefused) {
  const Rig rig;
  const CommandResult bad = RunExample(rig, "12345", rig.Token());
  EXPECT_EQ(bad.exit.status, 3);
  EXPECT_THAT(bad.err, AllOf(HasSubstr("INVALID_ARGUMENT"), HasSubstr("reason: INVALID_FIELD"),
                             HasSubstr("field recipient: ")));
  const CommandResult stranger = RunExample(rig, kRecipient, "prt_nobody");
  EXPECT_EQ(stranger.exit.status, 3);
  EXPECT_THAT(stranger.err,
              AllOf(HasSubstr("UNAUTHENTICATED"), HasSubstr("reason: TOKEN_INVALID")));
  const CommandResult failed = RunExample(rig, "+15550000001", rig.Token());
  EXPECT_EQ(failed.exit.status, 1) << failed.err;
  EXPECT_THAT(failed.out, HasSubstr("FAILED final"));
}

}  // namespace
}  // namespace postrider
