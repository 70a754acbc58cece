#include "server/policy/content_fingerprint.h"

#include <functional>
#include <set>

#include <gtest/gtest.h>

#include "server/base/strings.h"

namespace postrider {
namespace {

const MessageTemplate kVisit{"visit", "Hi {name}, your visit is at {time}. See {link}"};
const MessageTemplate kCode{"code", "Your code is {code}."};

ContentFingerprint Of(std::string_view text) { return ContentFingerprintOf(text, {}); }
ContentFingerprint ByTemplate(std::string_view text) {
  return ContentFingerprintOf(text, {&kVisit, &kCode});
}

TEST(ContentFingerprintTest, TextsWithoutTemplateAreOneWhenOnlyNumbersAndPathsDiffer) {
  struct Case {
    const char* one;
    const char* other;
    bool same;
  };
  const Case cases[] = {
      {"Your code is 123456", "Your code is 9", true},
      {"Your code is 123456", "Your code is 12 34", false},
      {"Your code is 123456", "Your code is x", false},
      {"At 10:30 see https://clinic.example/a?t=1", "At 9:05 see https://clinic.example/b", true},
      {"See https://clinic.example/a", "See https://evil.example/a", false},
      {"See https://clinic.example/a", "See https://CLINIC.example/a", true},
      {"See clinic1.com/a", "See clinic2.com/a", false},
      {"Hi Ann", "Hi Bob", false},
      {"Hi Ann", "hi Ann", false},
      {"a 1", "a 1 1", false},
      {"See a.com b.com", "See b.com a.com", false},
      {"", "1", false},
  };
  for (const Case& c : cases) {
    EXPECT_EQ(Of(c.one) == Of(c.other), c.same) << c.one << " | " << c.other;
  }
  EXPECT_EQ(Of("Hi Ann").approval, Of("Hi Ann").text);
  EXPECT_EQ(Of("Hi Ann").approval.size(), 32U);
  EXPECT_EQ(Of("Hi Ann").template_name, "");
}

TEST(ContentFingerprintTest, AnApprovalIsOfTheTemplateWhateverIsInItsPlaces) {
  const ContentFingerprint ann = ByTemplate("Hi Ann, your visit is at 9:30. See clinic.com/ann");
  const ContentFingerprint bob = ByTemplate("Hi Bob, your visit is at noon. See clinic.com/b?x=1");
  EXPECT_EQ(ann.approval, bob.approval);
  EXPECT_EQ(ann.template_name, "visit");
  EXPECT_NE(ann.text, bob.text) << "a refusal is of the text alone";
  EXPECT_NE(ann.approval, ann.text);
}

TEST(ContentFingerprintTest, AnotherHostInAPlaceIsAnotherText) {
  const ContentFingerprint good = ByTemplate("Hi Ann, your visit is at 9. See clinic.com/ann");
  const ContentFingerprint evil = ByTemplate("Hi Ann, your visit is at 9. See evil.com/ann");
  const ContentFingerprint both = ByTemplate("Hi evil.com, your visit is at 9. See clinic.com/ann");
  EXPECT_EQ(evil.template_name, "visit");
  EXPECT_EQ(std::set<std::string>({good.approval, evil.approval, both.approval}).size(), 3U);
}

TEST(ContentFingerprintTest, TheFirstTemplateThatFitsCounts) {
  const MessageTemplate any{"any", "{text}"};
  EXPECT_EQ(ContentFingerprintOf("Your code is 7.", {&kCode, &any}).template_name, "code");
  EXPECT_EQ(ContentFingerprintOf("Your code is 7.", {&any, &kCode}).template_name, "any");
  EXPECT_NE(ContentFingerprintOf("Your code is 7.", {&kCode, &any}).approval,
            ContentFingerprintOf("Your code is 7.", {&any, &kCode}).approval);
  EXPECT_EQ(ByTemplate("Something else").template_name, "");
  EXPECT_EQ(ByTemplate("Something else"), Of("Something else"));
}

TEST(ContentFingerprintTest, ATemplateWithAnotherTextIsAnotherOne) {
  const MessageTemplate changed{"code", "Your code is {code}. "};
  const MessageTemplate renamed{"pin", kCode.text};
  const std::string before = ContentFingerprintOf("Your code is 7.", {&kCode}).approval;
  EXPECT_EQ(ContentFingerprintOf("Your code is 7.", {&renamed}).approval, before);
  EXPECT_NE(ContentFingerprintOf("Your code is 7. ", {&changed}).approval, before);
}

TEST(CampaignVersionTest, ChangesWithTheCampaignAndTheTemplatesThatItNames) {
  Campaign campaign{.campaign_id = "visits", .templates = {"visit"}};
  campaign.link_hosts = {"clinic.com"};
  campaign.links = LinkRule::kListed;
  const std::vector<MessageTemplate> templates = {kCode, kVisit};
  const std::string before = CampaignVersion(campaign, templates);
  EXPECT_EQ(before.size(), 32U);
  EXPECT_EQ(CampaignVersion(campaign, templates), before);
  EXPECT_EQ(CampaignVersion(campaign, {kVisit}), before) << "the other template is not its";
  EXPECT_EQ(CampaignVersion(campaign, {{"code", "changed"}, kVisit}), before);

  const std::function<void(Campaign&)> changes[] = {
      [](Campaign& c) { c.campaign_id = "other"; },
      [](Campaign& c) { c.campaign_class = CampaignClass::kMarketing; },
      [](Campaign& c) { c.active = false; },
      [](Campaign& c) { c.active_from = WallTime(std::chrono::hours(1)); },
      [](Campaign& c) { c.active_until = WallTime(std::chrono::hours(1)); },
      [](Campaign& c) { c.daily_cap = 5; },
      [](Campaign& c) { c.templates = {"visit", "code"}; },
      [](Campaign& c) { c.templates = {}; },
      [](Campaign& c) { c.forbidden_words = {"loan"}; },
      [](Campaign& c) { c.forbidden_words = {"loan", "act now"}; },
      [](Campaign& c) { c.forbidden_words = {"loan, act now"}; },
      [](Campaign& c) { c.links = LinkRule::kAny; },
      [](Campaign& c) { c.link_hosts = {"clinic.com", "other.com"}; },
      [](Campaign& c) { c.shorteners = true; },
      [](Campaign& c) { c.opt_out_text = "Reply STOP"; },
  };
  std::set<std::string> versions = {before};
  for (const auto& change : changes) {
    Campaign changed = campaign;
    change(changed);
    versions.insert(CampaignVersion(changed, templates));
  }
  EXPECT_EQ(versions.size(), 1 + std::size(changes));
  EXPECT_TRUE(versions.insert(CampaignVersion(campaign, {{"visit", "Hi {name}"}})).second);
}

}  // namespace
}  // namespace postrider
