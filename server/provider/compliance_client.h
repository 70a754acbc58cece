#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"

#include "server/base/clock.h"
#include "server/base/mutex.h"
#include "server/http/tls.h"
#include "server/json/json.h"
#include "server/model/compliance.h"
#include "server/provider/profile_factory.h"

namespace postrider {

/// Asks tenants' compliance checks about texts, by HTTP. Safe from any thread.
///
/// A question is one request on a connection of its own: questions are rare, and a kept connection
/// that has just been closed would look like a check that does not answer. The account's token goes
/// to the account's own scheme, host and port only; elsewhere no credential does.
class ComplianceClient {
 public:
  /// The account of a tenant; nothing when it is not known, or its secret cannot be read.
  using AccountOf = std::function<std::optional<ProviderAccount>(TenantId)>;

  /// `factory` and `clock` must outlive it.
  ComplianceClient(ProfileFactory& factory, AccountOf account_of, const Clock& clock);

  /// Blocks for kCheckTimeout at most.
  ComplianceAnswer Ask(const ComplianceQuestion& question);

 private:
  ComplianceAnswer AskAccount(ProviderAccount account, const std::string& origin, HttpCall call);
  absl::StatusOr<ComplianceVerdict> AskOther(const std::string& origin, bool tls,
                                             const HttpCall& call);

  ProfileFactory& factory_;
  const AccountOf account_of_;
  const Clock& clock_;

  Mutex mu_;
  std::shared_ptr<const TlsContext> tls_ ABSL_GUARDED_BY(mu_);  ///< Of the system's authorities.
};

/// A question in the guide's shape. Pure.
std::string CompliancePayload(const ComplianceQuestion& question);

/// The verdict in a 2xx reply. Names of rules get '_' for what is not of [A-Za-z0-9._:-]; they and
/// what is said of them are cut at their bounds, and there are kMaxFindings at most. UNAVAILABLE
/// when it is none. Pure.
absl::StatusOr<ComplianceVerdict> ParseComplianceVerdict(const Json& reply);

}  // namespace postrider
