#include "tests/support/store_contract.h"

// Quiet hours: messages that they hold, and how a tenant has set them.
namespace postrider {
namespace {

TEST_P(StoreContract, QuietHoursHoldAMessageFromItsAcceptanceOn) {
  const WallTime now = std::chrono::floor<std::chrono::seconds>(subject_.now());
  const struct {
    const char* what;
    WallTime not_before;
    WallTime quiet_until;
    HoldReason hold;
  } kCases[] = {
      {"quiet hours", {}, now + 2h, HoldReason::kQuietHours},
      {"and a schedule before their end", now + 1h, now + 2h, HoldReason::kQuietHours},
      {"a schedule alone", now + 2h, {}, HoldReason::kSchedule},
      {"quiet hours that are over", {}, now - 2s, HoldReason::kNone},
      {"nothing", {}, {}, HoldReason::kNone},
  };
  for (const auto& c : kCases) {
    SCOPED_TRACE(c.what);
    NewMessage message = Fresh();
    message.request.not_before = c.not_before;
    message.quiet_until = c.quiet_until;
    const MessageKey key = Accepted(message);
    const WallTime until = c.hold == HoldReason::kNone ? WallTime{} : now + 2h;
    const auto record = store_.GetMessage(key);
    ASSERT_TRUE(record.ok()) << record.status();
    for (const MessageStatus& status : {record->message.status, record->history.at(0).status}) {
      EXPECT_EQ(status.state, MessageState::kQueued);
      EXPECT_EQ(status.hold_reason, c.hold);
      EXPECT_EQ(status.hold_until, until);
    }
    const auto place = store_.FindQueuePlace(key, 1);
    ASSERT_TRUE(place.ok()) << place.status();
    if (c.hold == HoldReason::kNone) {
      EXPECT_LE(place->due_at, place->at);
    } else {
      EXPECT_EQ(place->due_at, until);
    }
  }
}

TEST_P(StoreContract, AnIntentThatQuietHoursTookBackIsHeldByThem) {
  const ReplicaId replica = NewReplica();
  const MessageKey key = Accepted();
  AttemptOutcome row;
  row.key = key;
  row.attempt = Intended(replica, key);
  row.outcome.kind = OutcomeKind::kTakenBack;
  row.outcome.hold = HoldReason::kQuietHours;
  row.again_in = 3h;
  const WallTime before = subject_.now();
  ASSERT_TRUE(store_.RecordOutcomes(replica, {&row, 1}).ok());
  const MessageStatus status = StatusOf(key);
  EXPECT_EQ(status.state, MessageState::kQueued);
  EXPECT_EQ(status.hold_reason, HoldReason::kQuietHours);
  EXPECT_GE(status.hold_until, std::chrono::floor<std::chrono::seconds>(before) + 3h);
  EXPECT_LE(status.hold_until, subject_.now() + 3h + 1s);
}

TEST_P(StoreContract, WhatATenantHasSetOfQuietHoursIsKept) {
  EXPECT_EQ(tenant_.quiet, QuietSetting{});
  TenantRow changed = tenant_;
  for (const QuietSetting& quiet :
       {QuietSetting{.on = true, .own = HourSpan{21 * 60, 8 * 60}, .default_zone = "Asia/Tokyo"},
        QuietSetting{.on = true, .own = HourSpan{0, kMinutesOfDay - 30}},
        QuietSetting{.on = true, .own = HourSpan{kMinutesOfDay - 1, kMinutesOfDay}},
        QuietSetting{.on = false}, QuietSetting{}}) {
    changed.quiet = quiet;
    changed.default_class = quiet.on ? CampaignClass::kMarketing : CampaignClass::kOneTimeCode;
    const auto put = store_.PutTenant(changed);
    ASSERT_TRUE(put.ok()) << put.status();
    EXPECT_EQ(put->quiet, quiet);
    const auto all = store_.LoadTenants();
    ASSERT_TRUE(all.ok()) << all.status();
    for (const TenantRow& row : *all) {
      if (row.tenant_id != tenant_.tenant_id) continue;
      EXPECT_EQ(row.quiet, quiet);
      EXPECT_EQ(row.default_class, changed.default_class);
    }
  }
}

}  // namespace
}  // namespace postrider
