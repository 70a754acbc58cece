#include "server/policy/segments.h"

#include <gtest/gtest.h>

#include "server/base/utf8.h"

namespace postrider {
namespace {

std::string Times(int count, const std::string& text) {
  std::string all;
  for (int i = 0; i < count; ++i) all += text;
  return all;
}

TEST(SegmentsTest, EncodingAndCountTable) {
  struct Case {
    const char* name;
    std::string text;
    TextEncoding encoding;
    int count;
  };
  const Case cases[] = {
      {"one letter", "a", TextEncoding::kGsm7, 1},
      {"160 letters are one segment", Times(160, "a"), TextEncoding::kGsm7, 1},
      {"161 are two", Times(161, "a"), TextEncoding::kGsm7, 2},
      {"2 x 153 are two", Times(306, "a"), TextEncoding::kGsm7, 2},
      {"one more is three", Times(307, "a"), TextEncoding::kGsm7, 3},
      {"5 x 153 are five", Times(765, "a"), TextEncoding::kGsm7, 5},
      {"a euro takes two", Times(80, "€"), TextEncoding::kGsm7, 1},
      {"81 euros are two segments", Times(81, "€"), TextEncoding::kGsm7, 2},
      {"an escaped character is not split", Times(152, "a") + "€" + Times(152, "a"),
       TextEncoding::kGsm7, 3},
      {"Greek capitals and umlauts are GSM-7", "ΔΦΓΛΩΠΨΣΘΞ äöüÄÖÜß ñÑ éèùìò àÅå",
       TextEncoding::kGsm7, 1},
      {"the extension table", "^{}\\[~]|", TextEncoding::kGsm7, 1},
      {"line ends", "a\r\nb", TextEncoding::kGsm7, 1},
      {"a backtick is not GSM-7", "`", TextEncoding::kUcs2, 1},
      {"a small c with cedilla is not GSM-7", "ç", TextEncoding::kUcs2, 1},
      {"a tab is not GSM-7", "a\tb", TextEncoding::kUcs2, 1},
      {"70 UCS-2 characters are one segment", Times(70, "я"), TextEncoding::kUcs2, 1},
      {"71 are two", Times(71, "я"), TextEncoding::kUcs2, 2},
      {"134 are two", Times(134, "я"), TextEncoding::kUcs2, 2},
      {"135 are three", Times(135, "я"), TextEncoding::kUcs2, 3},
      {"one curly quote turns 160 letters into three", Times(159, "a") + "’", TextEncoding::kUcs2,
       3},
      {"an emoji takes two units", Times(35, "😀"), TextEncoding::kUcs2, 1},
      {"36 emojis are two segments", Times(36, "😀"), TextEncoding::kUcs2, 2},
      {"a surrogate pair is not split", Times(66, "я") + "😀" + Times(66, "я"), TextEncoding::kUcs2,
       3},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    const Segments segments = SegmentsOf(c.text);
    EXPECT_EQ(segments.encoding, c.encoding);
    EXPECT_EQ(segments.count, c.count);
    EXPECT_EQ(segments.warnings.empty(), c.encoding == TextEncoding::kGsm7);
  }
}

TEST(SegmentsTest, TheWarningNamesTheFirstCulpritOnly) {
  EXPECT_EQ(SegmentsOf("it’s “me”").warnings,
            std::vector<std::string>{
                "character \"’\" (U+2019) at position 3 makes the whole text UCS-2"});
  EXPECT_EQ(SegmentsOf("a\tb").warnings,
            std::vector<std::string>{"character U+0009 at position 2 makes the whole text UCS-2"});
}

TEST(Utf8Test, OnlyWellFormedTextIsCounted) {
  struct Case {
    const char* name;
    std::string text;
    std::optional<std::size_t> characters;
  };
  const Case cases[] = {
      {"empty", "", 0},
      {"one to four bytes", "a\u00e9\u20ac\U0001f600", 4},
      {"the last code point", "\U0010ffff", 1},
      {"above the last", "\xf4\x90\x80\x80", std::nullopt},
      {"overlong slash", "\xc0\xaf", std::nullopt},
      {"overlong in three", "\xe0\x80\xaf", std::nullopt},
      {"a surrogate", "\xed\xa0\x80", std::nullopt},
      {"truncated", "a\xe2\x82", std::nullopt},
      {"a stray continuation", "\x80", std::nullopt},
      {"Latin-1", "caf\xe9 au lait", std::nullopt},
      {"0xff", "\xff", std::nullopt},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    EXPECT_EQ(CharactersOf(c.text), c.characters);
  }
}

}  // namespace
}  // namespace postrider
