#include "server/app/sandbox_options.h"

#include <algorithm>

#include "server/app/bootstrap.h"
#include "server/base/status_macros.h"
#include "server/webhook/webhook_secrets.h"

namespace postrider {

absl::StatusOr<Sandbox::Options> SandboxOptionsOf(const Config& config) {
  const Config::Sandbox& wanted = config.sandbox;
  Sandbox::Options options;
  options.host = wanted.listen.host;
  options.port = wanted.listen.port;
  options.requests_per_minute = wanted.rate_per_minute;
  options.answer_after = wanted.answer_delay;
  options.refused_word = wanted.refused_word;
  // A slow answer holds a worker: as many as a gateway has POSTs under way.
  if (wanted.answer_delay.count() > 0)
    options.workers = std::max(options.workers, config.posters_max);
  options.sends_receipts = wanted.receipts;
  const auto step = wanted.receipt_delay;
  options.receipts.after = {step, step * 2, step * 3};
  options.receipts.retry_scale = 1.0 / wanted.retry_compression;
  options.ledger_file = wanted.ledger_file;
  options.replies = wanted.older_replies ? SandboxReplies::kOlder : SandboxReplies::kNewer;
  if (!config.genesys.send_path.empty()) options.send_path = config.genesys.send_path;
  if (const std::string& file = config.genesys.webhook_secret_file; !file.empty()) {
    PR_ASSIGN_OR_RETURN(const std::vector<Secret> secrets, ReadWebhookSecrets(file));
    options.receipts.secret = secrets.front();
  }
  options.clients = {{kSandboxClientId, Secret("sandbox-secret")}};
  return options;
}

}  // namespace postrider
