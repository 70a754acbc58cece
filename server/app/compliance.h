#pragma once

#include "server/api/content_check.h"
#include "server/app/accounts.h"
#include "server/provider/compliance_client.h"
#include "server/store/pg_verdicts.h"

namespace postrider {

/// The compliance check of a gateway: what it remembers, whom it asks, and what waits for it.
class Compliance {
 public:
  /// All must outlive it.
  Compliance(PgPool& pool, ProfileFactory& providers, Accounts& accounts, const Clock& clock,
             Metrics& metrics)
      : verdicts_(pool),
        client_(
            providers,
            [&accounts](TenantId tenant) -> std::optional<ProviderAccount> {
              const std::shared_ptr<const TenantSettings> settings = accounts.SettingsOf(tenant);
              if (settings == nullptr) return std::nullopt;
              return settings->account;
            },
            clock),
        check_(clock, metrics, verdicts_,
               [this](const ComplianceQuestion& question) { return client_.Ask(question); }, {}) {}

  ContentCheck& check() { return check_; }

 private:
  PgVerdictStore verdicts_;
  ComplianceClient client_;
  ContentCheck check_;
};

}  // namespace postrider
