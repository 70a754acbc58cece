#include "client/cli/yaml_message.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "postrider/v1/setup.pb.h"

namespace postrider::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

std::vector<std::string> ProblemsOf(const std::string& text) {
  v1::TenantSetup setup;
  return ReadYaml(text, "t.yaml", setup);
}

TEST(YamlMessageTest, EveryKindOfFieldIsRead) {
  v1::TenantSetup setup;
  EXPECT_THAT(ReadYaml("campaign_required: true\n"
                       "senders:\n"
                       "  - address: \"+15559876543\"\n"
                       "    segments_per_s: 2.5\n"
                       "campaigns:\n"
                       "  - campaign_id: spring\n"
                       "    campaign_class: marketing\n"
                       "    active: false\n"
                       "    active_until: 2026-03-01T09:00:00+01:00\n"
                       "    daily_cap: 1000\n"
                       "    forbidden_words: [loan, act now]\n"
                       "    links: LINK_RULE_NONE\n"
                       "templates:\n",
                       "t.yaml", setup),
              IsEmpty());
  EXPECT_TRUE(setup.campaign_required());
  EXPECT_EQ(setup.senders().senders(0).address(), "+15559876543");
  EXPECT_EQ(setup.senders().senders(0).segments_per_s(), 2.5);
  const v1::CampaignSetup& spring = setup.campaigns().campaigns(0);
  EXPECT_EQ(spring.campaign_class(), v1::CAMPAIGN_CLASS_MARKETING);
  EXPECT_TRUE(spring.has_active());
  EXPECT_FALSE(spring.active());
  EXPECT_EQ(spring.active_until().seconds(), 1'772'352'000);
  EXPECT_EQ(spring.daily_cap(), 1000);
  EXPECT_THAT(spring.forbidden_words(), ElementsAre("loan", "act now"));
  EXPECT_EQ(spring.links(), v1::LINK_RULE_NONE);
  EXPECT_TRUE(setup.has_templates()) << "a section with nothing in it is set";
  EXPECT_FALSE(setup.has_destinations());
}

TEST(YamlMessageTest, ATimeSpanHasItsUnit) {
  const std::pair<const char*, std::int64_t> spans[] = {
      {"90s", 90}, {"30m", 1800}, {"24h", 86400}, {"7d", 604800}, {"0s", 0}};
  for (const auto& [text, seconds] : spans) {
    v1::TenantSetup setup;
    EXPECT_THAT(ReadYaml(std::string("compliance_check:\n  verdicts_expire_after: ") + text +
                             "\n  checks_per_minute: 5\n  when_unavailable: allow\n",
                         "t.yaml", setup),
                IsEmpty());
    EXPECT_EQ(setup.compliance_check().verdicts_expire_after().seconds(), seconds) << text;
    EXPECT_EQ(setup.compliance_check().checks_per_minute(), 5);
    EXPECT_EQ(setup.compliance_check().when_unavailable(), v1::WHEN_UNAVAILABLE_ALLOW);
  }
  for (const char* text :
       {"24", "h", "-1h", "1.5h", "1 h", "24H", "99999999999999999999s", "[1h]"}) {
    EXPECT_THAT(
        ProblemsOf(std::string("compliance_check:\n  verdicts_expire_after: ") + text + "\n"),
        ElementsAre("t.yaml:2:26: compliance_check.verdicts_expire_after: must be a time span, "
                    "such as 90s, 30m, 24h or 7d"))
        << text;
  }
  v1::TenantSetup none;
  EXPECT_THAT(ReadYaml("compliance_check: {}\n", "t.yaml", none), IsEmpty());
  EXPECT_TRUE(none.has_compliance_check()) << "which ends the check";
}

TEST(YamlMessageTest, WhereAKeyStandsIsFoundByNumberNameOrWhatItIsAPartOf) {
  v1::TenantSetup setup;
  YamlPlaces places;
  EXPECT_THAT(ReadYaml("campaigns:\n"
                       "  - campaign_id: v1.5\n"
                       "    daily_cap: -5\n"
                       "    forbidden_words: [loan, \"\"]\n"
                       "  - daily_cap: 3\n",
                       "t.yaml", setup, &places),
              IsEmpty());
  EXPECT_EQ(places.Of("campaigns[0].daily_cap"), "t.yaml:3:5");
  EXPECT_EQ(places.Of("campaigns[v1.5].daily_cap"), "t.yaml:3:5");
  EXPECT_EQ(places.Of("campaigns[v1.5].forbidden_words[1]"), "t.yaml:4:29");
  EXPECT_EQ(places.Of("campaigns[v1.5].opt_out_text"), "t.yaml:2:5") << "which is not there";
  EXPECT_EQ(places.Of("campaigns[]"), "t.yaml:5:5");
  EXPECT_EQ(places.Of("campaigns[v1]"), "t.yaml:1:1");
  EXPECT_EQ(places.Of("templates[v1].text"), "");
}

TEST(YamlMessageTest, WhatIsNoUtf8IsToldWithItsLine) {
  EXPECT_THAT(ProblemsOf("campaigns:\n  - campaign_id: \"Arr\xeat\"\n"),
              ElementsAre("t.yaml:2:1: is not UTF-8"));
}

TEST(YamlMessageTest, WhatIsWrongIsNamedByLineAndKey) {
  EXPECT_THAT(ProblemsOf("campaigns:\n"
                         "  - campaign_id: spring\n"
                         "    dayly_cap: 3\n"
                         "    daily_cap: many\n"
                         "    campaign_class: loud\n"
                         "    active_from: tomorrow\n"
                         "    templates: visit\n"
                         "    active: yes\n"
                         "    opt_out_text: [a]\n"),
              ElementsAre("t.yaml:3:5: campaigns[0].dayly_cap: there is no such key; did you mean "
                          "daily_cap?",
                          "t.yaml:4:16: campaigns[0].daily_cap: must be a whole number",
                          "t.yaml:5:21: campaigns[0].campaign_class: must be one of TRANSACTIONAL, "
                          "MARKETING, ONE_TIME_CODE",
                          "t.yaml:6:18: campaigns[0].active_from: must be a time, such as "
                          "2026-03-01T09:00:00Z",
                          "t.yaml:7:16: campaigns[0].templates: must be a list, with lines as "
                          "\"- ...\"",
                          "t.yaml:8:13: campaigns[0].active: must be true or false",
                          "t.yaml:9:19: campaigns[0].opt_out_text: must be one value"));
}

TEST(YamlMessageTest, WhatIsNoMapIsSaidSo) {
  EXPECT_THAT(ProblemsOf("- a\n"),
              ElementsAre("t.yaml:1:1: must be a map, with lines as \"key: value\""));
  EXPECT_THAT(ProblemsOf("a: [\n").size(), 1U);
  EXPECT_THAT(ProblemsOf("").size(), 1U);
  EXPECT_THAT(ProblemsOf("templates: []\n---\ntemplates: []\n").size(), 1U);
  EXPECT_THAT(ProblemsOf("templates: []\ntemplates: []\n"),
              ElementsAre("t.yaml:2:1: templates: is there twice"));
  EXPECT_THAT(ProblemsOf("templates:\n  name: x\n"),
              ElementsAre("t.yaml:2:3: templates: must be a list, with lines as \"- ...\""));
}

}  // namespace
}  // namespace postrider::cli
