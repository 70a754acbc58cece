#pragma once

#include <atomic>
#include <chrono>

#include "server/base/mutex.h"

namespace postrider {

/// How many calls have begun and not ended: what a drain waits for. gRPC's own Shutdown waits for
/// every connection to close as well, and an idle client may take its time over that. Safe from
/// any thread; costs a call two additions.
class CallsUnderWay {
 public:
  void Begin() { ++count_; }
  /// Once for each Begin.
  void End();
  /// Waits until there are none; false when `longest` passed first.
  bool AwaitNone(std::chrono::nanoseconds longest);

 private:
  std::atomic<int> count_ = 0;
  std::atomic<bool> awaited_ = false;

  Mutex mu_;  ///< Of the condition alone.
  CondVar none_;
};

}  // namespace postrider
