#include "server/api/setup.h"

#include "server/api/convert.h"
#include "server/base/strings.h"

namespace postrider {

namespace {

std::vector<std::string> ListOf(const google::protobuf::RepeatedPtrField<std::string>& values) {
  return {values.begin(), values.end()};
}

Campaign CampaignFrom(const v1::CampaignSetup& setup, FieldRules& rules) {
  const std::string path = StrCat("setup.campaigns[", setup.campaign_id(), "]");
  Campaign campaign{.campaign_id = setup.campaign_id()};
  if (!v1::CampaignClass_IsValid(setup.campaign_class())) {
    rules.Violate(StrCat(path, ".campaign_class"), "is not a value of CampaignClass");
  } else if (setup.campaign_class() != v1::CAMPAIGN_CLASS_UNSPECIFIED) {
    campaign.campaign_class = static_cast<CampaignClass>(setup.campaign_class());
  }
  if (!v1::LinkRule_IsValid(setup.links())) {
    rules.Violate(StrCat(path, ".links"), "is not a value of LinkRule");
  } else if (setup.links() != v1::LINK_RULE_UNSPECIFIED) {
    campaign.links = static_cast<LinkRule>(setup.links());
  }
  campaign.active = !setup.has_active() || setup.active();
  if (setup.has_active_from()) {
    campaign.active_from =
        rules.Time(StrCat(path, ".active_from"), setup.active_from()).value_or(WallTime{});
  }
  if (setup.has_active_until()) {
    campaign.active_until =
        rules.Time(StrCat(path, ".active_until"), setup.active_until()).value_or(WallTime{});
  }
  if (setup.has_daily_cap()) campaign.daily_cap = setup.daily_cap();
  campaign.templates = ListOf(setup.templates());
  campaign.forbidden_words = ListOf(setup.forbidden_words());
  campaign.link_hosts = ListOf(setup.link_hosts());
  campaign.shorteners = setup.shorteners();
  campaign.opt_out_text = setup.opt_out_text();
  return campaign;
}

void ShowCampaign(const Campaign& campaign, v1::CampaignSetup& out) {
  out.set_campaign_id(campaign.campaign_id);
  out.set_campaign_class(static_cast<v1::CampaignClass>(campaign.campaign_class));
  out.set_active(campaign.active);
  if (campaign.active_from != WallTime{}) {
    ToProto(campaign.active_from, *out.mutable_active_from());
  }
  if (campaign.active_until != WallTime{}) {
    ToProto(campaign.active_until, *out.mutable_active_until());
  }
  if (campaign.daily_cap) out.set_daily_cap(*campaign.daily_cap);
  for (const std::string& name : campaign.templates) out.add_templates(name);
  for (const std::string& word : campaign.forbidden_words) out.add_forbidden_words(word);
  out.set_links(static_cast<v1::LinkRule>(campaign.links));
  for (const std::string& host : campaign.link_hosts) out.add_link_hosts(host);
  out.set_shorteners(campaign.shorteners);
  out.set_opt_out_text(campaign.opt_out_text);
}

ComplianceCheck CheckFrom(const v1::ComplianceCheck& given, FieldRules& rules) {
  const std::string path = "setup.compliance_check";
  ComplianceCheck check{.url = given.url()};
  if (given.has_verdicts_expire_after()) {
    check.verdicts_expire_after = std::chrono::seconds(given.verdicts_expire_after().seconds());
    if (given.verdicts_expire_after().nanos() != 0) {
      rules.Violate(StrCat(path, ".verdicts_expire_after"), "must be whole seconds");
    }
  }
  if (given.has_checks_per_minute()) check.checks_per_minute = given.checks_per_minute();
  if (!v1::WhenUnavailable_IsValid(given.when_unavailable())) {
    rules.Violate(StrCat(path, ".when_unavailable"), "is not a value of WhenUnavailable");
  } else if (given.when_unavailable() != v1::WHEN_UNAVAILABLE_UNSPECIFIED) {
    check.when_unavailable = static_cast<WhenUnavailable>(given.when_unavailable());
  }
  return check;
}

void ShowCheck(const ComplianceCheck& check, v1::ComplianceCheck& out) {
  out.set_url(check.url);
  out.mutable_verdicts_expire_after()->set_seconds(check.verdicts_expire_after.count());
  out.set_checks_per_minute(check.checks_per_minute);
  out.set_when_unavailable(static_cast<v1::WhenUnavailable>(check.when_unavailable));
}

}  // namespace

TenantSetup FromProto(const v1::TenantSetup& setup, FieldRules& rules) {
  TenantSetup out;
  if (setup.has_campaign_required()) out.campaign_required = setup.campaign_required();
  if (setup.has_plain_punctuation()) out.plain_punctuation = setup.plain_punctuation();
  if (setup.has_opt_out_confirmation()) out.opt_out_confirmation = setup.opt_out_confirmation();
  if (setup.has_senders()) {
    out.senders.emplace();
    for (const v1::SenderSetup& given : setup.senders().senders()) {
      SenderSetup& sender = out.senders->emplace_back();
      sender.address = given.address();
      if (given.has_segments_per_s()) sender.segments_per_s = given.segments_per_s();
      sender.ten_dlc_campaign = given.ten_dlc_campaign();
      sender.active = !given.has_active() || given.active();
    }
  }
  if (setup.has_campaigns()) {
    out.campaigns.emplace();
    for (const v1::CampaignSetup& given : setup.campaigns().campaigns()) {
      out.campaigns->push_back(CampaignFrom(given, rules));
    }
  }
  if (setup.has_templates()) {
    out.templates.emplace();
    for (const v1::TemplateSetup& given : setup.templates().templates()) {
      out.templates->push_back({given.name(), given.text()});
    }
  }
  if (setup.has_destinations()) {
    out.destinations.emplace();
    for (const v1::DestinationSetup& given : setup.destinations().destinations()) {
      Destination& destination = out.destinations->emplace_back();
      destination.prefix = given.prefix();
      if (given.has_daily_cap()) destination.daily_cap = given.daily_cap();
    }
  }
  if (setup.has_compliance_check())
    out.compliance_check = CheckFrom(setup.compliance_check(), rules);
  return out;
}

void ToProto(const TenantSetup& setup, v1::TenantSetup& out) {
  if (setup.campaign_required) out.set_campaign_required(*setup.campaign_required);
  if (setup.plain_punctuation) out.set_plain_punctuation(*setup.plain_punctuation);
  if (setup.opt_out_confirmation) out.set_opt_out_confirmation(*setup.opt_out_confirmation);
  if (setup.senders) {
    out.mutable_senders();
    for (const SenderSetup& sender : *setup.senders) {
      v1::SenderSetup& shown = *out.mutable_senders()->add_senders();
      shown.set_address(sender.address);
      if (sender.segments_per_s) shown.set_segments_per_s(*sender.segments_per_s);
      shown.set_ten_dlc_campaign(sender.ten_dlc_campaign);
      shown.set_active(sender.active);
    }
  }
  if (setup.campaigns) {
    out.mutable_campaigns();
    for (const Campaign& campaign : *setup.campaigns) {
      ShowCampaign(campaign, *out.mutable_campaigns()->add_campaigns());
    }
  }
  if (setup.templates) {
    out.mutable_templates();
    for (const MessageTemplate& one : *setup.templates) {
      v1::TemplateSetup& shown = *out.mutable_templates()->add_templates();
      shown.set_name(one.name);
      shown.set_text(one.text);
    }
  }
  if (setup.destinations) {
    out.mutable_destinations();
    for (const Destination& destination : *setup.destinations) {
      v1::DestinationSetup& shown = *out.mutable_destinations()->add_destinations();
      shown.set_prefix(destination.prefix);
      if (destination.daily_cap) shown.set_daily_cap(*destination.daily_cap);
    }
  }
  if (setup.compliance_check && !setup.compliance_check->url.empty()) {
    ShowCheck(*setup.compliance_check, *out.mutable_compliance_check());
  }
}

}  // namespace postrider
