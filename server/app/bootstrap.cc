#include "server/app/bootstrap.h"

#include "server/app/accounts.h"
#include "server/base/digest.h"
#include "server/base/private_file.h"
#include "server/base/status_macros.h"
#include "server/base/strings.h"

namespace postrider {

namespace {

absl::Status EnsureTokenFile(TenantStore& store, Random& random, const Clock& clock,
                             TenantId tenant, const std::string& name,
                             std::vector<std::string> scopes, const std::string& path) {
  const absl::StatusOr<Secret> kept = ReadSecretFile(path);
  if (kept.ok()) {
    const absl::StatusOr<ApiTokenRow> known = store.FindToken(Sha256Bytes(kept->Reveal()));
    if (known.ok() && known->tenant_id == tenant && !known->revoked) {
      return absl::OkStatus();
    }
    if (!known.ok() && !absl::IsNotFound(known.status())) return known.status();
  }
  PR_ASSIGN_OR_RETURN(const Secret token, IssueToken(store, random, clock, tenant, name,
                                                     std::move(scopes), std::chrono::seconds(0)));
  return WritePrivateFile(path, StrCat(token.Reveal(), "\n"));
}

}  // namespace

absl::StatusOr<Secret> IssueToken(TenantStore& store, Random& random, const Clock& clock,
                                  TenantId tenant, const std::string& name,
                                  std::vector<std::string> scopes, std::chrono::seconds life,
                                  std::optional<std::int64_t> daily_quota) {
  Secret token(StrCat("prt_", RandomToken(random)));
  ApiTokenRow row;
  row.token_sha256 = Sha256Bytes(token.Reveal());
  row.tenant_id = tenant;
  row.name = name;
  row.scopes = std::move(scopes);
  row.daily_quota = daily_quota;
  if (life.count() > 0) row.expires_at = clock.Wall() + life;
  PR_RETURN_IF_ERROR(store.AddToken(row));
  return token;
}

namespace {

/// What was queued for the sandbox must not go out for real, nor the other way round.
absl::Status CheckSameWorld(TenantStore& store, const Config& config) {
  PR_ASSIGN_OR_RETURN(const std::vector<TenantRow> tenants, store.LoadTenants());
  for (const TenantRow& tenant : tenants) {
    if (tenant.name != kDefaultTenant) continue;
    const bool was_sandbox = tenant.client_id == kSandboxClientId;
    if (was_sandbox == config.sandbox.enabled) return absl::OkStatus();
    return absl::FailedPreconditionError(StrCat(
        "the default tenant of this database sends to ",
        was_sandbox ? "the sandbox; what is queued for it would go out for real"
                    : StrCat(tenant.base_url, "; what is queued for it would end in the sandbox"),
        ": use another --state-dir, or another --database-url"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<TenantRow> EnsureDefaultTenant(TenantStore& store, Random& random,
                                              const Clock& clock, const Config& config) {
  PR_RETURN_IF_ERROR(CheckSameWorld(store, config));
  TenantRow row;
  row.rate_per_s = config.rate_per_second;
  row.burst = config.burst;
  if (config.queue_limit > 0) row.queue_limit = config.queue_limit;
  if (config.daily_quota >= 0) row.daily_quota = config.daily_quota;
  if (config.keep_texts_days > 0) row.keep_texts_days = config.keep_texts_days;
  if (config.keep_numbers_days > 0) row.keep_numbers_days = config.keep_numbers_days;
  PR_RETURN_IF_ERROR(SetAccount(row, config.genesys, config.senders));
  PR_RETURN_IF_ERROR(SetQuietHours(row, config.quiet));
  row.tenant_id = {MakeUuidV4(random)};
  row.name = kDefaultTenant;
  row.webhook_key = RandomToken(random, kWebhookKeyBits);
  for (SenderRow& sender : row.senders) {
    sender.sender_id = {MakeUuidV4(random)};
    if (config.sender_rate > 0) sender.segments_per_s = config.sender_rate;
  }
  PR_ASSIGN_OR_RETURN(TenantRow stored, store.PutTenant(row));
  PR_RETURN_IF_ERROR(EnsureTokenFile(store, random, clock, stored.tenant_id, "default token file",
                                     {"send", "read"}, StrCat(config.state_dir, "/default.token")));
  return stored;
}

void SetWebhooks(TenantRow& row, const Config& config) {
  row.profile = config.genesys.profile;
  row.webhook_secret_file = config.genesys.webhook_secret_file;
  row.webhook_window = std::chrono::seconds(config.genesys.webhook_window_s);
}

absl::Status EnsureOperatorToken(TenantStore& store, Random& random, const Clock& clock,
                                 const Config& config) {
  return EnsureTokenFile(store, random, clock, TenantId(), "operator token file", {"operator"},
                         StrCat(config.state_dir, "/operator.token"));
}

}  // namespace postrider
