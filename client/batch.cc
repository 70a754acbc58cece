#include "client/batch.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "server/base/check.h"

namespace postrider::client {
namespace {

using SystemTime = std::chrono::system_clock::time_point;

// A stop is noticed this late at most.
constexpr std::chrono::nanoseconds kSlice = std::chrono::milliseconds(100);
// Of each slice, while the gateway is away.
constexpr std::chrono::milliseconds kConnectSlice{20};

// As the contract has it.
constexpr std::size_t kMostBytes = std::size_t{256} * 1024;

enum class Event : std::uintptr_t { kStarted = 1, kRead, kWritten, kClosed, kFinished };
void* TagOf(Event event) { return reinterpret_cast<void*>(event); }

}  // namespace

/// A message.
struct Batch::Item {
  explicit Item(RetryBudget its_budget) : budget(its_budget) {}

  v1::SendMessagesRequest message;
  std::uint64_t tag = 0;
  RetryBudget budget;
  int failures = 0;
};

/// The SendMessages under way.
struct Batch::Call {
  std::unique_ptr<grpc::ClientContext> context;
  std::unique_ptr<
      grpc::ClientAsyncReaderWriterInterface<v1::SendMessagesRequest, v1::SendMessagesResponse>>
      stream;
  v1::SendMessagesResponse verdict;
  grpc::Status status;
  int pending = 0;  ///< Operations whose event has not come.
  bool started = false;
  bool reading = false;
  bool writing = false;
  bool broken = false;     ///< Nothing more can be read or written.
  bool closing = false;    ///< Our side: all messages are written.
  bool finishing = false;  ///< Its status is asked for.
  bool finished = false;
  bool overdue = false;  ///< It was cancelled, since no verdict came.
  MonotonicTime news{};  ///< When the last verdict came, or the wait for one began.
};

Batch::Batch(const Client& client, Options options, OnAnswer on_answer)
    : connection_(client.connection()),
      options_(std::move(options)),
      on_answer_(std::move(on_answer)) {
  PR_CHECK(options_.window >= 1);
}

Batch::~Batch() {
  if (call_ != nullptr) call_->context->TryCancel();
  queue_.Shutdown();
  void* tag = nullptr;
  bool ok = false;
  while (queue_.Next(&tag, &ok)) {
  }
}

void Batch::Send(v1::SendMessageRequest request, std::uint64_t tag) {
  while (Size() >= options_.window) Step();
  RetryOptions retry = connection_->options().retry;
  retry.turn_budget = options_.turn_budget;
  auto item = std::make_unique<Item>(RetryBudget(retry, connection_->seams().clock.Now()));
  item->tag = tag;
  *item->message.mutable_request() = std::move(request);
  if (item->message.request().request_id().empty()) {
    item->message.mutable_request()->set_request_id(NewRequestId(connection_->seams().random));
  }
  if (item->message.ByteSizeLong() > kMostBytes) {
    // gRPC would end the call for it, and its neighbours with it.
    return GiveOut(*item, absl::InvalidArgumentError("the message is longer than 256 KiB"));
  }
  ready_.push_back(std::move(item));
  if (call_ == nullptr) StartCall();
  Push();
}

void Batch::Finish() {
  while (Size() > 0) Step();
  if (call_ == nullptr) return;
  // An end in order: the gateway need not find out by itself that nobody is there.
  const SystemTime until = std::chrono::system_clock::now() + connection_->options().call_deadline;
  call_->closing = true;
  Push();
  while (call_ != nullptr && AwaitEvent(until)) {
  }
}

void Batch::Step() {
  if (TakeUpWhatIsDue()) return;
  const Seams& seams = connection_->seams();
  std::chrono::nanoseconds wait = kSlice;
  if (!waiting_.empty()) wait = std::min(wait, waiting_.begin()->first - seams.clock.Now());
  if (ready_.empty() && flying_.empty()) {
    seams.wait(options_.stop, wait);
    if (call_ == nullptr) connection_->AwaitConnected(options_.stop, kConnectSlice);
    return;
  }
  if (call_ == nullptr) StartCall();
  Push();
  const auto silent = seams.clock.Now() - call_->news;
  if (silent > connection_->options().call_deadline && !call_->overdue) {
    call_->overdue = true;
    call_->context->TryCancel();
  }
  AwaitEvent(std::chrono::system_clock::now() + std::chrono::ceil<std::chrono::milliseconds>(wait));
}

bool Batch::TakeUpWhatIsDue() {
  const bool stopped = options_.stop.stop_requested();
  if (stopped && !ready_.empty()) {
    const std::unique_ptr<Item> item = std::move(ready_.front());
    ready_.pop_front();
    GiveOut(*item, absl::CancelledError("stopped before it was sent"));
    return true;
  }
  if (waiting_.empty()) return false;
  const auto first = waiting_.begin();
  if (!stopped && first->first > connection_->seams().clock.Now()) return false;
  std::unique_ptr<Item> item = std::move(first->second);
  waiting_.erase(first);
  if (stopped) {
    GiveOut(*item, absl::CancelledError("stopped before the gateway answered"));
  } else {
    ready_.push_back(std::move(item));
  }
  return true;
}

void Batch::StartCall() {
  call_ = std::make_unique<Call>();
  call_->context = connection_->NewContext(/*endless=*/true);
  call_->news = connection_->seams().clock.Now();
  call_->stream = connection_->stub().PrepareAsyncSendMessages(call_->context.get(), &queue_);
  call_->stream->StartCall(TagOf(Event::kStarted));
  ++call_->pending;
}

void Batch::Push() {
  Call& call = *call_;
  if (!call.started || call.finished) return;
  if (call.broken) {
    if (!call.finishing) {
      call.finishing = true;
      call.stream->Finish(&call.status, TagOf(Event::kFinished));
      ++call.pending;
    }
    return;
  }
  if (!call.reading) {
    call.reading = true;
    call.stream->Read(&call.verdict, TagOf(Event::kRead));
    ++call.pending;
  }
  if (call.writing) return;
  if (!ready_.empty()) {
    // Waited for from now on; while others are, from their verdicts on.
    if (flying_.empty()) call.news = connection_->seams().clock.Now();
    call.writing = true;
    call.stream->Write(ready_.front()->message, TagOf(Event::kWritten));
    ++call.pending;
    flying_.push_back(std::move(ready_.front()));
    ready_.pop_front();
  } else if (call.closing) {
    call.writing = true;
    call.stream->WritesDone(TagOf(Event::kClosed));
    ++call.pending;
  }
}

bool Batch::AwaitEvent(SystemTime deadline) {
  void* tag = nullptr;
  bool ok = false;
  if (queue_.AsyncNext(&tag, &ok, deadline) != grpc::CompletionQueue::GOT_EVENT) return false;
  Call& call = *call_;
  --call.pending;
  switch (static_cast<Event>(reinterpret_cast<std::uintptr_t>(tag))) {
    case Event::kStarted:
      call.started = true;
      call.broken = !ok;
      break;
    case Event::kRead:
      call.reading = false;
      if (ok) {
        OnVerdict();
      } else {
        call.broken = true;
      }
      break;
    case Event::kWritten:
      call.writing = false;  // Not ok: the read that fails as well tells of it.
      break;
    case Event::kClosed:
      break;  // Nothing is written after it.
    case Event::kFinished:
      call.finished = true;
      break;
  }
  if (call.finished && call.pending == 0) {
    OnCallEnd();
  } else {
    Push();
  }
  return true;
}

void Batch::OnVerdict() {
  const v1::SendMessagesResponse& verdict = call_->verdict;
  const bool expected =
      !flying_.empty() && (verdict.request_id().empty() ||
                           verdict.request_id() == flying_.front()->message.request().request_id());
  if (!expected || verdict.verdict_case() == v1::SendMessagesResponse::VERDICT_NOT_SET) {
    // Whatever answers here is no gateway of this contract: its words are not believed.
    call_->context->TryCancel();
    return;
  }
  failures_ = 0;
  call_->news = connection_->seams().clock.Now();
  std::unique_ptr<Item> item = std::move(flying_.front());
  flying_.pop_front();
  if (verdict.has_accepted()) return GiveOut(*item, std::move(*call_->verdict.mutable_accepted()));
  const google::rpc::Status& refused = verdict.refused().status();
  const grpc::Status status(static_cast<grpc::StatusCode>(refused.code()), refused.message(),
                            refused.SerializeAsString());
  ++item->failures;
  const auto pause =
      RetryPauseOf(DecodeError(status), Pushback{.never = !verdict.refused().retryable()},
                   item->failures, connection_->options().retry, connection_->seams().random);
  RepeatOrAnswer(std::move(item), ToAbslStatus(status), pause);
}

void Batch::OnCallEnd() {
  const std::unique_ptr<Call> call = std::move(call_);
  Items left = std::move(flying_);
  flying_.clear();
  std::ranges::move(ready_, std::back_inserter(left));
  ready_.clear();
  if (left.empty()) return;
  ++failures_;
  grpc::Status status = call->status;
  if (call->overdue) status = {grpc::StatusCode::DEADLINE_EXCEEDED, "no verdict came in time"};
  if (status.ok()) status = {grpc::StatusCode::UNAVAILABLE, "the gateway ended the call"};
  // One pause for all, so that they keep their order.
  const auto pause =
      RetryPauseOf(DecodeError(status), PushbackOf(call->context->GetServerTrailingMetadata()),
                   failures_, connection_->options().retry, connection_->seams().random);
  for (std::unique_ptr<Item>& item : left) {
    RepeatOrAnswer(std::move(item), ToAbslStatus(status), pause);
  }
}

void Batch::RepeatOrAnswer(std::unique_ptr<Item> item, const absl::Status& status,
                           std::optional<std::chrono::nanoseconds> pause) {
  const MonotonicTime now = connection_->seams().clock.Now();
  if (!pause || !item->budget.Take(DecodeError(status), now, *pause)) return GiveOut(*item, status);
  waiting_.emplace(now + *pause, std::move(item));
}

void Batch::GiveOut(const Item& item, absl::StatusOr<v1::SendMessageResponse> response) {
  on_answer_({item.tag, item.message.request().request_id(), std::move(response)});
}

}  // namespace postrider::client
