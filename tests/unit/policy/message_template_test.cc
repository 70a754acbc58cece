#include "server/policy/message_template.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace postrider {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

ParsedTemplate Must(std::string_view text) {
  auto parsed = ParsedTemplate::Parse(text);
  EXPECT_TRUE(parsed.ok()) << parsed.status();
  return parsed.ok() ? *std::move(parsed) : ParsedTemplate();
}

std::string WhyNot(std::string_view text) {
  return std::string(ParsedTemplate::Parse(text).status().message());
}

TEST(MessageTemplateTest, PlacesAreFilled) {
  const ParsedTemplate visit = Must("Hi {first_name}, at {time} {{room}}. Bye {first_name}");
  EXPECT_THAT(visit.names(), ElementsAre("first_name", "time"));
  const auto text = visit.Fill({{"first_name", "Ann"}, {"time", "9:30"}});
  ASSERT_TRUE(text.ok()) << text.status();
  EXPECT_EQ(*text, "Hi Ann, at 9:30 {room}. Bye Ann");
}

TEST(MessageTemplateTest, AValueThatIsMissingUnknownOrTooLongIsNamed) {
  const ParsedTemplate visit = Must("At {time}");
  EXPECT_EQ(visit.Fill({}).status().message(), "time: is required by the template");
  EXPECT_EQ(visit.Fill({{"time", "9"}, {"room", "1"}}).status().message(),
            "room: the template has no such place");
  EXPECT_THAT(std::string(visit.Fill({{"time", ""}}).status().message()), HasSubstr("time: must"));
  EXPECT_EQ(Must("{a}, {b}").Fill({{"c", "1"}, {"d", "1"}}).status().message(),
            "c: the template has no such place; d: the template has no such place; "
            "a: is required by the template; b: is required by the template");
  EXPECT_TRUE(visit.Fill({{"time", std::string(200, 'x')}}).ok());
  EXPECT_FALSE(visit.Fill({{"time", std::string(201, 'x')}}).ok());
  EXPECT_FALSE(visit.Fill({{"time", "\xff"}}).ok());
}

TEST(MessageTemplateTest, WhatIsNoTemplateIsRefusedWithItsPlace) {
  EXPECT_THAT(WhyNot("Hi {name"), HasSubstr("character 4: { without }"));
  EXPECT_THAT(WhyNot("Grüße }"), HasSubstr("character 7: } without {"));
  EXPECT_THAT(WhyNot("Hi {First Name}"), HasSubstr("character 4: a place is"));
  EXPECT_THAT(WhyNot("{}"), HasSubstr("character 1: a place is"));
  EXPECT_THAT(WhyNot("{a}{b}"), HasSubstr("character 4: two places"));
}

TEST(MessageTemplateTest, ATextMatchesWhenEachPlaceHasSomething) {
  struct Case {
    const char* pattern;
    const char* text;
    bool matches;
  };
  const Case cases[] = {
      {"Hello", "Hello", true},
      {"Hello", "Hello!", false},
      {"", "", true},
      {"At {t}.", "At 9.30.", true},
      {"At {t}.", "At .", false},
      {"At {t}.", "At 9", false},
      {"At {t}.", "on 9.", false},
      {"{a} and {b}", "x and y", true},
      {"{a} and {b}", "x and y and z", true},
      {"{a} and {b}", " and y", false},
      {"{a} and {b}", "x and ", false},
      {"{a}-{b}-{c}", "1-2-3", true},
      {"{a}-{b}-{c}", "1-2", false},
      {"{a}ab", "ab", false},
      {"{a}ab", "abab", true},
  };
  for (const Case& c : cases) {
    EXPECT_EQ(Must(c.pattern).Matches(c.text), c.matches) << c.pattern << " | " << c.text;
  }
}

TEST(MessageTemplateTest, WhatWasFilledMatches) {
  const ParsedTemplate visit = Must("{a}, {b}: {c}!");
  for (const char* value : {"x", ",", "!", ": !", "{a}", "ü"}) {
    const auto text = visit.Fill({{"a", value}, {"b", value}, {"c", value}});
    ASSERT_TRUE(text.ok()) << text.status();
    EXPECT_TRUE(visit.Matches(*text)) << *text;
  }
}

}  // namespace
}  // namespace postrider
