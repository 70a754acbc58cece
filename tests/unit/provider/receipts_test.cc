#include "server/provider/receipts.h"

#include <string>

#include <gtest/gtest.h>

#include "server/base/digest.h"
#include "server/base/strings.h"
#include "server/provider/provider.h"

namespace postrider {
namespace {

using namespace std::chrono_literals;

constexpr std::string_view kMessage = "01891f2e-7b1c-7a3d-8f00-0123456789ab";

// The guide's example, with what Postrider added to the metadata.
std::string Example() {
  return R"({"id":"msg-7a3b9c2d-1e4f-5a6b-7c8d-9e0f1a2b3c4d","type":"sms","from":"+15559876543",
"to":"+15551234567","conversationId":"conv-8f4e2a1b-9c3d-4e5f-a6b7-8d9e0f1a2b3c",
"status":"delivered","timestamp":"2023-10-27T14:32:15Z","deliveryStatus":"delivered",
"errorCode":null,"metadata":{"campaignId":"appt-reminder-q3",
"postriderMessageId":"01891f2e-7b1c-7a3d-8f00-0123456789ab","postriderAttempt":"2"}})";
}

absl::StatusOr<Receipt> ParseReceipt(std::string_view profile, std::string_view body) {
  absl::StatusOr<WebhookContent> content = ParseWebhook(profile, body);
  if (!content.ok()) return content.status();
  return std::get<Receipt>(*std::move(content));
}

TEST(ParseReceiptTest, ReadsTheGuidesExample) {
  const std::string body = Example();
  const auto receipt = ParseReceipt("guide", body);
  ASSERT_TRUE(receipt.ok()) << receipt.status();
  EXPECT_EQ(receipt->status.state, MessageState::kDelivered);
  EXPECT_EQ(receipt->status.failure, FailureReason::kNone);
  EXPECT_EQ(receipt->status.provider_code, "");
  EXPECT_EQ(receipt->status.provider_at, WallTime{} + 1698417135s);
  EXPECT_EQ(receipt->status.hash, Sha256Bytes(body));
  EXPECT_EQ(receipt->status.attempt, 2);
  EXPECT_EQ(receipt->message_id.ToString(), kMessage);
  EXPECT_EQ(receipt->provider_message_id, "msg-7a3b9c2d-1e4f-5a6b-7c8d-9e0f1a2b3c4d");
  EXPECT_EQ(receipt->provider_conversation_id, "conv-8f4e2a1b-9c3d-4e5f-a6b7-8d9e0f1a2b3c");
}

TEST(ParseReceiptTest, StatusTable) {
  struct Case {
    const char* members;
    MessageState state;
    FailureReason failure;
  };
  const Case cases[] = {
      {R"("status":"queued")", MessageState::kSubmitted, FailureReason::kNone},
      {R"("status":"sent")", MessageState::kSent, FailureReason::kNone},
      {R"("status":"SENT")", MessageState::kSent, FailureReason::kNone},
      {R"("status":"delivered")", MessageState::kDelivered, FailureReason::kNone},
      {R"("deliveryStatus":"delivered")", MessageState::kDelivered, FailureReason::kNone},
      {R"("status":"sent","deliveryStatus":"delivered")", MessageState::kDelivered,
       FailureReason::kNone},
      {R"("status":"sent","deliveryStatus":"a new word")", MessageState::kSent,
       FailureReason::kNone},
      {R"("status":"failed")", MessageState::kFailed, FailureReason::kOther},
      {R"("status":"undelivered")", MessageState::kFailed, FailureReason::kOther},
      {R"("status":"failed","errorCode":"carrier_rejected")", MessageState::kFailed,
       FailureReason::kCarrierRejected},
      {R"("status":"failed","errorCode":"DELIVERED")", MessageState::kFailed,
       FailureReason::kOther},
      {R"("status":"sent","errorCode":"ENROUTE")", MessageState::kSent, FailureReason::kNone},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.members);
    const auto receipt = ParseReceipt("guide", StrCat(R"({"id":"msg-1",)", c.members, "}"));
    ASSERT_TRUE(receipt.ok()) << receipt.status();
    EXPECT_EQ(receipt->status.state, c.state);
    EXPECT_EQ(receipt->status.failure, c.failure);
  }
}

TEST(ParseReceiptTest, EitherIdIsEnough) {
  const auto by_provider_id = ParseReceipt("guide", R"({"id":"msg-1","status":"sent"})");
  ASSERT_TRUE(by_provider_id.ok());
  EXPECT_TRUE(by_provider_id->message_id.IsNil());
  EXPECT_EQ(by_provider_id->status.attempt, 0);
  EXPECT_EQ(by_provider_id->status.provider_at, WallTime{});
  const auto by_metadata =
      ParseReceipt("guide", StrCat(R"({"status":"sent","metadata":{"postriderMessageId":")",
                                   kMessage, R"(","postriderAttempt":1}})"));
  ASSERT_TRUE(by_metadata.ok());
  EXPECT_EQ(by_metadata->message_id.ToString(), kMessage);
  EXPECT_EQ(by_metadata->status.attempt, 1);
}

TEST(ParseReceiptTest, ARefusalNamesTheField) {
  struct Case {
    const char* body;
    const char* names;
  };
  const Case cases[] = {
      {"", "JSON"},
      {"[]", "body"},
      {"not json", "JSON"},
      {R"({"id":"msg-1"})", "status"},
      {R"({"id":"msg-1","status":7})", "status"},
      {R"({"id":"msg-1","status":"teleported"})", "\"teleported\""},
      {R"({"status":"sent"})", "id"},
      {R"({"conversationId":"conv-1","status":"sent"})", "id"},
      {R"({"id":"msg-1","status":"sent","timestamp":"yesterday"})", "timestamp"},
      {R"({"id":"msg-1","status":"sent","timestamp":"9999-10-27T14:32:15Z"})", "timestamp"},
      {R"({"id":"msg-1","status":"sent","metadata":{"postriderMessageId":"7"}})",
       "metadata.postriderMessageId"},
      {R"({"id":"msg-1","status":"sent","metadata":{"postriderAttempt":"0"}})",
       "metadata.postriderAttempt"},
      {R"({"id":"msg-1","status":"sent","metadata":{"postriderAttempt":"x"}})",
       "metadata.postriderAttempt"},
      {R"({"id":"msg-1","status":"sent","metadata":{"postriderAttempt":1000000}})",
       "metadata.postriderAttempt"},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.body);
    const auto receipt = ParseReceipt("guide", c.body);
    ASSERT_FALSE(receipt.ok());
    EXPECT_EQ(receipt.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_NE(ToStd(receipt.status().message()).find(c.names), std::string_view::npos)
        << receipt.status();
  }
}

TEST(ParseReceiptTest, ARefusalRepeatsNoNumber) {
  const auto receipt = ParseReceipt("guide", R"({"id":"msg-1","status":"to +15551234567"})");
  EXPECT_EQ(ToStd(receipt.status().message()).find("1555"), std::string_view::npos)
      << receipt.status();
}

TEST(ParseReceiptTest, AnUnknownProfileIsRefused) {
  EXPECT_EQ(ParseReceipt("telegraph", Example()).status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST(ParseReceiptTest, KeepsAnUnknownCodeVerbatimAndCutsAnEndlessOneBetweenCharacters) {
  const auto verbatim =
      ParseReceipt("guide", R"({"id":"msg-1","status":"failed","errorCode":"Something New/42"})");
  ASSERT_TRUE(verbatim.ok());
  EXPECT_EQ(verbatim->status.provider_code, "Something New/42");
  EXPECT_EQ(verbatim->status.failure, FailureReason::kOther);
  const std::string endless = std::string(127, 'x') + "\xC3\xA9" + std::string(500, 'y');
  const auto cut = ParseReceipt(
      "guide", StrCat(R"({"id":"msg-1","status":"failed","errorCode":")", endless, "\"}"));
  ASSERT_TRUE(cut.ok());
  EXPECT_EQ(cut->status.provider_code, std::string(127, 'x'));
}

TEST(FailureOfCodeTest, Table) {
  struct Case {
    const char* code;
    FailureReason reason;
  };
  const Case cases[] = {
      {"carrier_rejected", FailureReason::kCarrierRejected},
      {"DELIVERED", FailureReason::kNone},
      {"ENROUTE", FailureReason::kNone},
      {"RECIPIENT_OPTED_OUT", FailureReason::kRecipientOptedOut},
      {"recipient_opted_out", FailureReason::kRecipientOptedOut},
      {"RecipientOptedOut", FailureReason::kRecipientOptedOut},
      {"RECIPIENT_BLOCKLISTED", FailureReason::kRecipientOptedOut},
      {"CARRIER_CONGESTED", FailureReason::kTooFast},
      {"DEST_ADDR_INVALID", FailureReason::kInvalidNumber},
      {"DEST_ADDR_IS_LANDLINE", FailureReason::kInvalidNumber},
      {"MESSAGE_DATA_INVALID", FailureReason::kContent},
      {"RECIPIENT_BUSY", FailureReason::kUnreachable},
      {"EXPIRED", FailureReason::kUnreachable},
      {"OTHER_PERMANENT_FAILURE", FailureReason::kOther},
      {"never heard of", FailureReason::kOther},
      {"", FailureReason::kOther},
  };
  for (const Case& c : cases) EXPECT_EQ(FailureOfCode(c.code), c.reason) << c.code;
}

TEST(ParseRfc3339Test, Table) {
  const WallTime at = WallTime{} + 1698417135s;
  struct Case {
    const char* text;
    std::optional<WallTime> at;
  };
  const Case cases[] = {
      {"2023-10-27T14:32:15Z", at},
      {"2023-10-27T14:32:15z", at},
      {"2023-10-27t14:32:15Z", at},
      {"2023-10-27T14:32:15.5Z", at + 500ms},
      {"2023-10-27T14:32:15.123456789Z", at + 123456789ns},
      {"2023-10-27T14:32:15.1234567891234Z", at + 123456789ns},
      {"2023-10-27T16:32:15+02:00", at},
      {"2023-10-27T09:02:15-05:30", at},
      {"2023-10-27T14:32:15", std::nullopt},
      {"2023-10-27", std::nullopt},
      {"2023-13-27T14:32:15Z", std::nullopt},
      {"2023-10-27T14:32:15Z and more", std::nullopt},
      {" 2023-10-27T14:32:15Z", std::nullopt},
      {"2023-10-27T14:32:15Z ", std::nullopt},
      {"1999-12-31T23:59:59Z", std::nullopt},
      {"2200-01-01T00:00:00Z", std::nullopt},
      {"infinite-future", std::nullopt},
      {"1698417135", std::nullopt},
      {"", std::nullopt},
  };
  for (const Case& c : cases) {
    const auto parsed = ParseRfc3339(c.text);
    EXPECT_EQ(parsed.ok(), c.at.has_value()) << c.text;
    EXPECT_EQ(parsed.value_or(WallTime{}), c.at.value_or(WallTime{})) << c.text;
  }
}

}  // namespace
}  // namespace postrider
