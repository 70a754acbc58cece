#include "server/json/json.h"

#include <limits>
#include <string>

#include <gtest/gtest.h>

namespace postrider {
namespace {

using std::string_literals::operator""s;

Json Parsed(std::string_view text) {
  absl::StatusOr<Json> json = ParseJson(text);
  EXPECT_TRUE(json.ok()) << json.status();
  return *json;
}

TEST(JsonTest, ReadsMembersByNameAndType) {
  const Json json = Parsed(R"({"s":"a\u00e9\ud83d\ude00","i":-7,"u":9223372036854775807,"n":1.5,
                               "t":true,"o":{"x":"y"},"a":[1,"two",null]})");
  EXPECT_TRUE(json.IsObject());
  EXPECT_EQ(json.GetString("s"), "aé😀");
  EXPECT_EQ(json.GetInt("i"), -7);
  EXPECT_EQ(json.GetInt("u"), std::numeric_limits<std::int64_t>::max());
  EXPECT_EQ(json.GetNumber("n"), 1.5);
  EXPECT_EQ(json.GetBool("t"), true);
  EXPECT_EQ(json.GetObject("o")->GetString("x"), "y");
  const auto items = json.GetArray("a");
  ASSERT_TRUE(items.has_value());
  ASSERT_EQ(items->size(), 3u);
  EXPECT_EQ((*items)[0].AsInt(), 1);
  EXPECT_EQ((*items)[1].AsString(), "two");
  EXPECT_EQ((*items)[2].AsString(), std::nullopt);
}

TEST(JsonTest, AbsentNullAndOtherTypesAreNothing) {
  const Json json = Parsed(R"({"null":null,"s":"x","f":1.0,"big":18446744073709551615,"a":[]})");
  for (const char* key : {"absent", "null", "a"}) {
    EXPECT_EQ(json.GetString(key), std::nullopt) << key;
    EXPECT_EQ(json.GetInt(key), std::nullopt) << key;
    EXPECT_EQ(json.GetNumber(key), std::nullopt) << key;
    EXPECT_EQ(json.GetBool(key), std::nullopt) << key;
    EXPECT_FALSE(json.GetObject(key).has_value()) << key;
    EXPECT_EQ(json.GetStringMap(key), std::nullopt) << key;
  }
  EXPECT_FALSE(json.GetArray("s").has_value());
  EXPECT_EQ(json.GetInt("f"), std::nullopt);
  EXPECT_EQ(json.GetInt("big"), std::nullopt);
  EXPECT_EQ(Parsed("[]").GetString("s"), std::nullopt);
  EXPECT_TRUE(Parsed("{}").Items().empty());
}

TEST(JsonTest, AStringMapKeepsTheStringsOfAMixedObject) {
  const Json json = Parsed(R"({"metadata":{"a":"1","b":2,"c":null,"d":"4"}})");
  const std::map<std::string, std::string> expected = {{"a", "1"}, {"d", "4"}};
  EXPECT_EQ(json.GetStringMap("metadata"), expected);
}

TEST(JsonTest, APartOutlivesTheWhole) {
  std::optional<Json> part;
  {
    const Json whole = Parsed(R"({"o":{"x":"a string too long for the small buffer"}})");
    part = whole.GetObject("o");
  }
  EXPECT_EQ(part->GetString("x"), "a string too long for the small buffer");
}

std::string Nested(int depth) {
  const auto count = static_cast<std::size_t>(depth);
  return std::string(count, '[') + std::string(count, ']');
}

TEST(JsonTest, DepthOf32IsReadAnd33Refused) {
  EXPECT_TRUE(ParseJson(Nested(32)).ok());
  EXPECT_FALSE(ParseJson(Nested(33)).ok());
}

TEST(JsonTest, RefusalsNameTheReasonAndThePlace) {
  const struct {
    const char* name;
    std::string text;
    std::string part_of_message;
  } cases[] = {
      {"empty", "", "not JSON at byte 1"},
      {"syntax", R"({"a":})", "not JSON at byte 6"},
      {"cut off", R"({"a":"b)", "not JSON at byte"},
      {"trailing text", "{} x", "not JSON at byte"},
      {"100,000 deep", std::string(100'000, '['), "deeper than 32 levels at /0/0/0"},
      {"deep objects", R"({"a":)" + Nested(32) + "}", "deeper than 32 levels at /a/0"},
      {"bad UTF-8", "{\"a\":\"\xff\"}", "invalid UTF-8 at byte 7"},
      {"overlong UTF-8", "{\"a\":\"\xc0\x80\"}", "invalid UTF-8 at byte 7"},
      {"lone surrogate", R"({"a":"\ud800"})", "not JSON at byte"},
      {"duplicate name", R"({"m":{"k":1,"k":2}})", "the name at /m/k occurs twice"},
      {"duplicate by escape", R"({"k":1,"\u006b":2})", "the name at /k occurs twice"},
      {"1e400", R"({"m":[0,1e400]})", "number out of range at /m/1"},
      {"-1e400", "-1e400", "number out of range at the top"},
      {"escaped NUL", R"({"m":{"k":"a\u0000b"}})", "U+0000 in the string at /m/k"},
      {"raw NUL", "{\"k\":\"a\0b\"}"s, "not JSON at byte 8"},
      {"NUL in a name", R"({"m":{"a\u0000":1}})", "U+0000 in a name within /m"},
      {"too long", "\"" + std::string(1 << 20, 'x') + "\"", "more than 1048576"},
  };
  for (const auto& c : cases) {
    const absl::StatusOr<Json> json = ParseJson(c.text);
    ASSERT_FALSE(json.ok()) << c.name;
    EXPECT_EQ(json.status().code(), absl::StatusCode::kInvalidArgument) << c.name;
    EXPECT_NE(std::string(json.status().message()).find(c.part_of_message), std::string::npos)
        << c.name << ": " << json.status();
  }
}

TEST(JsonTest, RefusalsQuoteNoValueAndStayShort) {
  const std::string secret(5'000, 's');
  const auto bad_value = ParseJson("{\"a\":\"" + secret + "\xff\"}");
  EXPECT_LT(bad_value.status().message().size(), 200u);
  EXPECT_EQ(bad_value.status().message().find("sss"), std::string::npos);
  const auto long_name = ParseJson("{\"\n" + secret + "\":1}");
  EXPECT_LT(long_name.status().message().size(), 200u);
  const auto odd_name = ParseJson("{\"\\n\xc3\xa9" + secret + "\":1e400}");
  EXPECT_LT(odd_name.status().message().size(), 200u);
  EXPECT_NE(odd_name.status().message().find("/???sss"), std::string::npos);
}

TEST(JsonTest, ManyMembersAreReadInTheirNumber) {
  std::string text = "{";
  for (int i = 0; i < 50'000; ++i) text += "\"k" + std::to_string(i) + "\":1,";
  text.back() = '}';
  EXPECT_EQ(Parsed(text).GetInt("k49999"), 1);
}

TEST(JsonWriterTest, WritesMembersInTheOrderOfTheirFirstSet) {
  JsonObject object;
  object.Set("z", "text")
      .Set("a", 1)
      .Set("flag", false)
      .Set("n", 0.5)
      .Set("m", std::map<std::string, std::string>{{"k", "v"}})
      .Set("list", JsonArray().Add("x").Add(JsonObject().Set("y", true)))
      .Set("empty", JsonObject())
      .SetNull("nothing")
      .Set("z", "replaced");
  EXPECT_EQ(object.Dump(), R"({"z":"replaced","a":1,"flag":false,"n":0.5,"m":{"k":"v"},)"
                           R"("list":["x",{"y":true}],"empty":{},"nothing":null})");
}

TEST(JsonWriterTest, EscapesAndReplacesWhatJsonCannotHold) {
  JsonObject object;
  object.Set("text", "q\" b\\ n\n \x01 é"s + "\0"s);
  object.Set("bad\xff", "\xff");
  object.Set("infinite", std::numeric_limits<double>::infinity());
  EXPECT_EQ(object.Dump(),
            "{\"text\":\"q\\\" b\\\\ n\\n \\u0001 é\\u0000\","
            "\"bad\xef\xbf\xbd\":\"\xef\xbf\xbd\",\"infinite\":null}");
}

TEST(JsonWriterTest, WhatIsWrittenIsReadBack) {
  const std::string text = "two\nlines, \"quotes\", 😀";
  const JsonObject original = JsonObject().Set("k", text);
  const JsonObject copy = original;
  EXPECT_EQ(Parsed(copy.Dump()).GetString("k"), text);
}

}  // namespace
}  // namespace postrider
