#pragma once

#include "absl/base/thread_annotations.h"

#include "server/base/clock.h"
#include "server/base/mutex.h"

namespace postrider {

/// The machine's clocks, put forward by what the test says: for code that talks over real
/// sockets, whose deadlines need a clock that moves by itself.
class ShiftedClock final : public Clock {
 public:
  MonotonicTime Now() const override { return machine_.Now() + shift(); }
  WallTime Wall() const override { return machine_.Wall() + shift(); }
  void Advance(std::chrono::nanoseconds by) {
    MutexLock lock(mu_);
    shift_ += by;
  }

 private:
  std::chrono::nanoseconds shift() const {
    MutexLock lock(mu_);
    return shift_;
  }

  const SystemClock machine_;

  mutable Mutex mu_;
  std::chrono::nanoseconds shift_ ABSL_GUARDED_BY(mu_){};
};

}  // namespace postrider
