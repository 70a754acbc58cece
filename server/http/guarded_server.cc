#include "server/http/guarded_server.h"

#include <utility>

#include "server/base/check.h"
#include "server/base/status_macros.h"
#include "server/base/strings.h"

namespace postrider {

namespace {

constexpr int kBacklog = 1024;

/// One request from the queue to its answer; waits up to a second for it.
void AnswerOne(HttpExchange& exchange, HttpRouter& router, std::stop_token stop) {
  std::optional<HttpExchange::Job> job = exchange.Pop(stop);
  if (!job.has_value()) return;
  // Once draining, each connection ends with the answer it is waiting for.
  const bool close = job->last || exchange.draining();
  HttpRouter::Reply reply = router.Answer(job->target, std::move(job->request), close);
  exchange.Finish({job->connection, std::move(reply.bytes), reply.close});
}

}  // namespace

GuardedServer::GuardedServer(Options options, const Clock& clock, Metrics& metrics)
    : options_(std::move(options)),
      clock_(clock),
      metrics_(metrics),
      exchange_(options_.queued_requests) {
  PR_CHECK(options_.workers > 0);
}

GuardedServer::~GuardedServer() { Stop(); }

void GuardedServer::Handle(std::string method, std::string pattern, HttpHandler handler) {
  PR_CHECK(front_ == nullptr);
  routes_.push_back({std::move(method), std::move(pattern), std::move(handler)});
}

absl::Status GuardedServer::Start(const std::string& host, int port) {
  PR_CHECK(front_ == nullptr);
  PR_ASSIGN_OR_RETURN(UniqueFd listener, Listen(host, port, kBacklog));
  port_ = LocalPort(listener.get());
  front_ =
      std::make_unique<HttpFront>(options_.front, std::move(listener), exchange_, clock_, metrics_);
  for (int i = 0; i < options_.workers; ++i) {
    HttpRouter& router =
        *routers_.emplace_back(std::make_unique<HttpRouter>(routes_, options_.response_bytes));
    workers_.push_back(std::make_unique<Worker>(
        StrCat(options_.front.name.substr(0, 10), "-", i),
        [this, &router](std::stop_token stop) { AnswerOne(exchange_, router, stop); }));
  }
  front_worker_ = std::make_unique<Worker>(StrCat(options_.front.name.substr(0, 9), "-front"),
                                           [this](std::stop_token stop) { front_->Step(stop); });
  return absl::OkStatus();
}

bool GuardedServer::Drain(std::chrono::nanoseconds at_most) {
  if (front_worker_ == nullptr) return true;
  exchange_.BeginDrain();
  const bool drained = exchange_.WaitDrained(at_most);
  Stop();
  return drained;
}

void GuardedServer::Stop() {
  if (front_worker_ == nullptr) return;
  front_worker_->RequestStop();
  exchange_.Wake();
  front_worker_->Stop();
  front_worker_ = nullptr;
  for (const auto& worker : workers_) worker->RequestStop();
  workers_.clear();
  front_ = nullptr;
}

}  // namespace postrider
