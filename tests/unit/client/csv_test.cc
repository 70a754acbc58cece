#include "client/cli/csv.h"

#include <sstream>

#include <gtest/gtest.h>

#include "server/base/strings.h"

namespace postrider::cli {
namespace {

/// Every record as "LINE:field|field" or "LINE!error".
std::vector<std::string> ReadAll(const std::string& text) {
  std::istringstream in(text);
  LineReader lines(in);
  CsvReader csv(lines);
  std::vector<std::string> records;
  while (const auto record = csv.Next()) {
    std::string shown = StrCat(record->line);
    if (!record->fields.ok()) {
      records.push_back(StrCat(shown, "!", ToStd(record->fields.status().message())));
      continue;
    }
    char separator = ':';
    for (const std::string& field : *record->fields) {
      shown += separator;
      shown += field;
      separator = '|';
    }
    records.push_back(shown);
  }
  return records;
}

TEST(CsvReaderTest, Table) {
  using Records = std::vector<std::string>;
  struct Case {
    const char* name;
    std::string text;
    Records records;
  };
  const Case cases[] = {
      {"nothing", "", {}},
      {"plain", "a,b\nc,d\n", {"1:a|b", "2:c|d"}},
      {"no line end at the end", "a,b\nc,d", {"1:a|b", "2:c|d"}},
      {"CRLF", "a,b\r\nc,d\r\n", {"1:a|b", "2:c|d"}},
      {"a byte order mark",
       "\xEF\xBB\xBF"
       "a,b\n",
       {"1:a|b"}},
      {"empty lines are skipped and counted", "a\n\n\r\nb\n", {"1:a", "4:b"}},
      {"empty fields", ",\n\"\",x\n", {"1:|", "2:|x"}},
      {"commas and quotes in quotes", "\"a,b\",\"say \"\"hi\"\"\"\n", {"1:a,b|say \"hi\""}},
      {"line ends in quotes", "\"a\nb\",c\nd,e\n", {"1:a\nb|c", "3:d|e"}},
      {"CRLF in quotes is kept", "\"a\r\nb\",c\r\n", {"1:a\r\nb|c"}},
      {"an empty line in quotes", "\"a\n\nb\"\nc\n", {"1:a\n\nb", "4:c"}},
      {"space belongs to the field", " a , b \n", {"1: a | b "}},
      {"a quote inside an unquoted field",
       "a\"b\"c,d\ne,f\n",
       {"1!field 1: a quote in a field that does not begin with one", "2:e|f"}},
      {"text after a closing quote",
       "x,\"a\"b\ne,f\n",
       {"1!field 2: text after the closing quote", "2:e|f"}},
      {"a quote that is never closed costs its line only",
       "a,\"b\nc,d\ne,f\n",
       {"1!a quoted field is not closed", "2:c|d", "3:e|f"}},
      {"an unclosed quote that meets another",
       "a,\"b\nc,\"d\"\ne,f\n",
       {"1!field 2: text after the closing quote", "2:c|d", "3:e|f"}},
      {"the lines after the first of a bad record are records",
       "\"a\nb\"x\nc,d\n",
       {"1!field 1: text after the closing quote",
        "2!field 1: a quote in a field that does not begin with one", "3:c|d"}},
      {"a NUL is left to the field", std::string("a\0b,c\n", 6), {std::string("1:a\0b|c", 7)}},
  };
  for (const Case& c : cases) EXPECT_EQ(ReadAll(c.text), c.records) << c.name;
}

TEST(CsvReaderTest, ALineThatIsTooLongCostsOnlyItself) {
  const std::string text = StrCat("a,b\n", std::string(3 * kMaxLineBytes, 'x'), ",y\nc,d\n");
  EXPECT_EQ(ReadAll(text),
            (std::vector<std::string>{"1:a|b", "2!the line is longer than 64 KiB", "3:c|d"}));
}

TEST(CsvReaderTest, AnOpenQuoteIsFollowedForABoundedWay) {
  std::string text = "a,\"b\n";
  for (int i = 0; i < 20000; ++i) text += "filler\n";
  const std::vector<std::string> records = ReadAll(text);
  ASSERT_EQ(records.size(), 20001U);
  EXPECT_EQ(records[0], "1!a quoted field is not closed");
  EXPECT_EQ(records[1], "2:filler");
  EXPECT_EQ(records[20000], "20001:filler");
}

TEST(LineReaderTest, CountsTheBytesItRead) {
  std::istringstream in("ab\nc");
  LineReader lines(in);
  EXPECT_EQ(lines.Next()->text, "ab");
  EXPECT_EQ(lines.bytes_read(), 3U);
  EXPECT_EQ(lines.Next()->text, "c");
  EXPECT_EQ(lines.bytes_read(), 4U);
  EXPECT_FALSE(lines.Next().has_value());
}

}  // namespace
}  // namespace postrider::cli
