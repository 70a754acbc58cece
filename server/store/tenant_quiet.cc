#include "server/store/tenant_quiet.h"

#include <algorithm>

#include "server/policy/quiet_hours.h"

namespace postrider {

CampaignClass ClassOf(const TenantRow& tenant, const std::string& campaign_id) {
  const auto registered =
      std::find_if(tenant.campaigns.begin(), tenant.campaigns.end(),
                   [&](const Campaign& campaign) { return campaign.campaign_id == campaign_id; });
  return registered == tenant.campaigns.end() ? tenant.default_class : registered->campaign_class;
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
