#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>

#include "absl/status/statusor.h"
#include <grpcpp/completion_queue.h>

#include "client/client.h"

namespace postrider::client {

/// Sends many messages by one SendMessages call, up to `window` of them not answered yet; a call
/// that breaks off is followed by another one with what had no answer, under the same request_ids.
/// Each message is repeated as Client::Send does. Memory is bounded by the window: Send() waits
/// while it is full.
///
///   Batch batch(client, {}, [](Batch::Answer answer) { ... });
///   while (Next(&request)) batch.Send(std::move(request), line);
///   batch.Finish();
///
/// Not thread safe; has no thread of its own: answers are handed out, in the order they come,
/// from inside Send() and Finish(). They come in the order of Send(), but for what is repeated.
class Batch {
 public:
  struct Options {
    std::size_t window = 256;  ///< Messages under way or waiting to be repeated, 1 or more.
    /// When stopped, messages that have not left or wait to be repeated end CANCELLED; those under
    /// way are awaited.
    std::stop_token stop{};
    /// In place of RetryOptions::turn_budget: a batch waits for its turns until it is stopped.
    std::chrono::milliseconds turn_budget = std::chrono::hours(24 * 365);
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
  /// Waits until every answer has been handed out, and ends the call.
  void Finish();

 private:
  struct Item;
  struct Call;
  using Items = std::deque<std::unique_ptr<Item>>;

  /// Hands out what is there, or waits for one event for a moment.
  void Step();
  /// Takes up the messages whose pause is over, and gives up those that a stop leaves behind. True
  /// when it did anything.
  bool TakeUpWhatIsDue();
  void StartCall();
  /// Begins whatever read or write can begin.
  void Push();
  /// Waits for an event of the call until `deadline`; false when there was none.
  bool AwaitEvent(std::chrono::system_clock::time_point deadline);
  void OnVerdict();
  /// The call has ended: what it left is repeated or given up.
  void OnCallEnd();
  /// Repeats it after a pause, or hands the error out. `pause`: nothing when it must not be.
  void RepeatOrAnswer(std::unique_ptr<Item> item, const absl::Status& status,
                      std::optional<std::chrono::nanoseconds> pause);
  void GiveOut(const Item& item, absl::StatusOr<v1::SendMessageResponse> response);
  std::size_t Size() const { return ready_.size() + flying_.size() + waiting_.size(); }

  const std::shared_ptr<const Connection> connection_;
  const Options options_;
  const OnAnswer on_answer_;

  grpc::CompletionQueue queue_;
  std::unique_ptr<Call> call_;  ///< Null: none is under way.
  int failures_ = 0;            ///< Of calls in a row that brought no verdict.
  Items ready_;                 ///< To be written, in this order.
  Items flying_;                ///< Written, in the order in which verdicts come.
  std::multimap<MonotonicTime, std::unique_ptr<Item>> waiting_;  ///< By when they are repeated.
};

}  // namespace postrider::client
