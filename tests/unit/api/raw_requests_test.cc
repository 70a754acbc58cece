#include <gmock/gmock.h>

#include "tests/unit/api/message_service_fixture.h"

namespace postrider {
namespace {

using testing::HasSubstr;

constexpr const char* kService = "/postrider.v1.MessageService/";

std::vector<std::string> FieldsOf(const Decoded& error) {
  std::vector<std::string> fields;
  for (const auto& violation : error.bad_request.field_violations()) {
    fields.push_back(violation.field());
  }
  return fields;
}

TEST_F(MessageServiceTest, BytesThatAreNotUtf8NameTheirField) {
  struct Case {
    const char* method;
    std::string bytes;
    std::vector<std::string> fields;
  };
  const std::string good = Good().SerializeAsString();
  const Case cases[] = {
      {"SendMessage", good + "\x0a\x01\xff", {"request_id"}},
      {"SendMessage", good + "\x22\x05" + "caf\xe9!", {"text"}},
      {"SendMessage", good + "\x22\x03\xed\xa0\x80", {"text"}},
      {"SendMessage", good + "\x3a\x03\x0a\x01\xff", {"metadata"}},
      {"SendMessage", good + "\x3a\x06\x0a\x01k\x12\x01\xff", {"metadata[k]"}},
      {"SendMessage",
       "\x0a\x01\xff" + good + "\x3a\x06\x0a\x01k\x12\x01\xff",
       {"request_id", "metadata[k]"}},
      {"SendMessage", "\x0a\x01\xff\x0a\x01\xff" + good, {"request_id"}},
      {"GetStatus", "\x12\x01\xff", {"request_id"}},
      {"CancelMessage", "\x0a\x01\xff", {"message_id"}},
      {"StreamStatus", "\x0a\x01k\x0a\x01\xff", {"message_ids[1]"}},
      {"StreamStatus", "\x22\x01\xff", {"campaign_id"}},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(StrCat(c.method, ": ", testing::PrintToString(c.fields)));
    const Decoded error(CallRaw(StrCat(kService, c.method), c.bytes));
    EXPECT_EQ(error.code, grpc::StatusCode::INVALID_ARGUMENT);
    EXPECT_EQ(error.info.reason(), "INVALID_FIELD");
    EXPECT_EQ(FieldsOf(error), c.fields);
  }
  EXPECT_EQ(store_.Calls("Accept"), 0);
}

TEST_F(MessageServiceTest, BytesThatAreNoRequestAreAnInvalidFieldToo) {
  struct Case {
    const char* method;
    std::string bytes;
    const char* said;
  };
  const Case cases[] = {
      {"SendMessage", "\x0a\x05x", "SendMessageRequest"},             // cut off
      {"SendMessage", "\xff\xff\xff", "SendMessageRequest"},          // no tag
      {"SendMessage", "\x52\x02\x08\xff", "SendMessageRequest"},      // not_before is none
      {"SendMessage", "\x3a\x03\x0a\x05k", "SendMessageRequest"},     // nor is this a pair
      {"SendMessage", std::string("\x03", 1), "SendMessageRequest"},  // a group without end
      {"SendMessage", std::string("\x00", 1), "SendMessageRequest"},  // field 0
      {"GetStatus", "\x0a\x05x", "GetStatusRequest"},
      {"CancelMessage", "\x0a\x05x", "CancelMessageRequest"},
      {"StreamStatus", "\x0a\x05x", "StreamStatusRequest"},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(StrCat(c.method, ": ", testing::PrintToString(c.bytes)));
    const grpc::Status status = CallRaw(StrCat(kService, c.method), c.bytes);
    EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
    EXPECT_EQ(Decoded(status).info.reason(), "INVALID_FIELD");
    EXPECT_EQ(status.error_message(), StrCat("the request is not a valid ", c.said));
  }
}

TEST_F(MessageServiceTest, FieldsOfALaterContractArePassedOver) {
  // Field 1000 of each wire type, and request_id as a number.
  const std::string later = std::string("\xc0\x3e\x01") + "\xc2\x3e\x01\xff" + "\xc5\x3e" + "1234" +
                            "\xc1\x3e" + "12345678" + "\x08\x01";
  EXPECT_TRUE(CallRaw(StrCat(kService, "SendMessage"), Good().SerializeAsString() + later).ok());
  const Decoded error(CallRaw(StrCat(kService, "SendMessage"), later + "\x22\x01\xff"));
  EXPECT_EQ(FieldsOf(error), std::vector<std::string>{"text"});
}

TEST_F(MessageServiceTest, WhoAsksIsCheckedBeforeTheBytes) {
  for (const char* method : {"SendMessage", "GetStatus", "CancelMessage", "StreamStatus"}) {
    for (const char* bytes : {"\x0a\x01\xff", "\x0a\x05x"}) {
      const Decoded error(CallRaw(StrCat(kService, method), bytes, ""));
      EXPECT_EQ(error.info.reason(), "TOKEN_MISSING") << method;
    }
  }
}

}  // namespace
}  // namespace postrider
