#pragma once

#include <chrono>
#include <functional>
#include <stop_token>
#include <string>
#include <thread>

namespace postrider {

/// A named OS thread that repeats `step` until stopped: the only place where threads start.
///
/// `step` does one bounded unit of work, may wait up to about a second for work to arrive (on its
/// owner's condition variable, with the given stop token), and returns. It is the owner's public
/// Step(), so tests and the simulation drive the same code without a thread.
/// The destructor requests stop and joins; declare a Worker last in its class.
class Worker {
 public:
  using Step = std::function<void(std::stop_token)>;

  /// `name` is shown by the kernel; 15 characters at most.
  Worker(std::string name, Step step);
  ~Worker() { Stop(); }
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  /// Requests stop and waits for the running step to end. Repeating it does nothing.
  void Stop();
  /// Requests stop without waiting.
  void RequestStop() { thread_.request_stop(); }

 private:
  std::jthread thread_;
};

/// Waits for `duration` or `stop`, whichever is first; true when stopped.
bool WaitOrStop(std::stop_token stop, std::chrono::nanoseconds duration);

}  // namespace postrider
