#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <stop_token>
#include <vector>

#include "absl/base/thread_annotations.h"

#include "server/base/metrics.h"
#include "server/base/mutex.h"
#include "server/base/worker.h"
#include "server/model/limits.h"

namespace postrider {

/// Workers that do what gRPC's own threads must not: wait for the store. Bounded; safe from any
/// thread. Jobs refer to whoever gave them: Drain() it before the guard and the service go.
class ReadPool {
 public:
  struct Options {
    int workers = 4;  ///< Database connections that reads use at once.
    std::size_t queue = kReadQueue;
  };
  using Job = std::function<void()>;

  /// `metrics` must outlive it.
  ReadPool(Metrics& metrics, Options options);
  ~ReadPool() { Drain(); }

  /// Starts the workers. Tests drive Step() instead.
  void Start();
  /// Queues `job`; false when the queue is full or drained. Never blocks.
  [[nodiscard]] bool TrySubmit(Job job);
  /// Does one job; waits for one until `stop`. Returns how many it did.
  std::size_t Step(std::stop_token stop);
  /// Takes no more jobs and does what is queued.
  void Drain();

 private:
  const Options options_;
  Counter& refused_total_;

  Mutex mu_;
  CondVar work_;
  std::deque<Job> queue_ ABSL_GUARDED_BY(mu_);
  bool draining_ ABSL_GUARDED_BY(mu_) = false;

  std::vector<std::unique_ptr<Worker>> workers_;
};

}  // namespace postrider
