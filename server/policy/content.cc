#include "server/policy/content.h"

#include <algorithm>

#include "server/base/strings.h"
#include "server/base/utf8.h"
#include "server/model/campaign_limits.h"
#include "server/policy/letters.h"
#include "server/policy/links.h"

namespace postrider {

namespace {

std::string Folded(std::string_view text) {
  std::string folded(text);
  for (char& c : folded) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return folded;
}

/// Collects what is found, with places in characters.
class Findings {
 public:
  explicit Findings(std::string_view text) : text_(text) {}

  void Add(const char* rule, std::size_t at, std::size_t size, std::string why) {
    const std::size_t before = CharactersOf(text_.substr(0, at)).value_or(at);
    found_.push_back({.rule = rule,
                      .at = before + 1,
                      .size = CharactersOf(text_.substr(at, size)).value_or(size),
                      .why = std::move(why)});
  }
  void AddWhole(const char* rule, std::string why) {
    found_.push_back({.rule = rule, .why = std::move(why)});
  }
  std::vector<ContentFinding> Take() {
    std::stable_sort(found_.begin(), found_.end(),
                     [](const auto& a, const auto& b) { return a.at < b.at; });
    if (found_.size() > kMaxFindings) found_.resize(kMaxFindings);
    return std::move(found_);
  }

 private:
  const std::string_view text_;
  std::vector<ContentFinding> found_;
};

void FindWords(const std::string& folded, const Campaign& campaign, Findings& findings) {
  for (std::size_t i = 0; i < campaign.forbidden_words.size(); ++i) {
    const std::string word = Folded(campaign.forbidden_words[i]);
    std::size_t found = 0;
    for (std::size_t at = folded.find(word); at != std::string::npos;
         at = folded.find(word, at + 1)) {
      const std::size_t end = at + word.size();
      const bool inside = (LetterBefore(folded, at) && LetterAt(word, 0) > 0) ||
                          (LetterAt(folded, end) > 0 && LetterBefore(word, word.size()));
      if (inside) continue;
      if (++found > kMaxFindings) break;
      findings.Add("forbidden_word", at, word.size(),
                   StrCat("forbidden_words[", i, "] of the campaign"));
    }
  }
}

void FindLinks(std::string_view text, const Campaign& campaign, Findings& findings) {
  for (const Link& link : LinksOf(text)) {
    const bool listed =
        std::any_of(campaign.link_hosts.begin(), campaign.link_hosts.end(),
                    [&](const std::string& host) { return IsBelow(link.host, Folded(host)); });
    if (!campaign.shorteners && IsShortener(link.host) && !listed) {
      findings.Add("shortener", link.at, link.size, "carriers block links by public shorteners");
    } else if (campaign.links == LinkRule::kNone) {
      findings.Add("link", link.at, link.size, "the campaign's texts have no links");
    } else if (campaign.links == LinkRule::kListed && !listed) {
      findings.Add("link", link.at, link.size, "its host is not among link_hosts of the campaign");
    }
  }
}

}  // namespace

std::vector<ContentFinding> CheckContent(std::string_view text, const Campaign& campaign,
                                         const std::vector<ParsedTemplate>& templates) {
  Findings findings(text);
  FindWords(Folded(text), campaign, findings);
  FindLinks(text, campaign, findings);
  const bool fits =
      campaign.templates.empty() ||
      std::any_of(templates.begin(), templates.end(),
                  [&](const ParsedTemplate& of_campaign) { return of_campaign.Matches(text); });
  if (!fits) findings.AddWhole("template", "the text is none of the campaign's templates");
  return findings.Take();
}

bool HasText(std::string_view text, std::string_view part) {
  return Folded(text).find(Folded(part)) != std::string::npos;
}

}  // namespace postrider
