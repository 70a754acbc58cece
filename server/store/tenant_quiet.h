#pragma once

#include <optional>
#include <string>

#include "server/base/clock.h"
#include "server/model/campaign.h"
#include "server/model/message.h"
#include "server/store/tenants.h"

namespace postrider {

/// What messages of the campaign are for: its class, else (no campaign, or one that is not
/// registered) the tenant's default.
CampaignClass ClassOf(const TenantRow& tenant, const std::string& campaign_id);

/// The first time from `at` on when `request`, of `tenant`, may leave by the law's quiet hours and
/// the tenant's: see NextAllowed (policy/quiet_hours.h). Nothing: none within kQuietSearch. Pure.
std::optional<WallTime> NextAllowedOf(const TenantRow& tenant, const MessageRequest& request,
                                      WallTime at);

}  // namespace postrider
