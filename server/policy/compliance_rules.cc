#include "server/policy/compliance_rules.h"

#include <algorithm>

#include "server/base/strings.h"
#include "server/base/url.h"
#include "server/model/compliance_limits.h"

namespace postrider {

std::vector<SetupViolation> CheckCompliance(const ComplianceCheck& check) {
  std::vector<SetupViolation> found;
  if (check == ComplianceCheck{}) return found;
  const auto url = ParseBaseUrl(check.url);
  if (check.url.size() > kMaxCheckUrlBytes || !url.ok() || check.url.ends_with('/') ||
      !(url->tls || IsLoopback(*url))) {
    found.push_back({"compliance_check.url",
                     StrCat("must be https, or http to this machine, with its path, without query "
                            "and without a slash at its end, ",
                            kMaxCheckUrlBytes, " bytes at most")});
  }
  if (check.verdicts_expire_after < kLeastVerdictLife ||
      check.verdicts_expire_after > kLongestVerdictLife) {
    found.push_back({"compliance_check.verdicts_expire_after", "must be 1 minute to 30 days"});
  }
  if (check.checks_per_minute < 1 || check.checks_per_minute > kMaxChecksPerMinute) {
    found.push_back(
        {"compliance_check.checks_per_minute", StrCat("must be 1 to ", kMaxChecksPerMinute)});
  }
  return found;
}

bool CountsForAccount(const ComplianceCheck& check, std::string_view account_base_url) {
  const auto one = ParseBaseUrl(check.url);
  const auto other = ParseBaseUrl(account_base_url);
  return one.ok() && other.ok() && IsSameOrigin(*one, *other);
}

std::vector<SetupViolation> CheckComplianceFits(const ComplianceCheck& check,
                                                const AccountRate& account) {
  if (check.url.empty() || !account.requests_per_minute) return {};
  if (!CountsForAccount(check, account.base_url)) return {};
  // Genesys counts in fixed minutes: a burst, a minute's rate and all checks can fall into one.
  const double most =
      account.rate_per_s * 60 + account.burst + static_cast<double>(check.checks_per_minute);
  if (most <= static_cast<double>(*account.requests_per_minute)) return {};
  return {{"compliance_check.checks_per_minute",
           StrCat("the check is at the tenant's own Genesys: with ", account.rate_per_s,
                  "/s and a burst of ", account.burst, " it can be ", most,
                  " requests in a minute, and the organisation's limit is ",
                  *account.requests_per_minute, "; lower it, or the tenant's rate")}};
}

}  // namespace postrider
