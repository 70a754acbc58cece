#include "server/api/send_rules.h"

#include <algorithm>
#include <set>

#include "absl/strings/str_join.h"

#include "server/base/log.h"
#include "server/base/strings.h"
#include "server/policy/content.h"
#include "server/policy/content_fingerprint.h"
#include "server/policy/plain_punctuation.h"
#include "server/store/setup.h"

namespace postrider {

namespace {

/// The longest that fits.
const Destination* DestinationOf(const MessageRequest& request, const TenantRow& tenant) {
  const Destination* longest = nullptr;
  for (const Destination& destination : tenant.destinations) {
    if (!request.recipient.starts_with(destination.prefix)) continue;
    if (longest == nullptr || destination.prefix.size() > longest->prefix.size()) {
      longest = &destination;
    }
  }
  return longest;
}

ApiError NotActive(const std::string& campaign_id, std::string why) {
  return FailedPrecondition("CAMPAIGN_NOT_ACTIVE", StrCat("the campaign ", why),
                            {"CAMPAIGN", campaign_id, std::move(why)});
}

std::optional<ApiError> RefusedByCampaign(const MessageRequest& request, const TenantRow& tenant,
                                          const Campaign* campaign, WallTime now) {
  if (request.campaign_id.empty()) {
    if (!tenant.campaign_required) return std::nullopt;
    return NotActive("", "must be named: the tenant requires one");
  }
  if (campaign == nullptr) {
    if (tenant.campaigns.empty() && !tenant.campaign_required) return std::nullopt;
    return NotActive(request.campaign_id, "is not registered");
  }
  if (!campaign->active) return NotActive(request.campaign_id, "is switched off");
  if (!campaign->IsActive(now)) {
    return NotActive(request.campaign_id,
                     now < campaign->active_from ? "has not begun" : "is over");
  }
  // One that is to leave later, too.
  if (!campaign->IsActive(std::max(now, request.not_before))) {
    return NotActive(request.campaign_id, "is over at not_before");
  }
  return std::nullopt;
}

std::vector<ContentFinding> FindingsOf(const MessageRequest& request, const TenantRow& tenant,
                                       const Campaign& campaign) {
  const PlainWords words(request.text, tenant.plain_punctuation);
  std::vector<ParsedTemplate> templates;
  for (const MessageTemplate* one : TemplatesOf(campaign, tenant.templates)) {
    auto parsed = ParsedTemplate::Parse(words.Of(one->text));
    if (parsed.ok()) templates.push_back(*std::move(parsed));
  }
  if (!tenant.plain_punctuation) return CheckContent(request.text, campaign, templates);
  Campaign plain = campaign;
  for (std::string& word : plain.forbidden_words) word = words.Of(word);
  return CheckContent(request.text, plain, templates);
}

/// Makes places in the text that is to be sent those in the text that was asked.
void PlaceInAsked(std::string_view asked, std::vector<ContentFinding>& findings) {
  const std::vector<std::size_t> places = PlacesOfPlain(asked);
  for (ContentFinding& finding : findings) {
    if (finding.at == 0 || finding.size == 0) continue;
    const std::size_t last = places.at(finding.at + finding.size - 2);
    finding.at = places.at(finding.at - 1);
    finding.size = last - finding.at + 1;
  }
}

ApiError NotApproved(const std::vector<ContentFinding>& findings) {
  ApiError error;
  error.code = absl::StatusCode::kFailedPrecondition;
  error.reason = "CONTENT_NOT_APPROVED";
  error.message = "the text breaks rules of its campaign";
  std::set<std::string> rules;
  for (const ContentFinding& finding : findings) {
    rules.insert(finding.rule);
    const std::string place = finding.at == 0 ? ""
                                              : StrCat("characters ", finding.at, " to ",
                                                       finding.at + finding.size - 1, ": ");
    error.preconditions.push_back({"CONTENT", finding.rule, StrCat(place, finding.why)});
  }
  error.metadata["rules"] = absl::StrJoin(rules, ",");
  return error;
}

}  // namespace

std::optional<ApiError> RefusedBySetup(const MessageRequest& request, std::string_view asked,
                                       const TenantRow& tenant, WallTime now) {
  const Campaign* const campaign = FindCampaign(tenant, request.campaign_id);
  if (auto refused = RefusedByCampaign(request, tenant, campaign, now)) return refused;
  if (!tenant.destinations.empty() && DestinationOf(request, tenant) == nullptr) {
    return FailedPrecondition(
        "DESTINATION_NOT_ALLOWED", "the tenant does not send to such numbers",
        {"DESTINATION", "recipient", "must begin with one of the tenant's destinations"});
  }
  if (campaign == nullptr) return std::nullopt;
  std::vector<ContentFinding> findings = FindingsOf(request, tenant, *campaign);
  if (findings.empty()) return std::nullopt;
  if (asked != request.text) PlaceInAsked(asked, findings);
  return NotApproved(findings);
}

std::optional<ApiError> RefusedAtHoldEnd(const MessageRequest& request, const TenantRow& tenant,
                                         WallTime until) {
  const Campaign* const campaign = FindCampaign(tenant, request.campaign_id);
  if (campaign == nullptr || campaign->IsActive(until)) return std::nullopt;
  return NotActive(request.campaign_id, "is over when quiet hours end");
}

void BoundBySetup(const MessageRequest& request, const TenantRow& tenant, AcceptBounds& bounds) {
  if (const Campaign* const campaign = FindCampaign(tenant, request.campaign_id)) {
    if (campaign->daily_cap) {
      bounds.caps.push_back({StrCat("campaign:", campaign->campaign_id), *campaign->daily_cap});
    }
    bounds.may_open =
        campaign->opt_out_text.empty() ||
        HasText(request.text,
                PlainWords(request.text, tenant.plain_punctuation).Of(campaign->opt_out_text));
  }
  const Destination* const destination = DestinationOf(request, tenant);
  if (destination != nullptr && destination->daily_cap) {
    bounds.caps.push_back({StrCat("destination:", destination->prefix), *destination->daily_cap});
  }
}

ApiError OptOutTextMissing(const MessageRequest& request, const TenantRow& tenant) {
  const Campaign* const campaign = FindCampaign(tenant, request.campaign_id);
  const std::string text = campaign == nullptr ? "" : campaign->opt_out_text;
  return NotApproved(
      {{.rule = "opt_out_text",
        .why = StrCat("the first message of a conversation must have \"", text, "\"")}});
}

bool IsByRule(const ApiError& error) {
  return error.code == absl::StatusCode::kFailedPrecondition ||
         error.code == absl::StatusCode::kPermissionDenied || error.reason == "QUOTA_EXCEEDED";
}

RefusalRow RefusalOf(TenantId tenant, const v1::SendMessageRequest& asked, const ApiError& error) {
  std::vector<std::string> details;
  for (const ApiError::Precondition& precondition : error.preconditions) {
    // What a compliance check says of a text may quote it.
    if (precondition.type == "COMPLIANCE_CHECK") {
      details.push_back(StrCat("compliance_check ", precondition.subject));
      continue;
    }
    details.push_back(StrCat(precondition.type == "CONTENT" ? precondition.subject + " " : "",
                             precondition.description));
  }
  for (const ApiError::QuotaViolation& quota : error.quotas) {
    details.push_back(StrCat(quota.subject, ": ", quota.description));
  }
  return {.tenant_id = tenant,
          .request_id = asked.request_id(),
          .reason = error.reason,
          .recipient = MaskedNumber(asked.recipient()),
          .sender = asked.sender(),
          .campaign_id = asked.campaign_id(),
          .detail = details.empty() ? error.message : absl::StrJoin(details, "; ")};
}

}  // namespace postrider
