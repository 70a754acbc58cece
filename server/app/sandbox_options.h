#pragma once

#include "absl/status/statusor.h"

#include "server/app/config.h"
#include "server/sandbox/sandbox.h"

namespace postrider {

/// The sandbox that the configuration describes, with the one client kSandboxClientId; it signs
/// with the first of the webhooks' secrets. FAILED_PRECONDITION when their file has none.
absl::StatusOr<Sandbox::Options> SandboxOptionsOf(const Config& config);

}  // namespace postrider
