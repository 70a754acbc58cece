// ExplainMessage through the front door: what it says, and whether that then happens.
#include <cstdlib>
#include <map>

#include <gmock/gmock.h>
#include <google/protobuf/util/time_util.h>
#include <gtest/gtest.h>

#include "server/base/strings.h"
#include "tests/e2e/rig.h"
#include "tests/support/child_program.h"

namespace postrider {
namespace {

using google::protobuf::util::TimeUtil;
using ::testing::HasSubstr;

v1::GateKind FirstGate(const v1::ExplainMessageResponse& answer) {
  return answer.gates_size() == 0 ? v1::GATE_KIND_UNSPECIFIED : answer.gates(0).kind();
}

TEST(ExplainTest, TheEstimateIsWhatThenHappens) {
  // 60 wait, at ten a second and without a burst: six seconds.
  constexpr int kQueued = 60;
  Rig rig({.flags = {"--rate-per-second", "10", "--burst", "1"}});
  // However long it takes to send them all, none has left when the first is asked for.
  const auto admin = rig.NewAdmin();
  ASSERT_TRUE(admin->Pause(PauseFor("until all are there")).ok());
  std::vector<std::string> ids;
  for (int i = 0; i < kQueued; ++i) ids.push_back(rig.Send(RequestTo(kRecipient)));
  const std::size_t asked[] = {kQueued / 2, kQueued - 1};
  std::map<std::size_t, v1::ExplainMessageResponse> told;
  ASSERT_TRUE(admin->Resume(ResumeFor("all are there")).ok());
  for (const std::size_t at : asked) {
    const auto answer = rig.client().Explain(ids[at]);
    ASSERT_TRUE(answer.ok()) << answer.status();
    EXPECT_EQ(answer->state(), v1::MESSAGE_STATE_QUEUED);
    EXPECT_EQ(FirstGate(*answer), v1::GATE_KIND_RATE);
    EXPECT_LE(answer->ahead(), static_cast<int>(at));
    EXPECT_FALSE(answer->has_more_ahead());
    ASSERT_TRUE(answer->has_estimated_at());
    told[at] = *answer;
  }
  EXPECT_LT(TimeUtil::TimestampToMilliseconds(told[asked[0]].estimated_at()),
            TimeUtil::TimestampToMilliseconds(told[asked[1]].estimated_at()));
  for (const std::size_t at : asked) {
    rig.AwaitState(ids[at], v1::MESSAGE_STATE_DELIVERED);
    // When its outcome was there; the sandbox answers at once. Within a quarter of the wait and 2
    // s: the machine may be busy; EstimateTest is exact.
    const std::int64_t left_ms =
        rig.sql.Number(StrCat("SELECT (extract(epoch FROM outcome_at) * 1000)::bigint FROM attempt "
                              "WHERE message_id = '",
                              ids[at], "'"));
    const std::int64_t estimated_ms = TimeUtil::TimestampToMilliseconds(told[at].estimated_at());
    const std::int64_t wait_ms = estimated_ms - TimeUtil::TimestampToMilliseconds(told[at].at());
    EXPECT_LE(std::abs(left_ms - estimated_ms), wait_ms / 4 + 2000) << at;
  }
}

TEST(ExplainTest, ItTellsTheGateOfEveryState) {
  Rig rig;
  const auto gate = [&](const std::string& id) {
    const auto answer = rig.client().Explain(id);
    EXPECT_TRUE(answer.ok()) << answer.status();
    return answer.ok() ? FirstGate(*answer) : v1::GATE_KIND_UNSPECIFIED;
  };
  v1::SendMessageRequest later = RequestTo(kRecipient);
  *later.mutable_not_before() = TimeUtil::GetCurrentTime() + TimeUtil::SecondsToDuration(3600);
  const std::string scheduled = rig.Send(later);
  EXPECT_EQ(gate(scheduled), v1::GATE_KIND_SCHEDULE);
  const auto by_request = rig.client().ExplainByRequestId(later.request_id());
  ASSERT_TRUE(by_request.ok()) << by_request.status();
  EXPECT_EQ(by_request->message_id(), scheduled);
  EXPECT_NEAR(static_cast<double>(by_request->estimated_at().seconds()),
              static_cast<double>(later.not_before().seconds()), 1);
  const std::string done = rig.Send(RequestTo(kRecipient));
  rig.AwaitState(done, v1::MESSAGE_STATE_DELIVERED);
  EXPECT_EQ(gate(done), v1::GATE_KIND_FINAL);

  v1::PauseDispatchRequest pause = PauseFor("a test");
  pause.mutable_target()->set_sender(kSender);
  ASSERT_TRUE(rig.NewAdmin()->Pause(pause).ok());
  const std::string held = rig.Send(RequestTo(kRecipient));
  EXPECT_EQ(gate(held), v1::GATE_KIND_PAUSED);
  const auto answer = rig.client().Explain(held);
  EXPECT_EQ(answer->gates(0).detail(), "sender");
  EXPECT_FALSE(answer->has_estimated_at());

  const auto nobody = rig.client().Explain("0190a000-0000-7000-8000-000000000001");
  EXPECT_EQ(client::DecodeError(nobody.status()).reason, "MESSAGE_NOT_FOUND");
  const CommandResult shown =
      RunCommand({POSTRIDER, "explain", held, "--address", rig.gateway.grpc_address(),
                  "--token-file", rig.gateway.token_file()});
  EXPECT_EQ(shown.exit.status, 0) << shown.err;
  EXPECT_THAT(shown.out, HasSubstr("PAUSED"));
  EXPECT_THAT(shown.out, HasSubstr("sender"));
}

}  // namespace
}  // namespace postrider
