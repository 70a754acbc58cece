#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"

#include "server/base/mutex.h"
#include "server/http/message.h"
#include "server/http/socket.h"

namespace postrider {

/// Between a server's front and its workers: complete requests one way, answers the other, and
/// the words that end it. Safe from any thread; bounded by `queued_requests`, and the answers by
/// the front's connections, each of which has one request under way at most.
class HttpExchange {
 public:
  struct Job {
    std::uint64_t connection = 0;
    std::string target;
    HttpRequest request;
    bool last = false;  ///< The connection will be closed after the answer.
  };
  struct Answer {
    std::uint64_t connection = 0;
    std::string bytes;  ///< Empty to hang up.
    bool close = false;
  };

  explicit HttpExchange(std::size_t queued_requests);

  /// The front. False when the queue is full.
  [[nodiscard]] bool TryPush(Job job);
  std::vector<Answer> TakeAnswers();
  /// Readable when the front has something to look at.
  int wake_fd() const { return wake_.get(); }
  void ClearWake();

  /// The workers. Waits up to a second for a job.
  std::optional<Job> Pop(std::stop_token stop);
  void Finish(Answer answer);

  /// The owner. After BeginDrain() the front ends by and by and says so with MarkDrained().
  void BeginDrain();
  bool draining() const;
  void MarkDrained();
  /// False when `at_most` passed first.
  bool WaitDrained(std::chrono::nanoseconds at_most);
  void Wake();

 private:
  const std::size_t queued_requests_;
  const UniqueFd wake_;

  mutable Mutex mu_;
  CondVar pushed_;
  CondVar ended_;
  std::deque<Job> jobs_ ABSL_GUARDED_BY(mu_);
  std::vector<Answer> answers_ ABSL_GUARDED_BY(mu_);
  bool draining_ ABSL_GUARDED_BY(mu_) = false;
  bool drained_ ABSL_GUARDED_BY(mu_) = false;
};

}  // namespace postrider
