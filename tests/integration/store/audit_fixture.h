#pragma once

#include <memory>
#include <string>
#include <vector>

#include "server/store/auditors.h"
#include "tests/integration/store/pg_fixture.h"

namespace postrider {

/// What an auditor's statement gave: rows, or why it was refused.
struct Asked {
  std::vector<SqlSession::Row> rows;
  std::string sqlstate;  ///< Empty: it was not refused.
  std::string error;
};

/// An auditor's psql.
class AuditorSession {
 public:
  /// Fails the test when there is no connection.
  AuditorSession(const std::string& database_url, const std::string& role);

  /// The last of the statements.
  Asked Ask(const std::string& sql);
  /// The first column; fails the test when it is refused.
  std::vector<std::string> Column(const std::string& sql);

 private:
  const std::unique_ptr<PGconn, void (*)(PGconn*)> connection_;
};

/// A database with two tenants, "acme" and "clinic", whose rows in every table that auditors see
/// say whose they are; and roles that log in. Roles belong to the server: they have names of this
/// database's and go with the object.
class AuditFixture {
 public:
  AuditFixture();
  ~AuditFixture();

  /// A role that logs in and may nothing yet.
  std::string NewRole(const std::string& name, const std::string& attributes = "LOGIN");
  /// The same, granted these tenants.
  std::string NewAuditor(const std::string& name, const std::vector<std::string>& tenants);
  absl::StatusOr<bool> Grant(const std::string& role, const std::string& tenant);
  OperatorAction Action(const std::string& reason = "the yearly audit");

  PgFixture pg;
  const TenantId acme = pg.NewTenant("acme");
  const TenantId clinic = pg.NewTenant("clinic");
  PgPool pool{pg.clock, pg.random, {.conninfo = pg.database.url(), .max_sessions = 1}};

 private:
  /// `count` messages of a minute each until now, with all that belongs to them.
  void Fill(TenantId tenant, const std::string& name, int count);

  std::vector<std::string> roles_;
};

}  // namespace postrider
