#include "server/store/breaker_directory.h"

#include <algorithm>
#include <utility>

#include "server/base/log.h"
#include "server/base/status_macros.h"
#include "server/model/dispatch_limits.h"

namespace postrider {

BreakerDirectory::BreakerDirectory(BreakerStore& store) : store_(store) {}

void BreakerDirectory::Start() {
  worker_ = std::make_unique<Worker>("breakers", [this](std::stop_token stop) { Step(stop); });
}

absl::Status BreakerDirectory::Refresh() {
  PR_ASSIGN_OR_RETURN(const std::vector<OpenBreaker> open, store_.OpenBreakers());
  std::map<TenantId, WallTime> open_until;
  for (const OpenBreaker& breaker : open) {
    WallTime& until = open_until[breaker.key.tenant_id];
    // Both must let it through.
    until = std::max(until, breaker.until);
  }
  MutexLock lock(mu_);
  open_until_.swap(open_until);
  return absl::OkStatus();
}

void BreakerDirectory::Step(std::stop_token stop) {
  if (WaitOrStop(stop, kOpenBreakersRefresh)) return;
  const absl::Status refreshed = Refresh();
  if (refreshed.ok()) {
    LogWorksAgain(repeated_, "open circuit breakers are read again");
  } else {
    LogFailure(repeated_, "open circuit breakers were not read", refreshed);
  }
}

std::optional<WallTime> BreakerDirectory::NextCanary(TenantId tenant) const {
  MutexLock lock(mu_);
  const auto found = open_until_.find(tenant);
  return found == open_until_.end() ? std::nullopt : std::optional(found->second);
}

}  // namespace postrider
