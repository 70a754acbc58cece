#pragma once

#include <optional>
#include <string>

#include "server/api/api_error.h"
#include "server/base/clock.h"
#include "server/model/message.h"
#include "server/store/tenants.h"

namespace postrider {

/// What quiet hours mean for a message that is to be accepted.
struct QuietVerdict {
  WallTime until{};                 ///< It is held so long; epoch: it is not held.
  std::optional<ApiError> refusal;  ///< QUIET_HOURS: it cannot leave before it expires.
};

/// Goes by the first moment at which `request`, of `tenant`, could leave: `now`, or its not_before.
/// Pure.
QuietVerdict QuietVerdictOf(const TenantRow& tenant, const MessageRequest& request, WallTime now);

/// "2026-03-08T12:00:00Z"
std::string Rfc3339Of(WallTime time);

}  // namespace postrider
