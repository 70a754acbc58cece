// `postrider watch` beside a gateway that dies.
#include <set>
#include <signal.h>
#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "server/json/json.h"
#include "tests/e2e/rig.h"

namespace postrider {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

/// What whole lines of -o jsonl tell.
std::vector<StreamedChange> ChangesIn(const std::string& text) {
  std::vector<StreamedChange> changes;
  std::istringstream lines(text.substr(0, text.rfind('\n') + 1));
  for (std::string line; std::getline(lines, line);) {
    const auto element = ParseJson(line);
    const auto change = element.ok() ? element->GetObject("change") : std::nullopt;
    if (!change) {
      ADD_FAILURE() << line;
      continue;
    }
    v1::MessageState state = v1::MESSAGE_STATE_UNSPECIFIED;
    EXPECT_TRUE(v1::MessageState_Parse(change->GetString("state").value_or(""), &state)) << line;
    changes.push_back({change->GetString("message_id").value_or(""),
                       static_cast<int>(change->GetInt("revision").value_or(0)), state});
  }
  return changes;
}

TEST(CliWatchTest, GoesOnOverAKillOfTheGatewayWithoutALossOrARepeat) {
  Rig rig;
  const TestDir dir;
  std::string token;
  {
    const Watcher watcher(rig.client(), {});
    token = watcher.ResumeToken();
  }
  const std::string out = dir.path() + "/out.jsonl";
  const std::string err = dir.path() + "/err";
  ChildProgram watch({.arguments = {POSTRIDER, "watch", "--resume", token, "-o", "jsonl"},
                      .environment = {"POSTRIDER_ADDRESS=" + rig.gateway.grpc_address(),
                                      "POSTRIDER_TOKEN_FILE=" + rig.gateway.token_file()},
                      .output_file = out,
                      .error_file = err});
  const auto seen = [&] { return ChangesIn(ReadWholeFile(out)); };
  rig.Send(RequestTo(kRecipient));
  ASSERT_TRUE(Await([&] { return !seen().empty(); })) << ReadWholeFile(err);

  rig.gateway.Kill();
  ASSERT_TRUE(rig.gateway.Start());
  rig.AwaitState(rig.Send(RequestTo(kRecipient)), v1::MESSAGE_STATE_DELIVERED);
  EXPECT_TRUE(Await([&] { return NothingWasMissed(rig.sql, seen()).empty(); }))
      << ReadWholeFile(err);
  watch.Signal(SIGINT);
  const auto exit = watch.AwaitExit(std::chrono::seconds(60));
  ASSERT_TRUE(exit.has_value());
  EXPECT_EQ(exit->status, 0);
  EXPECT_THAT(ReadWholeFile(err), HasSubstr("postrider watch --resume "));
  const std::vector<StreamedChange> all = seen();
  EXPECT_THAT(NothingWasInvented(rig.sql, all), IsEmpty());
  EXPECT_EQ(std::set<StreamedChange>(all.begin(), all.end()).size(), all.size()) << "told twice";
}

}  // namespace
}  // namespace postrider
