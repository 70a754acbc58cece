#include <algorithm>
#include <utility>

#include "server/base/status_macros.h"
#include "server/base/strings.h"
#include "server/policy/compliance_rules.h"
#include "tests/support/fake_store.h"

namespace postrider {

absl::StatusOr<std::vector<TenantRow>> FakeStore::LoadTenants() {
  Enter("LoadTenants");
  MutexLock lock(mu_);
  PR_RETURN_IF_ERROR(Begin("LoadTenants"));
  std::vector<TenantRow> rows;
  for (const auto& [id, row] : tenants_) rows.push_back(row);
  return rows;
}

namespace {

void CopySetup(const TenantRow& from, TenantRow& to) {
  to.campaign_required = from.campaign_required;
  to.plain_punctuation = from.plain_punctuation;
  to.campaigns = from.campaigns;
  to.templates = from.templates;
  to.destinations = from.destinations;
  to.compliance_check = from.compliance_check;
  to.opt_out_confirmation = from.opt_out_confirmation;
}

}  // namespace

void FakeStore::SetSetup(const TenantRow& row) {
  MutexLock lock(mu_);
  TenantRow& stored = tenants_.at(row.tenant_id);
  CopySetup(row, stored);
  for (Campaign& campaign : stored.campaigns) {
    campaign.verdict_epoch = verdict_epochs_[{row.tenant_id, campaign.campaign_id}];
  }
  stored.senders = row.senders;
  stored.verdict_epoch = row.verdict_epoch;
}

absl::StatusOr<TenantRow> FakeStore::PutTenant(const TenantRow& row) {
  Enter("PutTenant");
  MutexLock lock(mu_);
  PR_RETURN_IF_ERROR(Begin("PutTenant"));
  TenantRow stored = row;
  stored.senders.clear();
  for (const auto& [id, other] : tenants_) {
    if (other.name == row.name) {
      stored.tenant_id = other.tenant_id;
      stored.webhook_key = other.webhook_key;
      stored.webhook_key_before = other.webhook_key_before;
      stored.webhook_key_before_until = other.webhook_key_before_until;
      stored.senders = other.senders;
      stored.verdict_epoch = other.verdict_epoch;
      CopySetup(other, stored);
    } else if (other.base_url == row.base_url && other.client_id == row.client_id) {
      return absl::AlreadyExistsError(StrCat("tenant ", other.name, " has it"));
    }
  }
  for (const SenderRow& sender : row.senders) {
    const auto known =
        std::find_if(stored.senders.begin(), stored.senders.end(),
                     [&](const SenderRow& other) { return other.address == sender.address; });
    if (known == stored.senders.end()) {
      stored.senders.push_back(sender);
    } else {
      known->segments_per_s = sender.segments_per_s;
    }
  }
  const auto unfit = CheckComplianceFits(
      stored.compliance_check,
      {stored.base_url, stored.rate_per_s, stored.burst, stored.requests_per_minute});
  if (!unfit.empty()) return absl::FailedPreconditionError(StrCat("rate: ", unfit[0].why));
  tenants_[stored.tenant_id] = stored;
  PR_RETURN_IF_ERROR(End("PutTenant"));
  return stored;
}

absl::StatusOr<TenantRow> FakeStore::ChangeWebhookKey(const std::string& name,
                                                      const std::string& key,
                                                      std::chrono::seconds keep) {
  Enter("ChangeWebhookKey");
  MutexLock lock(mu_);
  PR_RETURN_IF_ERROR(Begin("ChangeWebhookKey"));
  for (auto& [id, tenant] : tenants_) {
    if (tenant.name != name) continue;
    tenant.webhook_key_before = std::exchange(tenant.webhook_key, key);
    tenant.webhook_key_before_until = clock_.Wall() + keep;
    PR_RETURN_IF_ERROR(End("ChangeWebhookKey"));
    return tenant;
  }
  return absl::NotFoundError(StrCat("there is no tenant ", name));
}

absl::Status FakeStore::AddToken(const ApiTokenRow& row) {
  Enter("AddToken");
  MutexLock lock(mu_);
  PR_RETURN_IF_ERROR(Begin("AddToken"));
  tokens_[row.token_sha256] = row;
  return End("AddToken");
}

absl::StatusOr<ApiTokenRow> FakeStore::FindToken(const std::string& token_sha256) {
  Enter("FindToken");
  MutexLock lock(mu_);
  PR_RETURN_IF_ERROR(Begin("FindToken"));
  const auto found = tokens_.find(token_sha256);
  if (found == tokens_.end()) return absl::NotFoundError("no such token");
  return found->second;
}

}  // namespace postrider
