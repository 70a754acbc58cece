#pragma once

#include <span>
#include <string_view>

#include "absl/status/status.h"

#include "server/provider/provider.h"

/// What an account must be, whichever profile it has. Errors are INVALID_ARGUMENT, "FIELD: why",
/// with the field as ProviderAccount calls it, or "region".
namespace postrider {

/// The domains that regions of Genesys Cloud have. Source: Genesys' developer centre, "Regions".
std::span<const std::string_view> RegionDomains();

/// Fills in what follows from the profile and the region, and refuses what does not go with them:
/// `platform` takes its URLs from `region`, one of RegionDomains(), unless both are given; the
/// send path is `guide`'s alone, which has one when none is set; what to do in an active
/// conversation is `platform`'s.
absl::Status CompleteAccount(ProviderAccount& account, std::string_view region);

/// That messages can be posted with `account`, as far as that can be known without trying.
absl::Status CheckAccount(const ProviderAccount& account);

}  // namespace postrider
