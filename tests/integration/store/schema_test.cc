// The house's rules for the schema, and the runner of migrations.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "server/base/strings.h"
#include "server/store/migrate.h"
#include "tests/integration/store/pg_fixture.h"

namespace postrider {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

/// The first column of every row.
std::vector<std::string> Names(SqlSession& sql, const std::string& query) {
  std::vector<std::string> names;
  for (const SqlSession::Row& row : sql.Run(query)) names.push_back(row[0]);
  return names;
}

// Partitions say what their parents say.
constexpr const char* kOwnTables =
    "SELECT c.oid, c.relname FROM pg_class c WHERE c.relnamespace = 'postrider'::regnamespace "
    "AND c.relkind IN ('r', 'p') AND NOT c.relispartition";

TEST(SchemaTest, EveryTableAndColumnIsCommented) {
  PgFixture pg;
  EXPECT_GT(Names(pg.sql, kOwnTables).size(), 20U);
  EXPECT_THAT(Names(pg.sql, StrCat("SELECT t.relname FROM (", kOwnTables,
                                   ") t WHERE obj_description(t.oid, 'pg_class') IS NULL")),
              IsEmpty());
  EXPECT_THAT(
      Names(pg.sql,
            StrCat("SELECT t.relname || '.' || a.attname FROM (", kOwnTables,
                   ") t JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum > 0 "
                   "AND NOT a.attisdropped WHERE col_description(t.oid, a.attnum) IS NULL")),
      IsEmpty());
}

TEST(SchemaTest, EveryViewColumnAndFunctionForAuditorsIsCommented) {
  PgFixture pg;
  constexpr const char* kViews =
      "SELECT c.oid, c.relname, c.reloptions FROM pg_class c "
      "WHERE c.relnamespace = 'audit'::regnamespace AND c.relkind = 'v'";
  EXPECT_GT(Names(pg.sql, StrCat("SELECT v.relname FROM (", kViews, ") v")).size(), 12U);
  EXPECT_THAT(Names(pg.sql, StrCat("SELECT v.relname || '.' || coalesce(a.attname, '') FROM (",
                                   kViews, ") v JOIN (SELECT attrelid, attnum, attname FROM ",
                                   "pg_attribute WHERE attnum > 0 UNION ALL SELECT oid, 0, NULL ",
                                   "FROM pg_class) a ON a.attrelid = v.oid WHERE NOT EXISTS ",
                                   "(SELECT FROM pg_description d WHERE d.objoid = v.oid ",
                                   "AND d.objsubid = a.attnum)")),
              IsEmpty());
  EXPECT_THAT(Names(pg.sql,
                    "SELECT proname FROM pg_proc WHERE pronamespace = 'audit'::regnamespace "
                    "AND obj_description(oid, 'pg_proc') IS NULL"),
              IsEmpty());
}

// What is not a view would be readable as it is.
TEST(SchemaTest, AuditorsReadViewsOnlyAndEachIsABarrierByWhoAsks) {
  PgFixture pg;
  EXPECT_THAT(Names(pg.sql,
                    "SELECT relname FROM pg_class WHERE relnamespace = 'audit'::regnamespace "
                    "AND (relkind <> 'v' OR reloptions IS DISTINCT FROM '{security_barrier=true}' "
                    "OR pg_get_viewdef(oid) NOT LIKE '%CURRENT_USER%')"),
              IsEmpty());
  EXPECT_THAT(Names(pg.sql,
                    "SELECT proname FROM pg_proc WHERE pronamespace = 'audit'::regnamespace "
                    "AND (prosecdef OR provolatile = 'v')"),
              IsEmpty());
}

TEST(SchemaTest, TheTenantLeadsEveryPrimaryAndUniqueKey) {
  PgFixture pg;
  EXPECT_THAT(
      Names(pg.sql,
            StrCat("SELECT t.relname FROM (", kOwnTables,
                   ") t JOIN pg_index i ON i.indrelid = t.oid AND i.indisunique "
                   "JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = i.indkey[0] "
                   "WHERE a.attname <> 'tenant_id' AND t.relname NOT IN ('tenant', 'api_token', "
                   "'tick', 'replica', 'slot_lease', 'status_event', 'schema_migration', "
                   "'chain_seal', 'chain_position', 'chain_begin')")),
      IsEmpty());
}

TEST(SchemaTest, ConstraintNamesReadAsSentences) {
  PgFixture pg;
  EXPECT_THAT(Names(pg.sql, StrCat("SELECT t.relname || ': ' || k.conname FROM (", kOwnTables,
                                   ") t JOIN pg_constraint k ON k.conrelid = t.oid "
                                   "WHERE k.contype IN ('c', 'u', 'x') "
                                   "AND (k.conname !~ '^[a-z0-9]+(_[a-z0-9]+){3,}$' "
                                   "OR k.conname ~ '_(check|key)[0-9]*$')")),
              IsEmpty());
}

TEST(SchemaTest, ThereIsNoLogicInTheDatabase) {
  PgFixture pg;
  EXPECT_EQ(pg.sql.Number("SELECT count(*) FROM pg_proc WHERE pronamespace = "
                          "'postrider'::regnamespace"),
            0);
  EXPECT_EQ(pg.sql.Number("SELECT count(*) FROM pg_trigger WHERE NOT tgisinternal"), 0);
  EXPECT_EQ(pg.sql.Number("SELECT count(*) FROM pg_rules WHERE schemaname = 'postrider'"), 0);
}

TEST(SchemaTest, ForeignKeysLeadToTheTenantOnly) {
  PgFixture pg;
  EXPECT_THAT(Names(pg.sql,
                    "SELECT conname FROM pg_constraint WHERE contype = 'f' "
                    "AND connamespace = 'postrider'::regnamespace "
                    "AND confrelid <> 'tenant'::regclass"),
              IsEmpty());
}

TEST(SchemaTest, PartitionsAreMadeAheadAndMaintainingAgainChangesNothing) {
  PgFixture pg;
  const auto partitions = [&] {
    return Names(pg.sql,
                 "SELECT relname FROM pg_class WHERE relispartition AND relkind = 'r' "
                 "ORDER BY 1");
  };
  const std::vector<std::string> made = partitions();
  EXPECT_GE(made.size(), 5U + 2 + 2 + 3 + 3 + 3) << "a default each, and those of the next days";
  ASSERT_TRUE(pg.store.Maintain().ok());
  EXPECT_EQ(partitions(), made);
}

TEST(SchemaTest, NewRowsGoIntoPartitionsOfTheirTime) {
  PgFixture pg;
  const TenantId tenant = pg.NewTenant("acme");
  const NewMessage message = pg.Fresh(tenant, "+15550000001");
  ASSERT_TRUE(pg.store.Accept({&message, 1}).ok());
  const InboxRow row{tenant, {MakeUuidV7(pg.clock.Wall(), pg.random)}, "guide", "{}"};
  ASSERT_TRUE(pg.store.AppendInbox({&row, 1}).ok());
  for (const char* table : {"message", "status_event", "webhook_inbox"}) {
    EXPECT_EQ(pg.sql.Number(StrCat("SELECT count(*) FROM ", table)), 1) << table;
    EXPECT_EQ(pg.sql.Number(StrCat("SELECT count(*) FROM ", table, "_default")), 0) << table;
  }
}

TEST(MigrateTest, ASecondRunAppliesNothing) {
  const TestDatabase database;
  const SystemClock clock;
  const auto again = MigrateUp(database.url(), clock);
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(*again, 0);
  EXPECT_TRUE(VerifySchema(database.url()).ok());
}

TEST(MigrateTest, AnEmptyDatabaseIsRefusedWithWhatToDo) {
  const TestDatabase database;
  const SystemClock clock;
  SqlSession sql(database.url());
  sql.Run("DROP SCHEMA postrider CASCADE");
  const absl::Status refused = VerifySchema(database.url());
  EXPECT_TRUE(absl::IsFailedPrecondition(refused)) << refused;
  EXPECT_THAT(std::string(refused.message()), HasSubstr("postriderd migrate up"));
  const auto applied = MigrateUp(database.url(), clock);
  ASSERT_TRUE(applied.ok()) << applied.status();
  EXPECT_EQ(*applied, static_cast<int>(Migrations().size()));
  EXPECT_TRUE(VerifySchema(database.url()).ok());
}

TEST(MigrateTest, WhatWasTamperedWithIsRefusedByName) {
  struct Case {
    const char* name;
    const char* change;
    const char* wants;
  };
  const Case cases[] = {
      {"another checksum", "UPDATE schema_migration SET sha256 = 'f00' WHERE number = 1",
       "0001_foundation was applied from a file with another content"},
      {"a newer Postrider", "INSERT INTO schema_migration VALUES (9999, '9999_later', 'f00')",
       "9999_later, which this Postrider does not know"},
      {"one that is missing", "DELETE FROM schema_migration", "0001_foundation is not applied"}};
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    const TestDatabase database;
    const SystemClock clock;
    SqlSession(database.url()).Run(c.change);
    const absl::Status refused = VerifySchema(database.url());
    EXPECT_TRUE(absl::IsFailedPrecondition(refused)) << refused;
    EXPECT_THAT(std::string(refused.message()), HasSubstr(c.wants));
    EXPECT_TRUE(absl::IsFailedPrecondition(MigrateUp(database.url(), clock).status()));
    const auto ledger = ReadMigrations(database.url());
    EXPECT_TRUE(ledger.ok()) << "can still be looked at: " << ledger.status();
  }
}

TEST(MigrateTest, OfTwoMigratorsAtOnceOneApplies) {
  const TestDatabase database;
  SqlSession(database.url()).Run("DROP SCHEMA postrider CASCADE");
  const SystemClock clock;
  absl::StatusOr<int> applied[2];
  InParallel(2, [&](int i) { applied[i] = MigrateUp(database.url(), clock); });
  ASSERT_TRUE(applied[0].ok() && applied[1].ok()) << applied[0].status() << applied[1].status();
  EXPECT_EQ(*applied[0] + *applied[1], static_cast<int>(Migrations().size()));
  EXPECT_TRUE(VerifySchema(database.url()).ok());
}

TEST(MigrateTest, AMigratorThatDoesNotFinishIsNotWaitedForForEver) {
  const TestDatabase database;
  const SystemClock clock;
  SqlSession other(database.url());
  other.Run("SELECT pg_advisory_lock(7236728373)");
  const auto refused = MigrateUp(database.url(), clock, std::chrono::seconds(0));
  EXPECT_TRUE(absl::IsUnavailable(refused.status())) << refused.status();
}

}  // namespace
}  // namespace postrider
