#include "tests/bench/grpc_load.h"

#include <atomic>
#include <chrono>
#include <cstdio>
#include <memory>

#include "absl/base/thread_annotations.h"
#include <grpcpp/grpcpp.h>

#include "postrider/v1/message_service.grpc.pb.h"
#include "server/base/mutex.h"
#include "server/base/strings.h"
#include "server/base/worker.h"

namespace postrider::bench {

namespace {

using Clock = std::chrono::steady_clock;
constexpr int kConnections = 4;

class EchoService final : public v1::MessageService::CallbackService {
  grpc::ServerUnaryReactor* SendMessage(grpc::CallbackServerContext* context,
                                        const v1::SendMessageRequest* request,
                                        v1::SendMessageResponse* response) override {
    v1::Message* message = response->mutable_message();
    message->set_message_id(request->request_id());
    message->set_recipient(request->recipient());
    message->set_text(request->text());
    grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
    reactor->Finish(grpc::Status::OK);
    return reactor;
  }
};

}  // namespace

int RunEchoServer() {
  EchoService service;
  int port = 0;
  grpc::ServerBuilder builder;
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
  builder.RegisterService(&service);
  const std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  std::printf("%d\n", port);
  std::fflush(stdout);
  while (std::getchar() != EOF) {
  }
  server->Shutdown();
  return 0;
}

/// One load under way.
struct SendLoad::Run {
  struct Call {
    std::unique_ptr<grpc::ClientContext> context;
    v1::SendMessageRequest request;
    v1::SendMessageResponse response;
    Clock::time_point begin;
    int stub = 0;
  };

  explicit Run(const Target& to) : target(to) {
    for (int i = 0; i < kConnections; ++i) {
      grpc::ChannelArguments arguments;
      arguments.SetInt("bench.connection", i);  // another subchannel, another connection
      arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
      auto channel =
          grpc::CreateCustomChannel(target.address, grpc::InsecureChannelCredentials(), arguments);
      channel->WaitForConnected(std::chrono::system_clock::now() + std::chrono::seconds(10));
      stubs.push_back(v1::MessageService::NewStub(channel));
    }
  }

  void Prepare(Call* call) const {
    call->context = std::make_unique<grpc::ClientContext>();
    if (!target.token.empty()) {
      call->context->AddMetadata("authorization", StrCat("Bearer ", target.token));
    }
    call->response.Clear();
    call->begin = Clock::now();
  }

  void Note(const Call& call, const grpc::Status& status) {
    const double ms = std::chrono::duration<double, std::milli>(Clock::now() - call.begin).count();
    MutexLock lock(mu);
    if (status.ok()) {
      latency_ms.push_back(ms);
      if (keep_ids) ids.push_back(call.response.message().message_id());
    } else if (++failed == 1) {
      std::fprintf(stderr, "a call failed: %s\n", status.error_message().c_str());
    }
  }

  /// Begins `call`; `then` gets it back after it was answered.
  void Begin(Call* call, std::function<void(Call*)> then) {
    Prepare(call);
    {
      MutexLock lock(mu);
      ++under_way;
    }
    stubs[static_cast<std::size_t>(call->stub)]->async()->SendMessage(
        call->context.get(), &call->request, &call->response,
        [this, call, then = std::move(then)](const grpc::Status& status) {
          Note(*call, status);
          if (then) then(call);
          MutexLock lock(mu);
          if (--under_way == 0) idle.NotifyAll();
        });
  }

  /// `width` calls under way, each with the next of the requests that `fill` writes, until it
  /// says no and all are answered.
  void KeepUnderWay(int width, const std::function<bool(v1::SendMessageRequest&)>& fill) {
    std::vector<std::unique_ptr<Call>> calls;
    const std::function<void(Call*)> again = [&](Call* call) {
      if (fill(call->request)) Begin(call, again);
    };
    for (int i = 0; i < width; ++i) {
      calls.push_back(std::make_unique<Call>());
      calls.back()->stub = i % kConnections;
      again(calls.back().get());
    }
    AwaitIdle();
  }

  /// One call on the calling thread.
  void Once(Call* call) {
    Prepare(call);
    Note(*call, stubs[0]->SendMessage(call->context.get(), call->request, &call->response));
  }

  void AwaitIdle() {
    MutexLock lock(mu);
    idle.Wait(mu, std::stop_token(),
              [this]() ABSL_NO_THREAD_SAFETY_ANALYSIS { return under_way == 0; });
  }

  const Target& target;
  std::vector<std::unique_ptr<v1::MessageService::Stub>> stubs;
  bool keep_ids = false;

  Mutex mu;
  CondVar idle;
  int under_way ABSL_GUARDED_BY(mu) = 0;
  std::int64_t failed ABSL_GUARDED_BY(mu) = 0;
  std::vector<double> latency_ms ABSL_GUARDED_BY(mu);
  std::vector<std::string> ids ABSL_GUARDED_BY(mu);
};

v1::SendMessageRequest SendLoad::RequestOf(std::int64_t number) const {
  v1::SendMessageRequest request;
  request.set_request_id(StrCat(target_.prefix, "-", number));
  request.set_recipient(StrCat("+1212", 2000000 + number % 8000000));
  request.set_sender(target_.sender);
  request.set_campaign_id(target_.campaign_id);
  request.set_text("Your appointment reminder: Dr. Smith tomorrow at 10:00 AM.");
  return request;
}

namespace {
LoadResult ResultOf(double seconds, std::int64_t failed, std::vector<double> latency_ms) {
  return {.rate = static_cast<double>(latency_ms.size()) / seconds,
          .failed = failed,
          .latency_ms = std::move(latency_ms)};
}
}  // namespace

LoadResult SendLoad::ClosedLoop(int width, double seconds) {
  Run run(target_);
  std::atomic<std::int64_t> next = next_;
  const auto begin = Clock::now();
  const auto end =
      begin + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds));
  run.KeepUnderWay(width, [&](v1::SendMessageRequest& request) {
    if (Clock::now() >= end) return false;
    request = RequestOf(next++);
    return true;
  });
  next_ = next;
  const double took = std::chrono::duration<double>(Clock::now() - begin).count();
  MutexLock lock(run.mu);
  return ResultOf(took, run.failed, std::move(run.latency_ms));
}

LoadResult SendLoad::OpenLoop(double rate, int width, double seconds) {
  Run run(target_);
  const auto begin = Clock::now();
  std::vector<std::unique_ptr<Run::Call>> calls;
  const auto total = static_cast<std::int64_t>(rate * seconds);
  std::int64_t sent = 0;
  while (sent < total) {
    const double elapsed = std::chrono::duration<double>(Clock::now() - begin).count();
    const auto due = std::min(total, static_cast<std::int64_t>(elapsed * rate));
    for (; sent < due; ++sent) {
      calls.push_back(std::make_unique<Run::Call>());
      Run::Call* call = calls.back().get();
      call->stub = static_cast<int>(sent % kConnections);
      call->request = RequestOf(next_++);
      run.Begin(call, nullptr);
    }
    {
      MutexLock lock(run.mu);
      if (run.under_way > width) break;  // it does not keep up: what came is measured
    }
    WaitOrStop(std::stop_token(), std::chrono::milliseconds(1));
  }
  run.AwaitIdle();
  const double took = std::chrono::duration<double>(Clock::now() - begin).count();
  MutexLock lock(run.mu);
  return ResultOf(took, run.failed, std::move(run.latency_ms));
}

LoadResult SendLoad::Alone(int calls) {
  Run run(target_);
  const auto begin = Clock::now();
  Run::Call call;
  for (int i = 0; i < calls; ++i) {
    call.request = RequestOf(next_++);
    run.Once(&call);
  }
  const double took = std::chrono::duration<double>(Clock::now() - begin).count();
  MutexLock lock(run.mu);
  return ResultOf(took, run.failed, std::move(run.latency_ms));
}

std::vector<std::string> SendLoad::Accept(int count, int width) {
  Run run(target_);
  run.keep_ids = true;
  const std::int64_t end = next_ + count;
  std::atomic<std::int64_t> next = next_;
  run.KeepUnderWay(width, [&](v1::SendMessageRequest& request) {
    const std::int64_t number = next++;
    if (number >= end) return false;
    request = RequestOf(number);
    return true;
  });
  next_ = end;
  MutexLock lock(run.mu);
  return std::move(run.ids);
}

}  // namespace postrider::bench
