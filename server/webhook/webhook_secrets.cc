#include "server/webhook/webhook_secrets.h"

#include <fstream>
#include <utility>

#include "server/base/log.h"
#include "server/base/strings.h"
#include "server/model/intake_limits.h"

namespace postrider {

absl::StatusOr<std::vector<Secret>> ReadWebhookSecrets(const std::string& path) {
  std::ifstream in(path);
  std::vector<Secret> secrets;
  for (std::string line; in && std::getline(in, line);) {
    while (!line.empty() && (line.back() == '\r' || line.back() == ' ')) line.pop_back();
    if (line.empty() || line.front() == '#') continue;
    if (line.size() > kMaxWebhookSecretBytes || secrets.size() == kMostWebhookSecrets) {
      return absl::FailedPreconditionError(StrCat(path, " must hold 1 to ", kMostWebhookSecrets,
                                                  " lines of at most ", kMaxWebhookSecretBytes,
                                                  " bytes"));
    }
    secrets.emplace_back(std::move(line));
  }
  if (secrets.empty()) {
    return absl::FailedPreconditionError(
        StrCat("cannot read a webhook secret from ", path, ": one a line is wanted"));
  }
  return secrets;
}

absl::StatusOr<WebhookSecrets::Secrets> WebhookSecrets::Of(const std::string& path) {
  MutexLock lock(mu_);
  File& file = files_[path];
  if (const MonotonicTime now = clock_.Now(); now >= file.read_again_at) {
    file.read_again_at = now + kWebhookSecretsRefresh;
    absl::StatusOr<std::vector<Secret>> read = ReadWebhookSecrets(path);
    if (read.ok()) {
      LogWorksAgain(file.repeated, "webhook secrets are read again");
      file.secrets = std::make_shared<const std::vector<Secret>>(*std::move(read));
    } else {
      LogFailure(file.repeated, "webhook secrets not read", read.status());
    }
  }
  if (file.secrets != nullptr) return file.secrets;
  return absl::FailedPreconditionError(StrCat("no webhook secret could be read from ", path));
}

}  // namespace postrider
