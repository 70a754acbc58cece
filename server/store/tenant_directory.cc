#include "server/store/tenant_directory.h"

#include <algorithm>
#include <utility>

#include "server/base/log.h"
#include "server/base/status_macros.h"
#include "server/model/limits.h"

namespace postrider {

namespace {

template <typename Map, typename Key>
const TenantRow* FindIn(const Map& map, const Key& key) {
  const auto found = map.find(key);
  return found == map.end() ? nullptr : found->second;
}

}  // namespace

std::int64_t QueueLimitOf(const TenantRow& tenant) {
  return tenant.queue_limit.value_or(std::max(
      kQueueLimitLeast, static_cast<std::int64_t>(tenant.rate_per_s * kQueueLimitSeconds)));
}

TenantSnapshot::TenantSnapshot(std::vector<TenantRow> tenants) : tenants_(std::move(tenants)) {
  for (const TenantRow& tenant : tenants_) {
    by_id_[tenant.tenant_id] = &tenant;
    by_name_[tenant.name] = &tenant;
    for (const std::string* key : {&tenant.webhook_key_before, &tenant.webhook_key}) {
      if (!key->empty()) by_webhook_key_[*key] = &tenant;
    }
    for (const SenderRow& sender : tenant.senders) {
      by_address_.emplace(sender.address, Registered{tenant.tenant_id, &sender});
    }
  }
}

const TenantRow* TenantSnapshot::Find(TenantId tenant) const { return FindIn(by_id_, tenant); }

const TenantRow* TenantSnapshot::FindByName(std::string_view name) const {
  return FindIn(by_name_, name);
}

const TenantRow* TenantSnapshot::FindByWebhookKey(std::string_view key, WallTime now) const {
  const TenantRow* const tenant = FindIn(by_webhook_key_, key);
  const bool is_taken =
      tenant != nullptr && (key == tenant->webhook_key || now < tenant->webhook_key_before_until);
  return is_taken ? tenant : nullptr;
}

const SenderRow* TenantSnapshot::FindSender(TenantId tenant, std::string_view address) const {
  const auto [begin, end] = by_address_.equal_range(address);
  for (auto it = begin; it != end; ++it) {
    if (it->second.tenant_id == tenant) return it->second.sender;
  }
  return nullptr;
}

bool TenantSnapshot::BelongsToAnother(TenantId tenant, std::string_view address) const {
  const auto [begin, end] = by_address_.equal_range(address);
  for (auto it = begin; it != end; ++it) {
    if (it->second.tenant_id != tenant) return true;
  }
  return false;
}

TenantDirectory::TenantDirectory(TenantStore& store,
                                 std::function<void(const TenantSnapshot&)> on_read)
    : store_(store),
      on_read_(std::move(on_read)),
      current_(std::make_shared<const TenantSnapshot>(std::vector<TenantRow>())) {}

void TenantDirectory::Assume(std::vector<TenantRow> tenants) {
  auto snapshot = std::make_shared<const TenantSnapshot>(std::move(tenants));
  MutexLock lock(mu_);
  current_.swap(snapshot);
}

void TenantDirectory::Start() {
  worker_ = std::make_unique<Worker>("tenants", [this](std::stop_token stop) { Step(stop); });
}

absl::Status TenantDirectory::Refresh() {
  PR_ASSIGN_OR_RETURN(std::vector<TenantRow> tenants, store_.LoadTenants());
  const auto snapshot = std::make_shared<const TenantSnapshot>(std::move(tenants));
  std::shared_ptr<const TenantSnapshot> before = snapshot;
  {
    MutexLock lock(mu_);
    current_.swap(before);
  }
  if (on_read_) on_read_(*snapshot);
  return absl::OkStatus();
}

void TenantDirectory::RefreshSoon() {
  MutexLock lock(mu_);
  asked_for_ = true;
  asked_.NotifyOne();
}

void TenantDirectory::Step(std::stop_token stop) {
  {
    MutexLock lock(mu_);
    asked_.WaitFor(mu_, stop, kTenantsRefresh,
                   [this]() ABSL_NO_THREAD_SAFETY_ANALYSIS { return asked_for_; });
    asked_for_ = false;
  }
  if (stop.stop_requested()) return;
  const absl::Status refreshed = Refresh();
  if (refreshed.ok()) {
    LogWorksAgain(repeated_, "tenants are read again");
  } else {
    LogFailure(repeated_, "tenants were not read", refreshed);
  }
}

std::shared_ptr<const TenantSnapshot> TenantDirectory::Current() const {
  MutexLock lock(mu_);
  return current_;
}

}  // namespace postrider
