#pragma once

#include <optional>
#include <vector>

#include "absl/status/statusor.h"

#include "server/model/ids.h"
#include "server/policy/setup_rules.h"
#include "server/store/operator_action.h"
#include "server/store/tenants.h"

namespace postrider {

/// What an ApplySetup did, or would do.
struct AppliedSetup {
  std::vector<SetupViolation> violations;  ///< Any: nothing was applied.
  std::vector<SetupChange> changes;        ///< By path; none: all was so already.
};

/// Tenants' setups: senders, campaigns, templates, destinations. Errors as of Store. Blocks; safe
/// from any thread.
class SetupStore {
 public:
  virtual ~SetupStore() = default;

  /// Sets the sections that `given` has, in one transaction, with `action` on record when anything
  /// changes; without an action it only says what would change. Of two at once one comes after the
  /// other. NOT_FOUND when there is no such tenant. Replicas go by it within kTenantsRefresh.
  virtual absl::StatusOr<AppliedSetup> ApplySetup(TenantId tenant, const TenantSetup& given,
                                                  const std::optional<OperatorAction>& action) = 0;
};

/// The campaign that is registered under that id; null: none. Pure.
const Campaign* FindCampaign(const TenantRow& tenant, const std::string& campaign_id);

/// The setup of `tenant`: all sections. Pure.
TenantSetup SetupOf(const TenantRow& tenant);

}  // namespace postrider
