// Circuit breakers through the front door: failure stops traffic, canaries bring it back.
#include <iostream>

#include <google/protobuf/util/time_util.h>
#include <gtest/gtest.h>

#include "server/base/strings.h"
#include "server/model/dispatch_limits.h"
#include "tests/e2e/rig.h"

namespace postrider {
namespace {

constexpr const char* kCarrierRejects = "+15550000001";
constexpr const char* kAnswers503 = "+15550000503";
constexpr int kOpenS = 10;
constexpr const char* kStateOf = "SELECT max(state) FROM breaker_state WHERE breaker = ";

std::size_t Posts(const Rig& rig) { return ReadLedger(rig.gateway.ledger_file()).size(); }

/// Waits until `breaker` (1 transport, 2 carrier) is in `state` (1 closed, 2 open).
bool AwaitBreaker(const Rig& rig, int breaker, int state) {
  return Await([&] { return rig.sql.Number(StrCat(kStateOf, breaker)) == state; });
}

bool AwaitNothingUnderWay(const Rig& rig) {
  return Await([&] { return rig.sql.Number("SELECT count(*) FROM message WHERE state = 2") == 0; });
}

/// When the carriers' breaker opened, after the final receipts on record gave reason to: that is
/// from the first moment at which more than the share of enough calls had failed. 8: failed.
std::string TimeToOpen(const Rig& rig) {
  return rig.sql.Text(StrCat(
      "SELECT (extract(epoch FROM b.changed_at - min(r.at)) * 1000)::bigint FROM breaker_state b, "
      "(SELECT e.at, count(*) OVER w AS calls, count(*) FILTER (WHERE e.state = 8) OVER w AS "
      "failures FROM status_event e WHERE e.state IN (7, 8) "
      "WINDOW w AS (ORDER BY e.at ROWS UNBOUNDED PRECEDING)) r "
      "WHERE b.breaker = 2 AND r.calls >= ",
      kBreakerLeastCalls, " AND r.failures > r.calls * ", kBreakerFailureShare,
      " GROUP BY b.changed_at"));
}

/// Operators see the open breaker as it stands in the store, and what it judged by.
void ExpectShownAsOpen(const Rig& rig) {
  const auto state = rig.NewAdmin()->State("default");
  ASSERT_TRUE(state.ok()) << state.status();
  const v1::BreakerState* shown = nullptr;
  for (const v1::BreakerState& breaker : state->tenants(0).breakers()) {
    if (breaker.kind() == v1::BREAKER_KIND_CARRIER) shown = &breaker;
    if (breaker.kind() == v1::BREAKER_KIND_TRANSPORT) {
      EXPECT_EQ(breaker.position(), v1::BREAKER_POSITION_CLOSED);
    }
  }
  ASSERT_NE(shown, nullptr);
  EXPECT_EQ(shown->position(), v1::BREAKER_POSITION_OPEN);
  EXPECT_EQ(shown->override(), v1::BREAKER_POSITION_UNSPECIFIED);
  EXPECT_EQ(shown->cause(), rig.sql.Text("SELECT cause FROM breaker_state WHERE breaker = 2"));
  EXPECT_GE(shown->calls(), kBreakerLeastCalls);
  const auto calls = static_cast<double>(shown->calls());
  EXPECT_GT(static_cast<double>(shown->failures()), calls * kBreakerFailureShare);
  EXPECT_LT(static_cast<double>(shown->failures()), calls / 2) << "a fifth, or about that";
  EXPECT_EQ(shown->open_until() - shown->changed_at(),
            google::protobuf::util::TimeUtil::SecondsToDuration(kOpenS));
}

TEST(BreakerTest, RejectedByCarriersStopsTrafficAndCanariesBringItBack) {
  Rig rig(
      {.flags = {"--rate-per-second", "40", "--burst", "5", "--breaker-open-s", StrCat(kOpenS)}});
  constexpr int kMessages = 400;
  // All are there before the first leaves: it opens while it is looked at, however long they take.
  const auto admin = rig.NewAdmin();
  ASSERT_TRUE(admin->Pause(PauseFor("until all are there")).ok());
  for (int i = 0; i < kMessages; ++i) {
    rig.Send(RequestTo(i % 5 == 0 ? kCarrierRejects : StrCat("+1555300", 1000 + i)));
  }
  ASSERT_TRUE(admin->Resume(ResumeFor("all are there")).ok());
  ASSERT_TRUE(AwaitBreaker(rig, 2, 2)) << "a fifth fails";
  const std::string took_ms = TimeToOpen(rig);
  ExpectShownAsOpen(rig);
  EXPECT_EQ(HttpPost(rig.gateway.sandbox_url() + "/sandbox/well-behaved/on", ""), 204);
  const std::string cause = rig.sql.Text("SELECT cause FROM breaker_state WHERE breaker = 2");
  EXPECT_NE(cause.find(" failed"), cause.npos) << cause;
  std::cout << "opened " << took_ms << " ms after the share was reached\n";
  ASSERT_FALSE(took_ms.empty()) << "it opened without enough failures on record";
  EXPECT_LE(std::stoll(took_ms), kBreakerBucket / 1ms);
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
  for (int i = 0; i < 25; ++i) rig.Send(RequestTo(kAnswers503));
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
