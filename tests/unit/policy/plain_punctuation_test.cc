#include "server/policy/plain_punctuation.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "server/policy/segments.h"

namespace postrider {
namespace {

using ::testing::HasSubstr;

TEST(PlainPunctuationTest, EachSignHasItsPlainOne) {
  const struct {
    const char* text;
    const char* plain;
  } cases[] = {
      {"It\u2019s \u201cnow\u201d, \u2018not\u2019 later", "It's \"now\", 'not' later"},
      {"\u201eja\u201c \u201anein\u2018 \u00aboui\u00bb \u2039non\u203a",
       "\"ja\" 'nein' \"oui\" 'non'"},
      {"9\u201311 \u2014 5\u22122 co\u2010op x\u2011y", "9-11 - 5-2 co-op x-y"},
      {"wait\u2026", "wait..."},
      {"\u2022 one\n\u25cf two\n\u2043 three", "- one\n- two\n- three"},
      {"10\u00a0AM\u202fat\u2009five\u3000o'clock\there", "10 AM at five o'clock here"},
      {"zero\u200bwidth, so\u00adft, \ufeffmark", "zerowidth, soft, mark"},
      {"5\u2032 3\u2033 `x\u00b4", "5' 3\" 'x'"},
      {"line\u2028paragraph\u2029end", "line\nparagraph\nend"},
  };
  for (const auto& c : cases) EXPECT_EQ(WithPlainPunctuation(c.text), c.plain);
}

TEST(PlainPunctuationTest, WhatSaysSomethingElseStays) {
  // Letters, fractions, currencies, and what GSM-7 has: ¿ ¡ § € among them.
  for (const char* text :
       {"caf\u00e9 \u00e7a", "\u0416 \u6f22 \u00bd \u20b9 \u2122 \u00a9",
        "\u00bf\u00a1\u00a7\u20ac^{}[]~|\\\f\r\n", "col\u00b7legi", "\U0001f600", ""}) {
    EXPECT_EQ(WithPlainPunctuation(text), text);
    EXPECT_FALSE(PlainTextOf(text)) << text;
  }
}

TEST(PlainPunctuationTest, EachCharacterIsFoundInTheTextAsItWas) {
  // "It's... so"
  EXPECT_THAT(PlacesOfPlain("It\u2019s\u2026\u200b s\u00f6"),
              ::testing::ElementsAre(1, 2, 3, 4, 5, 5, 5, 7, 8, 9));
}

TEST(PlainPunctuationTest, DoingItAgainChangesNothing) {
  for (char32_t c = 1; c < 0x11000; ++c) {
    if (c >= 0xd800 && c <= 0xdfff) continue;
    std::string text;
    if (c < 0x80) {
      text = {static_cast<char>(c)};
    } else if (c < 0x800) {
      text = {static_cast<char>(0xc0 | c >> 6), static_cast<char>(0x80 | (c & 0x3f))};
    } else if (c < 0x10000) {
      text = {static_cast<char>(0xe0 | c >> 12), static_cast<char>(0x80 | (c >> 6 & 0x3f)),
              static_cast<char>(0x80 | (c & 0x3f))};
    } else {
      text = {static_cast<char>(0xf0 | c >> 18), static_cast<char>(0x80 | (c >> 12 & 0x3f)),
              static_cast<char>(0x80 | (c >> 6 & 0x3f)), static_cast<char>(0x80 | (c & 0x3f))};
    }
    const std::string plain = WithPlainPunctuation(text);
    EXPECT_EQ(WithPlainPunctuation(plain), plain) << std::hex << static_cast<unsigned>(c);
    if (plain == text) continue;
    // Only what makes a text UCS-2 is replaced, and by nothing that does.
    EXPECT_EQ(SegmentsOf(text).encoding, TextEncoding::kUcs2)
        << std::hex << static_cast<unsigned>(c);
    EXPECT_EQ(SegmentsOf(plain).encoding, TextEncoding::kGsm7)
        << std::hex << static_cast<unsigned>(c);
  }
}

TEST(PlainPunctuationTest, ATextIsReplacedWhenAllOfItIsGsm7Then) {
  const auto replaced = PlainTextOf("It\u2019s Ann\u2019s \u2013 now");
  ASSERT_TRUE(replaced);
  EXPECT_EQ(replaced->text, "It's Ann's - now");
  EXPECT_EQ(
      replaced->warning,
      "typographic signs were replaced by plain ones: EN DASH, RIGHT SINGLE QUOTATION MARK (2)");

  const auto stays = PlainTextOf("It\u2019s \u0416");
  ASSERT_TRUE(stays);
  EXPECT_EQ(stays->text, "It\u2019s \u0416");
  EXPECT_EQ(
      stays->warning,
      "typographic signs stay as they are (RIGHT SINGLE QUOTATION MARK): character \"\u0416\" "
      "(U+0416) at position 6 makes the whole text UCS-2");
}

TEST(PlainPunctuationTest, ATextStaysWhenNothingIsWonOrItIsTooLong) {
  const auto times = [](int count, const std::string& text) {
    std::string all;
    for (int i = 0; i < count; ++i) all += text;
    return all;
  };
  const struct {
    std::string text;
    const char* why;
  } cases[] = {
      {times(70, "\u2026"), "it would take 2 segments in place of 1"},
      {times(764, "a") + "\u2026", "it would have more than 765 characters"},
      {"\u200b", "nothing would be left"},
  };
  for (const auto& c : cases) {
    const auto plain = PlainTextOf(c.text);
    ASSERT_TRUE(plain);
    EXPECT_EQ(plain->text, c.text);
    EXPECT_THAT(plain->warning, HasSubstr(c.why));
  }
  EXPECT_EQ(PlainTextOf(times(762, "a") + "\u2026")->text, times(762, "a") + "...");
}

}  // namespace
}  // namespace postrider
