#include "server/base/clock.h"

#include <ctime>

namespace postrider {

MonotonicTime SystemClock::Now() const {
  timespec ts{};
  clock_gettime(CLOCK_BOOTTIME, &ts);
  return MonotonicTime{std::chrono::seconds(ts.tv_sec) + std::chrono::nanoseconds(ts.tv_nsec)};
}

WallTime SystemClock::Wall() const { return std::chrono::system_clock::now(); }

}  // namespace postrider
