#pragma once

#include <functional>
#include <libpq-fe.h>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "server/base/clock.h"
#include "server/base/random.h"
#include "server/store/pg_store.h"
#include "tests/support/test_database.h"

namespace postrider {

/// A connection of a test's own, beside the store's: what an operator would do with psql.
class SqlSession {
 public:
  using Row = std::vector<std::string>;

  /// Its search_path is the schema; fails the test when there is no connection.
  explicit SqlSession(const std::string& url);

  /// The rows of the last of the statements; fails the test when one is refused.
  std::vector<Row> Run(const std::string& sql);
  /// The first value of the first row; empty when there is none.
  std::string Value(const std::string& sql);
  std::int64_t Number(const std::string& sql);

  PGconn* get() { return connection_.get(); }

 private:
  const std::unique_ptr<PGconn, void (*)(PGconn*)> connection_;
};

/// A PgStore on a migrated database of its own, with what tests of it share.
struct PgFixture {
  explicit PgFixture(int max_sessions = 4);

  /// A message that was never sent before, of `tenant` to `recipient`.
  NewMessage Fresh(TenantId tenant, const std::string& recipient);
  /// A tenant with one sender, stored.
  TenantId NewTenant(const std::string& name);
  /// Ends every other connection to the database, of this `application_name`; returns how many.
  int KillConnections(const std::string& application_name = "postriderd");

  TestDatabase database;
  SystemClock clock;
  OsRandom random;
  PgStore store;
  SqlSession sql;
  const SenderId sender{UuidV4()};

 private:
  Uuid UuidV4() { return MakeUuidV4(random); }
};

/// Runs body(0) .. body(workers - 1), each on a worker of its own, and waits for all.
void InParallel(int workers, const std::function<void(int)>& body);

}  // namespace postrider
