#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace postrider {

/// What a message is for. Stored; never renumber.
enum class CampaignClass : std::uint8_t {
  kTransactional = 1,  ///< What the recipient needs to know of their own business.
  kMarketing = 2,
  kOneTimeCode = 3,
};
/// "transactional", "marketing", "one-time-code": as operators write it.
std::string_view NameOf(CampaignClass campaign_class);
/// The same back; nothing when it is none of them.
std::optional<CampaignClass> ParseCampaignClass(std::string_view text);

}  // namespace postrider
