#include "server/store/tenant_quiet.h"

#include <gtest/gtest.h>

namespace postrider {
namespace {

TEST(TenantQuietTest, AMessageGoesByItsTenantsClassAndHoursAndItsOwnZone) {
  // 1970-01-01T01:00Z, a Thursday: eight in the evening before in New York.
  const WallTime at = WallTime{} + std::chrono::hours(1);
  TenantRow tenant;
  MessageRequest request;
  request.recipient = "+13055550123";  // Florida: until eight.
  EXPECT_EQ(NextAllowedOf(tenant, request, at), at) << "transactional";
  tenant.default_class = CampaignClass::kMarketing;
  EXPECT_EQ(NextAllowedOf(tenant, request, at), WallTime{} + std::chrono::hours(13));
  request.time_zone = "America/Los_Angeles";
  EXPECT_EQ(NextAllowedOf(tenant, request, at), at);
  tenant.quiet.own = HourSpan{17 * 60, 12 * 60};
  EXPECT_EQ(NextAllowedOf(tenant, request, at), WallTime{} + std::chrono::hours(20));
  tenant.quiet.on = false;
  EXPECT_EQ(NextAllowedOf(tenant, request, at), at);
}

TEST(TenantQuietTest, ACampaignHasItsOwnClassAndWhatHasNoneTheTenants) {
  TenantRow tenant;
  tenant.default_class = CampaignClass::kOneTimeCode;
  tenant.campaigns = {{.campaign_id = "autumn", .campaign_class = CampaignClass::kMarketing},
                      {.campaign_id = "receipts"}};
  EXPECT_EQ(ClassOf(tenant, "autumn"), CampaignClass::kMarketing);
  EXPECT_EQ(ClassOf(tenant, "receipts"), CampaignClass::kTransactional);
  EXPECT_EQ(ClassOf(tenant, "spring"), CampaignClass::kOneTimeCode);
  EXPECT_EQ(ClassOf(tenant, ""), CampaignClass::kOneTimeCode);
}

}  // namespace
}  // namespace postrider
