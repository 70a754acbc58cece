#include "server/model/campaign.h"

namespace postrider {

std::string_view NameOf(CampaignClass campaign_class) {
  switch (campaign_class) {
    case CampaignClass::kTransactional:
      return "transactional";
    case CampaignClass::kMarketing:
      return "marketing";
    case CampaignClass::kOneTimeCode:
      return "one-time-code";
  }
  return "unspecified";
}

std::optional<CampaignClass> ParseCampaignClass(std::string_view text) {
  for (const CampaignClass campaign_class :
       {CampaignClass::kTransactional, CampaignClass::kMarketing, CampaignClass::kOneTimeCode}) {
    if (text == NameOf(campaign_class)) return campaign_class;
  }
  return std::nullopt;
}

}  // namespace postrider
