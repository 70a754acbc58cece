#include "server/policy/content_fingerprint.h"

#include <algorithm>
#include <set>

#include "server/base/digest.h"
#include "server/base/strings.h"
#include "server/policy/links.h"
#include "server/policy/message_template.h"
#include "server/policy/setup_rules.h"

namespace postrider {

namespace {

/// Adds a value so that no two lists of values look alike.
void Feed(std::string& hashed, std::string_view value) {
  StrAppend(hashed, value.size(), ":", value);
}

bool IsFigure(char c) { return c >= '0' && c <= '9'; }

/// `text` with each run of digits as one mark.
std::string WithoutNumbers(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (!IsFigure(text[i])) {
      out += text[i];
    } else if (i == 0 || !IsFigure(text[i - 1])) {
      out += '\0';
    }
  }
  return out;
}

std::string TextHash(std::string_view text, const std::vector<Link>& links) {
  std::string hashed = "text 1\n";
  std::size_t at = 0;
  for (const Link& link : links) {
    Feed(hashed, WithoutNumbers(text.substr(at, link.at - at)));
    Feed(hashed, link.host);
    at = link.at + link.size;
  }
  Feed(hashed, WithoutNumbers(text.substr(at)));
  return Sha256Bytes(hashed);
}

std::string TemplateHash(const MessageTemplate& of, const std::vector<Link>& links) {
  std::set<std::string> hosts;
  for (const Link& link : links) hosts.insert(link.host);
  std::string hashed = "template 1\n";
  Feed(hashed, of.text);
  for (const std::string& host : hosts) Feed(hashed, host);
  return Sha256Bytes(hashed);
}

bool Fits(std::string_view text, const MessageTemplate& one) {
  const auto parsed = ParsedTemplate::Parse(one.text);
  return parsed.ok() && parsed->Matches(text);
}

}  // namespace

ContentFingerprint ContentFingerprintOf(std::string_view text,
                                        const std::vector<const MessageTemplate*>& templates) {
  const std::vector<Link> links = LinksOf(text);
  ContentFingerprint fingerprint;
  fingerprint.text = TextHash(text, links);
  const auto found = std::find_if(templates.begin(), templates.end(),
                                  [&](const MessageTemplate* one) { return Fits(text, *one); });
  if (found == templates.end()) {
    fingerprint.approval = fingerprint.text;
  } else {
    fingerprint.approval = TemplateHash(**found, links);
    fingerprint.template_name = (*found)->name;
  }
  return fingerprint;
}

std::string ContentKeyOf(std::string_view text, const std::vector<MessageTemplate>& templates) {
  std::vector<const MessageTemplate*> all;
  for (const MessageTemplate& one : templates) all.push_back(&one);
  return ContentFingerprintOf(text, all).approval;
}

std::string CampaignVersion(const Campaign& campaign,
                            const std::vector<MessageTemplate>& templates) {
  // As setups are compared: what a setup gets later is part of it without a line here.
  TenantSetup setup;
  setup.campaigns = {campaign};
  setup.templates.emplace();
  for (const MessageTemplate* one : TemplatesOf(campaign, templates)) {
    setup.templates->push_back(*one);
  }
  std::string hashed = "campaign 1\n";
  for (const auto& [path, value] : FlatSetup(setup)) {
    Feed(hashed, path);
    Feed(hashed, value);
  }
  // A cluster of rejections voids verdicts, and is no part of the setup.
  Feed(hashed, StrCat(campaign.verdict_epoch));
  return Sha256Bytes(hashed);
}

std::vector<const MessageTemplate*> TemplatesOf(const Campaign& campaign,
                                                const std::vector<MessageTemplate>& templates) {
  const std::vector<std::string>& names = campaign.templates;
  std::vector<const MessageTemplate*> of;
  for (const MessageTemplate& one : templates) {
    if (std::find(names.begin(), names.end(), one.name) != names.end()) of.push_back(&one);
  }
  return of;
}

}  // namespace postrider
