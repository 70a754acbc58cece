#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "server/model/compliance.h"
#include "server/policy/setup_rules.h"

namespace postrider {

/// What a tenant's account may do at Genesys.
struct AccountRate {
  std::string base_url;
  double rate_per_s = 0;
  int burst = 0;
  std::optional<std::int64_t> requests_per_minute = {};  ///< None: no limit (this machine).
};

/// What of `check` is none; nothing when there is no check. CheckSetup asks it. Pure.
std::vector<SetupViolation> CheckCompliance(const ComplianceCheck& check);

/// Whether questions to `check` are requests of the account: it is at the same scheme, host and
/// port. Pure.
bool CountsForAccount(const ComplianceCheck& check, std::string_view account_base_url);

/// What is wrong with `check` beside the account; nothing when there is no check. Pure.
std::vector<SetupViolation> CheckComplianceFits(const ComplianceCheck& check,
                                                const AccountRate& account);

}  // namespace postrider
