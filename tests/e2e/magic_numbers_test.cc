// The sandbox's recipients through the gateway: each message ends, or waits, as README's table
// says.
#include "server/sandbox/magic_numbers.h"

#include <set>

#include <gmock/gmock.h>
#include <google/protobuf/util/time_util.h>
#include <gtest/gtest.h>

#include "server/base/strings.h"
#include "tests/e2e/rig.h"

namespace postrider {
namespace {

using google::protobuf::util::TimeUtil;
using ::testing::IsEmpty;

/// A recipient that leaves its tenant as it was.
struct Ending {
  const char* recipient;
  v1::MessageState ends;
  const char* provider_code = "";
  v1::FailureReason reason = v1::FAILURE_REASON_UNSPECIFIED;
  int posts = 1;
};
constexpr Ending kEndings[] = {
    {"+15550000000", v1::MESSAGE_STATE_DELIVERED},
    {"+15550000001", v1::MESSAGE_STATE_FAILED, "carrier_rejected",
     v1::FAILURE_REASON_CARRIER_REJECTED},
    {"+15550000002", v1::MESSAGE_STATE_FAILED, "DEST_ADDR_INVALID",
     v1::FAILURE_REASON_INVALID_NUMBER},
    {"+15550000003", v1::MESSAGE_STATE_FAILED, "DEST_ADDR_IS_LANDLINE",
     v1::FAILURE_REASON_INVALID_NUMBER},
    {"+15550000004", v1::MESSAGE_STATE_FAILED, "RECIPIENT_OPTED_OUT",
     v1::FAILURE_REASON_RECIPIENT_OPTED_OUT},
    {"+15550000005", v1::MESSAGE_STATE_FAILED, "RECIPIENT_HANDSET_TEMP_FAILURE",
     v1::FAILURE_REASON_UNREACHABLE},
    {"+15550000201", v1::MESSAGE_STATE_SENT},
    {"+15550000202", v1::MESSAGE_STATE_SUBMITTED},
    {"+15550000203", v1::MESSAGE_STATE_DELIVERED},
    {"+15550000204", v1::MESSAGE_STATE_DELIVERED},
    {"+15550000205", v1::MESSAGE_STATE_DELIVERED},
    {"+15550000302", v1::MESSAGE_STATE_REJECTED, "", v1::FAILURE_REASON_REJECTED_BY_PROVIDER},
    {"+15550000400", v1::MESSAGE_STATE_REJECTED, "invalid.value",
     v1::FAILURE_REASON_REJECTED_BY_PROVIDER},
    {"+15550000410", v1::MESSAGE_STATE_REJECTED, "active.conversation",
     v1::FAILURE_REASON_REJECTED_BY_PROVIDER},
    {"+15550000411", v1::MESSAGE_STATE_DELIVERED, "", v1::FAILURE_REASON_UNSPECIFIED, 2},
    {"+15550000500", v1::MESSAGE_STATE_DELIVERED},
    {"+15550000503", v1::MESSAGE_STATE_UNKNOWN, "service.unavailable"},
    {"+15550000601", v1::MESSAGE_STATE_DELIVERED},
    {"+15550000602", v1::MESSAGE_STATE_UNKNOWN},
    {"+15550000603", v1::MESSAGE_STATE_DELIVERED},
    {"+15550000604", v1::MESSAGE_STATE_DELIVERED},
    {"+15550000605", v1::MESSAGE_STATE_DELIVERED},
};

/// A recipient that holds its message or stops its tenant: a gateway for each.
struct Holding {
  const char* name;
  const char* recipient;
  v1::MessageState waits;
  v1::HoldReason hold;
  int hold_s;          ///< From the outcome on.
  const char* metric;  ///< What operators see.
  bool others_go_on;   ///< The tenant's other messages leave meanwhile.
  int posts = 1;
};
constexpr Holding kHoldings[] = {
    {"BadCredentials", "+15550000401", v1::MESSAGE_STATE_QUEUED, v1::HOLD_REASON_TENANT_STOPPED, 60,
     "postrider_tenant_stops_total 1", false, 2},
    {"NoPermission", "+15550000403", v1::MESSAGE_STATE_REJECTED, v1::HOLD_REASON_UNSPECIFIED, 0,
     "postrider_tenant_stops_total 1", false},
    {"Quota", "+15550000409", v1::MESSAGE_STATE_QUEUED, v1::HOLD_REASON_QUOTA, 3600,
     "postrider_posts_total{outcome=\"HELD\"} 1", true},
    {"TooManyRequestsLong", "+15550000430", v1::MESSAGE_STATE_QUEUED, v1::HOLD_REASON_RETRY_AFTER,
     30, "postrider_throttled_total 1", false},
};
// 429 for a second holds the tenant too, but is over within the test.
constexpr const char* kShortHold = "+15550000429";

std::size_t PostsTo(const Rig& rig, const std::string& recipient) {
  std::size_t posts = 0;
  for (const LedgerPost& post : ReadLedger(rig.gateway.ledger_file())) {
    if (post.recipient == recipient) ++posts;
  }
  return posts;
}

/// Waits until /metrics has `line`; whether it ever had.
bool AwaitMetric(const Rig& rig, const std::string& line) {
  return Await([&] {
    std::string text;
    return HttpGet(rig.gateway.ops_url() + "/metrics", &text) == 200 &&
           text.find("\n" + line + "\n") != text.npos;
  });
}

TEST(MagicNumbersTest, EachIsTriedHere) {
  std::set<std::string_view> tried = {kShortHold};
  for (const Ending& row : kEndings) tried.insert(row.recipient);
  for (const Holding& row : kHoldings) tried.insert(row.recipient);
  for (const MagicNumber& row : MagicNumbers()) EXPECT_TRUE(tried.contains(row.number)) << row.name;
}

TEST(MagicNumbersTest, AMessageEndsAsItsRecipientSays) {
  Rig rig;
  std::vector<std::string> ids;
  for (const Ending& c : kEndings) ids.push_back(rig.Send(RequestTo(c.recipient)));
  for (std::size_t i = 0; i < ids.size(); ++i) {
    const Ending& c = kEndings[i];
    rig.AwaitState(ids[i], c.ends);
    const auto status = rig.client().GetStatus(ids[i]);
    ASSERT_TRUE(status.ok()) << status.status();
    EXPECT_EQ(status->message().status().failure().reason(), c.reason) << c.recipient;
    EXPECT_EQ(status->message().status().provider_code(), c.provider_code) << c.recipient;
    EXPECT_EQ(PostsTo(rig, c.recipient), static_cast<std::size_t>(c.posts)) << c.recipient;
  }
  EXPECT_THAT(HistoriesAreWhole(rig.sql), IsEmpty());
}

class HoldingNumbersTest : public ::testing::TestWithParam<Holding> {};

TEST_P(HoldingNumbersTest, WhatItHoldsIsVisibleToCallersAndToOperators) {
  Rig rig;
  const Holding& c = GetParam();
  const std::string id = rig.Send(RequestTo(c.recipient));
  v1::GetStatusResponse status;
  ASSERT_TRUE(Await([&] {
    const auto read = rig.client().GetStatus(id);
    if (read.ok()) status = *read;
    const v1::StatusChange& now = status.message().status();
    return status.attempts_size() == 1 && status.attempts(0).has_outcome_at() &&
           now.state() == c.waits && now.hold().reason() == c.hold;
  })) << status.DebugString();
  const v1::StatusChange& now = status.message().status();
  if (c.hold_s > 0) {
    EXPECT_NEAR(static_cast<double>(now.hold().until().seconds() - now.changed_at().seconds()),
                c.hold_s, 1);
  }
  EXPECT_TRUE(AwaitMetric(rig, c.metric)) << c.metric;
  EXPECT_TRUE(AwaitMetric(rig, StrCat("postrider_tenants_paused ", c.others_go_on ? 0 : 1)));

  const std::string other = rig.Send(RequestTo(kRecipient));
  if (c.others_go_on) {
    rig.AwaitState(other, v1::MESSAGE_STATE_DELIVERED);
  } else {
    // Not even while it drains does anything of its tenant leave.
    rig.gateway.Stop();
    // 1: queued.
    EXPECT_EQ(rig.sql.Number("SELECT state FROM message WHERE message_id = '" + other + "'"), 1);
    EXPECT_EQ(PostsTo(rig, kRecipient), 0U);
  }
  EXPECT_EQ(PostsTo(rig, c.recipient), static_cast<std::size_t>(c.posts));
  EXPECT_THAT(QueueIsExact(rig.sql), IsEmpty());
}

INSTANTIATE_TEST_SUITE_P(Numbers, HoldingNumbersTest, ::testing::ValuesIn(kHoldings),
                         [](const auto& test) { return test.param.name; });

TEST(MagicNumbersTest, TooManyRequestsHoldTheTenantForThatLongAndThenGoOn) {
  Rig rig;
  const std::string id = rig.Send(RequestTo(kShortHold));
  rig.AwaitState(id, v1::MESSAGE_STATE_DELIVERED);
  const auto status = rig.client().GetStatus(id);
  ASSERT_TRUE(status.ok()) << status.status();
  std::vector<v1::HoldReason> holds;
  for (const v1::StatusChange& change : status->history()) {
    if (change.has_hold()) holds.push_back(change.hold().reason());
  }
  EXPECT_THAT(holds, ::testing::ElementsAre(v1::HOLD_REASON_RETRY_AFTER));
  ASSERT_EQ(status->attempts_size(), 2);
  EXPECT_EQ(status->attempts(0).http_status(), 429);
  const auto waited = status->attempts(1).intended_at() - status->attempts(0).outcome_at();
  EXPECT_GE(TimeUtil::DurationToMilliseconds(waited), 990);
  EXPECT_EQ(PostsTo(rig, kShortHold), 2U);
  EXPECT_TRUE(AwaitMetric(rig, "postrider_throttled_total 1"));
}

}  // namespace
}  // namespace postrider
