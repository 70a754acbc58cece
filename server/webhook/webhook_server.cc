#include "server/webhook/webhook_server.h"

#include <memory>
#include <optional>
#include <utility>

#include "server/base/log.h"
#include "server/base/mutex.h"
#include "server/base/strings.h"
#include "server/json/json.h"
#include "server/model/limits.h"

namespace postrider {

namespace {

/// Where a request waits for its commit. Shared with the commit, which may outlive the request.
struct Commit {
  Mutex mu;
  CondVar done;
  std::optional<absl::Status> result ABSL_GUARDED_BY(mu);
};

}  // namespace

GuardedServer::Options WebhookServer::DefaultHttp() {
  GuardedServer::Options options;
  options.front.name = "webhooks";
  options.front.frame.body_bytes = kMaxWebhookBytes;
  options.workers = 64;
  options.queued_requests = 1024;
  options.response_bytes = 64 * 1024;
  return options;
}

WebhookServer::WebhookServer(const TenantDirectory& tenants, InboxCommit& inbox, const Clock& clock,
                             Random& random, Metrics& metrics, Options options)
    : tenants_(tenants),
      inbox_(inbox),
      clock_(clock),
      random_(random),
      options_(std::move(options)),
      ack_seconds_(
          metrics.HistogramOf("postrider_webhook_ack_seconds", "From a whole webhook to its 200.")),
      server_(options_.http, clock, metrics) {
  for (const int status : {200, 400, 404, 405, 503}) {
    answers_[status] = &metrics.CounterOf("postrider_webhooks_total", "Webhooks by answer.",
                                          {{"status", StrCat(status)}});
  }
  constexpr const char* kPath = "/webhooks/([^/]+)/([^/]+)";
  server_.Handle("POST", kPath, [this](const HttpRequest& request) { return Receive(request); });
  for (const char* const method : {"GET", "PUT", "PATCH", "DELETE"}) {
    server_.Handle(method, kPath, [this](const HttpRequest&) {
      HttpResponse refusal = Answer(405, "only POST\n");
      refusal.headers.Add("Allow", "POST");
      return refusal;
    });
  }
}

absl::Status WebhookServer::Start(const std::string& host, int port) {
  return server_.Start(host, port);
}

HttpResponse WebhookServer::Answer(int status, std::string body) {
  answers_.at(status)->Add();
  HttpResponse response;
  response.status = status;
  response.body = std::move(body);
  return response;
}

HttpResponse WebhookServer::Receive(const HttpRequest& request) {
  const MonotonicTime began = clock_.Now();
  if (request.captures.size() != 2) return Answer(404, "no such webhook\n");
  // The key is the credential: nothing is told, and nothing read, before it is known. Looking up
  // costs the same for every unknown key.
  const std::shared_ptr<const TenantSnapshot> tenants = tenants_.Current();
  const TenantRow* const tenant = tenants->FindByWebhookKey(request.captures[1]);
  if (tenant == nullptr) return Answer(404, "no such webhook\n");
  if (request.captures[0] != tenant->profile) {
    return Answer(400, StrCat("this tenant's profile is ", tenant->profile, "\n"));
  }
  const absl::StatusOr<Json> body = ParseJson(request.body, {.bytes = kMaxWebhookBytes});
  if (!body.ok()) return Answer(400, StrCat(body.status().message(), "\n"));
  if (!body->IsObject()) return Answer(400, "not a JSON object\n");

  HttpResponse response = Keep({.tenant_id = tenant->tenant_id,
                                .inbox_id = {MakeUuidV7(clock_.Wall(), random_)},
                                .profile = tenant->profile,
                                .body = request.body});
  ack_seconds_.Observe(std::chrono::duration<double>(clock_.Now() - began).count());
  return response;
}

HttpResponse WebhookServer::Keep(InboxRow row) {
  const auto commit = std::make_shared<Commit>();
  // After the commit, also when the request has not waited so long.
  auto done = [commit, row, on_stored = options_.on_stored](absl::StatusOr<bool> stored) {
    if (stored.ok()) on_stored(row);
    MutexLock lock(commit->mu);
    commit->result = stored.status();
    commit->done.NotifyOne();
  };
  absl::Status result = absl::UnavailableError("the inbox is full");
  if (inbox_.TrySubmit(std::move(row), std::move(done))) {
    MutexLock lock(commit->mu);
    const bool ended = commit->done.WaitFor(
        commit->mu, {}, options_.commit_wait,
        [&]() ABSL_NO_THREAD_SAFETY_ANALYSIS { return commit->result.has_value(); });
    result = ended ? *commit->result : absl::DeadlineExceededError("no commit in time");
  }
  if (result.ok()) return Answer(200, "");
  PR_LOG(kWarning, "webhook not stored", {"error", ToStd(result.message())});
  HttpResponse refusal = Answer(503, "not stored; send it again\n");
  refusal.headers.Add("Retry-After", StrCat(kWebhookRetryAfter.count()));
  return refusal;
}

}  // namespace postrider
