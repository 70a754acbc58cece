#pragma once

#include <chrono>
#include <optional>

#include "server/model/ids.h"

namespace postrider {

/// What the owner of a tenant's slot keeps in memory about its dispatch. Others know nothing of it.
struct LaneFacts {
  TenantId tenant_id;
  double effective_per_s = 0;  ///< Requests a second at most at the moment; 0 while paused.
  double resumes_per_s = 0;    ///< The same, as if there were no pause.
  double tokens = 0;           ///< Requests that could leave at once.
  int waiting = 0;             ///< Intents that wait for a token.
  std::chrono::nanoseconds pause_left{};  ///< The provider said to wait so long ...
  bool stopped = false;                   ///< ... or it refuses the tenant's credentials.
};

}  // namespace postrider
