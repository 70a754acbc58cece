#pragma once

#include <atomic>
#include <deque>
#include <memory>
#include <optional>

#include "absl/base/thread_annotations.h"

#include "postrider/v1/message_service.pb.h"
#include "server/api/api_error.h"
#include "server/api/authenticate.h"
#include "server/api/message_intake.h"
#include "server/base/clock.h"
#include "server/base/mutex.h"

namespace postrider {

/// The connection that a SendSession speaks through. Called without any lock; never after End.
class SendSink {
 public:
  virtual ~SendSink() = default;
  /// Begins to read; Session::OnRead or OnReadsEnd follows.
  virtual void Read() = 0;
  /// Begins to write `verdict`, which stays until OnWritten follows.
  virtual void Write(const v1::SendMessagesResponse& verdict) = 0;
  /// What a refused message is told of `error`, which is on record then.
  virtual google::rpc::Status Refusal(const ApiError& error) = 0;
  /// The last call; a Read may be under way, and what it brings is not taken any more. No error:
  /// every message has been answered.
  virtual void End(const std::optional<ApiError>& error) = 0;
};

/// One SendMessages: takes messages, a window of them at a time, and answers each in their order.
///
/// Nothing is read while kSendWindow messages or kSendWindowBytes of them are held, so that the
/// caller's gRPC waits. A token that was not looked at for kTokenRecheck is before a message is
/// taken. Safe from any thread; never blocks. The sink must live until its End was called, which
/// comes after the last verdict of the intake.
class SendSession : public std::enable_shared_from_this<SendSession> {
 public:
  /// All must outlive it.
  struct Parts {
    const Clock& clock;
    Guard& guard;
    MessageIntake& intake;
    const std::atomic<bool>& draining;  ///< True: no more is read; SERVER_DRAINING at the end.
  };

  SendSession(Parts parts, Caller caller, SendSink& sink);

  /// Once, before which it does not end.
  void Begin();
  /// `unreadable`: the bytes were no such message; it is refused as any other.
  void OnRead(v1::SendMessagesRequest request, const std::optional<ApiError>& unreadable);
  /// The caller has sent its last one, or is gone.
  void OnReadsEnd();
  /// The verdict was written; false: the connection is gone.
  void OnWritten(bool ok);
  /// The caller went away: what was taken is stored all the same.
  void Cancel();
  /// Does what can be done now: when a drain begins.
  void Pump();

 private:
  struct Entry {
    v1::SendMessagesRequest request;
    v1::SendMessagesResponse verdict;
    std::size_t bytes = 0;
    bool done = false;
  };
  struct Actions {
    bool read = false;
    const v1::SendMessagesResponse* write = nullptr;
    bool end = false;
  };

  Actions Decide() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  /// Takes `entry` if its caller's token is still good.
  void CheckToken(Entry& entry);
  void Take(Entry& entry);
  void Decided(Entry& entry, const ApiError* refusal);

  const Parts parts_;
  const Caller caller_;
  SendSink& sink_;

  Mutex mu_;
  std::deque<std::unique_ptr<Entry>> entries_ ABSL_GUARDED_BY(mu_);  ///< In the order they came.
  std::size_t bytes_ ABSL_GUARDED_BY(mu_) = 0;                       ///< Of their requests.
  std::size_t undecided_ ABSL_GUARDED_BY(mu_) = 0;
  bool reading_ ABSL_GUARDED_BY(mu_) = false;
  bool reads_ended_ ABSL_GUARDED_BY(mu_) = false;
  bool writing_ ABSL_GUARDED_BY(mu_) = false;
  bool gone_ ABSL_GUARDED_BY(mu_) = false;      ///< The connection: nothing can be written.
  bool checking_ ABSL_GUARDED_BY(mu_) = false;  ///< The token, for the message read last.
  /// Workers between a decision and its Read or Write; one more before Begin.
  int performing_ ABSL_GUARDED_BY(mu_) = 1;
  bool ended_ ABSL_GUARDED_BY(mu_) = false;
  std::optional<ApiError> failure_ ABSL_GUARDED_BY(mu_);  ///< Of the call: no more is read.
  MonotonicTime check_token_at_ ABSL_GUARDED_BY(mu_);
};

}  // namespace postrider
