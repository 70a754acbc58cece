#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <stop_token>

#include "absl/base/thread_annotations.h"

namespace postrider {

/// std::mutex with Clang's thread-safety annotations.
///
/// Why not absl::Mutex: Debian's libabsl is built without ThreadSanitizer, so TSan cannot see
/// its locking and reports false races on everything it guards. std::mutex is intercepted.
class ABSL_LOCKABLE Mutex {
 public:
  void Lock() ABSL_EXCLUSIVE_LOCK_FUNCTION() { mu_.lock(); }
  void Unlock() ABSL_UNLOCK_FUNCTION() { mu_.unlock(); }
  void lock() ABSL_EXCLUSIVE_LOCK_FUNCTION() { mu_.lock(); }
  void unlock() ABSL_UNLOCK_FUNCTION() { mu_.unlock(); }

 private:
  std::mutex mu_;
};

/// Holds a Mutex as long as it lives.
class ABSL_SCOPED_LOCKABLE MutexLock {
 public:
  explicit MutexLock(Mutex& mu) ABSL_EXCLUSIVE_LOCK_FUNCTION(mu) : mu_(mu) { mu_.Lock(); }
  ~MutexLock() ABSL_UNLOCK_FUNCTION() { mu_.Unlock(); }
  MutexLock(const MutexLock&) = delete;
  MutexLock& operator=(const MutexLock&) = delete;

 private:
  Mutex& mu_;
};

/// Waits for what a Mutex guards to change. Every wait has a condition, and ends with its stop
/// token too: no lost wake-up keeps a worker from stopping.
class CondVar {
 public:
  void NotifyOne() { cv_.notify_one(); }
  void NotifyAll() { cv_.notify_all(); }

  /// Waits until `ready()` or `stop`; returns `ready()`. `mu` is held on entry and on return.
  template <typename Pred>
  bool Wait(Mutex& mu, std::stop_token stop, Pred ready)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu) ABSL_NO_THREAD_SAFETY_ANALYSIS {
    return cv_.wait(mu, stop, ready);
  }

  /// The same, for `timeout` at most.
  template <typename Pred>
  bool WaitFor(Mutex& mu, std::stop_token stop, std::chrono::nanoseconds timeout, Pred ready)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu) ABSL_NO_THREAD_SAFETY_ANALYSIS {
    return cv_.wait_for(mu, stop, timeout, ready);
  }

 private:
  std::condition_variable_any cv_;
};

}  // namespace postrider
