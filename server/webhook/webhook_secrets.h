#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"

#include "server/base/clock.h"
#include "server/base/mutex.h"
#include "server/base/repeated_failure.h"
#include "server/base/secret.h"

namespace postrider {

/// The secrets that webhooks are signed with, out of the files that operators name: a line each,
/// and several while they are changed; empty lines and those that begin with # are none.
///
/// A file is read again kWebhookSecretsRefresh after it was; when that fails, what was known holds
/// on, so that a file in the midst of being written refuses nobody. Safe from any thread.
class WebhookSecrets {
 public:
  using Secrets = std::shared_ptr<const std::vector<Secret>>;

  /// `clock` must outlive it.
  explicit WebhookSecrets(const Clock& clock) : clock_(clock) {}

  /// One to kMostWebhookSecrets secrets. FAILED_PRECONDITION, which names `path`, when it has none,
  /// too many, or could never be read. May read it: a few hundred bytes.
  absl::StatusOr<Secrets> Of(const std::string& path);

 private:
  struct File {
    Secrets secrets;  ///< Null: never read.
    MonotonicTime read_again_at{};
    RepeatedFailure repeated;
  };

  const Clock& clock_;
  Mutex mu_;
  std::map<std::string, File> files_ ABSL_GUARDED_BY(mu_);
};

/// What WebhookSecrets reads. Errors as Of.
absl::StatusOr<std::vector<Secret>> ReadWebhookSecrets(const std::string& path);

}  // namespace postrider
