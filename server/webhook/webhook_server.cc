#include "server/webhook/webhook_server.h"

#include <chrono>
#include <map>
#include <utility>

#include "server/base/log.h"
#include "server/base/strings.h"
#include "server/json/json.h"
#include "server/model/limits.h"
#include "server/provider/signature.h"

namespace postrider {

/// Gives out the answers and counts them.
class WebhookServer::Desk {
 public:
  Desk(const Clock& clock, Metrics& metrics)
      : clock_(clock),
        ack_seconds_(metrics.HistogramOf("postrider_webhook_ack_seconds",
                                         "From a whole webhook to its 200.")) {
    for (const int status : {200, 400, 401, 404, 405, 503}) {
      answers_[status] = &metrics.CounterOf("postrider_webhooks_total", "Webhooks by answer.",
                                            {{"status", StrCat(status)}});
    }
    for (const SignatureVerdict verdict :
         {SignatureVerdict::kRight, SignatureVerdict::kMissing, SignatureVerdict::kUnreadable,
          SignatureVerdict::kWrong, SignatureVerdict::kOutOfTime}) {
      signatures_[verdict] = &metrics.CounterOf("postrider_webhook_signatures_total",
                                                "Webhooks of tenants that sign them, by verdict.",
                                                {{"verdict", std::string(NameOf(verdict))}});
    }
  }

  HttpResponse Answer(int status, std::string body) const {
    answers_.at(status)->Add();
    // Who sends what is no webhook has no business here: the connection closes.
    return {.status = status, .body = std::move(body), .close = status >= 400 && status < 500};
  }

  HttpResponse Stored(MonotonicTime began) const {
    ack_seconds_.Observe(std::chrono::duration<double>(clock_.Now() - began).count());
    return Answer(200, "");
  }

  /// Nothing for a right one.
  std::optional<HttpResponse> Judge(SignatureVerdict verdict) const {
    signatures_.at(verdict)->Add();
    if (verdict == SignatureVerdict::kRight) return std::nullopt;
    return Answer(401, StrCat(kSignatureHeader, ": ", NameOf(verdict), "\n"));
  }

  HttpResponse NotStored(const absl::Status& why) const {
    PR_LOG(kWarning, "webhook not stored", {"error", ToStd(why.message())});
    HttpResponse refusal = Answer(503, "not stored; send it again\n");
    refusal.headers.Add("Retry-After", StrCat(kWebhookRetryAfter.count()));
    return refusal;
  }

 private:
  const Clock& clock_;
  Histogram& ack_seconds_;
  std::map<int, Counter*> answers_;
  std::map<SignatureVerdict, Counter*> signatures_;
};

GuardedServer::Options WebhookServer::DefaultHttp() {
  GuardedServer::Options options;
  options.front.name = "webhooks";
  options.front.frame.body_bytes = kMaxWebhookBytes;
  options.front.answer_deadline = kWebhookCommitWait;
  options.workers = 4;  // none of them waits for a commit
  options.queued_requests = 1024;
  options.response_bytes = 64 * 1024;
  return options;
}

WebhookServer::WebhookServer(const TenantDirectory& tenants, WebhookIntake& intake,
                             const Clock& clock, Random& random, Metrics& metrics, Options options)
    : tenants_(tenants),
      intake_(intake),
      clock_(clock),
      random_(random),
      options_(std::move(options)),
      secrets_(clock),
      desk_(std::make_shared<const Desk>(clock, metrics)),
      server_(options_.http, clock, metrics) {
  constexpr const char* kPath = "/webhooks/([^/]+)/([^/]+)";
  server_.HandleLater("POST", kPath, [this](const HttpRequest& request, HttpReply reply) {
    Receive(request, std::move(reply));
  });
  for (const char* const method : {"GET", "PUT", "PATCH", "DELETE"}) {
    server_.Handle(method, kPath, [this](const HttpRequest&) {
      HttpResponse refusal = desk_->Answer(405, "only POST\n");
      refusal.headers.Add("Allow", "POST");
      return refusal;
    });
  }
}

absl::Status WebhookServer::Start(const std::string& host, int port) {
  return server_.Start(host, port);
}

std::optional<HttpResponse> WebhookServer::CheckSender(const TenantRow& tenant,
                                                       const HttpRequest& request) {
  if (tenant.webhook_secret_file.empty()) return std::nullopt;
  const absl::StatusOr<WebhookSecrets::Secrets> secrets = secrets_.Of(tenant.webhook_secret_file);
  // Nothing is taken unchecked; the sender has time to come again until the file is mended.
  if (!secrets.ok()) return desk_->NotStored(secrets.status());
  return desk_->Judge(CheckSignature(
      {.body = request.body,
       .signature = request.headers.Get(kSignatureHeader).value_or(std::string_view()),
       .time = request.headers.Get(kSignatureTimeHeader).value_or(std::string_view())},
      **secrets, tenant.webhook_window, clock_.Wall()));
}

void WebhookServer::Receive(const HttpRequest& request, HttpReply reply) {
  const MonotonicTime began = clock_.Now();
  if (request.captures.size() != 2) return reply(desk_->Answer(404, "no such webhook\n"));
  // The key is the credential: nothing is told, and nothing read, before it is known. Looking up
  // costs the same for every unknown key.
  const std::shared_ptr<const TenantSnapshot> tenants = tenants_.Current();
  const TenantRow* const tenant = tenants->FindByWebhookKey(request.captures[1], clock_.Wall());
  if (tenant == nullptr) return reply(desk_->Answer(404, "no such webhook\n"));
  if (request.captures[0] != tenant->profile) {
    return reply(desk_->Answer(400, StrCat("this tenant's profile is ", tenant->profile, "\n")));
  }
  if (std::optional<HttpResponse> refusal = CheckSender(*tenant, request)) {
    return reply(*std::move(refusal));
  }
  const absl::StatusOr<Json> body = ParseJson(request.body, {.bytes = kMaxWebhookBytes});
  if (!body.ok()) return reply(desk_->Answer(400, StrCat(body.status().message(), "\n")));
  if (!body->IsObject()) return reply(desk_->Answer(400, "not a JSON object\n"));

  InboxRow row{.tenant_id = tenant->tenant_id,
               .inbox_id = {MakeUuidV7(clock_.Wall(), random_)},
               .profile = tenant->profile,
               .body = request.body};
  intake_.Keep(std::move(row), [desk = desk_, began,
                                reply = std::move(reply)](const absl::Status& durable) mutable {
    reply(durable.ok() ? desk->Stored(began) : desk->NotStored(durable));
  });
}

}  // namespace postrider
