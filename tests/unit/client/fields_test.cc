#include "client/cli/fields.h"

#include <gtest/gtest.h>

namespace postrider::cli {
namespace {

TEST(FieldsTest, SetFieldTable) {
  struct Case {
    const char* name;
    const char* text;
    const char* result;  ///< The request as text.
  };
  const Case cases[] = {
      {"recipient", "+15551234567", "recipient: \"+15551234567\""},
      {"sender", "Acme", "sender: \"Acme\""},
      {"text", "hi", "text: \"hi\""},
      {"request_id", "r", "request_id: \"r\""},
      {"conversation_id", "c", "conversation_id: \"c\""},
      {"external_contact_id", "e", "external_contact_id: \"e\""},
      {"campaign_id", "k", "campaign_id: \"k\""},
      {"time_zone", "UTC", "time_zone: \"UTC\""},
      {"metadata.a b", "x", "metadata { key: \"a b\" value: \"x\" }"},
      {"priority", "urgent", "priority: PRIORITY_URGENT"},
      {"priority", "PRIORITY_BULK", "priority: PRIORITY_BULK"},
      {"duplicate_policy", "at-least-once", "duplicate_policy: DUPLICATE_POLICY_AT_LEAST_ONCE"},
      {"not_before", "1970-01-01T00:00:07Z", "not_before { seconds: 7 }"},
      {"expire_at", "1970-01-01T01:00:07+01:00", "expire_at { seconds: 7 }"},
      {"priority", "", ""},
  };
  for (const Case& c : cases) {
    v1::SendMessageRequest request;
    EXPECT_TRUE(IsFieldName(c.name)) << c.name;
    EXPECT_TRUE(SetField(request, c.name, c.text).ok()) << c.name << " " << c.text;
    std::string shown = request.ShortDebugString();
    if (shown.ends_with(' ')) shown.pop_back();
    EXPECT_EQ(shown, c.result);
  }
}

TEST(FieldsTest, WhatIsWrongIsNamedTable) {
  struct Case {
    const char* name;
    std::string text;
    const char* error;
  };
  const Case cases[] = {
      {"priority", "asap", "priority: 'asap' is not one of urgent, normal, bulk"},
      {"duplicate_policy", "twice",
       "duplicate_policy: 'twice' is not one of at_most_once, at_least_once"},
      {"not_before", "tomorrow",
       "not_before: 'tomorrow' is not a time such as 2026-03-01T09:00:00Z"},
      {"text", "abc\xFF", "text: byte 4 is not UTF-8"},
      {"metadata.k", std::string("a\0b", 3), "metadata.k: byte 2 is a NUL"},
  };
  for (const Case& c : cases) {
    v1::SendMessageRequest request;
    EXPECT_EQ(SetField(request, c.name, c.text).message(), c.error);
  }
  v1::SendMessageRequest request;
  for (const char* name : {"recipent", "metadata.", "validate_only", ""}) {
    EXPECT_FALSE(IsFieldName(name)) << name;
    EXPECT_FALSE(SetField(request, name, "x").ok()) << name;
  }
}

TEST(FieldsTest, FirstBadByteTable) {
  struct Case {
    const char* name;
    std::string text;
    int bad;  ///< -1: none.
  };
  const Case cases[] = {
      {"nothing", "", -1},
      {"two, three and four bytes", "é東😀", -1},
      {"the highest character", "\xF4\x8F\xBF\xBF", -1},
      {"a lone continuation", "a\x80", 1},
      {"cut off", "ab\xE6\x9D", 2},
      {"overlong slash", "\xC0\xAF", 0},
      {"overlong in three bytes", "\xE0\x80\xAF", 0},
      {"overlong in four bytes", "\xF0\x80\x80\xAF", 0},
      {"a surrogate", "\xED\xA0\x80", 0},
      {"above the highest", "\xF4\x90\x80\x80", 0},
      {"five bytes", "\xF8\x88\x80\x80\x80", 0},
      {"a NUL", std::string("ab\0", 3), 2},
  };
  for (const Case& c : cases) {
    const auto bad = FirstBadByte(c.text);
    EXPECT_EQ(bad.has_value() ? static_cast<int>(*bad) : -1, c.bad) << c.name;
  }
}

}  // namespace
}  // namespace postrider::cli
