#include "server/policy/keywords.h"

#include <string>

#include <gtest/gtest.h>

namespace postrider {
namespace {

TEST(KeywordOfTest, AWordAloneInAnyCaseAndPadding) {
  struct Case {
    const char* text;
    Keyword keyword;
  };
  const Case cases[] = {
      {"STOP", Keyword::kOptOut},
      {"stop", Keyword::kOptOut},
      {"Stop.", Keyword::kOptOut},
      {"  STOP \r\n", Keyword::kOptOut},
      {"\"Stop!\"", Keyword::kOptOut},
      {"\u201cSTOP\u201d", Keyword::kOptOut},
      {"\u00a0stop\u200b\ufeff", Keyword::kOptOut},
      {"\u00a1STOP!", Keyword::kOptOut},
      {"STOPALL", Keyword::kOptOut},
      {"stop all", Keyword::kOptOut},
      {"UNSUBSCRIBE", Keyword::kOptOut},
      {"cancel", Keyword::kOptOut},
      {"End", Keyword::kOptOut},
      {"quit", Keyword::kOptOut},
      {"Revoke", Keyword::kOptOut},
      {"OptOut", Keyword::kOptOut},
      {"OPT OUT", Keyword::kOptOut},
      {"opt \t out", Keyword::kOptOut},
      {"opt-out", Keyword::kOptOut},
      {"START", Keyword::kOptIn},
      {"yes", Keyword::kOptIn},
      {"Unstop", Keyword::kOptIn},
      {"HELP", Keyword::kHelp},
      {"info?", Keyword::kHelp},
  };
  for (const Case& c : cases) EXPECT_EQ(KeywordOf(c.text), c.keyword) << c.text;
}

TEST(KeywordOfTest, ASentenceIsNone) {
  const std::string endless(100'000, ' ');
  const std::string cases[] = {"",
                               " ",
                               "...",
                               "\u00a0",
                               "please stop",
                               "stop it",
                               "STOP 2",
                               "2",
                               "nonstop",
                               "stops",
                               "s top",
                               "st\u00f6p",
                               "don't stop",
                               "yes please",
                               "canceled",
                               "\xff",
                               "stop\xff",
                               "A sentence that goes on for longer than any keyword does",
                               endless,
                               "stop" + endless + "please",
                               "opt  -out"};
  for (const std::string& text : cases) EXPECT_EQ(KeywordOf(text), Keyword::kNone) << text;
  EXPECT_EQ(KeywordOf(endless + "stop" + endless), Keyword::kOptOut);
}

TEST(KeywordOfTest, EveryKeywordHasAName) {
  for (const Keyword keyword :
       {Keyword::kNone, Keyword::kOptOut, Keyword::kOptIn, Keyword::kHelp}) {
    EXPECT_NE(NameOf(keyword), "");
  }
}

}  // namespace
}  // namespace postrider
