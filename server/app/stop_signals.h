#pragma once

#include <atomic>
#include <chrono>
#include <signal.h>
#include <stop_token>

#include "server/base/worker.h"

namespace postrider {

/// SIGINT and SIGTERM of this process: the first asks for an orderly end, from the start on; a
/// second one ends the process at once, by the signal's default action. Whoever does not end within
/// `at_most` of the first (a database that hangs cannot be waited for) is ended then, with
/// status 1.
///
/// One a process, made before any other worker starts, so that none of them ever gets a signal,
/// and outlives whoever asks it. Safe from any thread.
class StopSignals {
 public:
  explicit StopSignals(std::chrono::seconds at_most);

  /// Stopped by the first signal.
  std::stop_token Asked() const { return asked_.get_token(); }
  /// The first signal; 0 before it.
  int number() const { return number_; }
  /// Waits for the first signal.
  void Await() const;

 private:
  void Step(std::stop_token stop);

  const std::chrono::seconds at_most_;
  const sigset_t signals_;
  std::stop_source asked_;
  std::atomic<int> number_ = 0;

  Worker worker_;
};

}  // namespace postrider
