#include "server/policy/content.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "server/policy/links.h"

namespace postrider {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

std::vector<std::string> HostsOf(std::string_view text) {
  std::vector<std::string> hosts;
  for (const Link& link : LinksOf(text)) hosts.push_back(link.host);
  return hosts;
}

std::vector<std::string> RulesOf(std::string_view text, const Campaign& campaign) {
  std::vector<std::string> rules;
  for (const ContentFinding& finding : CheckContent(text, campaign, {})) {
    rules.push_back(finding.rule);
  }
  return rules;
}

TEST(LinksTest, FindsWhatAPhoneWouldShowAsALink) {
  struct Case {
    const char* text;
    std::vector<std::string> hosts;
  };
  const Case cases[] = {
      {"Pay at https://Pay.Example.com/a?b=c now", {"pay.example.com"}},
      {"Pay at www.example.museum.", {"www.example.museum"}},
      {"Pay at example.com.", {"example.com"}},
      {"(example.com)", {"example.com"}},
      {"see bit.ly/3xY", {"bit.ly"}},
      {"see clinic.example/visit", {"clinic.example"}},
      {"HTTP://localhost:8080/x", {"localhost"}},
      {"https://a.com https://b.org", {"a.com", "b.org"}},
      {"https://a.com/https://b.org", {"a.com"}},
      {"https://bücher.de", {"bücher.de"}},
      {"https://good.example@evil.example/x", {"evil.example"}},
      {"https://good.example:x@bit.ly/abc", {"bit.ly"}},
      {"https://good.example:8443/x", {"good.example"}},
      {"👉bit.ly/abc", {"bit.ly"}},
      {"“example.com”", {"example.com"}},
      {"Mail to help@example.com", {}},
      {"At 9.30, room 4.2", {}},
      {"Come.Bring your card", {}},
      {"e.g. this one...", {}},
      {"Dr.Smith is at 1.5 km", {}},
      {"", {}},
  };
  for (const Case& c : cases) EXPECT_EQ(HostsOf(c.text), c.hosts) << c.text;
}

TEST(LinksTest, SaysWhereALinkIs) {
  const std::string text = "Pay: https://a.com/x?y now";
  const std::vector<Link> links = LinksOf(text);
  ASSERT_EQ(links.size(), 1U);
  EXPECT_EQ(text.substr(links[0].at, links[0].size), "https://a.com/x?y");
}

TEST(LinksTest, KnowsShortenersAndWhatIsBelowADomain) {
  EXPECT_TRUE(IsShortener("bit.ly"));
  EXPECT_TRUE(IsShortener("acme.bit.ly"));
  EXPECT_FALSE(IsShortener("rabbit.ly"));
  EXPECT_FALSE(IsShortener("example.com"));
  EXPECT_TRUE(IsBelow("pay.example.com", "example.com"));
  EXPECT_FALSE(IsBelow("badexample.com", "example.com"));
  EXPECT_FALSE(IsBelow("com", "example.com"));
}

TEST(ContentTest, ForbiddenWordsAreFoundAsWholeWordsInAnyCase) {
  Campaign campaign;
  campaign.forbidden_words = {"Loan", "act now", "größe", "$$$"};
  EXPECT_THAT(
      CheckContent("A LOAN for you: act NOW!", campaign, {}),
      ElementsAre(ContentFinding{"forbidden_word", 3, 4, "forbidden_words[0] of the campaign"},
                  ContentFinding{"forbidden_word", 17, 7, "forbidden_words[1] of the campaign"}));
  EXPECT_THAT(RulesOf("Sloan and loans, reloaned", campaign), IsEmpty());
  EXPECT_THAT(RulesOf("größe größen", campaign), ElementsAre("forbidden_word"));
  EXPECT_THAT(RulesOf("win$$$now", campaign), ElementsAre("forbidden_word"));
  EXPECT_THAT(RulesOf("🔥LOAN🔥", campaign), ElementsAre("forbidden_word"));
  EXPECT_THAT(RulesOf("a “loan”—now", campaign), ElementsAre("forbidden_word"));
}

TEST(ContentTest, APlaceIsCountedInCharacters) {
  Campaign campaign;
  campaign.forbidden_words = {"loan"};
  const auto findings = CheckContent("Grüße 🙂 loan", campaign, {});
  ASSERT_EQ(findings.size(), 1U);
  EXPECT_EQ(findings[0].at, 9U);
}

TEST(ContentTest, LinksAreHeldToTheCampaign) {
  Campaign campaign;
  EXPECT_THAT(RulesOf("see example.com", campaign), IsEmpty());
  EXPECT_THAT(RulesOf("see bit.ly/x", campaign), ElementsAre("shortener"));
  campaign.shorteners = true;
  EXPECT_THAT(RulesOf("see bit.ly/x", campaign), IsEmpty());
  campaign.links = LinkRule::kNone;
  EXPECT_THAT(RulesOf("see example.com", campaign), ElementsAre("link"));
  campaign.links = LinkRule::kListed;
  campaign.link_hosts = {"Example.com"};
  EXPECT_THAT(RulesOf("see pay.example.com/a or https://evil.com", campaign), ElementsAre("link"));
}

TEST(ContentTest, ATextMustBeOneOfTheTemplates) {
  Campaign campaign;
  campaign.templates = {"visit"};
  const auto visit = ParsedTemplate::Parse("Your visit is at {time}.");
  ASSERT_TRUE(visit.ok()) << visit.status();
  EXPECT_THAT(CheckContent("Your visit is at 9:30.", campaign, {*visit}), IsEmpty());
  EXPECT_THAT(CheckContent("Your visit is at .", campaign, {*visit}),
              ElementsAre(ContentFinding{"template", 0, 0,
                                         "the text is none of the campaign's templates"}));
}

TEST(ContentTest, FindingsAreBounded) {
  Campaign campaign;
  campaign.forbidden_words = {"a"};
  std::string text;
  for (int i = 0; i < 300; ++i) text += "a ";
  EXPECT_EQ(CheckContent(text, campaign, {}).size(), 20U);
}

}  // namespace
}  // namespace postrider
