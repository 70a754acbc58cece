// What holds a message, gate by gate: each is brought about at the sandbox, and ExplainMessage says
// so through the front door, of the message and of whatever else it holds.
#include <google/protobuf/util/time_util.h>
#include <gtest/gtest.h>

#include "server/base/strings.h"
#include "tests/e2e/rig.h"

namespace postrider {
namespace {

using google::protobuf::util::TimeUtil;

v1::ExplainMessageResponse ExplanationOf(const Rig& rig, const std::string& id) {
  const auto answer = rig.client().Explain(id);
  EXPECT_TRUE(answer.ok()) << answer.status();
  return answer.value_or(v1::ExplainMessageResponse());
}

/// The first gate, which holds longest.
v1::Gate GateOf(const v1::ExplainMessageResponse& answer) {
  return answer.gates_size() == 0 ? v1::Gate() : answer.gates(0);
}

bool AwaitGate(const Rig& rig, const std::string& id, v1::GateKind kind) {
  return Await([&] { return GateOf(ExplanationOf(rig, id)).kind() == kind; });
}

struct GateCase {
  const char* name;
  const char* recipient;  ///< To whom a message meets the gate.
  v1::GateKind gate;
  int longest_s;      ///< Holds for so long at most, and for half of that at least.
  bool holds_tenant;  ///< And all that its tenant sends; else others go on.
  std::vector<const char*> flags = {};
};

void PrintTo(const GateCase& c, std::ostream* out) { *out << c.name; }

class GatesTest : public ::testing::TestWithParam<GateCase> {};

TEST_P(GatesTest, AreToldWithTheirEnds) {
  const GateCase& c = GetParam();
  Rig rig({.flags = {c.flags.begin(), c.flags.end()}});
  const std::string held = rig.Send(RequestTo(c.recipient));
  ASSERT_TRUE(Await([&] {
    const auto status = rig.client().GetStatus(held);
    return status.ok() && status->message().status().hold().reason() != v1::HOLD_REASON_UNSPECIFIED;
  }));
  const v1::ExplainMessageResponse answer = ExplanationOf(rig, held);
  EXPECT_EQ(answer.state(), v1::MESSAGE_STATE_QUEUED);
  EXPECT_EQ(GateOf(answer).kind(), c.gate) << answer.DebugString();
  const auto seconds = [&](const auto& at) {
    return static_cast<double>(TimeUtil::TimestampToMilliseconds(at) -
                               TimeUtil::TimestampToMilliseconds(answer.at())) /
           1000;
  };
  EXPECT_LE(seconds(GateOf(answer).until()), c.longest_s);
  EXPECT_GE(seconds(GateOf(answer).until()), c.longest_s / 2.0);
  ASSERT_TRUE(answer.has_estimated_at());
  EXPECT_GE(seconds(answer.estimated_at()), seconds(GateOf(answer).until()));

  const std::string other = rig.Send(RequestTo(kRecipient));
  if (c.holds_tenant) {
    EXPECT_TRUE(AwaitGate(rig, other, c.gate)) << ExplanationOf(rig, other).DebugString();
  } else {
    EXPECT_TRUE(Await([&] { return rig.StateOf(other) >= v1::MESSAGE_STATE_SUBMITTED; }));
  }
}

INSTANTIATE_TEST_SUITE_P(
    Kinds, GatesTest,
    ::testing::Values(
        GateCase{"RetryAfter", "+15550000430", v1::GATE_KIND_RETRY_AFTER, 30, true},
        GateCase{"Quota", "+15550000409", v1::GATE_KIND_QUOTA, 3600, false},
        GateCase{"TenantStopped", "+15550000401", v1::GATE_KIND_TENANT_STOPPED, 60, true},
        GateCase{"ActiveConversation",
                 "+15550000410",
                 v1::GATE_KIND_ACTIVE_CONVERSATION,
                 60,
                 false,
                 {"--genesys-profile", "platform", "--genesys-active-conversation", "hold"}}),
    [](const auto& test) { return std::string(test.param.name); });

TEST(GateTest, AnOpenBreakerIsToldWithItsNameAndWhenItIsTriedAgain) {
  Rig rig({.flags = {"--breaker-open-s", "600"}});
  for (int i = 0; i < 25; ++i) rig.Send(RequestTo("+15550000503"));
  // 2: open.
  ASSERT_TRUE(Await([&] {
    return rig.sql.Number("SELECT max(state) FROM breaker_state WHERE breaker = 1") == 2;
  }));
  const std::string held = rig.Send(RequestTo(kRecipient));
  ASSERT_TRUE(AwaitGate(rig, held, v1::GATE_KIND_BREAKER))
      << ExplanationOf(rig, held).DebugString();
  const v1::Gate gate = GateOf(ExplanationOf(rig, held));
  EXPECT_EQ(gate.detail(), "transport");
  EXPECT_EQ(TimeUtil::TimestampToMicroseconds(gate.until()),
            rig.sql.Number("SELECT (extract(epoch FROM open_until) * 1000000)::bigint "
                           "FROM breaker_state WHERE breaker = 1"));
}

TEST(GateTest, AMessageThatLeftWaitsForItsReceipt) {
  Rig rig;
  const std::string left = rig.Send(RequestTo("+15550000202"));
  rig.AwaitState(left, v1::MESSAGE_STATE_SUBMITTED);
  const v1::ExplainMessageResponse submitted = ExplanationOf(rig, left);
  EXPECT_EQ(submitted.state(), v1::MESSAGE_STATE_SUBMITTED);
  EXPECT_EQ(GateOf(submitted).kind(), v1::GATE_KIND_AWAITING_RECEIPT);
  // Also one of which nobody knows whether it left.
  const std::string doubtful = rig.Send(RequestTo("+15550000503"));
  rig.AwaitState(doubtful, v1::MESSAGE_STATE_UNKNOWN);
  const v1::ExplainMessageResponse unknown = ExplanationOf(rig, doubtful);
  EXPECT_EQ(unknown.state(), v1::MESSAGE_STATE_UNKNOWN);
  EXPECT_EQ(GateOf(unknown).kind(), v1::GATE_KIND_AWAITING_RECEIPT);
  EXPECT_FALSE(unknown.has_estimated_at());
}

}  // namespace
}  // namespace postrider
