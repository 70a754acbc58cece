#pragma once

#include <memory>
#include <string>
#include <unordered_map>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"

#include "server/base/mutex.h"
#include "server/dispatch/tenant_lanes.h"
#include "server/store/tenant_directory.h"

namespace postrider {

/// The first line of a secret's file, without the line's end. FAILED_PRECONDITION naming the file
/// when it cannot be read, is empty or is longer than 4 KiB.
absl::StatusOr<Secret> ReadSecretFile(const std::string& path);

/// What the dispatcher needs of each tenant, from its row and its secret's file. Follows the
/// directory: a changed row or secret applies within its refresh. Safe from any thread; reads a
/// small file when the directory has changed.
class Accounts {
 public:
  /// `directory` must outlive it.
  explicit Accounts(const TenantDirectory& directory) : directory_(directory) {}

  /// The same object again when nothing changed. Null when there is no such tenant, or its secret
  /// cannot be read (logged when that begins).
  std::shared_ptr<const TenantSettings> SettingsOf(TenantId tenant);

 private:
  struct Entry {
    std::shared_ptr<const TenantSnapshot> snapshot;  ///< That it was made from.
    std::shared_ptr<const TenantSettings> settings;
    std::string problem;
  };

  const TenantDirectory& directory_;

  Mutex mu_;
  std::unordered_map<TenantId, Entry> entries_ ABSL_GUARDED_BY(mu_);
};

}  // namespace postrider
