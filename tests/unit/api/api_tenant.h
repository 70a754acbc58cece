#pragma once

#include "tests/support/event_log.h"

namespace postrider {

/// The tenant of this folder's tests.
inline const TenantId kTenant{UuidOf(1)};

}  // namespace postrider
