// Circuit breakers through the front door: failure stops traffic, canaries bring it back.
#include <gtest/gtest.h>

#include "server/base/strings.h"
#include "tests/e2e/rig.h"

namespace postrider {
namespace {

constexpr const char* kCarrierRejects = "+15550000001";
constexpr const char* kUnavailable = "+15550000503";
constexpr const char* kStateOf = "SELECT max(state) FROM breaker_state WHERE breaker = ";

std::size_t Posts(const Rig& rig) { return ReadLedger(rig.gateway.ledger_file()).size(); }

/// Waits until `breaker` (1 transport, 2 carrier) is in `state` (1 closed, 2 open).
bool AwaitBreaker(const Rig& rig, int breaker, int state) {
  return Await([&] { return rig.sql.Number(StrCat(kStateOf, breaker)) == state; });
}

bool AwaitNothingUnderWay(const Rig& rig) {
  return Await([&] { return rig.sql.Number("SELECT count(*) FROM message WHERE state = 2") == 0; });
}

TEST(BreakerTest, RejectedByCarriersStopsTrafficAndCanariesBringItBack) {
  Rig rig({.flags = {"--rate-per-second", "40", "--burst", "5", "--breaker-open-s", "5"}});
  constexpr int kMessages = 400;
  for (int i = 0; i < kMessages; ++i) {
    rig.Send(RequestTo(i % 5 == 0 ? kCarrierRejects : StrCat("+1555300", 1000 + i)));
  }
  ASSERT_TRUE(AwaitBreaker(rig, 2, 2)) << "a fifth fails";
  EXPECT_EQ(HttpPost(rig.gateway.sandbox_url() + "/sandbox/well-behaved/on", ""), 204);
  const std::string cause = rig.sql.Text("SELECT cause FROM breaker_state WHERE breaker = 2");
  EXPECT_NE(cause.find(" failed"), cause.npos) << cause;
  // What was on its way when it opened has ended; from here on there are canaries only.
  ASSERT_TRUE(AwaitNothingUnderWay(rig));
  const std::string stopped_at = rig.sql.Text("SELECT clock_timestamp()");
  const std::size_t before = Posts(rig);
  EXPECT_LT(before, static_cast<std::size_t>(kMessages));

  ASSERT_TRUE(AwaitBreaker(rig, 2, 1)) << "canaries were delivered";
  // 6: taken back, not posted.
  const auto attempts = [&](const char* when) {
    return rig.sql.Number(
        StrCat("SELECT count(*) FROM attempt, breaker_state b WHERE b.breaker = 2 "
               "AND coalesce(outcome, 0) <> 6 AND intended_at > '",
               stopped_at, "' AND intended_at ", when, " b.changed_at"));
  };
  EXPECT_EQ(attempts("<"), 1 + 2 + 4);
  EXPECT_TRUE(Await([&] {
    return rig.sql.Number("SELECT count(*) FROM message WHERE state IN (7, 8)") == kMessages;
  }));
  EXPECT_EQ(static_cast<std::int64_t>(Posts(rig) - before), attempts("<") + attempts(">="));
  EXPECT_EQ(Posts(rig), static_cast<std::size_t>(kMessages));
}

TEST(BreakerTest, AnOpenOneIsInheritedAndRefusesOnlyWhatWouldExpireBeforeItIsTriedAgain) {
  Rig rig({.flags = {"--breaker-open-s", "600"}});
  for (int i = 0; i < 25; ++i) rig.Send(RequestTo(kUnavailable));
  ASSERT_TRUE(AwaitBreaker(rig, 1, 2));
  ASSERT_TRUE(AwaitNothingUnderWay(rig));
  const std::size_t posts = Posts(rig);
  const std::string waits = rig.Send(RequestTo(kRecipient));

  v1::SendMessageRequest hasty = RequestTo(kRecipient);
  const auto caller = rig.ImpatientClient();
  client::Error error;
  EXPECT_TRUE(Await([&] {
    const auto now = std::chrono::system_clock::now().time_since_epoch();
    hasty = RequestTo(kRecipient);
    hasty.mutable_expire_at()->set_seconds(now / std::chrono::seconds(1) + 60);
    error = client::DecodeError(caller->Send(hasty).status());
    return error.reason == "CIRCUIT_OPEN";
  }));
  EXPECT_EQ(error.code, absl::StatusCode::kUnavailable);
  ASSERT_TRUE(error.retry_after.has_value());
  EXPECT_GT(*error.retry_after, std::chrono::minutes(1));

  rig.gateway.Kill();
  ASSERT_TRUE(rig.gateway.Start());
  const char* const kOpen = "postrider_breaker_state{breaker=\"transport\",state=\"open\"} 1\n";
  EXPECT_TRUE(Await([&] {
    std::string text;
    return HttpGet(rig.gateway.ops_url() + "/metrics", &text) == 200 &&
           text.find(kOpen) != text.npos;
  })) << "the next owner goes on with it";
  EXPECT_EQ(rig.StateOf(waits), v1::MESSAGE_STATE_QUEUED);
  EXPECT_EQ(Posts(rig), posts);
}

}  // namespace
}  // namespace postrider
