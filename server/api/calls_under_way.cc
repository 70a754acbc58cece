#include "server/api/calls_under_way.h"

namespace postrider {

void CallsUnderWay::End() {
  // Either this sees that it is awaited, or the one who waits sees that there are none.
  if (--count_ != 0 || !awaited_) return;
  MutexLock lock(mu_);
  none_.NotifyAll();
}

bool CallsUnderWay::AwaitNone(std::chrono::nanoseconds longest) {
  awaited_ = true;
  MutexLock lock(mu_);
  return none_.WaitFor(mu_, {}, longest, [this] { return count_ == 0; });
}

}  // namespace postrider
