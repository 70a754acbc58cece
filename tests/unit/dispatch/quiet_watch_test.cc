// Nothing leaves in quiet hours, whatever has kept it waiting until they began.
#include "server/dispatch/quiet_watch.h"

#include <gtest/gtest.h>

#include "server/store/tenant_quiet.h"
#include "tests/support/dispatch_rig.h"

namespace postrider {
namespace {

using State = MessageState;

/// A tenant whose marketing may not leave at certain hours of the zone where all its recipients
/// are.
struct Evening : DispatchWorld {
  TenantRow row;

  Evening() {
    row.default_class = CampaignClass::kMarketing;
    next_allowed = [this](const MessageRequest& request, WallTime at) {
      return NextAllowedOf(row, request, at);
    };
  }
  MessageKey Send() {
    return AcceptWith([](MessageRequest& request) {
      request.recipient = "+4915112345678";
      request.time_zone = "UTC";
    });
  }
  int MinuteNow() const {
    const auto since = std::chrono::floor<std::chrono::minutes>(clock.Wall().time_since_epoch());
    return static_cast<int>(since.count() % kMinutesOfDay);
  }
};

TEST(QuietWatchTest, TheAnswerToAnOptOutWaitsForNoQuietHours) {
  FakeClock clock;
  const QuietWatch quiet(clock, [](const MessageRequest&, WallTime at) {
    return std::optional<WallTime>(at + std::chrono::hours(1));
  });
  MessageRequest request;
  EXPECT_EQ(quiet.HoldFor(request), std::chrono::hours(1));
  request.answers_opt_out = true;
  EXPECT_EQ(quiet.HoldFor(request), std::chrono::hours(0));
}

TEST(QuietWatchTest, ThroughAnEveningWithASlowBucketNothingLeavesInQuietHours) {
  Evening world;  // At 01:00.
  world.SetRate(world.tenant, 2, 5);
  const HourSpan quiet{62, 66};
  world.row.quiet.own = quiet;
  Replica replica(world);
  for (int i = 0; i < 700; ++i) world.Send();
  std::size_t sent = 0;
  std::size_t sent_before = 0;
  const auto work_until = [&](int minute) {
    while (world.MinuteNow() < minute) {
      world.clock.Advance(50ms);
      replica.Work();
      const std::size_t now = world.Sent();
      EXPECT_TRUE(now == sent || !quiet.Contains(world.MinuteNow())) << world.MinuteNow();
      sent = now;
    }
  };
  work_until(quiet.from_min);
  sent_before = sent;
  EXPECT_GT(sent_before, 200U) << "two a second";
  work_until(quiet.to_min);
  EXPECT_EQ(sent, sent_before);
  work_until(quiet.to_min + 1);
  EXPECT_GT(sent, sent_before + 100) << "then it goes on at its rate";
  for (const SendRequest& request : world.outside.sent()) {
    EXPECT_EQ(request.recipient, "+4915112345678");
  }
}

TEST(QuietWatchTest, WhatTheyMeetIsTakenBackAndHeldUntilTheirEnd) {
  Evening world;
  world.row.quiet.own = HourSpan{60, 480};
  Replica replica(world);
  const MessageKey key = world.Send();
  replica.WorkFor(1s);
  EXPECT_EQ(world.Sent(), 0U);
  const MessageStatus status = world.Record(key).message.status;
  EXPECT_EQ(status.state, State::kQueued);
  EXPECT_EQ(status.hold_reason, HoldReason::kQuietHours);
  EXPECT_EQ(status.hold_until, WallTime{} + 8h);
  EXPECT_EQ(world.Record(key).attempts.size(), 1U) << "and is not looked at again until then";
  world.clock.Advance(7h);
  replica.WorkFor(1s);
  EXPECT_EQ(world.StateOf(key), State::kSubmitted);
}

TEST(QuietWatchTest, TheRuleOfThatTimeCounts) {
  Evening world;
  world.SetRate(world.tenant, 0.5, 1);
  Replica replica(world);
  std::vector<MessageKey> keys;
  for (int i = 0; i < 4; ++i) keys.push_back(world.Send());
  replica.WorkFor(3s);
  EXPECT_EQ(world.Sent(), 1U);
  world.row.quiet.own = HourSpan{60, 90};  // Set while they wait.
  replica.WorkFor(20s);
  EXPECT_EQ(world.Sent(), 1U);
  EXPECT_EQ(world.Record(keys.back()).message.status.hold_reason, HoldReason::kQuietHours);
  world.row.quiet.on = false;
  world.clock.Advance(30min);
  replica.WorkFor(20s);
  EXPECT_EQ(world.Sent(), 4U);
}

TEST(QuietWatchTest, OthersAreNotHeldUpByThoseThatAreHeld) {
  Evening world;
  world.SetRate(world.tenant, 2, 2);
  world.row.quiet.own = HourSpan{60, 480};
  Replica replica(world);
  for (int i = 0; i < 200; ++i) world.Send();
  const MessageKey abroad = world.AcceptWith([](MessageRequest& request) {
    request.recipient = "+4915112345678";
    request.time_zone = "Asia/Tokyo";  // 10:00
    request.campaign_id = "another";
  });
  replica.WorkFor(3s);
  EXPECT_EQ(world.StateOf(abroad), State::kSubmitted);
  EXPECT_EQ(world.Sent(), 1U);
}

TEST(QuietWatchTest, WithoutAnHourItIsLookedAtAgainAfterOne) {
  FakeClock clock;
  const QuietWatch never(clock, [](const MessageRequest&, WallTime) { return std::nullopt; });
  EXPECT_EQ(never.HoldFor({}), std::chrono::hours(1));
  EXPECT_EQ(QuietWatch(clock, {}).HoldFor({}), 0ns);
}

}  // namespace
}  // namespace postrider
