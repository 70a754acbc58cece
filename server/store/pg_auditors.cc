#include "absl/strings/match.h"

#include "server/base/status_macros.h"
#include "server/base/strings.h"
#include "server/store/auditors.h"
#include "server/store/pg_message_rows.h"
#include "server/store/pg_queries.h"

namespace postrider {

namespace {

constexpr Query kTenantOfName{"auditor_tenant_of_name",
                              "SELECT t.tenant_id FROM tenant t WHERE t.name = $1::text"};

// Roles are asked by oid: a function that is given a name fails when there is no such role.
constexpr Query kAuditorRoleRow{
    "auditor_role",
    "SELECT r.oid::bigint, quote_ident(r.rolname), EXISTS (SELECT FROM pg_roles o WHERE "
    "pg_has_role(r.oid, o.oid, 'MEMBER') AND (o.rolsuper OR has_schema_privilege(o.oid, "
    "n.oid, 'USAGE'))) FROM pg_roles r, pg_namespace n WHERE r.rolname = $1::text "
    "AND n.nspname = 'postrider'"};

// What of the group is not yet as it should be.
constexpr Query kAuditorGroupRow{
    "auditor_group",
    "SELECT g.oid::bigint, has_schema_privilege(g.oid, n.oid, 'USAGE') AND NOT EXISTS (SELECT FROM "
    "pg_class c WHERE c.relnamespace = n.oid AND c.relkind = 'v' "
    "AND NOT has_table_privilege(g.oid, c.oid, 'SELECT')), "
    "pg_has_role($1::bigint::oid, g.oid, 'MEMBER'), pg_has_role($1::bigint::oid, g.oid, 'USAGE') "
    "FROM pg_roles g, pg_namespace n WHERE g.rolname = 'postrider_auditor' "
    "AND n.nspname = 'audit'"};

constexpr Query kPutAuditor{
    "auditor_put",
    "INSERT INTO auditor_tenant AS a (tenant_id, role_oid, role_name, granted_by) "
    "SELECT $1::uuid, $2::bigint::oid, $3::text, session_user ON CONFLICT (tenant_id, role_oid) "
    "DO NOTHING RETURNING a.granted_by"};

// A role that is gone is known by the name that it had.
constexpr Query kTakeAuditor{
    "auditor_take",
    "DELETE FROM auditor_tenant a WHERE a.tenant_id = $1::uuid AND coalesce((SELECT r.rolname FROM "
    "pg_roles r WHERE r.oid = a.role_oid), a.role_name) = $2::text RETURNING session_user"};

constexpr Query kAuditors{
    "auditors",
    "SELECT coalesce(r.rolname, a.role_name) AS role, t.name, " PR_US("a.granted_at")
    ", a.granted_by, r.oid IS NOT NULL, EXISTS (SELECT FROM pg_roles g "
    "WHERE g.rolname = 'postrider_auditor' AND pg_has_role(r.oid, g.oid, 'USAGE')) "
    "FROM auditor_tenant a JOIN tenant t ON t.tenant_id = a.tenant_id "
    "LEFT JOIN pg_roles r ON r.oid = a.role_oid ORDER BY 1, 2 LIMIT $1::integer"};

/// The views that a later migration adds are readable, too.
constexpr const char* kLetGroupRead[] = {
    "GRANT USAGE ON SCHEMA audit TO postrider_auditor",
    "GRANT SELECT ON ALL TABLES IN SCHEMA audit TO postrider_auditor",
    "GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA audit TO postrider_auditor",
    "ALTER DEFAULT PRIVILEGES IN SCHEMA audit GRANT SELECT ON TABLES TO postrider_auditor"};

struct AuditorRole {
  std::int64_t oid = 0;
  std::string quoted;  ///< As SQL names it.
};

absl::StatusOr<TenantId> AuditedTenant(PgTransaction& transaction, const std::string& name) {
  const PgRows rows = transaction.Run(kTenantOfName, PgParams().Add(name));
  if (rows.size() == 1) return TenantId{rows.UuidAt(0, 0)};
  return absl::NotFoundError(
      StrCat("there is no tenant ", name, "; `postriderd tenant list` shows which there are"));
}

absl::StatusOr<AuditorRole> FindAuditorRole(PgTransaction& transaction, const std::string& name) {
  const PgRows rows = transaction.Run(kAuditorRoleRow, PgParams().Add(name));
  if (rows.size() == 0) {
    return absl::NotFoundError(StrCat("there is no database role ", name,
                                      ": make it first, with CREATE ROLE ... LOGIN, "
                                      "as the database's administrator"));
  }
  if (rows.Bool(0, 2)) {
    return absl::FailedPreconditionError(
        StrCat("role ", name, " can read schema postrider itself, alone or as a member of a role ",
               "that can: an auditor needs a role that can not"));
  }
  return AuditorRole{rows.Int(0, 0), std::string(rows.Text(0, 1))};
}

/// Makes the group when it is missing, lets it read, and makes `role` a member. `step` is what is
/// under way.
absl::Status MakeMember(PgTransaction& transaction, const AuditorRole& role, const char*& step) {
  const PgParams member = PgParams().Add(role.oid);
  PgRows group = transaction.Run(kAuditorGroupRow, member);
  if (group.size() == 0) {
    step = "make the role postrider_auditor";
    transaction.RunOnce("CREATE ROLE postrider_auditor NOLOGIN");
    group = transaction.Run(kAuditorGroupRow, member);
  }
  if (!group.Bool(0, 1)) {
    step = "let postrider_auditor read schema audit";
    for (const char* grant : kLetGroupRead) transaction.RunOnce(grant);
  }
  if (!group.Bool(0, 2)) {
    step = "make the auditor a member of postrider_auditor";
    transaction.RunOnce(StrCat("GRANT postrider_auditor TO ", role.quoted));
    group = transaction.Run(kAuditorGroupRow, member);
  }
  step = "record the grant";
  if (group.Bool(0, 3)) return absl::OkStatus();
  return absl::FailedPreconditionError(
      StrCat("role ", role.quoted,
             " is a member of postrider_auditor that does not inherit: run ALTER ROLE ",
             role.quoted, " INHERIT, from PostgreSQL 16 on GRANT postrider_auditor TO ",
             role.quoted, " WITH INHERIT TRUE, then repeat this"));
}

bool HasSqlstate(const absl::Status& status, const char* code) {
  return absl::StrContains(status.message(), StrCat("SQLSTATE ", code));
}

/// What the database user may not do, with what to do about it.
absl::Status SayWhoMay(const absl::Status& refused, const std::string& role, const char* step) {
  if (!HasSqlstate(refused, "42501")) return refused;
  return absl::FailedPreconditionError(
      StrCat("the database user may not ", step,
             ": as the owner of schema audit with CREATEROLE repeat this, or let a superuser run ",
             "CREATE ROLE postrider_auditor NOLOGIN (unless it is there) and ",
             "GRANT postrider_auditor TO \"", role, "\", then repeat this (",
             ToStd(refused.message()), ")"));
}

}  // namespace

absl::StatusOr<bool> GrantAuditor(PgPool& pool, const std::string& role, const std::string& tenant,
                                  const OperatorAction& action) {
  if (role == kAuditorGroup) {
    return absl::InvalidArgumentError(
        StrCat("role: ", kAuditorGroup, " is what all auditors are members of; name one of them"));
  }
  bool granted = false;
  const char* step = "look";
  const auto grant = [&](PgTransaction& transaction) -> absl::Status {
    granted = false;
    PR_ASSIGN_OR_RETURN(const TenantId id, AuditedTenant(transaction, tenant));
    PR_ASSIGN_OR_RETURN(const AuditorRole found, FindAuditorRole(transaction, role));
    PR_RETURN_IF_ERROR(MakeMember(transaction, found, step));
    PgParams params;
    params.Add(id.uuid).Add(found.oid).Add(role);
    const PgRows put = transaction.Run(kPutAuditor, params);
    granted = put.size() == 1;
    if (!granted) return absl::OkStatus();
    OperatorAction recorded = action;
    recorded.actor = put.Text(0, 0);
    RecordAction(transaction, id, recorded, "GRANT_AUDITOR", StrCat("auditor ", role));
    return absl::OkStatus();
  };
  absl::Status status = pool.Transact("grant_auditor", grant);
  // Somebody else made the group at the same time, perhaps from another database.
  const bool made_meanwhile = HasSqlstate(status, "42710") || HasSqlstate(status, "23505");
  if (made_meanwhile) status = pool.Transact("grant_auditor", grant);
  PR_RETURN_IF_ERROR(SayWhoMay(status, role, step));
  return granted;
}

absl::StatusOr<bool> RevokeAuditor(PgPool& pool, const std::string& role, const std::string& tenant,
                                   const OperatorAction& action) {
  bool revoked = false;
  PR_RETURN_IF_ERROR(
      pool.Transact("revoke_auditor", [&](PgTransaction& transaction) -> absl::Status {
        PR_ASSIGN_OR_RETURN(const TenantId id, AuditedTenant(transaction, tenant));
        const PgRows taken =
            transaction.Run(kTakeAuditor, PgParams().Add(id.uuid).Add(std::string_view(role)));
        revoked = taken.size() > 0;
        if (!revoked) return absl::OkStatus();
        OperatorAction recorded = action;
        recorded.actor = taken.Text(0, 0);
        RecordAction(transaction, id, recorded, "REVOKE_AUDITOR", StrCat("auditor ", role));
        return absl::OkStatus();
      }));
  return revoked;
}

absl::StatusOr<std::vector<AuditorRow>> ListAuditors(PgPool& pool) {
  std::vector<AuditorRow> auditors;
  PR_RETURN_IF_ERROR(pool.Read("list_auditors", [&](PgTransaction& transaction) {
    auditors.clear();
    const PgRows rows =
        transaction.Run(kAuditors, PgParams().Add(std::int64_t{kMostAuditorsShown}));
    for (int row = 0; row < rows.size(); ++row) {
      auditors.push_back({.role = std::string(rows.Text(row, 0)),
                          .tenant = std::string(rows.Text(row, 1)),
                          .granted_at = rows.Time(row, 2),
                          .granted_by = std::string(rows.Text(row, 3)),
                          .exists = rows.Bool(row, 4),
                          .may_read = rows.Bool(row, 5)});
    }
    return absl::OkStatus();
  }));
  return auditors;
}

std::vector<Query> AuditorQueries() {
  return {kTenantOfName, kAuditorRoleRow, kAuditorGroupRow, kPutAuditor, kTakeAuditor, kAuditors};
}

}  // namespace postrider
