#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <stop_token>
#include <string>

#include "absl/status/statusor.h"
#include <grpcpp/completion_queue.h>

#include "client/client.h"

namespace postrider::client {

/// Sends many messages over one connection with up to `window` calls under way, each repeated as
/// Client::Send does. Memory is bounded by the window: Send() waits while it is full.
///
///   Batch batch(client, {}, [](Batch::Answer answer) { ... });
///   while (Next(&request)) batch.Send(std::move(request), line);
///   batch.Finish();
///
/// Not thread safe; has no thread of its own: answers are handed out, in the order they come,
/// from inside Send() and Finish().
class Batch {
 public:
  struct Options {
    std::size_t window = 256;  ///< Calls under way or waiting to be repeated, 1 or more.
    /// When stopped, calls that wait to be repeated end CANCELLED; those under way are awaited.
    std::stop_token stop{};
    /// In place of RetryOptions::queue_budget: a batch waits for room until it is stopped.
    std::chrono::milliseconds queue_budget = std::chrono::hours(24 * 365);
  };

  struct Answer {
    std::uint64_t tag;                                 ///< As given to Send().
    std::string request_id;                            ///< As sent.
    absl::StatusOr<v1::SendMessageResponse> response;  ///< Errors as of Client::Send.
  };
  using OnAnswer = std::function<void(Answer)>;

  /// `client` must outlive the batch. `on_answer` is called once for each Send() and must not
  /// call into the batch.
  Batch(const Client& client, Options options, OnAnswer on_answer);
  /// Cancels what is under way, without answers; call Finish() first to have them.
  ~Batch();
  Batch(const Batch&) = delete;
  Batch& operator=(const Batch&) = delete;

  /// Sends `request`, after waiting for room in the window. `tag` comes back with the answer.
  void Send(v1::SendMessageRequest request, std::uint64_t tag);
  /// Waits until every answer has been handed out.
  void Finish();

 private:
  struct Call;

  /// Hands out what is there, or waits for one event for a moment.
  void Step();
  void Start(std::unique_ptr<Call> call);
  void Complete(std::unique_ptr<Call> call);
  /// Starts the calls whose pause is over. True when it did anything.
  bool RepeatWhatIsDue();
  std::size_t Size() const { return flying_.size() + waiting_.size(); }

  const std::shared_ptr<const Connection> connection_;
  const Options options_;
  const OnAnswer on_answer_;

  grpc::CompletionQueue queue_;
  std::map<Call*, std::unique_ptr<Call>> flying_;
  std::multimap<MonotonicTime, std::unique_ptr<Call>> waiting_;  ///< By when they are repeated.
};

}  // namespace postrider::client
