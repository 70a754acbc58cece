#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

#include "server/base/clock.h"
#include "server/store/operator_action.h"
#include "server/store/pg_session.h"

namespace postrider {

/// The role that may read schema audit; auditors' roles are its members. It cannot log in.
inline constexpr const char* kAuditorGroup = "postrider_auditor";
/// ListAuditors shows as many at most.
inline constexpr std::size_t kMostAuditorsShown = 1000;

/// A database role that sees a tenant in schema audit.
struct AuditorRow {
  std::string role;  ///< Its name; as it was when it was granted, when the role is gone.
  std::string tenant;
  WallTime granted_at{};
  std::string granted_by;  ///< The database user.
  bool exists = false;     ///< The role is there.
  bool may_read = false;   ///< And reads the views: it is a member of kAuditorGroup.
};

/// Who may audit whom, beside the gateway: nothing of it costs traffic anything. Each call is a
/// transaction of `pool`, whose database user must own schema audit. Block. Errors are those of
/// Store, and
///   NOT_FOUND            no such tenant or role
///   INVALID_ARGUMENT     the role is kAuditorGroup itself
///   FAILED_PRECONDITION  the role could read more than the views, or the database user may not do
///                        what is needed: the message says what a superuser is to run
/// Source: PostgreSQL manual, "Rules and Privileges", CREATE ROLE.

/// Lets `role` see `tenant` (both by name); makes kAuditorGroup when it is missing, lets it read
/// the views, and makes `role` a member. False: it saw the tenant already, and nothing is recorded.
/// `action`: its actor is not read, the database user is put on record.
absl::StatusOr<bool> GrantAuditor(PgPool& pool, const std::string& role, const std::string& tenant,
                                  const OperatorAction& action);
/// The contrary, but `role` stays a member. False: it did not see the tenant. A role that is gone
/// is known by its former name.
absl::StatusOr<bool> RevokeAuditor(PgPool& pool, const std::string& role, const std::string& tenant,
                                   const OperatorAction& action);
/// By role and tenant; the first kMostAuditorsShown.
absl::StatusOr<std::vector<AuditorRow>> ListAuditors(PgPool& pool);

}  // namespace postrider
