#pragma once

#include <functional>
#include <optional>
#include <vector>

#include "absl/status/status.h"

#include "postrider/v1/message_service.pb.h"
#include "server/api/validate.h"
#include "server/base/clock.h"
#include "server/model/dispatch_facts.h"
#include "server/store/store.h"
#include "server/store/tenant_directory.h"

namespace postrider {

/// Whom ExplainMessage asks.
struct ExplainParts {
  Store& store;
  TenantDirectory& tenants;
  const Clock& clock;
  const std::function<std::vector<LaneFacts>()>& lanes;  ///< May be null: none is known.
};

/// Why the message has not left yet. Blocks. NOT_FOUND when the tenant has no such message; else
/// as the store.
absl::Status Explain(const ExplainParts& parts, TenantId tenant, const StatusQuery& wanted,
                     v1::ExplainMessageResponse& out);

/// How fast messages may leave.
struct LeavingRates {
  double tenant_per_s = 1;  ///< Messages; as licensed.
  double sender_per_s = 1;  ///< Segments of its sender.
  int segments = 1;         ///< Of the message; those before it are taken for alike.
};

/// The same of a QUEUED message, from what is known of it. `lane` is there when this replica
/// dispatches the tenant. Pure.
void ExplainQueued(const MessageStatus& status, const QueuePlace& place, const LeavingRates& rates,
                   const std::optional<LaneFacts>& lane, v1::ExplainMessageResponse& out);

}  // namespace postrider
