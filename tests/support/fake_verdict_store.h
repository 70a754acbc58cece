#pragma once

#include <algorithm>
#include <map>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"

#include "server/base/clock.h"
#include "server/base/mutex.h"
#include "server/store/verdicts.h"

namespace postrider {

/// A VerdictStore in memory with the real one's semantics; time is `clock`'s.
/// tests/support/verdict_contract.h holds both to the same. Safe from any thread.
class FakeVerdictStore final : public VerdictStore {
 public:
  /// `clock` must outlive it.
  explicit FakeVerdictStore(const Clock& clock) : clock_(clock) {}

  /// From now on everything is UNAVAILABLE; or not any more.
  void SetAway(bool away) {
    MutexLock lock(mu_);
    away_ = away;
  }
  /// The same of what is kept, alone.
  void SetReadOnly(bool read_only) {
    MutexLock lock(mu_);
    read_only_ = read_only;
  }

  absl::StatusOr<std::vector<StoredVerdict>> FindVerdicts(
      const VerdictKey& key, const std::vector<std::string>& fingerprints) override {
    MutexLock lock(mu_);
    if (away_) return absl::UnavailableError("away");
    std::vector<StoredVerdict> found;
    for (const std::string& fingerprint : fingerprints) {
      const auto kept = kept_.find(KeyOf(key, fingerprint));
      if (kept == kept_.end() || kept->second.second <= clock_.Wall()) continue;
      found.push_back({fingerprint, kept->second.first, kept->second.second - clock_.Wall()});
    }
    return found;
  }

  absl::StatusOr<AskTurn> TakeAsk(TenantId tenant, std::int64_t most, bool of_account) override {
    MutexLock lock(mu_);
    if (away_) return absl::UnavailableError("away");
    const auto waits = waits_.find(tenant);
    if (of_account && waits != waits_.end() && waits->second > clock_.Wall()) {
      return AskTurn{false, waits->second - clock_.Wall()};
    }
    const auto since = clock_.Wall().time_since_epoch();
    const auto minute = std::chrono::floor<std::chrono::minutes>(since);
    auto& [counted, asked] = asked_[tenant];
    if (counted != minute) asked = 0;
    counted = minute;
    if (asked >= most) return AskTurn{false, minute + std::chrono::minutes(1) - since};
    ++asked;
    return AskTurn{true, {}};
  }

  absl::Status KeepAccountWaits(TenantId tenant, std::chrono::nanoseconds wait) override {
    MutexLock lock(mu_);
    if (away_ || read_only_) return absl::UnavailableError("away");
    WallTime& until = waits_[tenant];
    until = std::max(until, clock_.Wall() + std::chrono::duration_cast<WallTime::duration>(wait));
    return absl::OkStatus();
  }

  absl::Status KeepVerdict(const VerdictKey& key, const std::string& fingerprint,
                           const ComplianceVerdict& verdict, std::chrono::seconds life) override {
    MutexLock lock(mu_);
    if (away_ || read_only_) return absl::UnavailableError("away");
    kept_[KeyOf(key, fingerprint)] = {verdict, clock_.Wall() + life};
    return absl::OkStatus();
  }

 private:
  using Key = std::tuple<TenantId, std::string, std::string, std::string>;
  static Key KeyOf(const VerdictKey& key, const std::string& fingerprint) {
    return {key.tenant_id, key.campaign_id, key.campaign_version, fingerprint};
  }

  const Clock& clock_;
  Mutex mu_;
  bool away_ ABSL_GUARDED_BY(mu_) = false;
  bool read_only_ ABSL_GUARDED_BY(mu_) = false;
  std::map<Key, std::pair<ComplianceVerdict, WallTime>> kept_ ABSL_GUARDED_BY(mu_);
  std::map<TenantId, std::pair<std::chrono::minutes, std::int64_t>> asked_ ABSL_GUARDED_BY(mu_);
  std::map<TenantId, WallTime> waits_ ABSL_GUARDED_BY(mu_);
};

}  // namespace postrider
