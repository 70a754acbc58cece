#include "server/http/guarded_server.h"

#include <utility>

#include "server/base/check.h"
#include "server/base/status_macros.h"
#include "server/base/strings.h"
#include "server/http/answer.h"

namespace postrider {

namespace {

constexpr int kBacklog = 1024;

/// One request from the queue to its handler; waits up to a second for it.
void RouteOne(const std::shared_ptr<HttpExchange>& exchange, HttpRouter& router,
              std::size_t response_bytes, std::stop_token stop) {
  std::optional<HttpExchange::Job> job = exchange->Pop(stop);
  if (!job.has_value()) return;
  // Once draining, each connection ends with the answer it is waiting for.
  AnswerForm form{.head = job->request.method == "HEAD",
                  .close = job->last || exchange->draining(),
                  .most_bytes = response_bytes};
  HttpReply reply([exchange, form, connection = job->connection](HttpResponse response) mutable {
    form.close = form.close || response.close;
    std::string bytes = response.hang_up ? "" : AnswerBytes(response, form);
    exchange->Finish({connection, std::move(bytes), form.close});
  });
  router.Route(job->target, std::move(job->request), std::move(reply));
}

}  // namespace

GuardedServer::GuardedServer(Options options, const Clock& clock, Metrics& metrics)
    : options_(std::move(options)),
      clock_(clock),
      metrics_(metrics),
      exchange_(std::make_shared<HttpExchange>(options_.queued_requests)) {
  PR_CHECK(options_.workers > 0);
}

GuardedServer::~GuardedServer() { Stop(); }

void GuardedServer::Handle(std::string method, std::string pattern, HttpHandler handler) {
  HandleLater(std::move(method), std::move(pattern),
              [handler = std::move(handler)](const HttpRequest& request, HttpReply reply) {
                reply(handler(request));
              });
}

void GuardedServer::HandleLater(std::string method, std::string pattern, HttpLaterHandler handler) {
  PR_CHECK(front_ == nullptr);
  routes_.push_back({std::move(method), std::move(pattern), std::move(handler)});
}

absl::Status GuardedServer::Start(const std::string& host, int port) {
  PR_CHECK(front_ == nullptr);
  PR_ASSIGN_OR_RETURN(UniqueFd listener, Listen(host, port, kBacklog));
  port_ = LocalPort(listener.get());
  front_ = std::make_unique<HttpFront>(options_.front, std::move(listener), *exchange_, clock_,
                                       metrics_);
  for (int i = 0; i < options_.workers; ++i) {
    HttpRouter& router = *routers_.emplace_back(std::make_unique<HttpRouter>(routes_));
    workers_.push_back(std::make_unique<Worker>(
        StrCat(options_.front.name.substr(0, 10), "-", i), [this, &router](std::stop_token stop) {
          RouteOne(exchange_, router, options_.response_bytes, stop);
        }));
  }
  front_worker_ = std::make_unique<Worker>(StrCat(options_.front.name.substr(0, 9), "-front"),
                                           [this](std::stop_token stop) { front_->Step(stop); });
  return absl::OkStatus();
}

bool GuardedServer::Drain(std::chrono::nanoseconds at_most) {
  if (front_worker_ == nullptr) return true;
  exchange_->BeginDrain();
  const bool drained = exchange_->WaitDrained(at_most);
  Stop();
  return drained;
}

void GuardedServer::Stop() {
  if (front_worker_ == nullptr) return;
  front_worker_->RequestStop();
  exchange_->Wake();
  front_worker_->Stop();
  front_worker_ = nullptr;
  for (const auto& worker : workers_) worker->RequestStop();
  workers_.clear();
  front_ = nullptr;
}

}  // namespace postrider
