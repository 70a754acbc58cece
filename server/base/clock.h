#pragma once

#include <chrono>

namespace postrider {

/// For intervals inside this process: timeouts, token refill, breaker cool-down. Never stored.
using MonotonicTime = std::chrono::steady_clock::time_point;
/// For instants shown to people or written to logs. Not monotonic; never subtracted.
using WallTime = std::chrono::system_clock::time_point;

/// For rates and metrics.
inline double SecondsOf(std::chrono::nanoseconds time) {
  return std::chrono::duration<double>(time).count();
}

/// Where every module gets the time from; tests pass FakeClock (tests/support/fake_clock.h).
/// All methods may be called from any thread.
class Clock {
 public:
  virtual ~Clock() = default;
  virtual MonotonicTime Now() const = 0;
  virtual WallTime Wall() const = 0;
};

/// The machine's clocks. Now() counts on CLOCK_BOOTTIME, so time asleep or in a stopped process
/// counts: a replica that was suspended past its lease finds that out by itself.
class SystemClock final : public Clock {
 public:
  MonotonicTime Now() const override;
  WallTime Wall() const override;
};

}  // namespace postrider
