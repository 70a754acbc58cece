#pragma once

#include <string>
#include <vector>

#include "server/base/metrics.h"
#include "server/store/audit_chain.h"
#include "tests/integration/store/pg_fixture.h"

namespace postrider {

/// Takes a tick, and has `sealer` seal all that it shows. Returns the rows that it sealed.
std::int64_t SealAll(SqlSession& sql, ChainSealer& sealer);

/// A database whose hash chain a test makes and breaks.
struct ChainFixture {
  /// Nothing is on record yet, and nothing was before: seal 1 says so, in a link of no tenant.
  ChainFixture() {
    pg.sql.Run("DELETE FROM operator_action");
    SealAll();
  }

  /// Rows of `tenant` in all three tables, of one transaction: `count` events, each of a message
  /// of its own, and half as many consent events and actions. They are `age_days` old.
  void Record(TenantId tenant, int count, int age_days = 0);
  std::int64_t SealAll() { return postrider::SealAll(pg.sql, sealer); }
  /// All chains; rows older than 400 days may be gone. Fails the test when it cannot be asked.
  ChainReport Verify(const std::string& tenant = {}, const std::string& expect_head = {});
  /// The chain of one tenant, as Verify() has it.
  ChainState Of(const std::string& tenant);
  /// "ROWS_MISSING status_event 3": of each fault of Verify() verdict, table and link; "SEALS_APART
  /// 4": of seals verdict and seal.
  std::vector<std::string> Faults();

  PgFixture pg;
  PgPool pool{pg.clock, pg.random, {.conninfo = pg.database.url(), .max_sessions = 2}};
  Metrics metrics;
  ChainSealer sealer{pool, pg.clock, metrics};
  const TenantId acme = pg.NewTenant("acme");
  const TenantId clinic = pg.NewTenant("clinic");
};

}  // namespace postrider
