#include "server/provider/open_messaging.h"

#include <string>

#include <gtest/gtest.h>

#include "server/base/digest.h"
#include "server/base/strings.h"
#include "server/provider/provider.h"

namespace postrider {
namespace {

using namespace std::chrono_literals;

// As Genesys' pages show it, but for the numbers.
constexpr const char* kReceipt = R"({"id":"c3271c53","channel":{"id":"integration-1",
"platform":"Open","type":"Private","messageId":"c8e5d0f2","to":{"id":"+15551234567"},
"from":{"id":"+15559876543","idType":"Opaque"},"time":"2021-02-01T15:04:05.123Z"},
"type":"Receipt","status":"Delivered","isFinalReceipt":true,"direction":"Outbound"})";
constexpr const char* kText = R"({"id":"in-1","channel":{"id":"integration-1","platform":"Open",
"type":"Private","messageId":"c8e5d0f3","to":{"id":"+15559876543"},
"from":{"id":"+15551234567","idType":"Phone"},"time":"2021-02-01T15:04:05Z"},
"type":"Text","text":"STOP","direction":"Inbound"})";

/// `body` with `what` in place of `from`, which must be there.
std::string With(std::string body, std::string_view from, std::string_view what) {
  const std::size_t at = body.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return body.replace(at, from.size(), what);
}

TEST(OpenMessagingTest, AReceiptIsReadOnEitherPath) {
  for (const char* profile : {"guide", "platform"}) {
    const auto content = ParseWebhook(profile, kReceipt);
    ASSERT_TRUE(content.ok()) << content.status();
    const auto* const receipt = std::get_if<Receipt>(&*content);
    ASSERT_NE(receipt, nullptr);
    EXPECT_TRUE(receipt->message_id.IsNil());
    EXPECT_EQ(receipt->provider_message_id, "c3271c53");
    EXPECT_EQ(receipt->channel_message_id, "c8e5d0f2");
    EXPECT_EQ(receipt->status.state, MessageState::kDelivered);
    EXPECT_EQ(receipt->status.failure, FailureReason::kNone);
    EXPECT_EQ(receipt->status.provider_at, WallTime{} + 1612191845123ms);
    EXPECT_EQ(receipt->status.hash, Sha256Bytes(kReceipt));
    EXPECT_EQ(receipt->status.attempt, 0) << "not told";
  }
}

TEST(OpenMessagingTest, StatusTable) {
  struct Case {
    const char* members;
    MessageState state;
    FailureReason failure;
    const char* code;
  };
  const Case cases[] = {
      {R"("status":"Sent")", MessageState::kSent, FailureReason::kNone, ""},
      {R"("status":"Read")", MessageState::kDelivered, FailureReason::kNone, ""},
      {R"("status":"Published")", MessageState::kSent, FailureReason::kNone, ""},
      {R"("status":"Removed")", MessageState::kSent, FailureReason::kNone, ""},
      {R"("status":"Failed")", MessageState::kFailed, FailureReason::kOther, ""},
      {R"("status":"Failed","reasons":[{"code":"RecipientOptedOut","message":"said stop"}])",
       MessageState::kFailed, FailureReason::kRecipientOptedOut, "RecipientOptedOut"},
      {R"("status":"Failed","isFinalReceipt":true,"reasons":[{"code":"GeneralError",
         "message":"the carrier said carrier_rejected"}])",
       MessageState::kFailed, FailureReason::kCarrierRejected, "GeneralError: carrier_rejected"},
      {R"("status":"Failed","isFinalReceipt":false,"reasons":[{"code":"RateLimited"}])",
       MessageState::kSubmitted, FailureReason::kNone, "RateLimited"},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.members);
    const auto content = ParseWebhook(
        "platform", With(kReceipt, R"("status":"Delivered","isFinalReceipt":true)", c.members));
    ASSERT_TRUE(content.ok()) << content.status();
    const Receipt& receipt = std::get<Receipt>(*content);
    EXPECT_EQ(receipt.status.state, c.state);
    EXPECT_EQ(receipt.status.failure, c.failure);
    EXPECT_EQ(receipt.status.provider_code, c.code);
  }
}

TEST(OpenMessagingTest, EitherIdIsEnough) {
  const auto content = ParseWebhook("platform", With(kReceipt, R"("id":"c3271c53",)", ""));
  ASSERT_TRUE(content.ok()) << content.status();
  EXPECT_EQ(std::get<Receipt>(*content).provider_message_id, "c8e5d0f2");
  EXPECT_EQ(std::get<Receipt>(*content).channel_message_id, "");
}

TEST(OpenMessagingTest, ATextThatCameInIsReadOnEitherPath) {
  for (const char* profile : {"guide", "platform"}) {
    const auto content = ParseWebhook(profile, kText);
    ASSERT_TRUE(content.ok()) << content.status();
    const auto* const text = std::get_if<InboundText>(&*content);
    ASSERT_NE(text, nullptr);
    EXPECT_EQ(text->provider_message_id, "in-1");
    EXPECT_EQ(text->sender, "+15559876543") << "ours: it was sent to it";
    EXPECT_EQ(text->recipient, "+15551234567");
    EXPECT_EQ(text->text, "STOP");
    EXPECT_EQ(text->provider_at, WallTime{} + 1612191845s);
  }
  const auto undated = ParseWebhook("guide", With(kText, "2021-02-01T15:04:05Z", "yesterday"));
  ASSERT_TRUE(undated.ok()) << undated.status();
  EXPECT_EQ(std::get<InboundText>(*undated).provider_at, WallTime{});
  const auto picture = ParseWebhook("guide", With(kText, R"("text":"STOP",)", ""));
  ASSERT_TRUE(picture.ok()) << picture.status();
  EXPECT_EQ(std::get<InboundText>(*picture).text, "");
}

TEST(OpenMessagingTest, ARefusalNamesTheFieldAndRepeatsNoNumber) {
  const std::string long_id = StrCat("\"id\":\"", std::string(257, 'x'), "\"");
  struct Case {
    std::string body;
    const char* names;
  };
  const Case cases[] = {
      {With(kReceipt, "\"status\":\"Delivered\",", ""), "status: missing"},
      {With(kReceipt, "Delivered", "teleported"), "status: unknown, \"teleported\""},
      {With(kReceipt, "\"channel\":", "\"canal\":"), "channel: missing"},
      {With(kReceipt, "\"id\":\"c3271c53\"", long_id), "id: more than 256 bytes"},
      {With(kReceipt, "2021-02-01T15:04:05.123Z", "yesterday"), "channel.time"},
      {With(kReceipt, "Outbound", "Inbound"), "direction"},
      {With(With(kReceipt, "\"id\":\"c3271c53\",", ""), "\"messageId\":\"c8e5d0f2\",", ""),
       "id: missing, and channel.messageId too"},
      {With(kText, "Inbound", "Outbound"), "direction"},
      {With(kText, ",\"direction\":\"Inbound\"", ""), "direction"},
      {With(kText, "{\"id\":\"+15559876543\"}", "{}"), "channel.to.id"},
      {With(kText, "+15551234567", "customer-7"), "channel.from.id: not E.164"},
      {With(kText, "+15551234567", "15551234567"), "channel.from.id: not E.164"},
      {With(kText, "\"type\":\"Text\"", "\"type\":\"Structured\""), "type: not Receipt or Text"},
      {R"({"id":"msg-1","type":"sms","status":"sent"})", "type: not Receipt or Text"},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.body);
    const auto content = ParseWebhook("platform", c.body);
    ASSERT_EQ(content.status().code(), absl::StatusCode::kInvalidArgument);
    const std::string_view message = ToStd(content.status().message());
    EXPECT_NE(message.find(c.names), std::string_view::npos) << message;
    EXPECT_EQ(message.find("1555"), std::string_view::npos) << message;
  }
}

}  // namespace
}  // namespace postrider
