#pragma once

#include "server/app/config.h"
#include "server/sandbox/sandbox.h"

namespace postrider {

/// The sandbox that the configuration describes, with the one client kSandboxClientId. Pure.
Sandbox::Options SandboxOptionsOf(const Config& config);

}  // namespace postrider
