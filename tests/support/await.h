#pragma once

#include <chrono>
#include <functional>

#include "server/base/clock.h"
#include "server/base/worker.h"

namespace postrider {

/// Waits until `condition` holds, and says whether it did within `longest`: a bound that only a
/// failing test reaches. For what happens in another process, where there is nothing to be
/// notified by: the condition is asked every few milliseconds.
inline bool Await(const std::function<bool()>& condition,
                  std::chrono::seconds longest = std::chrono::seconds(60)) {
  const SystemClock clock;
  const MonotonicTime until = clock.Now() + longest;
  while (!condition()) {
    if (clock.Now() >= until) return false;
    WaitOrStop({}, std::chrono::milliseconds(5));
  }
  return true;
}

}  // namespace postrider
