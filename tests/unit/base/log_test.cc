#include "server/base/log.h"

#include <limits>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace postrider {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::MatchesRegex;

/// What goes to stderr while it lives; the log is as it was afterwards.
class Captured {
 public:
  explicit Captured(LogFormat format, LogLevel lowest = LogLevel::kDebug) {
    SetUpLog(format, lowest);
    ::testing::internal::CaptureStderr();
  }
  ~Captured() {
    if (!taken_) Take();
    SetUpLog(LogFormat::kConsole, LogLevel::kInfo);
  }
  std::string Take() {
    FlushLog();
    taken_ = true;
    return ::testing::internal::GetCapturedStderr();
  }

 private:
  bool taken_ = false;
};

TEST(LogTest, AJsonLineHasItsTimeLevelEventAndFields) {
  Captured captured(LogFormat::kJson);
  PR_LOG(kWarning, "message accepted", {"message_id", "m-1"}, {"attempt", 2}, {"rate", 4.5},
         {"final", true});
  EXPECT_THAT(
      captured.Take(),
      MatchesRegex("\\{\"at\":\"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}\\.[0-9]{3}Z\","
                   "\"level\":\"warning\",\"event\":\"message accepted\",\"message_id\":\"m-1\","
                   "\"attempt\":2,\"rate\":4\\.5,\"final\":true\\}\n"));
}

TEST(LogTest, AConsoleLineQuotesOnlyWhatNeedsIt) {
  Captured captured(LogFormat::kConsole);
  PR_LOG(kInfo, "started", {"port", 8080}, {"host", "localhost"}, {"text", "two words"},
         {"empty", ""}, {"pair", "a=b"});
  EXPECT_THAT(captured.Take(),
              EndsWith("info    started  port=8080  host=localhost  text=\"two words\"  "
                       "empty=\"\"  pair=\"a=b\"\n"));
}

TEST(LogTest, EscapingTable) {
  struct Case {
    std::string value;
    const char* wants;
  };
  const Case cases[] = {
      {"plain", R"("v":"plain")"},
      {"say \"hi\"", R"("v":"say \"hi\"")"},
      {"back\\slash", R"("v":"back\\slash")"},
      {"two\nlines\r", R"("v":"two\u000alines\u000d")"},
      {"\x1b[31mred", R"("v":"\u001b[31mred")"},
      {std::string("nul\0!", 5), R"("v":"nul\u0000!")"},
      {"\x7f", R"("v":"\u007f")"},
      {"gr\xc3\xbc\xc3\x9f"
       "e",
       "\"v\":\"gr\xc3\xbc\xc3\x9f"
       "e\""},
      {"%s %d {} %v", R"("v":"%s %d {} %v")"},
      {"four \xf0\x9f\x98\x80", "\"v\":\"four \xf0\x9f\x98\x80\""},
      // Not UTF-8: a byte of Latin-1, a truncated character, an overlong one, a surrogate, and
      // what is above U+10FFFF.
      {"gr\xfc!", "\"v\":\"gr\xef\xbf\xbd!\""},
      {"cut \xc3", "\"v\":\"cut \xef\xbf\xbd\""},
      {"\xc0\xaf", "\"v\":\"\xef\xbf\xbd\xef\xbf\xbd\""},
      {"\xed\xa0\x80", "\"v\":\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\""},
      {"\xf4\x90\x80\x80", "\"v\":\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\""},
      {"\xe2\x82\"", "\"v\":\"\xef\xbf\xbd\xef\xbf\xbd\\\"\""},
  };
  for (const Case& c : cases) {
    Captured captured(LogFormat::kJson);
    PR_LOG(kInfo, "event", {"v", c.value});
    const std::string line = captured.Take();
    EXPECT_THAT(line, HasSubstr(c.wants));
    EXPECT_EQ(std::count(line.begin(), line.end(), '\n'), 1) << "one event, one line";
  }
}

TEST(LogTest, ANumberThatJsonHasNoWordForIsQuoted) {
  Captured captured(LogFormat::kJson);
  PR_LOG(kInfo, "event", {"nan", std::numeric_limits<double>::quiet_NaN()},
         {"inf", std::numeric_limits<double>::infinity()},
         {"big", std::numeric_limits<std::uint64_t>::max()});
  EXPECT_THAT(captured.Take(), HasSubstr(R"("nan":"nan","inf":"inf","big":18446744073709551615})"));
}

TEST(LogTest, WhatIsBelowTheLowestLevelIsNeitherWrittenNorMade) {
  Captured captured(LogFormat::kConsole, LogLevel::kWarning);
  int made = 0;
  const auto value = [&] { return ++made; };
  PR_LOG(kInfo, "quiet", {"value", value()});
  EXPECT_FALSE(LogEnabled(LogLevel::kInfo));
  EXPECT_TRUE(LogEnabled(LogLevel::kError));
  PR_LOG(kError, "loud", {"value", value()});
  EXPECT_EQ(made, 1);
  EXPECT_THAT(captured.Take(), ::testing::Not(HasSubstr("quiet")));
}

TEST(LogTest, AMaskedNumberShowsItsLastTwoDigits) {
  struct Case {
    const char* number;
    const char* wants;
  };
  const Case cases[] = {{"+15551234567", "+*********67"}, {"12345", "***45"}, {"+123", "+*23"},
                        {"POSTRIDER", "*******ER"},       {"12", "12"},       {"", ""}};
  for (const Case& c : cases) EXPECT_EQ(MaskedNumber(c.number), c.wants);
}

}  // namespace
}  // namespace postrider
