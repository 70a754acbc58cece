#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"

#include "server/base/clock.h"
#include "server/base/metrics.h"
#include "server/base/random.h"
#include "server/http/guarded_server.h"
#include "server/store/tenant_directory.h"
#include "server/webhook/webhook_intake.h"
#include "server/webhook/webhook_secrets.h"

namespace postrider {

/// Step 8 of the life of a message (server/README.md): POST /webhooks/{profile}/{tenant key} is
/// made durable and then answered 200. Nothing else happens in the request.
///
///   200  durable: in the inbox, or synced in this machine's spool (webhook_intake.h)
///   400  not a JSON object, or not the tenant's profile
///   401  the tenant's webhooks are signed, and this one is not, or not rightly
///   (provider/signature.h) 404  no such tenant key   405  not a POST
///        these four close the connection
///   503  with Retry-After: neither can take it, or the secrets cannot be read; the sender comes
///   again
/// and what GuardedServer refuses. Source: api.md, "Webhooks (HTTP)"; upstream guide, "Delivery
/// status comes by webhook" (answers later than 2 s count as failed there).
class WebhookServer {
 public:
  struct Options {
    /// The server's limits; by default kMaxWebhookBytes a body, and kWebhookCommitWait to answer.
    GuardedServer::Options http = DefaultHttp();
  };
  static GuardedServer::Options DefaultHttp();

  /// All must outlive it.
  WebhookServer(const TenantDirectory& tenants, WebhookIntake& intake, const Clock& clock,
                Random& random, Metrics& metrics, Options options);

  /// As GuardedServer's.
  absl::Status Start(const std::string& host, int port);
  int port() const { return server_.port(); }
  bool Drain(std::chrono::nanoseconds at_most) { return server_.Drain(at_most); }

  /// Answers a POST: at once, or when it is durable, from the worker that made it so. Never blocks.
  /// Safe from any thread.
  void Receive(const HttpRequest& request, HttpReply reply);

 private:
  class Desk;

  /// Nothing when `request` may be taken as `tenant`'s; else its answer.
  std::optional<HttpResponse> CheckSender(const TenantRow& tenant, const HttpRequest& request);

  const TenantDirectory& tenants_;
  WebhookIntake& intake_;
  const Clock& clock_;
  Random& random_;
  const Options options_;
  WebhookSecrets secrets_;
  const std::shared_ptr<const Desk> desk_;  ///< Shared with commits that outlive the server.

  GuardedServer server_;
};

}  // namespace postrider
