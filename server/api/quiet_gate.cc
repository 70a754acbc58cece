#include "server/api/quiet_gate.h"

#include <algorithm>

#include "absl/time/time.h"

#include "server/store/tenant_quiet.h"

namespace postrider {

std::string Rfc3339Of(WallTime time) {
  return absl::FormatTime("%Y-%m-%dT%H:%M:%E*SZ", absl::FromChrono(time), absl::UTCTimeZone());
}

QuietVerdict QuietVerdictOf(const TenantRow& tenant, const MessageRequest& request, WallTime now) {
  const WallTime earliest = std::max(now, request.not_before);
  const std::optional<WallTime> next = NextAllowedOf(tenant, request, earliest);
  QuietVerdict verdict;
  if (next == earliest) return verdict;
  if (!next) {
    verdict.refusal = FailedPrecondition(
        "QUIET_HOURS", "there is no hour that is allowed wherever the recipient may be",
        {"QUIET_HOURS", "recipient", "give the recipient's time_zone"});
  } else if (request.expire_at != WallTime{} && *next >= request.expire_at) {
    verdict.refusal =
        FailedPrecondition("QUIET_HOURS", "quiet hours last until the message has expired",
                           {"QUIET_HOURS", "expire_at", "must be after the next allowed time"});
    verdict.refusal->metadata["next_allowed_at"] = Rfc3339Of(*next);
  } else {
    verdict.until = *next;
  }
  return verdict;
}

}  // namespace postrider
