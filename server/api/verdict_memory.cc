#include "server/api/verdict_memory.h"

#include <algorithm>

namespace postrider {

std::optional<ComplianceVerdict> VerdictMemory::Find(TenantId tenant, const std::string& key) {
  const MonotonicTime now = clock_.Now();
  MutexLock lock(mu_);
  const auto of = tenants_.find(tenant);
  if (of == tenants_.end()) return std::nullopt;
  const auto found = of->second.by_key.find(key);
  if (found == of->second.by_key.end()) return std::nullopt;
  std::list<Entry>& by_use = of->second.by_use;
  if (found->second->expires_at <= now) {
    by_use.erase(found->second);
    of->second.by_key.erase(found);
    --size_;
    return std::nullopt;
  }
  by_use.splice(by_use.begin(), by_use, found->second);
  return by_use.front().verdict;
}

void VerdictMemory::Keep(TenantId tenant, const std::string& key, const ComplianceVerdict& verdict,
                         std::chrono::nanoseconds life) {
  const MonotonicTime expires_at = clock_.Now() + life;
  MutexLock lock(mu_);
  OfTenant& of = tenants_[tenant];
  if (const auto found = of.by_key.find(key); found != of.by_key.end()) {
    of.by_use.erase(found->second);
    of.by_key.erase(found);
    --size_;
  } else if (of.by_use.size() >= options_.of_tenant) {
    DropOldest(of);
  } else if (size_ >= options_.of_all) {
    DropOldest(std::max_element(tenants_.begin(), tenants_.end(), [](const auto& a, const auto& b) {
                 return a.second.by_use.size() < b.second.by_use.size();
               })->second);
  }
  of.by_use.push_front({key, verdict, expires_at});
  of.by_key[key] = of.by_use.begin();
  ++size_;
}

void VerdictMemory::DropOldest(OfTenant& of) {
  of.by_key.erase(of.by_use.back().key);
  of.by_use.pop_back();
  --size_;
}

std::size_t VerdictMemory::size() const {
  MutexLock lock(mu_);
  return size_;
}

}  // namespace postrider
