#pragma once

#include <map>
#include <string>
#include <vector>

#include "server/policy/setup_rules.h"
#include "server/store/pg_session.h"
#include "server/store/verdicts.h"

namespace postrider {

/// VerdictStore in Postgres.
class PgVerdictStore final : public VerdictStore {
 public:
  /// `pool` must outlive it.
  explicit PgVerdictStore(PgPool& pool) : pool_(pool) {}

  absl::StatusOr<std::vector<StoredVerdict>> FindVerdicts(
      const VerdictKey& key, const std::vector<std::string>& fingerprints) override;
  absl::StatusOr<AskTurn> TakeAsk(TenantId tenant, std::int64_t most, bool of_account) override;
  absl::Status KeepAccountWaits(TenantId tenant, std::chrono::nanoseconds wait) override;
  absl::Status KeepVerdict(const VerdictKey& key, const std::string& fingerprint,
                           const ComplianceVerdict& verdict, std::chrono::seconds life) override;

 private:
  PgPool& pool_;
};

/// Where tenants have texts checked: parts of their setup (pg_setup.h).
std::map<TenantId, ComplianceCheck> ReadComplianceChecks(PgTransaction& transaction);
ComplianceCheck ReadComplianceCheck(PgTransaction& transaction, TenantId tenant);
/// One without a URL: none.
void PutComplianceCheck(PgTransaction& transaction, TenantId tenant, const ComplianceCheck& check);
/// What of `check` does not go with the tenant's account as it is stored.
std::vector<SetupViolation> ComplianceViolations(PgTransaction& transaction, TenantId tenant,
                                                 const ComplianceCheck& check);

}  // namespace postrider
