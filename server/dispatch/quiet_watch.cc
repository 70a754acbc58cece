#include "server/dispatch/quiet_watch.h"

#include <utility>

namespace postrider {

namespace {
constexpr auto kQuietLookAgain = std::chrono::hours(1);
}  // namespace

QuietWatch::QuietWatch(const Clock& clock, NextAllowedTime next_allowed)
    : clock_(clock), next_allowed_(std::move(next_allowed)) {}

std::chrono::nanoseconds QuietWatch::HoldFor(const MessageRequest& request) const {
  // What answers a recipient's own act is for that hour.
  if (!next_allowed_ || request.answers_opt_out) return std::chrono::nanoseconds(0);
  const WallTime now = clock_.Wall();
  const std::optional<WallTime> next = next_allowed_(request, now);
  // None for long: a setting that leaves no hour may be mended soon.
  return next ? *next - now : std::chrono::nanoseconds(kQuietLookAgain);
}

}  // namespace postrider
