#include "client/watch.h"

#include <memory>
#include <optional>
#include <utility>

#include <google/protobuf/util/time_util.h>
#include <grpcpp/completion_queue.h>

namespace postrider::client {
namespace {

using v1::StreamStatusRequest;
using v1::StreamStatusResponse;

std::chrono::milliseconds SilenceOf(const Options& options, const StreamStatusRequest& request) {
  if (options.watch_silence.count() > 0) return options.watch_silence;
  const std::int64_t interval_ms =
      request.has_checkpoint_interval()
          ? google::protobuf::util::TimeUtil::DurationToMilliseconds(request.checkpoint_interval())
          : 15000;
  return std::chrono::milliseconds(3 * interval_ms + 5000);
}

/// One stream. Reads on the caller's thread; a wait that lasts longer than `silence` cancels it.
class Stream {
 public:
  Stream(const Connection& connection, const StreamStatusRequest& request,
         std::chrono::milliseconds silence, std::stop_token stop)
      : silence_(silence),
        context_(connection.NewContext(/*endless=*/true)),
        cancel_on_stop_(std::move(stop), Cancel{*context_}),
        reader_(connection.stub().PrepareAsyncStreamStatus(context_.get(), request, &queue_)) {
    reader_->StartCall(this);
    Await();
  }

  ~Stream() {
    queue_.Shutdown();
    void* tag = nullptr;
    bool ok = false;
    while (queue_.Next(&tag, &ok)) {
    }
  }
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  /// The next element; false at the end.
  bool Read(StreamStatusResponse& element) {
    reader_->Read(&element, this);
    return Await();
  }

  /// After Read() said false.
  grpc::Status Finish() {
    grpc::Status status;
    reader_->Finish(&status, this);
    Await();
    if (silent_) return {grpc::StatusCode::UNAVAILABLE, "the stream went silent"};
    return status;
  }

 private:
  struct Cancel {
    grpc::ClientContext& context;
    void operator()() const { context.TryCancel(); }
  };

  bool Await() {
    void* tag = nullptr;
    bool ok = false;
    const auto deadline = std::chrono::system_clock::now() + silence_;
    if (queue_.AsyncNext(&tag, &ok, deadline) == grpc::CompletionQueue::TIMEOUT) {
      silent_ = true;
      context_->TryCancel();
      queue_.Next(&tag, &ok);
    }
    return ok;
  }

  const std::chrono::milliseconds silence_;
  bool silent_ = false;
  grpc::CompletionQueue queue_;
  const std::unique_ptr<grpc::ClientContext> context_;
  const std::stop_callback<Cancel> cancel_on_stop_;
  const std::unique_ptr<grpc::ClientAsyncReaderInterface<StreamStatusResponse>> reader_;
};

/// Where a watch stands: what to ask for after a reconnect.
class Position {
 public:
  explicit Position(StreamStatusRequest request) : request_(std::move(request)) {}

  /// True when the element is new to the caller.
  bool Take(const StreamStatusResponse& element) {
    // A token from inside of a snapshot covers what has come of it, so the rest follows.
    request_.set_resume_token(element.resume_token());
    request_.set_include_snapshot(false);
    if (element.has_checkpoint()) return true;
    const v1::StatusChange& status =
        element.has_snapshot() ? element.snapshot().status() : element.change();
    return !seen_.SeenBefore(status.message_id(), status.revision());
  }

  const StreamStatusRequest& request() const { return request_; }
  const std::string& token() const { return request_.resume_token(); }

 private:
  StreamStatusRequest request_;
  RepeatFilter seen_;
};

/// Of a stream that `began`, which is to say brought an element.
bool IsResumable(const Error& error, bool began) {
  if (error.code == absl::StatusCode::kUnavailable) return true;
  // Not by us, that was asked before: by a gateway in the last moment of its own end.
  if (error.code == absl::StatusCode::kCancelled) return true;
  // The cut of a slow reader overtakes what is stuck, and so carries no details. All other
  // refusals of the gateway with this code have a reason.
  const bool bare = error.code == absl::StatusCode::kResourceExhausted && error.reason.empty();
  return error.reason == "STREAM_TOO_SLOW" || (began && bare);
}

}  // namespace

bool RepeatFilter::SeenBefore(const std::string& message_id, int revision) {
  int known = 0;
  const auto in_young = young_.find(message_id);
  if (in_young != young_.end()) {
    known = in_young->second;
  } else if (const auto in_old = old_.find(message_id); in_old != old_.end()) {
    known = in_old->second;
  }
  if (revision <= known) return true;
  if (in_young == young_.end() && young_.size() >= capacity_) old_ = std::exchange(young_, {});
  young_[message_id] = revision;
  return false;
}

WatchEnd WatchStatus(const Connection& connection, StreamStatusRequest request,
                     const OnElement& on_element, std::stop_token stop) {
  const Seams& seams = connection.seams();
  const RetryOptions& retry = connection.options().retry;
  const std::chrono::milliseconds silence = SilenceOf(connection.options(), request);
  Position position(std::move(request));
  MonotonicTime last_sign = seams.clock.Now();
  int failures = 0;
  while (!stop.stop_requested()) {
    Stream stream(connection, position.request(), silence, stop);
    StreamStatusResponse element;
    bool alive = false;
    while (stream.Read(element)) {
      alive = true;
      if (position.Take(element)) on_element(element);
    }
    if (alive) {
      failures = 0;
      last_sign = seams.clock.Now();
    }
    const grpc::Status end = stream.Finish();
    if (stop.stop_requested()) break;
    if (end.ok() && position.request().until_final()) break;
    const Error error = DecodeError(end);
    if (!end.ok() && !IsResumable(error, alive)) return {ToAbslStatus(end), position.token()};
    ++failures;
    const std::chrono::nanoseconds pause =
        error.retry_after.value_or(std::chrono::milliseconds(0)) +
        BackoffOf(failures, retry, seams.random);
    if (seams.clock.Now() + pause > last_sign + retry.budget) {
      return {end.ok() ? absl::UnavailableError("the gateway keeps ending the stream")
                       : ToAbslStatus(end),
              position.token()};
    }
    seams.wait(stop, pause);
    connection.AwaitConnected(stop);
  }
  return {absl::OkStatus(), position.token()};
}

}  // namespace postrider::client
