#include "client/batch.h"

#include <algorithm>
#include <utility>

#include "server/base/check.h"

namespace postrider::client {
namespace {
// A stop is noticed this late at most.
constexpr std::chrono::nanoseconds kSlice = std::chrono::milliseconds(100);
// Of each slice, while the gateway is away.
constexpr std::chrono::milliseconds kConnectSlice{20};
}  // namespace

struct Batch::Call {
  explicit Call(RetryBudget its_budget) : budget(its_budget) {}

  v1::SendMessageRequest request;
  std::uint64_t tag = 0;
  RetryBudget budget;
  int failures = 0;
  // Of the try under way.
  std::unique_ptr<grpc::ClientContext> context;
  std::unique_ptr<grpc::ClientAsyncResponseReaderInterface<v1::SendMessageResponse>> reader;
  v1::SendMessageResponse response;
  grpc::Status status;
};

Batch::Batch(const Client& client, Options options, OnAnswer on_answer)
    : connection_(client.connection()),
      options_(std::move(options)),
      on_answer_(std::move(on_answer)) {
  PR_CHECK(options_.window >= 1);
}

Batch::~Batch() {
  for (const auto& [call, owner] : flying_) call->context->TryCancel();
  queue_.Shutdown();
  void* tag = nullptr;
  bool ok = false;
  while (queue_.Next(&tag, &ok)) {
  }
}

void Batch::Send(v1::SendMessageRequest request, std::uint64_t tag) {
  while (Size() >= options_.window) Step();
  RetryOptions retry = connection_->options().retry;
  retry.queue_budget = options_.queue_budget;
  auto call = std::make_unique<Call>(RetryBudget(retry, connection_->seams().clock.Now()));
  call->request = std::move(request);
  call->tag = tag;
  if (call->request.request_id().empty()) {
    call->request.set_request_id(NewRequestId(connection_->seams().random));
  }
  Start(std::move(call));
}

void Batch::Finish() {
  while (Size() > 0) Step();
}

void Batch::Start(std::unique_ptr<Call> call) {
  Call* key = call.get();
  call->context = connection_->NewContext();
  call->status = grpc::Status();
  call->reader =
      connection_->stub().PrepareAsyncSendMessage(call->context.get(), call->request, &queue_);
  call->reader->StartCall();
  call->reader->Finish(&call->response, &call->status, key);
  flying_.emplace(key, std::move(call));
}

void Batch::Step() {
  if (RepeatWhatIsDue()) return;
  const Seams& seams = connection_->seams();
  std::chrono::nanoseconds wait = kSlice;
  if (!waiting_.empty()) wait = std::min(wait, waiting_.begin()->first - seams.clock.Now());
  if (flying_.empty()) {
    seams.wait(options_.stop, wait);
    connection_->AwaitConnected(options_.stop, kConnectSlice);
    return;
  }
  void* tag = nullptr;
  bool ok = false;
  const auto deadline = std::chrono::system_clock::now() + wait;
  if (queue_.AsyncNext(&tag, &ok, deadline) != grpc::CompletionQueue::GOT_EVENT) return;
  auto done = flying_.extract(static_cast<Call*>(tag));
  Complete(std::move(done.mapped()));
}

bool Batch::RepeatWhatIsDue() {
  if (waiting_.empty()) return false;
  auto first = waiting_.begin();
  const bool stopped = options_.stop.stop_requested();
  if (!stopped && first->first > connection_->seams().clock.Now()) return false;
  std::unique_ptr<Call> call = std::move(first->second);
  waiting_.erase(first);
  if (stopped) {
    on_answer_({call->tag, call->request.request_id(),
                absl::CancelledError("stopped before the gateway answered")});
  } else {
    Start(std::move(call));
  }
  return true;
}

void Batch::Complete(std::unique_ptr<Call> call) {
  if (call->status.ok()) {
    on_answer_({call->tag, call->request.request_id(), std::move(call->response)});
    return;
  }
  const Seams& seams = connection_->seams();
  ++call->failures;
  const Error error = DecodeError(call->status);
  const auto pause = RetryPauseOf(error, PushbackOf(call->context->GetServerTrailingMetadata()),
                                  call->failures, connection_->options().retry, seams.random);
  const MonotonicTime now = seams.clock.Now();
  if (!pause.has_value() || !call->budget.Take(error, now, *pause)) {
    on_answer_({call->tag, call->request.request_id(), ToAbslStatus(call->status)});
    return;
  }
  waiting_.emplace(now + *pause, std::move(call));
}

}  // namespace postrider::client
