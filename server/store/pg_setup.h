#pragma once

#include <map>
#include <vector>

#include "server/store/pg_session.h"
#include "server/store/setup.h"

namespace postrider {

/// SetupStore in Postgres.
class PgSetupStore final : public SetupStore {
 public:
  /// `pool` must outlive it.
  explicit PgSetupStore(PgPool& pool) : pool_(pool) {}

  absl::StatusOr<AppliedSetup> ApplySetup(TenantId tenant, const TenantSetup& given,
                                          const std::optional<OperatorAction>& action) override;

 private:
  PgPool& pool_;
};

/// Of all tenants: campaigns, templates, destinations.
struct SetupRows {
  std::map<TenantId, std::vector<Campaign>> campaigns;
  std::map<TenantId, std::vector<MessageTemplate>> templates;
  std::map<TenantId, std::vector<Destination>> destinations;
  std::map<TenantId, ComplianceCheck> checks;

  void MoveTo(TenantRow& tenant);
};
SetupRows ReadSetups(PgTransaction& transaction);

}  // namespace postrider
