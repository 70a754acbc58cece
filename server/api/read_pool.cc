#include "server/api/read_pool.h"

#include <utility>

#include "server/base/strings.h"

namespace postrider {

ReadPool::ReadPool(Metrics& metrics, Options options)
    : options_(options),
      refused_total_(
          metrics.CounterOf("postrider_reads_refused_total", "Reads refused for a full queue.")) {}

void ReadPool::Start() {
  for (int i = 0; i < options_.workers; ++i) {
    workers_.push_back(
        std::make_unique<Worker>(StrCat("read-", i), [this](std::stop_token stop) { Step(stop); }));
  }
}

bool ReadPool::TrySubmit(Job job) {
  MutexLock lock(mu_);
  if (draining_ || queue_.size() >= options_.queue) {
    refused_total_.Add();
    return false;
  }
  queue_.push_back(std::move(job));
  work_.NotifyOne();
  return true;
}

std::size_t ReadPool::Step(std::stop_token stop) {
  Job job;
  {
    MutexLock lock(mu_);
    if (queue_.empty()) {
      if (draining_ || !stop.stop_possible()) return 0;
      work_.Wait(mu_, stop, [this]() ABSL_NO_THREAD_SAFETY_ANALYSIS { return !queue_.empty(); });
      if (queue_.empty()) return 0;
    }
    job = std::move(queue_.front());
    queue_.pop_front();
  }
  job();
  return 1;
}

void ReadPool::Drain() {
  {
    MutexLock lock(mu_);
    draining_ = true;
  }
  for (auto& worker : workers_) worker->RequestStop();
  workers_.clear();
  while (Step(std::stop_token()) > 0) {
  }
}

}  // namespace postrider
