#pragma once

#include <iosfwd>

#include "client/cli/context.h"
#include "postrider/v1/admin_service.pb.h"

namespace postrider::cli {

/// The state of a gateway for people: one line of sums, then tables of tenants, of what is paused
/// or broken when anything is, and of the replicas.
void PrintState(std::ostream& out, bool colour, const v1::GatewayState& state);

/// The same in one line, for logs: what changes with the work.
void PrintStateLine(std::ostream& out, const v1::GatewayState& state);

/// "tenant", "tenant/campaign spring", "tenant/sender +1555...".
std::string TargetText(const v1::DispatchTarget& target);

}  // namespace postrider::cli
