#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "server/app/config.h"
#include "server/base/clock.h"
#include "server/base/random.h"
#include "server/store/tenants.h"

namespace postrider {

/// The tenant that the configuration describes.
inline constexpr const char* kDefaultTenant = "default";
/// The sandbox's client, as which the default tenant sends under --sandbox.
inline constexpr const char* kSandboxClientId = "sandbox";

/// Of the unguessable part of a webhook's path.
inline constexpr int kWebhookKeyBits = 192;

/// A new API token of `tenant` (nil: an operator's), stored as its SHA-256. Returns the token
/// itself, which is nowhere kept. `life` 0: never expires.
absl::StatusOr<Secret> IssueToken(TenantStore& store, Random& random, const Clock& clock,
                                  TenantId tenant, const std::string& name,
                                  std::vector<std::string> scopes, std::chrono::seconds life,
                                  std::optional<std::int64_t> daily_quota = {});

/// Makes the default tenant, or brings it up to `config`, and sees that STATE_DIR/default.token
/// holds a token of it for the command line. Returns the tenant as stored. FAILED_PRECONDITION when
/// it was made for the sandbox and `config` is not, or the other way round.
absl::StatusOr<TenantRow> EnsureDefaultTenant(TenantStore& store, Random& random,
                                              const Clock& clock, const Config& config);

/// Sets what `config` says of the default tenant's webhooks in what was known of it, as
/// EnsureDefaultTenant would.
void SetWebhooks(TenantRow& row, const Config& config);

/// Sees that STATE_DIR/operator.token holds an operator's token for the command line.
absl::Status EnsureOperatorToken(TenantStore& store, Random& random, const Clock& clock,
                                 const Config& config);

}  // namespace postrider
