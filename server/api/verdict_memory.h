#pragma once

#include <chrono>
#include <cstddef>
#include <list>
#include <optional>
#include <string>
#include <unordered_map>

#include "absl/base/thread_annotations.h"

#include "server/base/clock.h"
#include "server/base/mutex.h"
#include "server/model/compliance.h"
#include "server/model/compliance_limits.h"

namespace postrider {

/// Verdicts in memory, by tenant and key, those used last. At a tenant's bound its own oldest goes;
/// at the bound of all the oldest of the tenant that has most. Safe from any thread.
class VerdictMemory {
 public:
  struct Options {
    std::size_t of_all = kVerdictsInMemory;
    std::size_t of_tenant = kVerdictsOfTenant;
  };

  /// `clock` must outlive it.
  explicit VerdictMemory(const Clock& clock) : VerdictMemory(clock, Options()) {}
  VerdictMemory(const Clock& clock, Options options) : clock_(clock), options_(options) {}

  /// The verdict kept under `key`, unless it has expired.
  std::optional<ComplianceVerdict> Find(TenantId tenant, const std::string& key);
  /// Keeps it for `life`, instead of the one that there was.
  void Keep(TenantId tenant, const std::string& key, const ComplianceVerdict& verdict,
            std::chrono::nanoseconds life);
  std::size_t size() const;

 private:
  struct Entry {
    std::string key;
    ComplianceVerdict verdict;
    MonotonicTime expires_at;
  };
  struct OfTenant {
    std::list<Entry> by_use;  ///< The one used last first.
    std::unordered_map<std::string, std::list<Entry>::iterator> by_key;
  };
  void DropOldest(OfTenant& of) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const Clock& clock_;
  const Options options_;

  mutable Mutex mu_;
  std::unordered_map<TenantId, OfTenant> tenants_ ABSL_GUARDED_BY(mu_);
  std::size_t size_ ABSL_GUARDED_BY(mu_) = 0;
};

}  // namespace postrider
