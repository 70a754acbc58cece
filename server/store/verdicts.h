#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

#include "server/model/compliance.h"

namespace postrider {

/// What texts a verdict may be of.
struct VerdictKey {
  TenantId tenant_id;
  std::string campaign_id;       ///< Empty: none.
  std::string campaign_version;  ///< 32 bytes.

  friend bool operator==(const VerdictKey&, const VerdictKey&) = default;
};

/// A verdict on the texts of one fingerprint.
struct StoredVerdict {
  std::string fingerprint;  ///< 32 bytes.
  ComplianceVerdict verdict;
  std::chrono::nanoseconds left{};  ///< Until it expires; above 0.
};

/// Whether one more question may be asked.
struct AskTurn {
  bool granted = false;
  std::chrono::nanoseconds next_in{};  ///< When not: until it may be; above 0.
};

/// What the compliance check said, and how often it was asked. Errors as of Store (store.h). Times
/// are the store's. Blocks; safe from any thread.
class VerdictStore {
 public:
  virtual ~VerdictStore() = default;

  /// Those of `fingerprints` that there is a verdict of which has not expired.
  virtual absl::StatusOr<std::vector<StoredVerdict>> FindVerdicts(
      const VerdictKey& key, const std::vector<std::string>& fingerprints) = 0;
  /// Takes one of the tenant's `most` questions of this minute. Exact over all replicas: what is in
  /// doubt is taken, and nothing is given back. `of_account`: the question counts for the tenant's
  /// account, so there is none while the provider has told the account to wait.
  virtual absl::StatusOr<AskTurn> TakeAsk(TenantId tenant, std::int64_t most, bool of_account) = 0;
  /// The provider told the account to wait so long: nothing of it leaves before, on any replica.
  /// A longer wait that is on record stays.
  virtual absl::Status KeepAccountWaits(TenantId tenant, std::chrono::nanoseconds wait) = 0;
  /// Keeps a verdict for `life`, instead of the one that there was.
  virtual absl::Status KeepVerdict(const VerdictKey& key, const std::string& fingerprint,
                                   const ComplianceVerdict& verdict, std::chrono::seconds life) = 0;
};

}  // namespace postrider
