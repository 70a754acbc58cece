#include <algorithm>

#include "absl/time/time.h"

#include "server/base/strings.h"
#include "server/policy/setup_rules.h"

// A setup as it is shown, and what of it changes.
namespace postrider {

namespace {

std::string TimeText(WallTime at) {
  if (at == WallTime{}) return "";
  return absl::FormatTime(absl::RFC3339_full, absl::FromChrono(at), absl::UTCTimeZone());
}

std::string CapText(std::optional<std::int64_t> cap) { return cap ? StrCat(*cap) : ""; }

/// Of two lists that differ the texts do: an element with a comma or a quote is quoted.
std::string ListText(const std::vector<std::string>& values) {
  std::string text;
  for (const std::string& value : values) {
    if (!text.empty()) text += ", ";
    const bool plain = !value.empty() && value.find_first_of(",\"\\") == std::string::npos;
    if (plain) {
      text += value;
      continue;
    }
    text += '"';
    for (const char c : value) {
      if (c == '"' || c == '\\') text += '\\';
      text += c;
    }
    text += '"';
  }
  return text;
}

}  // namespace

std::map<std::string, std::string> FlatSetup(const TenantSetup& setup) {
  std::map<std::string, std::string> flat;
  const auto put = [&](const std::string& path, const char* field, std::string value) {
    if (!value.empty()) flat[StrCat(path, ".", field)] = std::move(value);
  };
  const auto truth = [](bool value) { return std::string(value ? "true" : "false"); };
  if (setup.campaign_required) flat["campaign_required"] = truth(*setup.campaign_required);
  if (setup.plain_punctuation) flat["plain_punctuation"] = truth(*setup.plain_punctuation);
  if (setup.opt_out_confirmation && !setup.opt_out_confirmation->empty()) {
    flat["opt_out_confirmation"] = *setup.opt_out_confirmation;
  }
  for (const SenderSetup& sender : setup.senders.value_or(std::vector<SenderSetup>())) {
    const std::string path = StrCat("senders[", sender.address, "]");
    put(path, "active", truth(sender.active));
    put(path, "segments_per_s", sender.segments_per_s ? StrCat(*sender.segments_per_s) : "");
    put(path, "ten_dlc_campaign", sender.ten_dlc_campaign);
  }
  for (const Campaign& campaign : setup.campaigns.value_or(std::vector<Campaign>())) {
    const std::string path = StrCat("campaigns[", campaign.campaign_id, "]");
    put(path, "campaign_class", std::string(NameOf(campaign.campaign_class)));
    put(path, "active", truth(campaign.active));
    put(path, "active_from", TimeText(campaign.active_from));
    put(path, "active_until", TimeText(campaign.active_until));
    put(path, "daily_cap", CapText(campaign.daily_cap));
    put(path, "templates", ListText(campaign.templates));
    put(path, "forbidden_words", ListText(campaign.forbidden_words));
    put(path, "links", std::string(NameOf(campaign.links)));
    put(path, "link_hosts", ListText(campaign.link_hosts));
    put(path, "shorteners", truth(campaign.shorteners));
    put(path, "opt_out_text", campaign.opt_out_text);
  }
  for (const MessageTemplate& one : setup.templates.value_or(std::vector<MessageTemplate>())) {
    put(StrCat("templates[", one.name, "]"), "text", one.text);
  }
  for (const Destination& to : setup.destinations.value_or(std::vector<Destination>())) {
    const std::string path = StrCat("destinations[", to.prefix, "]");
    put(path, "allowed", "true");
    put(path, "daily_cap", CapText(to.daily_cap));
  }
  if (setup.compliance_check && !setup.compliance_check->url.empty()) {
    const ComplianceCheck& check = *setup.compliance_check;
    const std::string path = "compliance_check";
    put(path, "url", check.url);
    put(path, "verdicts_expire_after", StrCat(check.verdicts_expire_after.count(), "s"));
    put(path, "checks_per_minute", StrCat(check.checks_per_minute));
    put(path, "when_unavailable", std::string(NameOf(check.when_unavailable)));
  }
  return flat;
}

TenantSetup WithSections(TenantSetup stored, const TenantSetup& given) {
  if (given.campaign_required) stored.campaign_required = given.campaign_required;
  if (given.plain_punctuation) stored.plain_punctuation = given.plain_punctuation;
  if (given.opt_out_confirmation) stored.opt_out_confirmation = given.opt_out_confirmation;
  if (given.campaigns) stored.campaigns = given.campaigns;
  if (given.templates) stored.templates = given.templates;
  if (given.destinations) stored.destinations = given.destinations;
  if (given.compliance_check) stored.compliance_check = given.compliance_check;
  if (!given.senders) return stored;
  std::vector<SenderSetup> senders = *given.senders;
  for (SenderSetup& had : stored.senders.value_or(std::vector<SenderSetup>())) {
    const bool named = std::any_of(senders.begin(), senders.end(), [&](const SenderSetup& sender) {
      return sender.address == had.address;
    });
    if (named) continue;
    had.active = false;
    senders.push_back(had);
  }
  stored.senders = std::move(senders);
  return stored;
}

std::vector<SetupChange> ChangesBetween(const TenantSetup& before, const TenantSetup& after) {
  const std::map<std::string, std::string> old = FlatSetup(before);
  const std::map<std::string, std::string> now = FlatSetup(after);
  std::map<std::string, SetupChange> changes;
  for (const auto& [path, value] : old) changes[path] = {path, value, ""};
  for (const auto& [path, value] : now) {
    changes[path].path = path;
    changes[path].after = value;
  }
  std::vector<SetupChange> differing;
  for (auto& [path, change] : changes) {
    if (change.before != change.after) differing.push_back(std::move(change));
  }
  return differing;
}

}  // namespace postrider
