#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "server/model/tenant_setup.h"

namespace postrider {

/// What is wrong with a setup, and where.
struct SetupViolation {
  std::string path;  ///< "campaigns[spring].daily_cap"
  std::string why;

  friend bool operator==(const SetupViolation&, const SetupViolation&) = default;
};

/// What of `setup`, of all its sections, is none or contradicts itself: kMaxViolations at most,
/// all at once. Pure.
std::vector<SetupViolation> CheckSetup(const TenantSetup& setup);

/// A setup as pairs of a path and a value, to show what a change of it changes:
/// "campaigns[spring].campaign_class" MARKETING. Lists are one value; times are RFC 3339, UTC.
/// Pure.
std::map<std::string, std::string> FlatSetup(const TenantSetup& setup);

/// `stored` with the sections that `given` has instead. A sender that `given` leaves out stays, not
/// active: conversations are of it. Pure.
TenantSetup WithSections(TenantSetup stored, const TenantSetup& given);

/// One difference between two of them.
struct SetupChange {
  std::string path;
  std::string before;  ///< Empty: it was not there.
  std::string after;   ///< Empty: it is no more.

  friend bool operator==(const SetupChange&, const SetupChange&) = default;
};
/// By path. Pure.
std::vector<SetupChange> ChangesBetween(const TenantSetup& before, const TenantSetup& after);

std::string_view NameOf(CampaignClass campaign_class);
std::string_view NameOf(LinkRule rule);
std::string_view NameOf(WhenUnavailable what);

}  // namespace postrider
