#include "client/cli/consent_file.h"

#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "server/base/strings.h"

namespace postrider::cli {
namespace {

using ::testing::HasSubstr;

absl::StatusOr<std::vector<v1::Consent>> Read(const std::string& text, std::size_t most = 10) {
  std::istringstream in(text);
  ConsentFile file(in);
  if (const absl::Status header = file.ReadHeader(); !header.ok()) return header;
  return file.Next(most);
}

TEST(ConsentFileTest, AnEmptyChangeIsAnOptOut) {
  const auto read = Read(
      "sender,recipient,change,said_at\n"
      "+15559990001,+15550000001,,\n"
      ",+15550000002,opt-in,2026-01-01T00:00:00Z\n");
  ASSERT_TRUE(read.ok()) << read.status();
  ASSERT_EQ(read->size(), 2U);
  EXPECT_EQ((*read)[0].change(), v1::CONSENT_CHANGE_OPT_OUT);
  EXPECT_EQ((*read)[0].sender(), "+15559990001");
  EXPECT_FALSE((*read)[0].has_said_at());
  EXPECT_EQ((*read)[1].change(), v1::CONSENT_CHANGE_OPT_IN);
  EXPECT_EQ((*read)[1].said_at().seconds(), 1'767'225'600);
}

TEST(ConsentFileTest, WhatIsWrongIsNamedWithItsLine) {
  const struct {
    const char* text;
    const char* says;
  } cases[] = {
      {"", "the file is empty"},
      {"number\n", "column 'number'"},
      {"recipient,recipient\n", "there twice"},
      {"sender\n", "no column 'recipient'"},
      {"recipient,change\n+1,opt-out\n+1,maybe\n", "line 3: change: 'maybe'"},
      {"recipient,said_at\n+1,yesterday\n", "line 2: said_at: 'yesterday'"},
      {"recipient,sender\n+1\n", "line 2: has 1 fields"},
      {"recipient\n\"+1\n", "line 2: "},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.text);
    const auto read = Read(c.text);
    ASSERT_FALSE(read.ok());
    EXPECT_THAT(std::string(read.status().message()), HasSubstr(c.says));
  }
}

TEST(ConsentFileTest, TheSameConsentsHaveTheSameIdAndOthersAnother) {
  const auto one = Read("recipient,evidence\n+1,a\n+2,b\n");
  const auto same = Read("evidence,recipient\na,+1\nb,+2\n");
  const auto other = Read("recipient,evidence\n+1,a\n+2,c\n");
  EXPECT_EQ(ImportIdOf(*one), ImportIdOf(*same));
  EXPECT_NE(ImportIdOf(*one), ImportIdOf(*other));
  EXPECT_LE(ImportIdOf(*one).size(), 64U);
}

TEST(ConsentFileTest, AFileIsReadInParts) {
  std::istringstream in("recipient\n+1\n+2\n+3\n");
  ConsentFile file(in);
  ASSERT_TRUE(file.ReadHeader().ok());
  EXPECT_EQ(file.Next(2)->size(), 2U);
  EXPECT_EQ(file.Next(2)->size(), 1U);
  EXPECT_TRUE(file.Next(2)->empty());
}

}  // namespace
}  // namespace postrider::cli
