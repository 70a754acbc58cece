#include "server/http/exchange.h"

#include <sys/eventfd.h>
#include <unistd.h>
#include <utility>

namespace postrider {

HttpExchange::HttpExchange(std::size_t queued_requests)
    : queued_requests_(queued_requests), wake_(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {}

bool HttpExchange::TryPush(Job job) {
  {
    MutexLock lock(mu_);
    if (jobs_.size() >= queued_requests_) return false;
    jobs_.push_back(std::move(job));
  }
  pushed_.NotifyOne();
  return true;
}

std::vector<HttpExchange::Answer> HttpExchange::TakeAnswers() {
  MutexLock lock(mu_);
  return std::exchange(answers_, {});
}

void HttpExchange::ClearWake() {
  std::uint64_t count = 0;
  // Empty already is as good.
  [[maybe_unused]] const ssize_t size = read(wake_.get(), &count, sizeof(count));
}

std::optional<HttpExchange::Job> HttpExchange::Pop(std::stop_token stop) {
  MutexLock lock(mu_);
  if (!pushed_.WaitFor(mu_, stop, std::chrono::seconds(1),
                       [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return !jobs_.empty(); }))
    return std::nullopt;
  Job job = std::move(jobs_.front());
  jobs_.pop_front();
  return job;
}

void HttpExchange::Finish(Answer answer) {
  bool first = false;
  {
    MutexLock lock(mu_);
    first = answers_.empty();
    answers_.push_back(std::move(answer));
  }
  if (first) Wake();
}

void HttpExchange::BeginDrain() {
  {
    MutexLock lock(mu_);
    draining_ = true;
  }
  Wake();
}

bool HttpExchange::draining() const {
  MutexLock lock(mu_);
  return draining_;
}

void HttpExchange::MarkDrained() {
  {
    MutexLock lock(mu_);
    drained_ = true;
  }
  ended_.NotifyAll();
}

bool HttpExchange::WaitDrained(std::chrono::nanoseconds at_most) {
  MutexLock lock(mu_);
  return ended_.WaitFor(mu_, std::stop_token(), at_most,
                        [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return drained_; });
}

void HttpExchange::Wake() {
  const std::uint64_t one = 1;
  // It can only fail when the counter is full, and then the front is awake.
  [[maybe_unused]] const ssize_t size = write(wake_.get(), &one, sizeof(one));
}

}  // namespace postrider
