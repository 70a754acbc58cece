#include "server/store/tenant_quiet.h"

#include "server/policy/quiet_hours.h"
#include "server/store/setup.h"

namespace postrider {

CampaignClass ClassOf(const TenantRow& tenant, const std::string& campaign_id) {
  const Campaign* const campaign = FindCampaign(tenant, campaign_id);
  return campaign == nullptr ? tenant.default_class : campaign->campaign_class;
}

std::optional<WallTime> NextAllowedOf(const TenantRow& tenant, const MessageRequest& request,
                                      WallTime at) {
  return NextAllowed({.rules = BuiltInQuietRules(),
                      .setting = tenant.quiet,
                      .campaign_class = ClassOf(tenant, request.campaign_id),
                      .recipient = request.recipient,
                      .time_zone = request.time_zone},
                     at);
}

}  // namespace postrider
