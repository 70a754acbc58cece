#include "server/provider/message_data.h"

#include <gtest/gtest.h>

#include "server/base/strings.h"

namespace postrider {
namespace {

using Failure = FailureReason;
using State = MessageState;

std::optional<MessageData> Read(const std::string& members) {
  return ReadMessageData(ParseJson(StrCat("{", members, "}")).value());
}

std::string Failed(const std::string& reasons) {
  return StrCat(R"("id":"m","status":"sent","normalizedReceipts":[{"type":"Receipt",)",
                R"("status":"Failed","isFinalReceipt":true,"reasons":[)", reasons, "]}]");
}

TEST(ReadMessageDataTest, StatusTable) {
  const struct {
    const char* status;
    std::optional<State> state;
  } cases[] = {
      {"queued", State::kSubmitted},
      {"sent", State::kSent},
      {"failed", State::kFailed},
      {"delivery-success", State::kDelivered},
      {"read", State::kDelivered},
      {"delivery-failed", State::kFailed},
      {"removed", State::kSent},
      {"published", State::kSent},
      {"received", std::nullopt},
      {"levitating", std::nullopt},
      {"", std::nullopt},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.status);
    const auto data = Read(StrCat(R"("id":"m","status":")", c.status, "\""));
    ASSERT_EQ(data.has_value(), c.state.has_value());
    if (!data) continue;
    EXPECT_EQ(data->message.status.state, *c.state);
  }
}

TEST(ReadMessageDataTest, TheFurthestOfStatusAndReceiptsCounts) {
  const struct {
    const char* name;
    const char* members;
    State state;
  } cases[] = {
      {"a receipt knows more", R"("id":"m","status":"sent","normalizedReceipts":[
         {"status":"Delivered"},{"status":"Sent"}])",
       State::kDelivered},
      {"the status knows more", R"("id":"m","status":"delivery-success","normalizedReceipts":[
         {"status":"Sent"}])",
       State::kDelivered},
      {"receipts alone", R"("id":"m","normalizedReceipts":[{"status":"Read"}])", State::kDelivered},
      {"a failure that is not the last word", R"("id":"m","status":"sent","normalizedReceipts":[
         {"status":"Failed","isFinalReceipt":false,"reasons":[{"code":"RateLimited"}]}])",
       State::kSent},
      {"a receipt that nobody knows", R"("id":"m","status":"sent","normalizedReceipts":[
         {"status":"Folded"}])",
       State::kSent},
  };
  for (const auto& c : cases) {
    const auto data = Read(c.members);
    ASSERT_TRUE(data) << c.name;
    EXPECT_EQ(data->message.status.state, c.state) << c.name;
  }
}

TEST(ReadMessageDataTest, WhyItFailedIsKeptAsItCameAndClassifiedByEither) {
  const struct {
    const char* reasons;
    Failure failure;
    const char* code;
  } cases[] = {
      {R"({"code":"InvalidDestination"})", Failure::kInvalidNumber, "InvalidDestination"},
      {R"({"code":"GeneralError","message":"carrier_rejected"})", Failure::kCarrierRejected,
       "GeneralError: carrier_rejected"},
      {R"({"code":"GeneralError","message":"Refused (DEST_ADDR_IS_LANDLINE), +15551234567"})",
       Failure::kInvalidNumber, "GeneralError: DEST_ADDR_IS_LANDLINE"},
      {R"({"message":"RECIPIENT_OPTED_OUT"})", Failure::kRecipientOptedOut, "RECIPIENT_OPTED_OUT"},
      {R"({"code":"GeneralError"},{"code":"RecipientOptedOut"})", Failure::kRecipientOptedOut,
       "RecipientOptedOut"},
      {R"({"code":"SomethingNew","message":"nobody knows +15551234567"})", Failure::kOther,
       "SomethingNew"},
      {R"({"code":"DELIVERED"})", Failure::kOther, "DELIVERED"},
      {"", Failure::kOther, ""},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.reasons);
    const auto data = Read(Failed(c.reasons));
    ASSERT_TRUE(data);
    EXPECT_EQ(data->message.status.state, State::kFailed);
    EXPECT_EQ(data->message.status.failure, c.failure);
    EXPECT_EQ(data->message.status.provider_code, c.code);
  }
}

TEST(ReadMessageDataTest, TheTextIsShownInOneOfTwoPlaces) {
  EXPECT_EQ(Read(R"("id":"m","status":"sent","textBody":"Hello")")->text, "Hello");
  EXPECT_EQ(Read(R"("id":"m","status":"sent","normalizedMessage":{"text":"Hello"})")->text,
            "Hello");
  EXPECT_EQ(Read(R"("id":"m","status":"sent")")->text, "");
}

TEST(ReadMessageDataTest, WhatTheRecipientWroteIsNoMessageOfOurs) {
  EXPECT_FALSE(Read(R"("id":"m","status":"sent","direction":"inbound")"));
  EXPECT_FALSE(Read(R"("status":"sent")")) << "no id";
}

TEST(ReadMessageDataTest, TheSameReadTwiceIsNoNews) {
  const auto first = Read(R"("id":"m","status":"sent","timestamp":"2023-10-27T14:32:15Z")");
  const auto again = Read(R"("status":"sent","id":"m","selfUri":"/elsewhere")");
  const auto later = Read(R"("id":"m","status":"delivery-success")");
  EXPECT_EQ(first->message.status.hash, again->message.status.hash);
  EXPECT_NE(first->message.status.hash, later->message.status.hash);
  EXPECT_NE(first->message.status.provider_at, WallTime{});
}

TEST(SameTextTest, BlanksDoNotCount) {
  EXPECT_TRUE(SameText("Hello,  you\n", "Hello, you"));
  EXPECT_FALSE(SameText("Hello, you", "Hello, You"));
}

}  // namespace
}  // namespace postrider
