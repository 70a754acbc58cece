#include "server/api/explain.h"

#include <functional>

#include <google/protobuf/util/time_util.h>
#include <gtest/gtest.h>

#include "server/base/strings.h"

namespace postrider {
namespace {

using namespace std::chrono_literals;
using google::protobuf::util::TimeUtil;

constexpr WallTime kNow{1'700'000'000s};

/// "PAUSED tenant +60, RATE": each gate with what it says, and its end in seconds from now.
std::string GatesOf(const v1::ExplainMessageResponse& answer) {
  std::string text;
  for (const v1::Gate& gate : answer.gates()) {
    StrAppend(text, text.empty() ? "" : ", ",
              v1::GateKind_Name(gate.kind()).substr(sizeof "GATE_KIND_" - 1));
    if (!gate.detail().empty()) StrAppend(text, " ", gate.detail());
    if (gate.has_until()) StrAppend(text, " +", gate.until().seconds() - 1'700'000'000);
  }
  return text;
}

/// In milliseconds from now; -1 when there is none.
std::int64_t EstimateOf(const v1::ExplainMessageResponse& answer) {
  if (!answer.has_estimated_at()) return -1;
  return TimeUtil::TimestampToMilliseconds(answer.estimated_at()) - 1'700'000'000'000;
}

QueuePlace Due(int ahead) {
  QueuePlace place;
  place.at = kNow;
  place.due_at = kNow;
  place.ahead_in_flow = ahead;
  place.owner = "one";
  return place;
}

DispatchPause PauseUntil(WallTime until, PauseScope scope = PauseScope::kTenant) {
  DispatchPause pause;
  pause.of.scope = scope;
  pause.until = until;
  return pause;
}

BreakerReading Carrier(BreakerState state, WallTime open_until = {}) {
  BreakerReading reading;
  reading.key.breaker = Breaker::kCarrier;
  reading.standing.state = state;
  reading.standing.open_until = open_until;
  return reading;
}

BreakerReading Held(BreakerReading reading, BreakerState state, WallTime until) {
  reading.override_in_force = BreakerOverride{.state = state, .until = until};
  return reading;
}

TEST(ExplainTest, GateAndEstimateTable) {
  struct Case {
    const char* name;
    std::function<void(MessageStatus&, QueuePlace&, std::optional<LaneFacts>&)> set;
    const char* gates;
    std::int64_t estimate_ms;  ///< With 9 ahead at 10 a second.
  };
  using S = MessageStatus;
  using P = QueuePlace;
  using L = std::optional<LaneFacts>;
  const Case cases[] = {
      {"only its turn", [](S&, P&, L&) {}, "RATE +1", 1000},
      {"tokens are there",
       [](S&, P&, L& l) { l = LaneFacts{.tenant_id = {}, .resumes_per_s = 10, .tokens = 20}; },
       "RATE +0", 0},
      {"intents wait as well",
       [](S&, P&, L& l) { l = LaneFacts{.tenant_id = {}, .resumes_per_s = 10, .waiting = 10}; },
       "RATE +2", 2000},
      {"recovering", [](S&, P&, L& l) { l = LaneFacts{.tenant_id = {}, .resumes_per_s = 5}; },
       "RATE +2", 2000},
      {"recovering, and faster after ten seconds",
       [](S&, P& p, L& l) {
         l = LaneFacts{.tenant_id = {}, .resumes_per_s = 5};
         p.ahead_in_flow = 50 + 60 + 70 - 1;
       },
       "RATE +30", 30'000},
      {"after another campaign, in turns",
       [](S&, P& p, L&) {
         p.ahead_in_flow = 4;
         p.ahead_elsewhere = 5;
       },
       "RATE +1", 1000},
      {"after all that is more urgent", [](S&, P& p, L&) { p.ahead_urgent = 80; }, "RATE +9", 9000},
      {"though the tenth turn is its own, however many are more urgent",
       [](S&, P& p, L&) { p.ahead_urgent = 5000; }, "RATE +10", 10'000},
      {"scheduled",
       [](S& s, P& p, L&) {
         s.hold_reason = HoldReason::kSchedule;
         p.due_at = kNow + 60s;
       },
       "SCHEDULE +60", 60'000},
      {"scheduled, and then many are there",
       [](S& s, P& p, L&) {
         s.hold_reason = HoldReason::kSchedule;
         p.due_at = kNow + 10s;
         p.ahead_in_flow = 999;
       },
       "SCHEDULE +10", 100'000},
      {"taken back", [](S&, P& p, L&) { p.due_at = kNow + 2s; }, "BACKOFF +2", 2000},
      {"quota",
       [](S& s, P& p, L&) {
         s.hold_reason = HoldReason::kQuota;
         p.due_at = kNow + 900s;
       },
       "QUOTA +900", 900'000},
      {"credentials",
       [](S& s, P& p, L&) {
         s.hold_reason = HoldReason::kTenantStopped;
         p.due_at = kNow + 60s;
       },
       "TENANT_STOPPED +60", 60'000},
      {"active conversation",
       [](S& s, P& p, L&) {
         s.hold_reason = HoldReason::kActiveConversation;
         p.due_at = kNow + 60s;
       },
       "ACTIVE_CONVERSATION +60", 60'000},
      {"quiet hours",
       [](S& s, P& p, L&) {
         s.hold_reason = HoldReason::kQuietHours;
         p.due_at = kNow + 3600s;
       },
       "QUIET_HOURS +3600", 3'600'000},
      {"another's Retry-After", [](S&, P& p, L&) { p.retry_after = kNow + 30s; },
       "RETRY_AFTER +30, RATE +31", 31'000},
      {"Retry-After in memory",
       [](S&, P&, L& l) { l = LaneFacts{.tenant_id = {}, .resumes_per_s = 5, .pause_left = 30s}; },
       "RETRY_AFTER +30, RATE +32", 32'000},
      {"stopped for its credentials",
       [](S&, P&, L& l) {
         l = LaneFacts{.tenant_id = {}, .resumes_per_s = 10, .pause_left = 60s, .stopped = true};
       },
       "TENANT_STOPPED +60, RATE +61", 61'000},
      {"its campaign is paused, what is ahead elsewhere is not",
       [](S&, P& p, L&) {
         p.pauses = {PauseUntil(kNow + 60s, PauseScope::kCampaign)};
         p.ahead_in_flow = 0;
         p.ahead_elsewhere = 99;
       },
       "PAUSED campaign +60, RATE +60", 60'000},
      {"paused for a time", [](S&, P& p, L&) { p.pauses = {PauseUntil(kNow + 60s)}; },
       "PAUSED tenant +60, RATE +61", 61'000},
      {"paused for good",
       [](S&, P& p, L&) {
         p.pauses = {PauseUntil(kNow + 60s), PauseUntil({}, PauseScope::kCampaign)};
       },
       "PAUSED campaign, PAUSED tenant +60, RATE", -1},
      {"breaker open",
       [](S&, P& p, L&) { p.breakers = {Carrier(BreakerState::kOpen, kNow + 30s)}; },
       "BREAKER carrier +30, RATE +31", 31'000},
      {"breaker half-open", [](S&, P& p, L&) { p.breakers = {Carrier(BreakerState::kHalfOpen)}; },
       "BREAKER carrier, RATE", -1},
      {"breaker held closed",
       [](S&, P& p, L&) {
         p.breakers = {
             Held(Carrier(BreakerState::kOpen, kNow + 30s), BreakerState::kClosed, kNow + 60s)};
       },
       "RATE +1", 1000},
      {"breaker held open",
       [](S&, P& p, L&) {
         p.breakers = {Held(Carrier(BreakerState::kClosed), BreakerState::kOpen, kNow + 60s)};
       },
       "BREAKER carrier +60, RATE +61", 61'000},
      {"nobody's", [](S&, P& p, L&) { p.owner.clear(); }, "NOT_OWNED, RATE", -1},
      {"nobody's yet, and not due",
       [](S& s, P& p, L&) {
         s.hold_reason = HoldReason::kSchedule;
         p.due_at = kNow + 60s;
         p.owner.clear();
       },
       "SCHEDULE +60", 60'000},
  };
  for (const Case& c : cases) {
    MessageStatus status;
    QueuePlace place = Due(9);
    std::optional<LaneFacts> lane;
    c.set(status, place, lane);
    v1::ExplainMessageResponse answer;
    ExplainQueued(status, place, {.tenant_per_s = 10, .sender_per_s = 1000}, lane, answer);
    EXPECT_EQ(GatesOf(answer), c.gates) << c.name;
    EXPECT_EQ(EstimateOf(answer), c.estimate_ms) << c.name;
  }
}

TEST(ExplainTest, ASlowSenderTakesLongerThanTheTenantsRate) {
  const auto estimate = [](double sender_per_s, int segments, int in_flow, int elsewhere) {
    QueuePlace place = Due(in_flow);
    place.ahead_elsewhere = elsewhere;
    v1::ExplainMessageResponse answer;
    ExplainQueued({}, place,
                  {.tenant_per_s = 10, .sender_per_s = sender_per_s, .segments = segments},
                  std::nullopt, answer);
    EXPECT_EQ(answer.ahead(), in_flow + elsewhere);
    return EstimateOf(answer);
  };
  EXPECT_EQ(estimate(1, 1, 9, 0), 9000) << "its bucket holds one";
  EXPECT_EQ(estimate(4, 2, 9, 0), 4000) << "two messages a second, and two at once";
  EXPECT_EQ(estimate(100, 1, 9, 0), 1000);
  EXPECT_EQ(estimate(1, 1, 1, 98), 10'000) << "the tenant's rate holds longer";
}

}  // namespace
}  // namespace postrider
