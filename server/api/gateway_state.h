#pragma once

#include <functional>
#include <string>
#include <vector>

#include "postrider/v1/admin_service.pb.h"
#include "server/api/api_error.h"
#include "server/model/dispatch_facts.h"
#include "server/store/control.h"
#include "server/store/tenant_directory.h"

namespace postrider {

/// Makes what GetGatewayState and WatchGatewayState show, of what all replicas share (one bounded
/// read of the store) and of what this one has in memory. Safe from any thread.
class GatewayStates {
 public:
  struct Parts {
    ControlStore& store;
    TenantDirectory& tenants;
    std::string replica_name;
    /// The lanes of the tenants that this replica dispatches. Must not block.
    std::function<std::vector<LaneFacts>()> lanes;
  };

  explicit GatewayStates(Parts parts) : parts_(std::move(parts)) {}

  /// Of the tenant of this name; of all, kMaxTenantsShown at most, when it is empty. Blocks.
  /// TENANT_NOT_FOUND, STORE_UNAVAILABLE.
  Result<v1::GatewayState> Read(const std::string& tenant) const;
  /// True when there is such a tenant, or the name is empty. Never blocks.
  bool Knows(const std::string& tenant) const;

 private:
  const Parts parts_;
};

/// What a watch takes for a change: `state` without what flows (depths, tokens, times). Pure.
std::string ShapeOf(const v1::GatewayState& state);

ApiError TenantNotFound(const std::string& name);
/// SENDER_NOT_REGISTERED: the tenant has no such sender.
ApiError SenderNotRegistered();
void ToProto(const BreakerReading& breaker, v1::BreakerState& out);
void ToProto(const DispatchPause& pause, const TenantRow& tenant, v1::DispatchPause& out);

}  // namespace postrider
