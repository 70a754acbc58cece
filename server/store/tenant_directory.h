#pragma once

#include <functional>
#include <memory>
#include <stop_token>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"

#include "server/base/mutex.h"
#include "server/base/repeated_failure.h"
#include "server/base/worker.h"
#include "server/store/tenants.h"

namespace postrider {

/// All tenants at one moment. Immutable; pointers live as long as it does.
class TenantSnapshot {
 public:
  explicit TenantSnapshot(std::vector<TenantRow> tenants);
  TenantSnapshot(const TenantSnapshot&) = delete;
  TenantSnapshot& operator=(const TenantSnapshot&) = delete;

  /// Null when there is none.
  const TenantRow* Find(TenantId tenant) const;
  const TenantRow* FindByName(std::string_view name) const;
  /// By the key in force, or the one before it while that is taken.
  const TenantRow* FindByWebhookKey(std::string_view key, WallTime now) const;
  const SenderRow* FindSender(TenantId tenant, std::string_view address) const;
  /// True when a tenant other than `tenant` has registered `address`.
  bool BelongsToAnother(TenantId tenant, std::string_view address) const;
  const std::vector<TenantRow>& tenants() const { return tenants_; }

 private:
  struct Registered {
    TenantId tenant_id;
    const SenderRow* sender;
  };

  const std::vector<TenantRow> tenants_;
  std::unordered_map<TenantId, const TenantRow*> by_id_;
  std::unordered_map<std::string_view, const TenantRow*> by_name_;
  std::unordered_map<std::string_view, const TenantRow*> by_webhook_key_;
  std::unordered_multimap<std::string_view, Registered> by_address_;
};

/// The tenants in memory, so that no request asks the database who is who. Follows the store every
/// kTenantsRefresh; while the store is away the last known ones stay. Safe from any thread.
class TenantDirectory {
 public:
  /// Knows nobody until the first Refresh(). `store` must outlive it. `on_read` gets each answer of
  /// the store, from Refresh.
  explicit TenantDirectory(TenantStore& store,
                           std::function<void(const TenantSnapshot&)> on_read = {});

  /// Takes these as known until the first Refresh(): for a start while the store is away.
  void Assume(std::vector<TenantRow> tenants);

  /// Starts following.
  void Start();
  /// Follows no more; what is known stays. Before the store goes.
  void Stop() { worker_.reset(); }
  /// Reads the tenants now. Blocks. On an error the last known ones stay.
  absl::Status Refresh();
  /// Asks for a refresh ahead of time; never blocks.
  void RefreshSoon();
  /// Waits for the next refresh, and does it.
  void Step(std::stop_token stop);

  /// Never null.
  std::shared_ptr<const TenantSnapshot> Current() const;

 private:
  TenantStore& store_;
  const std::function<void(const TenantSnapshot&)> on_read_;
  RepeatedFailure repeated_;  ///< Of Step's caller.

  mutable Mutex mu_;
  CondVar asked_;
  bool asked_for_ ABSL_GUARDED_BY(mu_) = false;
  std::shared_ptr<const TenantSnapshot> current_ ABSL_GUARDED_BY(mu_);

  std::unique_ptr<Worker> worker_;
};

}  // namespace postrider
