// One message from SendMessage to its end, and what callers get who ask for what cannot be.
#include <set>

#include <gmock/gmock.h>
#include <google/protobuf/util/time_util.h>
#include <gtest/gtest.h>

#include "tests/e2e/rig.h"

namespace postrider {
namespace {

using client::DecodeError;
using google::protobuf::util::TimeUtil;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

google::protobuf::Timestamp InSeconds(std::int64_t seconds) {
  return TimeUtil::GetCurrentTime() + TimeUtil::SecondsToDuration(seconds);
}

std::vector<v1::MessageState> StatesOf(const v1::GetStatusResponse& status) {
  std::vector<v1::MessageState> states;
  for (const v1::StatusChange& change : status.history()) states.push_back(change.state());
  return states;
}

TEST(LifecycleTest, AMessageIsFollowedFromSendToDelivered) {
  Rig rig;
  v1::SendMessageRequest request = RequestTo("+15550000000");
  (*request.mutable_metadata())["order"] = "4711";
  request.set_campaign_id("spring");
  const std::string id = rig.Send(request);

  v1::StreamStatusRequest follow;
  follow.add_message_ids(id);
  follow.set_until_final(true);
  follow.set_include_snapshot(true);
  std::vector<v1::StatusChange> seen;
  const client::WatchEnd end =
      rig.client().Watch(follow, [&](const v1::StreamStatusResponse& element) {
        if (element.has_snapshot()) seen.push_back(element.snapshot().status());
        if (element.has_change()) seen.push_back(element.change());
      });
  ASSERT_TRUE(end.status.ok()) << end.status;
  ASSERT_FALSE(seen.empty());
  EXPECT_EQ(seen.back().state(), v1::MESSAGE_STATE_DELIVERED);
  EXPECT_TRUE(seen.back().final());
  EXPECT_EQ(seen.back().campaign_id(), "spring");
  for (std::size_t i = 1; i < seen.size(); ++i) {
    EXPECT_EQ(seen[i].revision(), seen[i - 1].revision() + 1);
  }

  const auto status = rig.client().GetStatusByRequestId(request.request_id());
  ASSERT_TRUE(status.ok()) << status.status();
  EXPECT_THAT(StatesOf(*status),
              ElementsAre(v1::MESSAGE_STATE_QUEUED, v1::MESSAGE_STATE_DISPATCHING,
                          v1::MESSAGE_STATE_SUBMITTED, v1::MESSAGE_STATE_SENT,
                          v1::MESSAGE_STATE_DELIVERED));
  ASSERT_EQ(status->attempts_size(), 1);
  EXPECT_EQ(status->attempts(0).outcome(), v1::ATTEMPT_OUTCOME_ACCEPTED);
  EXPECT_EQ(status->attempts(0).http_status(), 202);
  const v1::Message& message = status->message();
  EXPECT_EQ(message.message_id(), id);
  EXPECT_EQ(message.recipient(), request.recipient());
  EXPECT_EQ(message.text(), request.text());
  EXPECT_EQ(message.metadata().at("order"), "4711");
  EXPECT_THAT(message.provider_message_id(), HasSubstr("msg-"));
  EXPECT_TRUE(Await([&] { return InboxIsAccountedFor(rig.sql).empty(); }));
  EXPECT_THAT(CheckInvariants(rig.sql, ReadLedger(rig.gateway.ledger_file()), {}, {}),
              ::testing::Each(HasSubstr("S11")));
}

TEST(LifecycleTest, ARequestIdMakesOneMessageWhateverIsRepeated) {
  Rig rig;
  const v1::SendMessageRequest request = RequestTo(kRecipient);
  const auto first = rig.client().Send(request);
  ASSERT_TRUE(first.ok()) << first.status();
  EXPECT_FALSE(first->deduplicated());
  const auto again = rig.client().Send(request);
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_TRUE(again->deduplicated());
  EXPECT_EQ(again->message().message_id(), first->message().message_id());

  v1::SendMessageRequest other = request;
  other.set_text("Another text");
  other.set_campaign_id("autumn");
  const auto reused = rig.client().Send(other);
  const client::Error error = DecodeError(reused.status());
  EXPECT_EQ(error.code, absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(error.reason, "REQUEST_ID_REUSED");
  EXPECT_EQ(error.metadata.at("message_id"), first->message().message_id());
  EXPECT_THAT(error.metadata.at("fields"), HasSubstr("text"));
  EXPECT_THAT(error.metadata.at("fields"), HasSubstr("campaign_id"));
  EXPECT_EQ(rig.sql.Number("SELECT count(*) FROM message"), 1);
}

TEST(LifecycleTest, AScheduledMessageIsCancelledOnceAndForAll) {
  Rig rig;
  v1::SendMessageRequest request = RequestTo(kRecipient);
  *request.mutable_not_before() = InSeconds(3600);
  const auto sent = rig.client().Send(request);
  ASSERT_TRUE(sent.ok()) << sent.status();
  EXPECT_EQ(sent->message().status().hold().reason(), v1::HOLD_REASON_SCHEDULE);
  const std::string id = sent->message().message_id();
  for (int i = 0; i < 2; ++i) {
    const auto cancelled = rig.client().Cancel(id);
    ASSERT_TRUE(cancelled.ok()) << cancelled.status();
    EXPECT_EQ(cancelled->message().status().state(), v1::MESSAGE_STATE_CANCELLED);
    EXPECT_TRUE(cancelled->message().status().final());
  }
  EXPECT_THAT(QueueIsExact(rig.sql), IsEmpty());
  EXPECT_THAT(ReadLedger(rig.gateway.ledger_file()), IsEmpty());
}

TEST(LifecycleTest, WhatHasLeftCannotBeCancelled) {
  Rig rig;
  const std::string id = rig.Send(RequestTo(kRecipient));
  rig.AwaitState(id, v1::MESSAGE_STATE_DELIVERED);
  const client::Error error = DecodeError(rig.client().Cancel(id).status());
  EXPECT_EQ(error.code, absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(error.reason, "TOO_LATE_TO_CANCEL");
  EXPECT_EQ(error.metadata.at("state"), "DELIVERED");
}

TEST(LifecycleTest, AMessageThatIsTooOldToLeaveExpires) {
  Rig rig;
  ASSERT_TRUE(rig.NewAdmin()->Pause(PauseFor("so that it gets too old")).ok());
  v1::SendMessageRequest request = RequestTo(kRecipient);
  *request.mutable_expire_at() = InSeconds(2);
  const std::string id = rig.Send(request);
  rig.AwaitState(id, v1::MESSAGE_STATE_EXPIRED);
  EXPECT_THAT(ReadLedger(rig.gateway.ledger_file()), IsEmpty());
}

TEST(LifecycleTest, AnAcceptedMessageWithoutAnyReceiptIsFinalWhenTheWindowHasPassed) {
  Rig rig({.flags = {"--receipt-window-s", "1"}});
  const std::string id = rig.Send(RequestTo("+15550000202"));
  EXPECT_TRUE(Await([&] {
    const auto status = rig.client().GetStatus(id);
    return status.ok() && status->message().status().final();
  }));
  const auto status = rig.client().GetStatus(id);
  ASSERT_TRUE(status.ok()) << status.status();
  EXPECT_EQ(status->message().status().state(), v1::MESSAGE_STATE_SUBMITTED);
  EXPECT_EQ(status->history(status->history_size() - 1).cause(), v1::CAUSE_WINDOW_CLOSED);
}

TEST(LifecycleTest, EveryViolationIsToldAtOnceByItsField) {
  Rig rig;
  v1::SendMessageRequest request;
  request.set_request_id("no spaces allowed");
  request.set_recipient("0155");
  request.set_conversation_id("no uuid");
  request.set_campaign_id("no spaces");
  (*request.mutable_metadata())["postriderMessageId"] = "x";
  *request.mutable_expire_at() = InSeconds(-10);
  request.set_time_zone("Mars/Olympus");
  const client::Error error = DecodeError(rig.client().Send(request).status());
  EXPECT_EQ(error.code, absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(error.reason, "INVALID_FIELD");
  std::set<std::string> fields;
  for (const client::Violation& violation : error.violations) fields.insert(violation.subject);
  EXPECT_THAT(fields,
              ::testing::IsSupersetOf({"request_id", "recipient", "sender", "conversation_id",
                                       "campaign_id", "expire_at", "time_zone"}));
  EXPECT_EQ(rig.sql.Number("SELECT count(*) FROM request_key"), 0);
}

TEST(LifecycleTest, WhatTheTenantMayNotSendIsRefusedByItsReason) {
  Rig rig;
  rig.sql.Ask(
      "INSERT INTO suppression (tenant_id, recipient_key, sender_id) SELECT tenant_id, "
      "convert_to('+15557770001', 'UTF8'), '00000000-0000-0000-0000-000000000000' FROM tenant");
  const client::Error opted_out =
      DecodeError(rig.client().Send(RequestTo("+15557770001")).status());
  EXPECT_EQ(opted_out.code, absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(opted_out.reason, "RECIPIENT_OPTED_OUT");

  v1::SendMessageRequest request = RequestTo(kRecipient);
  request.set_sender("+15550009999");
  const client::Error unregistered = DecodeError(rig.client().Send(request).status());
  EXPECT_EQ(unregistered.code, absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(unregistered.reason, "SENDER_NOT_REGISTERED");

  const client::Error unknown =
      DecodeError(rig.client().GetStatus("01890a5d-ac96-774b-bcce-b302099a8057").status());
  EXPECT_EQ(unknown.code, absl::StatusCode::kNotFound);
  EXPECT_EQ(unknown.reason, "MESSAGE_NOT_FOUND");
  EXPECT_EQ(rig.sql.Number("SELECT count(*) FROM message"), 0);
}

TEST(LifecycleTest, AValidationKeepsAndSendsNothing) {
  Rig rig;
  v1::SendMessageRequest request = RequestTo(kRecipient, "Sch\u00f6ne Gr\u00fc\u00dfe \u2764");
  request.set_validate_only(true);
  const auto checked = rig.client().Send(request);
  ASSERT_TRUE(checked.ok()) << checked.status();
  EXPECT_EQ(checked->message().message_id(), "");
  EXPECT_EQ(checked->encoding(), v1::TEXT_ENCODING_UCS2);
  EXPECT_FALSE(checked->warnings().empty());
  EXPECT_EQ(rig.sql.Number("SELECT (SELECT count(*) FROM message) + (SELECT count(*) FROM "
                           "request_key) + (SELECT count(*) FROM conversation)"),
            0);
  request.set_validate_only(false);
  const auto sent = rig.client().Send(request);
  ASSERT_TRUE(sent.ok()) << sent.status();
  EXPECT_FALSE(sent->deduplicated());

  // What only the database knows is checked, too.
  v1::SendMessageRequest elsewhere = RequestTo(kRecipient);
  elsewhere.set_validate_only(true);
  elsewhere.set_conversation_id("7f2c1c9e-0b1d-4c53-9a43-4a3f3f7f2a11");
  EXPECT_EQ(DecodeError(rig.client().Send(elsewhere).status()).reason, "CONVERSATION_MISMATCH");
}

}  // namespace
}  // namespace postrider
