#include "server/policy/setup_rules.h"

#include <algorithm>
#include <set>

#include "server/base/strings.h"
#include "server/base/utf8.h"
#include "server/model/campaign_limits.h"
#include "server/model/limits.h"
#include "server/policy/compliance_rules.h"
#include "server/policy/content.h"
#include "server/policy/phone_number.h"
#include "server/policy/segments.h"

namespace postrider {

namespace {

bool IsKey(std::string_view text, std::size_t most) {
  return !text.empty() && text.size() <= most && std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == ':' || c == '-';
  });
}

bool IsTextOf(std::string_view text, std::size_t most) {
  const std::optional<std::size_t> characters = CharactersOf(text);
  return characters && *characters > 0 && *characters <= most &&
         text.find('\0') == std::string_view::npos;
}

/// Of blanks alone nobody learns anything, and each text has them.
bool SaysSomething(std::string_view text) {
  return text.find_first_not_of(" \t\r\n") != std::string_view::npos;
}

bool IsHostName(std::string_view host) {
  return !host.empty() && host.size() <= kMaxHostBytes && host.front() != '.' &&
         host.back() != '.' && std::all_of(host.begin(), host.end(), [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '-' ||
                  static_cast<unsigned char>(c) >= 0x80;
         });
}

/// Gathers what is wrong.
class Checker {
 public:
  void Violate(std::string path, std::string why) {
    if (found_.size() < kMaxViolations) found_.push_back({std::move(path), std::move(why)});
  }
  template <typename Rows, typename NameOfRow>
  void Count(const char* section, const Rows& rows, std::size_t most, NameOfRow name_of) {
    if (rows.size() > most) Violate(section, StrCat("must be ", most, " at most"));
    std::set<std::string> names;
    for (const auto& row : rows) {
      if (names.insert(name_of(row)).second) continue;
      Violate(StrCat(section, "[", name_of(row), "]"), "is there twice");
    }
  }
  void Cap(const std::string& path, std::optional<std::int64_t> cap) {
    if (cap && *cap < 1) Violate(StrCat(path, ".daily_cap"), "must be 1 at least");
  }
  std::vector<SetupViolation> Take() { return std::move(found_); }

 private:
  std::vector<SetupViolation> found_;
};

void CheckSenders(const std::vector<SenderSetup>& senders, Checker& checker) {
  const auto active = std::count_if(senders.begin(), senders.end(),
                                    [](const SenderSetup& sender) { return sender.active; });
  if (static_cast<std::size_t>(active) > kMaxSenders) {
    checker.Violate("senders", StrCat("must be ", kMaxSenders, " active ones at most"));
  }
  checker.Count("senders", senders, senders.size(), [](const auto& s) { return s.address; });
  for (const SenderSetup& sender : senders) {
    const std::string path = StrCat("senders[", sender.address, "]");
    if (!IsSenderAddress(sender.address)) {
      checker.Violate(path, "must be E.164, a short code, or a name of 16 characters at most");
    }
    if (sender.segments_per_s && (!(*sender.segments_per_s >= kLeastSenderRate) ||
                                  *sender.segments_per_s > kMaxRatePerSecond)) {
      checker.Violate(StrCat(path, ".segments_per_s"),
                      StrCat("must be ", kLeastSenderRate, " to ", kMaxRatePerSecond));
    }
    if (!sender.ten_dlc_campaign.empty() && !IsKey(sender.ten_dlc_campaign, kMaxCampaignIdBytes)) {
      checker.Violate(StrCat(path, ".ten_dlc_campaign"), "must be of [A-Za-z0-9._:-]");
    }
  }
}

using Templates = std::map<std::string, std::string>;

Templates CheckTemplates(const std::vector<MessageTemplate>& templates, Checker& checker) {
  checker.Count("templates", templates, kMaxCampaigns, [](const auto& t) { return t.name; });
  Templates by_name;
  for (const MessageTemplate& one : templates) {
    const std::string path = StrCat("templates[", one.name, "]");
    if (!IsKey(one.name, kMaxTemplateNameBytes)) {
      checker.Violate(
          path, StrCat("its name must be 1 to ", kMaxTemplateNameBytes, " of [A-Za-z0-9._:-]"));
    }
    by_name[one.name] = one.text;
    if (!IsTextOf(one.text, kMaxTextCharacters)) {
      checker.Violate(StrCat(path, ".text"), StrCat("must be UTF-8 of 1 to ", kMaxTextCharacters,
                                                    " characters without NUL"));
      continue;
    }
    const auto parsed = ParsedTemplate::Parse(one.text);
    if (!parsed.ok()) {
      checker.Violate(StrCat(path, ".text"), std::string(ToStd(parsed.status().message())));
    }
  }
  return by_name;
}

/// A text of the template with a letter in each place; none when it is no template.
std::optional<std::string> SampleOf(const std::string& text) {
  const auto parsed = ParsedTemplate::Parse(text);
  if (!parsed.ok()) return std::nullopt;
  std::map<std::string, std::string> values;
  for (const std::string& name : parsed->names()) values.emplace(name, "x");
  const auto filled = parsed->Fill(values);
  if (!filled.ok()) return std::nullopt;
  return *filled;
}

void CheckWordsAndHosts(const Campaign& campaign, const std::string& path, Checker& checker) {
  const auto list = [&](const char* field, const std::vector<std::string>& values, auto is_one,
                        const char* must) {
    const std::string name = StrCat(path, ".", field);
    if (values.size() > kMaxForbiddenWords) {
      checker.Violate(name, StrCat("must be ", kMaxForbiddenWords, " at most"));
    }
    for (std::size_t i = 0; i < values.size(); ++i) {
      if (!is_one(values[i])) checker.Violate(StrCat(name, "[", i, "]"), must);
      const auto before = values.begin() + static_cast<std::ptrdiff_t>(i);
      if (std::find(values.begin(), before, values[i]) != before) {
        checker.Violate(StrCat(name, "[", i, "]"), "is there twice");
      }
    }
  };
  list(
      "forbidden_words", campaign.forbidden_words,
      [](const std::string& word) { return IsTextOf(word, kMaxWordCharacters); },
      "must be UTF-8 of 1 to 64 characters");
  list("link_hosts", campaign.link_hosts, IsHostName,
       "must be a host in lower case, such as example.com, without scheme and path");
  const bool listed = campaign.links == LinkRule::kListed;
  if (listed && campaign.link_hosts.empty()) {
    checker.Violate(StrCat(path, ".link_hosts"), "is required: links are LISTED");
  } else if (!listed && !campaign.link_hosts.empty()) {
    checker.Violate(StrCat(path, ".link_hosts"),
                    StrCat("says nothing: links are ", NameOf(campaign.links), ", not LISTED"));
  }
  if (campaign.links == LinkRule::kNone && campaign.shorteners) {
    checker.Violate(StrCat(path, ".shorteners"), "contradicts links: there are NONE");
  }
}

/// The rules of a campaign, held against the texts that it has anyway.
void CheckTexts(const Campaign& campaign, const std::string& path, const Templates& templates,
                Checker& checker) {
  Campaign without_templates = campaign;
  without_templates.templates.clear();
  const auto hold = [&](const std::string& field, const std::string& text) {
    for (const ContentFinding& finding : CheckContent(text, without_templates, {})) {
      checker.Violate(field, StrCat("breaks the campaign's own rule ", finding.rule,
                                    " at character ", finding.at, ": ", finding.why));
    }
  };
  if (!campaign.opt_out_text.empty()) hold(StrCat(path, ".opt_out_text"), campaign.opt_out_text);
  bool any_has_opt_out = campaign.templates.empty() || campaign.opt_out_text.empty();
  for (std::size_t i = 0; i < campaign.templates.size(); ++i) {
    const std::string field = StrCat(path, ".templates[", i, "]");
    const auto found = templates.find(campaign.templates[i]);
    if (found == templates.end()) {
      checker.Violate(field, StrCat("there is no template ", campaign.templates[i]));
      continue;
    }
    const std::optional<std::string> sample = SampleOf(found->second);
    if (sample) hold(field, *sample);
    any_has_opt_out = any_has_opt_out || !sample || HasText(*sample, campaign.opt_out_text);
  }
  if (!any_has_opt_out) {
    checker.Violate(StrCat(path, ".opt_out_text"),
                    "none of its templates has it: no conversation could begin");
  }
}

void CheckCampaigns(const std::vector<Campaign>& campaigns, const Templates& templates,
                    Checker& checker) {
  checker.Count("campaigns", campaigns, kMaxCampaigns, [](const auto& c) { return c.campaign_id; });
  for (const Campaign& campaign : campaigns) {
    const std::string path = StrCat("campaigns[", campaign.campaign_id, "]");
    if (!IsKey(campaign.campaign_id, kMaxCampaignIdBytes)) {
      checker.Violate(path, StrCat("its campaign_id must be 1 to ", kMaxCampaignIdBytes,
                                   " of [A-Za-z0-9._:-]"));
    }
    checker.Cap(path, campaign.daily_cap);
    if (campaign.active_until != WallTime{} && campaign.active_until <= campaign.active_from) {
      checker.Violate(StrCat(path, ".active_until"), "must be after active_from");
    }
    CheckWordsAndHosts(campaign, path, checker);
    if (campaign.templates.size() > kMaxTemplatesOfCampaign) {
      checker.Violate(StrCat(path, ".templates"),
                      StrCat("must be ", kMaxTemplatesOfCampaign, " at most"));
    }
    if (campaign.opt_out_text.empty()) {
      if (campaign.campaign_class == CampaignClass::kMarketing) {
        checker.Violate(StrCat(path, ".opt_out_text"),
                        "is required of MARKETING, such as \"Reply STOP to end\"");
      }
    } else if (!IsTextOf(campaign.opt_out_text, kMaxOptOutTextCharacters) ||
               !SaysSomething(campaign.opt_out_text)) {
      checker.Violate(
          StrCat(path, ".opt_out_text"),
          StrCat("must be UTF-8 of 1 to ", kMaxOptOutTextCharacters, " characters, and not blank"));
    }
    CheckTexts(campaign, path, templates, checker);
  }
}

void CheckDestinations(const std::vector<Destination>& destinations, Checker& checker) {
  checker.Count("destinations", destinations, kMaxDestinations,
                [](const auto& d) { return d.prefix; });
  for (const Destination& destination : destinations) {
    const std::string path = StrCat("destinations[", destination.prefix, "]");
    const std::string_view digits =
        std::string_view(destination.prefix).substr(destination.prefix.empty() ? 0 : 1);
    const bool is_prefix =
        destination.prefix.size() >= 2 && destination.prefix.size() <= kMaxPrefixBytes &&
        destination.prefix.front() == '+' && digits.front() != '0' &&
        std::all_of(digits.begin(), digits.end(), [](char c) { return c >= '0' && c <= '9'; });
    if (!is_prefix) checker.Violate(path, "must be \"+\" and the first digits of numbers");
    checker.Cap(path, destination.daily_cap);
  }
}

void CheckConfirmation(const std::string& text, Checker& checker) {
  if (text.empty()) return;
  if (!IsTextOf(text, kMaxTextCharacters) || !SaysSomething(text) || SegmentsOf(text).count > 1) {
    checker.Violate("opt_out_confirmation",
                    "must be one segment of UTF-8, and not blank: 160 characters of GSM-7 at most, "
                    "else 70; empty switches it off");
  }
}

}  // namespace

std::string_view NameOf(CampaignClass campaign_class) {
  switch (campaign_class) {
    case CampaignClass::kTransactional:
      return "TRANSACTIONAL";
    case CampaignClass::kMarketing:
      return "MARKETING";
    case CampaignClass::kOneTimeCode:
      return "ONE_TIME_CODE";
  }
  return "?";
}

std::string_view NameOf(LinkRule rule) {
  switch (rule) {
    case LinkRule::kAny:
      return "ANY";
    case LinkRule::kNone:
      return "NONE";
    case LinkRule::kListed:
      return "LISTED";
  }
  return "?";
}

std::string_view NameOf(WhenUnavailable what) {
  return what == WhenUnavailable::kAllow ? "ALLOW" : "REFUSE";
}

std::vector<SetupViolation> CheckSetup(const TenantSetup& setup) {
  Checker checker;
  if (setup.senders) CheckSenders(*setup.senders, checker);
  Templates templates;
  if (setup.templates) templates = CheckTemplates(*setup.templates, checker);
  if (setup.campaigns) CheckCampaigns(*setup.campaigns, templates, checker);
  if (setup.destinations) CheckDestinations(*setup.destinations, checker);
  for (SetupViolation& found :
       CheckCompliance(setup.compliance_check.value_or(ComplianceCheck()))) {
    checker.Violate(std::move(found.path), std::move(found.why));
  }
  if (setup.opt_out_confirmation) CheckConfirmation(*setup.opt_out_confirmation, checker);
  return checker.Take();
}

}  // namespace postrider
