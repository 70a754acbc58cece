#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

#include "server/base/repeated_failure.h"
#include "server/store/tenant_directory.h"

namespace postrider {

/// What this machine remembers of tenants' webhooks, so that a gateway that is started while
/// Postgres is away can take them: step 8 of the life of a message (server/README.md).
///
/// A file of mode 0600, replaced as a whole: a line with its version and the SHA-256 of the rest,
/// one with the SHA-256 of the database's URL, then a JSON object for each tenant. It is as secret
/// as the keys in it. An old one is no worse than the memory of a gateway that kept running.
///
/// For one caller at a time.
class WebhookKeysFile {
 public:
  /// `database`: its URL. Keys of another database are not taken: what they let in would end up
  /// where nobody knows its tenant.
  WebhookKeysFile(std::string path, std::string_view database);

  /// Of each tenant its id and name, and what its webhooks need: keys, profile, secret's file and
  /// window; all else is as TenantRow has it. NOT_FOUND when there is no file; FAILED_PRECONDITION
  /// when it is damaged, or of another version or database. Both name it.
  absl::StatusOr<std::vector<TenantRow>> Read() const;

  /// Makes the file say what `tenants` do; durable then. Does nothing when it does already. What
  /// cannot be written is logged, and tried again by the next call.
  void Keep(const TenantSnapshot& tenants);

 private:
  const std::string path_;
  const std::string database_;  ///< Its checksum.
  std::string kept_;            ///< What was written last.
  RepeatedFailure repeated_;
};

}  // namespace postrider
