#include "server/api/validate.h"

#include <functional>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "server/base/digest.h"
#include "server/base/strings.h"
#include "server/fanout/resume_token.h"
#include "server/model/limits.h"
#include "tests/support/event_log.h"

namespace postrider {
namespace {

using testing::ElementsAre;
using testing::UnorderedElementsAre;

constexpr std::int64_t kNowSeconds = 1'700'000'000;
const WallTime kNow = WallTime{} + std::chrono::seconds(kNowSeconds);

TenantRow Tenant(std::uint64_t number, const std::string& address) {
  TenantRow row;
  row.tenant_id = {UuidOf(number)};
  row.name = StrCat("tenant-", number);
  row.senders = {{{UuidOf(number + 100)}, address}};
  return row;
}

const TenantSnapshot& Tenants() {
  static const auto& tenants =
      *new TenantSnapshot({Tenant(1, "+15559876543"), Tenant(2, "+15552222222")});
  return tenants;
}

v1::SendMessageRequest Good() {
  v1::SendMessageRequest request;
  request.set_request_id("order-1");
  request.set_recipient("+15551234567");
  request.set_sender("+15559876543");
  request.set_text("hello");
  return request;
}

Result<MessageRequest> Check(const v1::SendMessageRequest& request, bool strict = false) {
  TenantRow tenant = Tenants().tenants()[0];
  tenant.strict = strict;
  return Validate(request, tenant, Tenants(), kNow);
}

/// The field of each violation.
std::vector<std::string> FieldsOf(const ApiError& error) {
  std::vector<std::string> fields;
  for (const auto& violation : error.violations) fields.push_back(violation.field);
  return fields;
}

std::string Times(std::size_t count, const std::string& text) {
  std::string all;
  while (count-- > 0) all += text;
  return all;
}

TEST(ValidateTest, AGoodRequestIsNormalised) {
  v1::SendMessageRequest request = Good();
  request.mutable_not_before()->set_seconds(kNowSeconds + 60);
  request.mutable_not_before()->set_nanos(123'456'789);
  (*request.mutable_metadata())["order"] = "1";
  const Result<MessageRequest> checked = Check(request);
  const auto* out = std::get_if<MessageRequest>(&checked);
  ASSERT_NE(out, nullptr);
  EXPECT_EQ(out->tenant_id.uuid, UuidOf(1));
  EXPECT_EQ(out->sender_id.uuid, UuidOf(101));
  EXPECT_EQ(out->priority, Priority::kNormal);
  EXPECT_EQ(out->duplicate_policy, DuplicatePolicy::kAtMostOnce);
  EXPECT_EQ(out->metadata, (Metadata{{"order", "1"}}));
  EXPECT_EQ(out->expire_at, WallTime{});
  EXPECT_EQ(out->not_before, kNow + std::chrono::seconds(60) + std::chrono::microseconds(123'456));
}

TEST(ValidateTest, OneBadFieldTable) {
  using Request = v1::SendMessageRequest;
  struct Case {
    const char* name;
    std::function<void(Request&)> change;
    const char* field;  ///< Null: good.
  };
  const Case cases[] = {
      {"request_id missing", [](Request& r) { r.clear_request_id(); }, "request_id"},
      {"request_id of 64", [](Request& r) { r.set_request_id(Times(64, "a")); }, nullptr},
      {"request_id of 65", [](Request& r) { r.set_request_id(Times(65, "a")); }, "request_id"},
      {"request_id with all signs", [](Request& r) { r.set_request_id("aZ09._:-"); }, nullptr},
      {"request_id with a space", [](Request& r) { r.set_request_id("a b"); }, "request_id"},
      {"request_id with NUL", [](Request& r) { r.set_request_id(std::string("a\0b", 3)); },
       "request_id"},
      {"recipient missing", [](Request& r) { r.clear_recipient(); }, "recipient"},
      {"recipient without plus", [](Request& r) { r.set_recipient("15551234567"); }, "recipient"},
      {"recipient with spaces", [](Request& r) { r.set_recipient("+1 555 1234567"); }, "recipient"},
      {"recipient of 7 digits", [](Request& r) { r.set_recipient("+1234567"); }, "recipient"},
      {"recipient of 8 digits", [](Request& r) { r.set_recipient("+12345678"); }, nullptr},
      {"recipient of 15 digits", [](Request& r) { r.set_recipient("+123456789012345"); }, nullptr},
      {"recipient of 16 digits", [](Request& r) { r.set_recipient("+1234567890123456"); },
       "recipient"},
      {"recipient's country 0", [](Request& r) { r.set_recipient("+0123456789"); }, "recipient"},
      {"recipient in other digits", [](Request& r) { r.set_recipient("+١٢٣٤٥٦٧٨"); }, "recipient"},
      {"sender missing", [](Request& r) { r.clear_sender(); }, "sender"},
      {"text missing", [](Request& r) { r.clear_text(); }, "text"},
      {"text empty", [](Request& r) { r.set_text(""); }, "text"},
      {"text of 765 letters", [](Request& r) { r.set_text(Times(765, "a")); }, nullptr},
      {"text of 765 emojis", [](Request& r) { r.set_text(Times(765, "😀")); }, nullptr},
      {"text of 766", [](Request& r) { r.set_text(Times(766, "a")); }, "text"},
      {"text with NUL", [](Request& r) { r.set_text(std::string("a\0b", 3)); }, "text"},
      {"text not UTF-8", [](Request& r) { r.set_text("caf\xe9"); }, "text"},
      {"conversation a UUID", [](Request& r) { r.set_conversation_id(UuidOf(5).ToString()); },
       nullptr},
      {"conversation a word", [](Request& r) { r.set_conversation_id("x"); }, "conversation_id"},
      {"conversation nil", [](Request& r) { r.set_conversation_id(Uuid().ToString()); },
       "conversation_id"},
      {"contact of 128", [](Request& r) { r.set_external_contact_id(Times(128, "a")); }, nullptr},
      {"contact of 129", [](Request& r) { r.set_external_contact_id(Times(129, "a")); },
       "external_contact_id"},
      {"contact with NUL", [](Request& r) { r.set_external_contact_id(std::string("\0", 1)); },
       "external_contact_id"},
      {"campaign of 65", [](Request& r) { r.set_campaign_id(Times(65, "a")); }, "campaign_id"},
      {"campaign with a slash", [](Request& r) { r.set_campaign_id("a/b"); }, "campaign_id"},
      {"metadata key empty", [](Request& r) { (*r.mutable_metadata())[""] = "v"; }, "metadata"},
      {"metadata key of 65", [](Request& r) { (*r.mutable_metadata())[Times(65, "k")] = "v"; },
       "metadata[kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk]"},
      {"metadata key reserved", [](Request& r) { (*r.mutable_metadata())["postrider.x"] = "v"; },
       "metadata[postrider.x]"},
      {"metadata campaignId", [](Request& r) { (*r.mutable_metadata())["campaignId"] = "v"; },
       nullptr},
      {"metadata value of 256", [](Request& r) { (*r.mutable_metadata())["k"] = Times(256, "v"); },
       nullptr},
      {"metadata value of 257", [](Request& r) { (*r.mutable_metadata())["k"] = Times(257, "v"); },
       "metadata[k]"},
      {"metadata value with NUL",
       [](Request& r) { (*r.mutable_metadata())["k"] = std::string("\0", 1); }, "metadata[k]"},
      {"metadata of 21 pairs",
       [](Request& r) {
         for (int i = 0; i < 21; ++i) (*r.mutable_metadata())[StrCat(i)] = "";
       },
       "metadata"},
      {"priority unknown", [](Request& r) { r.set_priority(static_cast<v1::Priority>(9)); },
       "priority"},
      {"policy unknown",
       [](Request& r) { r.set_duplicate_policy(static_cast<v1::DuplicatePolicy>(-1)); },
       "duplicate_policy"},
      {"not_before long ago", [](Request& r) { r.mutable_not_before()->set_seconds(1); }, nullptr},
      {"not_before before 1970", [](Request& r) { r.mutable_not_before()->set_seconds(-1); },
       "not_before"},
      {"not_before in 30 days",
       [](Request& r) { r.mutable_not_before()->set_seconds(kNowSeconds + 30 * 86400); }, nullptr},
      {"not_before later",
       [](Request& r) { r.mutable_not_before()->set_seconds(kNowSeconds + 30 * 86400 + 1); },
       "not_before"},
      {"not_before of no calendar",
       [](Request& r) { r.mutable_not_before()->set_seconds(INT64_MAX); }, "not_before"},
      {"not_before with bad nanos", [](Request& r) { r.mutable_not_before()->set_nanos(-1); },
       "not_before"},
      {"expire_at now", [](Request& r) { r.mutable_expire_at()->set_seconds(kNowSeconds); },
       "expire_at"},
      {"expire_at ahead", [](Request& r) { r.mutable_expire_at()->set_seconds(kNowSeconds + 1); },
       nullptr},
      {"expire_at with not_before",
       [](Request& r) {
         r.mutable_not_before()->set_seconds(kNowSeconds + 60);
         r.mutable_expire_at()->set_seconds(kNowSeconds + 60);
       },
       "expire_at"},
      {"zone UTC", [](Request& r) { r.set_time_zone("UTC"); }, nullptr},
      {"zone not known", [](Request& r) { r.set_time_zone("Mars/Olympus"); }, "time_zone"},
      {"zone as a path", [](Request& r) { r.set_time_zone("../../../etc/localtime"); },
       "time_zone"},
      {"zone localtime", [](Request& r) { r.set_time_zone("localtime"); }, "time_zone"},
      {"zone of the other set", [](Request& r) { r.set_time_zone("right/UTC"); }, "time_zone"},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    v1::SendMessageRequest request = Good();
    c.change(request);
    const Result<MessageRequest> checked = Check(request);
    const auto* error = std::get_if<ApiError>(&checked);
    ASSERT_EQ(error != nullptr, c.field != nullptr) << (error ? error->message : "");
    if (error == nullptr) continue;
    EXPECT_EQ(error->reason, "INVALID_FIELD");
    EXPECT_EQ(error->code, absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(FieldsOf(*error), ElementsAre(c.field));
  }
}

TEST(ValidateTest, AllViolationsComeAtOnce) {
  v1::SendMessageRequest request;
  request.set_conversation_id("x");
  request.set_priority(static_cast<v1::Priority>(9));
  request.set_time_zone("Mars");
  request.mutable_expire_at()->set_seconds(1);
  const Result<MessageRequest> checked = Check(request);
  ASSERT_TRUE(std::holds_alternative<ApiError>(checked));
  EXPECT_THAT(FieldsOf(std::get<ApiError>(checked)),
              UnorderedElementsAre("request_id", "recipient", "sender", "text", "conversation_id",
                                   "priority", "time_zone", "expire_at"));
}

TEST(ValidateTest, AStrictTenantMustNameTheConversation) {
  v1::SendMessageRequest request = Good();
  Result<MessageRequest> checked = Check(request, true);
  ASSERT_TRUE(std::holds_alternative<ApiError>(checked));
  EXPECT_EQ(std::get<ApiError>(checked).reason, "CONVERSATION_REQUIRED");
  EXPECT_THAT(FieldsOf(std::get<ApiError>(checked)), ElementsAre("conversation_id"));

  request.clear_recipient();
  checked = Check(request, true);
  EXPECT_EQ(std::get<ApiError>(checked).reason, "INVALID_FIELD");
  EXPECT_THAT(FieldsOf(std::get<ApiError>(checked)), ElementsAre("recipient", "conversation_id"));

  request = Good();
  request.set_conversation_id(UuidOf(5).ToString());
  EXPECT_TRUE(std::holds_alternative<MessageRequest>(Check(request, true)));
}

TEST(ValidateTest, TheSenderMustBeTheTenantsOwn) {
  v1::SendMessageRequest request = Good();
  request.set_sender("+15552222222");
  EXPECT_EQ(std::get<ApiError>(Check(request)).reason, "SENDER_NOT_ALLOWED");
  EXPECT_EQ(std::get<ApiError>(Check(request)).code, absl::StatusCode::kPermissionDenied);
  request.set_sender("+15550000000");
  EXPECT_EQ(std::get<ApiError>(Check(request)).reason, "SENDER_NOT_REGISTERED");
  EXPECT_EQ(std::get<ApiError>(Check(request)).preconditions.size(), 1U);
}

TEST(ValidateTest, LookUpsNeedAKey) {
  v1::GetStatusRequest request;
  EXPECT_THAT(FieldsOf(std::get<ApiError>(Validate(request))), ElementsAre("key"));
  request.set_message_id("");
  EXPECT_THAT(FieldsOf(std::get<ApiError>(Validate(request))), ElementsAre("message_id"));
  request.set_message_id("nonsense");
  EXPECT_THAT(FieldsOf(std::get<ApiError>(Validate(request))), ElementsAre("message_id"));
  request.set_request_id("a b");
  EXPECT_THAT(FieldsOf(std::get<ApiError>(Validate(request))), ElementsAre("request_id"));
  request.set_request_id("a");
  EXPECT_EQ(std::get<StatusQuery>(Validate(request)).request_id, "a");
  v1::CancelMessageRequest cancel;
  EXPECT_THAT(FieldsOf(std::get<ApiError>(Validate(cancel))), ElementsAre("message_id"));
  cancel.set_message_id(UuidOf(5).ToString());
  EXPECT_EQ(std::get<MessageId>(Validate(cancel)).uuid, UuidOf(5));
}

TEST(ValidateStreamTest, OneBadFieldTable) {
  using Request = v1::StreamStatusRequest;
  const std::string token = EncodeResumeToken({{7, UuidOf(7), {}}, {}, {}, 0, false}, {UuidOf(1)});
  struct Case {
    const char* name;
    std::function<void(Request&)> change;
    const char* field;  ///< Null: good.
  };
  const Case cases[] = {
      {"nothing set", [](Request&) {}, nullptr},
      {"an id that is none", [](Request& r) { r.add_message_ids("x"); }, "message_ids[0]"},
      {"1001 ids",
       [](Request& r) {
         for (std::uint64_t i = 0; i < 1001; ++i) r.add_message_ids(UuidOf(i + 1).ToString());
       },
       "message_ids"},
      {"an empty contact", [](Request& r) { r.add_external_contact_ids(""); },
       "external_contact_ids[0]"},
      {"a state that is none", [](Request& r) { r.add_states(static_cast<v1::MessageState>(99)); },
       "states[0]"},
      {"the unset state", [](Request& r) { r.add_states(v1::MESSAGE_STATE_UNSPECIFIED); },
       "states[0]"},
      {"interval of 5 s", [](Request& r) { r.mutable_checkpoint_interval()->set_seconds(5); },
       nullptr},
      {"interval below", [](Request& r) { r.mutable_checkpoint_interval()->set_seconds(4); },
       "checkpoint_interval"},
      {"interval above",
       [](Request& r) {
         r.mutable_checkpoint_interval()->set_seconds(60);
         r.mutable_checkpoint_interval()->set_nanos(1);
       },
       "checkpoint_interval"},
      {"interval of an age",
       [](Request& r) { r.mutable_checkpoint_interval()->set_seconds(INT64_MAX); },
       "checkpoint_interval"},
      {"until_final without ids", [](Request& r) { r.set_until_final(true); }, "message_ids"},
      {"token and snapshot",
       [&](Request& r) {
         r.set_resume_token(token);
         r.set_include_snapshot(true);
       },
       "include_snapshot"},
      {"a token", [&](Request& r) { r.set_resume_token(token); }, nullptr},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    Request request;
    c.change(request);
    const Result<StreamQuery> checked = Validate(request, TenantId{UuidOf(1)});
    const auto* error = std::get_if<ApiError>(&checked);
    ASSERT_EQ(error != nullptr, c.field != nullptr) << (error ? error->message : "");
    if (error == nullptr) continue;
    EXPECT_THAT(FieldsOf(*error), ElementsAre(c.field));
  }
}

TEST(ValidateStreamTest, AnothersTokenIsRefused) {
  v1::StreamStatusRequest request;
  request.set_resume_token(EncodeResumeToken({{7, UuidOf(7), {}}, {}, {}, 0, false}, {UuidOf(1)}));
  const Result<StreamQuery> checked = Validate(request, TenantId{UuidOf(2)});
  ASSERT_TRUE(std::holds_alternative<ApiError>(checked));
  EXPECT_EQ(std::get<ApiError>(checked).reason, "RESUME_TOKEN_INVALID");
  EXPECT_THAT(FieldsOf(std::get<ApiError>(checked)), ElementsAre("resume_token"));
}

TEST(ValidateTest, ViolationsToldAreBounded) {
  v1::StreamStatusRequest request;
  for (int i = 0; i < 1000; ++i) request.add_message_ids("x");
  const Result<StreamQuery> checked = Validate(request, TenantId{UuidOf(1)});
  EXPECT_EQ(std::get<ApiError>(checked).violations.size(), kMaxViolations);
  EXPECT_LT(std::get<ApiError>(checked).message.size(), 1000U);
}

TEST(FingerprintTest, EveryFieldCountsAndNothingElse) {
  using Request = v1::SendMessageRequest;
  const std::pair<const char*, std::function<void(Request&)>> changes[] = {
      {"recipient", [](Request& r) { r.set_recipient("+15551234568"); }},
      {"text", [](Request& r) { r.set_text("hellO"); }},
      {"conversation_id", [](Request& r) { r.set_conversation_id(UuidOf(5).ToString()); }},
      {"external_contact_id", [](Request& r) { r.set_external_contact_id("c"); }},
      {"campaign_id", [](Request& r) { r.set_campaign_id("c"); }},
      {"metadata", [](Request& r) { (*r.mutable_metadata())["a"] = "b"; }},
      {"priority", [](Request& r) { r.set_priority(v1::PRIORITY_BULK); }},
      {"duplicate_policy",
       [](Request& r) { r.set_duplicate_policy(v1::DUPLICATE_POLICY_AT_LEAST_ONCE); }},
      {"not_before", [](Request& r) { r.mutable_not_before()->set_seconds(kNowSeconds + 1); }},
      {"expire_at", [](Request& r) { r.mutable_expire_at()->set_seconds(kNowSeconds + 1); }},
      {"time_zone", [](Request& r) { r.set_time_zone("UTC"); }},
  };
  const auto first = std::get<MessageRequest>(Check(Good()));
  EXPECT_EQ(FingerprintOf(first).size(), 32U);
  for (const auto& [field, change] : changes) {
    SCOPED_TRACE(field);
    v1::SendMessageRequest request = Good();
    change(request);
    const auto changed = std::get<MessageRequest>(Check(request));
    EXPECT_NE(FingerprintOf(changed), FingerprintOf(first));
    EXPECT_THAT(DifferingFields(first, FingerprintOf(first), changed), ElementsAre(field));
  }
  v1::SendMessageRequest same = Good();
  same.set_validate_only(true);
  same.set_request_id("another-key");
  same.set_priority(v1::PRIORITY_NORMAL);  // what was left out means
  EXPECT_EQ(FingerprintOf(std::get<MessageRequest>(Check(same))), FingerprintOf(first));
}

TEST(FingerprintTest, NeighboursCannotLendEachOtherCharacters) {
  MessageRequest one = std::get<MessageRequest>(Check(Good()));
  MessageRequest two = one;
  one.metadata = {{"a", "bc"}};
  two.metadata = {{"ab", "c"}};
  EXPECT_NE(FingerprintOf(one), FingerprintOf(two));
  one.external_contact_id = "x";
  one.campaign_id = "";
  two = one;
  two.external_contact_id = "";
  two.campaign_id = "x";
  EXPECT_NE(FingerprintOf(one), FingerprintOf(two));
}

TEST(FingerprintTest, TheStoredConversationIsNoDifferenceWhenTheRepeatNamesNone) {
  const auto repeat = std::get<MessageRequest>(Check(Good()));
  MessageRequest stored = repeat;
  stored.conversation_id = {UuidOf(5)};
  EXPECT_THAT(DifferingFields(stored, FingerprintOf(repeat), repeat), ElementsAre());
}

TEST(FingerprintTest, OfATextItIsWhatIsStoredOfEarlierVersions) {
  const auto request = std::get<MessageRequest>(Check(Good()));
  std::string fields("\1", 1);
  const auto number = [&](std::uint64_t value) {
    for (int shift = 56; shift >= 0; shift -= 8) fields += static_cast<char>(value >> shift);
  };
  const auto text = [&](const std::string& value) {
    number(value.size());
    fields += value;
  };
  for (const std::string& value : {request.recipient, request.sender, request.text}) text(value);
  for (int i = 0; i < 3; ++i) text("");  // conversation, contact, campaign
  for (const std::uint64_t value : {0, 2, 1, 0, 0}) number(value);
  text("");  // time zone
  EXPECT_EQ(HexOf(FingerprintOf(request)), HexOf(Sha256Bytes(fields)));
}

TEST(FingerprintTest, OfATemplateItIsTheNameAndTheValuesNotTheText) {
  MessageRequest one = std::get<MessageRequest>(Check(Good()));
  const std::string by_text = FingerprintOf(one);
  one.template_name = "visit";
  one.template_values = {{"name", "Ann"}};
  MessageRequest two = one;
  two.text = "another";
  EXPECT_NE(FingerprintOf(one), by_text);
  EXPECT_EQ(FingerprintOf(one), FingerprintOf(two));
  two.template_values["name"] = "Bob";
  EXPECT_NE(FingerprintOf(one), FingerprintOf(two));
  two = one;
  two.template_name = "visi";
  EXPECT_NE(FingerprintOf(one), FingerprintOf(two));
}

}  // namespace
}  // namespace postrider
