#include "server/policy/setup_rules.h"

#include <functional>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace postrider {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

TenantSetup Good() {
  Campaign spring{.campaign_id = "spring"};
  spring.campaign_class = CampaignClass::kMarketing;
  spring.active_from = WallTime(std::chrono::hours(1));
  spring.active_until = WallTime(std::chrono::hours(2));
  spring.daily_cap = 100;
  spring.templates = {"offer", "offer-2"};
  spring.forbidden_words = {"loan"};
  spring.links = LinkRule::kListed;
  spring.link_hosts = {"example.com"};
  spring.opt_out_text = "Reply STOP to end";
  TenantSetup setup;
  setup.campaign_required = true;
  setup.senders = {{.address = "+15559876543", .segments_per_s = 2, .ten_dlc_campaign = "C1"}};
  setup.campaigns = {spring, {.campaign_id = "codes"}};
  setup.templates = {{"offer", "Hi {name}: example.com/{code} reply stop to end"},
                     {"offer-2", "Still on, {name}"}};
  setup.destinations = {{"+1", std::nullopt}, {"+4420", 50}};
  return setup;
}

TEST(SetupRulesTest, AGoodSetupHasNothingWrong) {
  EXPECT_THAT(CheckSetup(Good()), IsEmpty());
  EXPECT_THAT(CheckSetup({}), IsEmpty());
}

TEST(SetupRulesTest, WhatIsWrongIsNamedByItsPath) {
  struct Case {
    std::function<void(TenantSetup&)> change;
    const char* path;
    const char* why;
  };
  const auto spring = [](TenantSetup& setup) -> Campaign& { return setup.campaigns->front(); };
  const Case cases[] = {
      {[](auto& s) { s.senders->front().address = "+1 555"; }, "senders[+1 555]", "must be E.164"},
      {[](auto& s) { s.senders->front().segments_per_s = 0; },
       "senders[+15559876543].segments_per_s", "0.001 to"},
      {[](auto& s) { s.senders->push_back(s.senders->front()); }, "senders[+15559876543]",
       "is there twice"},
      {[](auto& s) { s.campaigns->push_back({.campaign_id = "codes"}); }, "campaigns[codes]",
       "is there twice"},
      {[](auto& s) { s.campaigns->push_back({.campaign_id = "a b"}); }, "campaigns[a b]",
       "its campaign_id"},
      {[&](auto& s) { spring(s).active_until = spring(s).active_from; },
       "campaigns[spring].active_until", "after active_from"},
      {[&](auto& s) { spring(s).daily_cap = 0; }, "campaigns[spring].daily_cap", "1 at least"},
      {[&](auto& s) { spring(s).templates.push_back("autumn"); }, "campaigns[spring].templates[2]",
       "there is no template autumn"},
      {[&](auto& s) { spring(s).forbidden_words = {""}; }, "campaigns[spring].forbidden_words[0]",
       "1 to 64"},
      {[&](auto& s) { spring(s).link_hosts = {"https://example.com", "example.com"}; },
       "campaigns[spring].link_hosts[0]", "without scheme"},
      {[&](auto& s) { spring(s).links = LinkRule::kAny; }, "campaigns[spring].link_hosts",
       "says nothing"},
      {[&](auto& s) { spring(s).opt_out_text = ""; }, "campaigns[spring].opt_out_text",
       "is required of MARKETING"},
      {[&](auto& s) { spring(s).opt_out_text = " \n"; }, "campaigns[spring].opt_out_text",
       "not blank"},
      {[&](auto& s) { spring(s).opt_out_text = "Text QUIT"; }, "campaigns[spring].opt_out_text",
       "no conversation could begin"},
      {[&](auto& s) { spring(s).forbidden_words = {"still"}; }, "campaigns[spring].templates[1]",
       "own rule forbidden_word at character 1"},
      {[](auto& s) { s.templates->front().text = "Hi {name"; }, "templates[offer].text",
       "character 4"},
      {[](auto& s) { s.templates->front().text = ""; }, "templates[offer].text", "1 to 765"},
      {[](auto& s) { s.destinations->front().prefix = "1"; }, "destinations[1]", "first digits"},
      {[](auto& s) { s.destinations->front().prefix = "+"; }, "destinations[+]", "first digits"},
      {[](auto& s) { s.destinations->front().daily_cap = -1; }, "destinations[+1].daily_cap",
       "1 at least"},
  };
  for (const Case& c : cases) {
    TenantSetup setup = Good();
    c.change(setup);
    const std::vector<SetupViolation> found = CheckSetup(setup);
    ASSERT_FALSE(found.empty()) << c.path;
    EXPECT_EQ(found[0].path, c.path);
    EXPECT_THAT(found[0].why, HasSubstr(c.why)) << c.path;
  }
}

TEST(SetupRulesTest, ListsThatDifferAreAChange) {
  TenantSetup one = Good();
  TenantSetup two = Good();
  one.campaigns->front().forbidden_words = {"loan, credit"};
  two.campaigns->front().forbidden_words = {"loan", "credit"};
  EXPECT_THAT(ChangesBetween(one, two),
              ElementsAre(SetupChange{"campaigns[spring].forbidden_words", "\"loan, credit\"",
                                      "loan, credit"}));
}

TEST(SetupRulesTest, ASenderThatIsNotActiveAnyMoreTakesNoPlace) {
  TenantSetup stored = Good();
  for (int i = 0; i < 1000; ++i) stored.senders->push_back({.address = std::to_string(100000 + i)});
  TenantSetup given;
  given.senders = {{.address = "12345"}};
  EXPECT_THAT(CheckSetup(WithSections(stored, given)), IsEmpty());
}

TEST(SetupRulesTest, EverythingIsToldAtOnce) {
  TenantSetup setup = Good();
  setup.campaigns->front().daily_cap = 0;
  setup.destinations->front().prefix = "";
  setup.senders->front().address = "";
  EXPECT_EQ(CheckSetup(setup).size(), 3U);
}

TEST(SetupRulesTest, TheAnswerToAnOptOutIsOneSegmentOrNone) {
  const struct {
    const char* name;
    std::string text;
    bool fine;
  } cases[] = {{"none", "", true},
               {"160 of GSM-7", std::string(160, 'a'), true},
               {"161 of GSM-7", std::string(161, 'a'), false},
               {"70 of UCS-2", "\u4f60" + std::string(69, 'a'), true},
               {"71 of UCS-2", "\u4f60" + std::string(70, 'a'), false},
               {"with NUL", std::string("a\0b", 3), false},
               {"no UTF-8", "\xff", false}};
  for (const auto& c : cases) {
    TenantSetup setup;
    setup.opt_out_confirmation = c.text;
    const std::vector<SetupViolation> found = CheckSetup(setup);
    EXPECT_EQ(found.empty(), c.fine) << c.name;
    if (!found.empty()) {
      EXPECT_EQ(found[0].path, "opt_out_confirmation") << c.name;
    }
  }
  TenantSetup before;
  before.opt_out_confirmation = "";
  TenantSetup given;
  EXPECT_EQ(WithSections(before, given).opt_out_confirmation, "");
  given.opt_out_confirmation = "No more.";
  EXPECT_THAT(ChangesBetween(before, WithSections(before, given)),
              ElementsAre(SetupChange{"opt_out_confirmation", "", "No more."}));
}

TEST(SetupRulesTest, SectionsThatAreNotGivenStay) {
  TenantSetup given;
  given.templates = std::vector<MessageTemplate>();
  const TenantSetup merged = WithSections(Good(), given);
  EXPECT_THAT(*merged.templates, IsEmpty());
  EXPECT_EQ(merged.campaigns, Good().campaigns);
  EXPECT_EQ(merged.senders, Good().senders);
  EXPECT_EQ(merged.campaign_required, true);
  EXPECT_EQ(merged.plain_punctuation, std::nullopt);
  given.plain_punctuation = true;
  EXPECT_THAT(ChangesBetween(merged, WithSections(merged, given)),
              ElementsAre(SetupChange{"plain_punctuation", "", "true"}));
}

TEST(SetupRulesTest, ASenderThatIsLeftOutIsNotActiveAnyMore) {
  TenantSetup given;
  given.senders = {{.address = "12345"}};
  EXPECT_THAT(ChangesBetween(Good(), WithSections(Good(), given)),
              ElementsAre(SetupChange{"senders[+15559876543].active", "true", "false"},
                          SetupChange{"senders[12345].active", "", "true"}));
}

TEST(SetupRulesTest, AChangeIsShownByItsPath) {
  TenantSetup after = Good();
  after.campaigns->front().daily_cap = 200;
  after.campaigns->pop_back();
  after.templates->back().text = "Over, {name}";
  EXPECT_THAT(
      ChangesBetween(Good(), after),
      ElementsAre(SetupChange{"campaigns[codes].active", "true", ""},
                  SetupChange{"campaigns[codes].campaign_class", "TRANSACTIONAL", ""},
                  SetupChange{"campaigns[codes].links", "ANY", ""},
                  SetupChange{"campaigns[codes].shorteners", "false", ""},
                  SetupChange{"campaigns[spring].daily_cap", "100", "200"},
                  SetupChange{"templates[offer-2].text", "Still on, {name}", "Over, {name}"}));
  EXPECT_THAT(ChangesBetween(Good(), Good()), IsEmpty());
}

}  // namespace
}  // namespace postrider
