#include "server/api/content_gate.h"

#include <algorithm>

#include "absl/strings/str_join.h"

#include "server/base/digest.h"
#include "server/base/strings.h"
#include "server/policy/plain_punctuation.h"
#include "server/store/setup.h"

namespace postrider {

namespace {

/// The template that the text was made by comes first, then those of the campaign.
std::vector<const MessageTemplate*> LikelyTemplates(const v1::SendMessageRequest& asked,
                                                    const Campaign& campaign,
                                                    const TenantRow& tenant) {
  std::vector<const MessageTemplate*> templates = TemplatesOf(campaign, tenant.templates);
  if (!asked.has_template_()) return templates;
  const auto named = std::find_if(
      tenant.templates.begin(), tenant.templates.end(),
      [&](const MessageTemplate& one) { return one.name == asked.template_().name(); });
  if (named != tenant.templates.end()) templates.insert(templates.begin(), &*named);
  return templates;
}

ApiError NotApprovedByCheck(const ContentVerdict& verdict) {
  ApiError error;
  error.code = absl::StatusCode::kFailedPrecondition;
  error.reason = "CONTENT_NOT_APPROVED";
  error.message = "the tenant's compliance check does not approve the text";
  std::vector<std::string> rules;
  for (const auto& [rule, why] : verdict.violations) {
    rules.push_back(rule);
    error.preconditions.push_back({"COMPLIANCE_CHECK", rule, why});
  }
  error.metadata["rules"] = absl::StrJoin(rules, ",");
  return error;
}

ApiError CheckUnavailable(std::chrono::nanoseconds retry_after) {
  ApiError error;
  error.code = absl::StatusCode::kUnavailable;
  error.reason = "COMPLIANCE_CHECK_UNAVAILABLE";
  error.message = "the tenant's compliance check gives no verdict on the text now; repeat the call";
  error.retry_after = std::chrono::ceil<std::chrono::milliseconds>(retry_after);
  return error;
}

}  // namespace

ContentQuestion ContentQuestionOf(const v1::SendMessageRequest& asked,
                                  const MessageRequest& request, const TenantRow& tenant) {
  Campaign unregistered;
  unregistered.campaign_id = request.campaign_id;
  // Below 0: never the version of the same campaign once it is registered.
  if (!request.campaign_id.empty()) unregistered.verdict_epoch = -1 - tenant.verdict_epoch;
  const Campaign* const found = FindCampaign(tenant, request.campaign_id);
  const Campaign& campaign = found == nullptr ? unregistered : *found;
  ContentQuestion question;
  // Another check has other opinions.
  question.key = {.tenant_id = tenant.tenant_id,
                  .campaign_id = request.campaign_id,
                  .campaign_version = Sha256Bytes(StrCat(
                      CampaignVersion(campaign, tenant.templates), tenant.compliance_check.url))};
  // The text is read as it is sent, and so are the templates.
  const PlainWords words(request.text, tenant.plain_punctuation);
  std::vector<MessageTemplate> read;
  for (const MessageTemplate* one : LikelyTemplates(asked, campaign, tenant)) {
    read.push_back({.name = one->name, .text = words.Of(one->text)});
  }
  std::vector<const MessageTemplate*> templates;
  for (const MessageTemplate& one : read) templates.push_back(&one);
  question.fingerprint = ContentFingerprintOf(request.text, templates);
  question.check = tenant.compliance_check;
  question.asked = {.tenant_id = tenant.tenant_id,
                    .url = tenant.compliance_check.url,
                    .sender = request.sender,
                    .text = request.text,
                    .campaign_id = request.campaign_id,
                    .template_name = question.fingerprint.template_name};
  question.account_base_url = tenant.base_url;
  return question;
}

std::optional<ApiError> RefusedByVerdict(const ContentVerdict& verdict,
                                         const ComplianceCheck& check) {
  switch (verdict.kind) {
    case ContentVerdict::Kind::kApproved:
      return std::nullopt;
    case ContentVerdict::Kind::kRefused:
      return NotApprovedByCheck(verdict);
    case ContentVerdict::Kind::kUnavailable:
      if (check.when_unavailable == WhenUnavailable::kAllow) return std::nullopt;
      return CheckUnavailable(verdict.retry_after);
    case ContentVerdict::Kind::kStoreAway:
      return StoreUnavailable();
    case ContentVerdict::Kind::kDraining:
      return ServerDraining();
  }
  return std::nullopt;
}

}  // namespace postrider
