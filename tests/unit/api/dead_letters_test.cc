#include "server/api/dead_letters.h"

#include <string>

#include <gtest/gtest.h>

#include "server/base/strings.h"
#include "server/model/limits.h"

namespace postrider {
namespace {

constexpr const char* kLetterId = "01891f2e-7b1c-7a3d-8f00-0123456789ab";

TEST(MaskedBodyTest, HidesTheDigitsOfNumbersAndNothingElse) {
  struct Case {
    std::string body;
    const char* shown;
  };
  const Case cases[] = {
      {"", ""},
      {R"({"from":"+15551234567"})", R"({"from":"+*********67"})"},
      {"15551234567", "*********67"},
      {"1234567", "*****67"},
      {"123456", "123456"},
      {"2023-10-27T14:32:15Z", "2023-10-27T14:32:15Z"},
      {"a1234567b7654321", "a*****67b*****21"},
      {"a\xff 15551234567", "a? *********67"},
      {"\xc3\xa4 15551234567", "\xc3\xa4 *********67"},
  };
  for (const Case& c : cases) EXPECT_EQ(MaskedBody(c.body), c.shown) << c.body;
}

TEST(DeadLetterPageTokenTest, ComesBackAsItWentOut) {
  DeadLetter letter;
  letter.at = WallTime{} + std::chrono::microseconds(1'698'417'135'000'123);
  letter.dead_letter_id = *DeadLetterId::Parse(kLetterId);
  const auto place = ParsePageToken(PageTokenOf(letter));
  ASSERT_TRUE(place.has_value());
  EXPECT_EQ(place->at, letter.at);
  EXPECT_EQ(place->dead_letter_id, letter.dead_letter_id);
  for (const std::string& token :
       {std::string("."), std::string("x"), StrCat("1.", "x"), StrCat(".", kLetterId),
        StrCat("0.", kLetterId), StrCat("-5.", kLetterId), StrCat("1 .", kLetterId, "x"),
        StrCat("4102444800000001.", kLetterId), StrCat("9223372036854775807.", kLetterId)}) {
    EXPECT_FALSE(ParsePageToken(token).has_value()) << token;
  }
}

TEST(DeadLetterChoiceTest, ViolationsAreToldByTheirFields) {
  FieldRules rules;
  v1::ReplayDeadLettersRequest request;
  request.mutable_filter()->set_reason("two words");
  request.mutable_filter()->mutable_since()->set_seconds(200);
  request.mutable_filter()->mutable_until()->set_seconds(100);
  request.add_dead_letter_ids(kLetterId);
  request.add_dead_letter_ids("7");
  const DeadLetterChoice choice = ChoiceOf(request, rules);
  EXPECT_EQ(choice.ids.size(), 1U);
  std::string fields;
  for (const auto& violation : rules.Take()) StrAppend(fields, violation.field, " ");
  EXPECT_EQ(fields, "filter.tenant filter.reason filter.until filter dead_letter_ids[1] ");

  v1::DiscardDeadLettersRequest many;
  many.mutable_filter()->set_tenant("acme");
  for (std::size_t i = 0; i <= kDeadLettersChanged; ++i) many.add_dead_letter_ids(kLetterId);
  FieldRules bound;
  ChoiceOf(many, bound);
  EXPECT_EQ(bound.Take().at(0).field, "dead_letter_ids");
}

}  // namespace
}  // namespace postrider
