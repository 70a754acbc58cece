#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>

#include "server/base/clock.h"
#include "server/base/worker.h"

namespace postrider {

/// How long this machine kept a process of the test waiting for a processor: what happened on time
/// may have been seen that much later. For checks of real times; everything else waits on
/// conditions.
class HangWatch {
 public:
  /// The longest wait since this was made, as far as it is over.
  std::chrono::nanoseconds Longest() const { return std::chrono::nanoseconds(longest_ns_); }

 private:
  static constexpr auto kPeriod = std::chrono::milliseconds(5);

  const SystemClock clock_;
  std::atomic<std::int64_t> longest_ns_ = 0;

  Worker worker_{"hang-watch", [this](std::stop_token stop) {
                   const MonotonicTime began = clock_.Now();
                   if (WaitOrStop(stop, kPeriod)) return;
                   const std::chrono::nanoseconds late = clock_.Now() - began - kPeriod;
                   longest_ns_ = std::max<std::int64_t>(longest_ns_, late.count());
                 }};
};

}  // namespace postrider
