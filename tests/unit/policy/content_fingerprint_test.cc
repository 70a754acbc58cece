#include "server/policy/content_fingerprint.h"

#include <gtest/gtest.h>

namespace postrider {
namespace {

std::vector<ParsedTemplate> Templates(const std::vector<std::string>& texts) {
  std::vector<ParsedTemplate> parsed;
  for (const std::string& text : texts) parsed.push_back(*ParsedTemplate::Parse(text));
  return parsed;
}

TEST(ContentFingerprintTest, NumbersAndPathsMakeNoOtherText) {
  const struct {
    const char* a;
    const char* b;
    bool same;
  } cases[] = {
      {"Your code is 1234", "Your code is 987654", true},
      {"Your code is 1234", "Your code was 1234", false},
      {"See https://clinic.example/a?id=1 now", "See https://clinic.example/b now", true},
      {"See https://clinic.example/a", "See https://evil.example/a", false},
      {"Call 5 or 6", "Call 5", false},
      {"Hello Ann", "Hello Bob", false},
  };
  for (const auto& c : cases) {
    EXPECT_EQ(ContentKey(c.a, {}) == ContentKey(c.b, {}), c.same) << c.a << " | " << c.b;
  }
}

TEST(ContentFingerprintTest, TextsOfATemplateAreOneButForTheirHosts) {
  const auto templates = Templates({"Hi {name}, {what}", "Hi {name}, pay at {link} today"});
  const std::string key = ContentKey("Hi Ann, pay at https://bank.example/1 today", templates);
  EXPECT_EQ(ContentKey("Hi Bob, pay at bank.example/2 today", templates), key);
  EXPECT_NE(ContentKey("Hi Bob, pay at https://bank.evil.example/2 today", templates), key);
  EXPECT_NE(ContentKey("Hi Bob, see you", templates), key) << "another template";
  EXPECT_EQ(ContentKey("Hi Bob, see you", templates), ContentKey("Hi Ann, all well", templates));
  EXPECT_NE(ContentKey("Hello Bob", templates), ContentKey("Hello Ann", templates)) << "of none";
}

}  // namespace
}  // namespace postrider
