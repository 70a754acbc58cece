// The hash chain: what was changed, removed, added or exchanged after it was sealed is found.
#include <algorithm>
#include <cstdlib>
#include <random>

#include "absl/strings/str_replace.h"
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "server/base/strings.h"
#include "server/base/worker.h"
#include "tests/integration/store/audit_fixture.h"
#include "tests/integration/store/chain_fixture.h"

namespace postrider {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::UnorderedElementsAre;

constexpr const char* kCovered[] = {"status_event", "consent_event", "operator_action"};

constexpr const char* kBroken =
    "SELECT (SELECT count(*) FROM chain_fault) + count(*) FROM (SELECT audit.chain_verdict(k.kind, "
    "k.linked, k.same, k.since, k.rows, "
    "k.found, cardinality(k.strangers)::bigint, '-infinity') AS verdict FROM chain_check k) v "
    "WHERE v.verdict <> 'HOLDS'";

/// Another value of a column, as SQL.
std::string AnotherValue(const std::string& column, const std::string& type) {
  const std::pair<const char*, const char*> bounded[] = {{"change", "3 - change"},
                                                         {"source", "source % 3 + 1"},
                                                         {"slot", "(slot + 1) % 16"},
                                                         {"kind", "kind % 3 + 1"}};
  for (const auto& [name, value] : bounded) {
    if (column == name) return value;
  }
  const std::pair<const char*, const char*> by_type[] = {
      {"smallint", "$ + 1"},
      {"integer", "$ + 1"},
      {"bigint", "$ + 1000"},
      {"uuid", "gen_random_uuid()"},
      {"text", "$ || 'x'"},
      {"boolean", "NOT $"},
      {"timestamp with time zone", "coalesce($, now()) + interval '1 microsecond'"},
      {"bytea", "overlay($ || '\\x00' PLACING '\\xff' FROM 1)"},
      {"jsonb", "coalesce($, '{}') || '{\"more\": 1}'"},
      {"xid8", "($::text::bigint + 1)::text::xid8"},
      {"pg_snapshot", "CASE $::text WHEN '1:1:' THEN '1:2:' ELSE '1:1:' END::pg_snapshot"}};
  for (const auto& [name, value] : by_type) {
    if (type == name) return absl::StrReplaceAll(value, {{"$", column}});
  }
  ADD_FAILURE() << "how is a " << type << " changed? (" << column << ")";
  return column;
}

/// Changes each column of `rows` rows of `table`, one at a time, and wants it to be found.
void ExpectEveryChangeIsFound(ChainFixture& chain, const std::string& table, int rows) {
  SqlSession& sql = chain.pg.sql;
  const unsigned seed = std::random_device{}();
  SCOPED_TRACE(StrCat(table, ", rows of seed ", seed));
  const auto columns = sql.Run(
      StrCat("SELECT a.attname, format_type(a.atttypid, NULL) FROM pg_attribute a WHERE a.attrelid "
             "= '",
             table, "'::regclass AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum"));
  for (const auto& row : sql.Run(StrCat("SELECT x.tableoid::regclass, x.ctid FROM ", table,
                                        " x ORDER BY md5(x::text || '", seed, "') LIMIT ", rows))) {
    for (const auto& column : columns) {
      if (column[0] == "sealed_at" || column[0] == "begun_at") continue;  // of no row
      sql.Run("BEGIN");
      sql.Run(StrCat("UPDATE ", table, " SET ", column[0], " = ",
                     AnotherValue(column[0], column[1]), " WHERE tableoid = '", row[0],
                     "'::regclass AND ctid = '", row[1], "'"));
      EXPECT_GT(sql.Number(kBroken), 0) << column[0] << " of " << row[0] << " " << row[1];
      sql.Run("ROLLBACK");
    }
  }
  EXPECT_EQ(sql.Number(kBroken), 0) << "what was changed is as it was";
}

/// Both tenants, in five seals.
void RecordSome(ChainFixture& chain) {
  for (int i = 0; i < 5; ++i) {
    chain.Record(chain.acme, 12);
    chain.Record(chain.clinic, 8);
    chain.SealAll();
  }
}

TEST(ChainTest, EveryRowOnRecordIsInALinkOnceAndAllLinksHold) {
  ChainFixture chain;
  chain.SealAll();
  RecordSome(chain);
  const ChainReport report = chain.Verify();
  EXPECT_THAT(report.faults, IsEmpty());
  ASSERT_EQ(report.chains.size(), 3U);
  EXPECT_EQ(report.chains[0].tenant, "");
  EXPECT_EQ(report.chains[0].links, 1) << "that nothing was before";
  EXPECT_EQ(report.chains[1].tenant, "acme");
  EXPECT_EQ(report.chains[1].links, 15);
  EXPECT_EQ(report.chains[1].rows, 5 * 24);
  EXPECT_EQ(report.chains[2].tenant, "clinic");
  EXPECT_EQ(report.chains[2].rows, 5 * 16);
  EXPECT_EQ(chain.pg.sql.Number("SELECT sum(rows) FROM chain_link"), 5 * 40);
  EXPECT_EQ(chain.SealAll(), 0) << "nothing is sealed twice";
  EXPECT_EQ(chain.pg.sql.Number("SELECT count(*) FROM chain_seal"), 6)
      << "where nothing was, nothing is made";
}

TEST(ChainTest, AChangeOfAnyColumnOfAnyRowIsFound) {
  ChainFixture chain;
  RecordSome(chain);
  for (const char* table : kCovered) ExpectEveryChangeIsFound(chain, table, 3);
}

TEST(ChainTest, AChangeOfTheChainItselfIsFound) {
  ChainFixture chain;
  RecordSome(chain);
  for (const char* table : {"chain_link", "chain_seal", "chain_head", "chain_begin"}) {
    ExpectEveryChangeIsFound(chain, table, 3);
  }
}

TEST(ChainTest, ARowOrALinkThatIsRemovedIsFound) {
  ChainFixture chain;
  RecordSome(chain);
  SqlSession& sql = chain.pg.sql;
  for (const std::string table :
       {"status_event", "consent_event", "operator_action", "chain_link", "chain_seal"}) {
    sql.Run(StrCat("BEGIN; DELETE FROM ", table, " WHERE ctid = (SELECT ctid FROM ", table,
                   " ORDER BY random() LIMIT 1)"));
    EXPECT_GT(sql.Number(kBroken), 0) << table;
    sql.Run("ROLLBACK");
  }
  sql.Run(
      "BEGIN; DELETE FROM chain_link WHERE link_no = 15 AND tenant_id = (SELECT tenant_id FROM "
      "chain_head WHERE link_no = 15 LIMIT 1)");
  EXPECT_GT(sql.Number(kBroken), 0) << "the last of a chain";
  sql.Run("ROLLBACK");
}

TEST(ChainTest, RowsThatAreExchangedOrAddedAreFound) {
  ChainFixture chain;
  RecordSome(chain);
  SqlSession& sql = chain.pg.sql;
  const std::string two = "SELECT message_id FROM status_event ORDER BY message_id LIMIT 2";
  sql.Run(
      StrCat("BEGIN; UPDATE status_event e SET message_id = o.message_id FROM status_event o "
             "WHERE e.message_id IN (",
             two, ") AND o.message_id IN (", two, ") AND o.message_id <> e.message_id"));
  EXPECT_GT(sql.Number(kBroken), 0) << "two messages have each other's events";
  sql.Run(
      StrCat("ROLLBACK; BEGIN; UPDATE operator_action a SET at = b.at + interval '1 s', reason "
             "= b.reason FROM operator_action b WHERE a.action_id = (SELECT min(action_id::text)"
             "::uuid FROM operator_action) AND b.action_id <> a.action_id"));
  EXPECT_GT(sql.Number(kBroken), 0) << "another order of what was done";
  sql.Run("ROLLBACK; BEGIN; INSERT INTO status_event SELECT * FROM status_event LIMIT 1");
  EXPECT_GT(sql.Number(kBroken), 0) << "one twice";
  sql.Run(
      StrCat("ROLLBACK; BEGIN; UPDATE status_event SET message_id = gen_random_uuid() WHERE "
             "ctid = (SELECT ctid FROM status_event LIMIT 1)"));
  EXPECT_GT(sql.Number(kBroken), 0);
  sql.Run(
      StrCat("ROLLBACK; BEGIN; INSERT INTO consent_event (tenant_id, consent_id, recipient_key, "
             "sender_id, recipient, change, source, evidence, actor, reason, said_at, xid) "
             "SELECT gen_random_uuid(), gen_random_uuid(), '', tenant_id, '', 1, 1, '', '', '', "
             "now(), xid FROM consent_event LIMIT 1"));
  EXPECT_GT(sql.Number(kBroken), 0) << "of a tenant that has no link in that seal";
  sql.Run("ROLLBACK");
  EXPECT_EQ(sql.Number(kBroken), 0);
}

TEST(ChainTest, AFaultSaysWhichTenantTableTimeAndRowItIs) {
  ChainFixture chain;
  chain.Record(chain.clinic, 4);
  chain.SealAll();
  chain.Record(chain.acme, 4);
  chain.SealAll();
  const std::string id = chain.pg.sql.Value(StrCat(
      "UPDATE status_event SET state = 7 WHERE message_id = (SELECT message_id FROM status_event "
      "WHERE tenant_id = '",
      chain.acme.ToString(), "' LIMIT 1) RETURNING message_id"));
  const ChainReport report = chain.Verify();
  ASSERT_EQ(report.faults.size(), 1U);
  const ChainFault& fault = report.faults[0];
  EXPECT_EQ(fault.tenant, "acme");
  EXPECT_EQ(fault.verdict, "ROWS_CHANGED");
  EXPECT_EQ(fault.table, "status_event");
  EXPECT_EQ(fault.link_no, 1);
  EXPECT_EQ(fault.rows, 4);
  EXPECT_EQ(fault.found, 4);
  EXPECT_EQ(fault.strangers, 1);
  EXPECT_EQ(fault.stranger, id);
  const std::string at = chain.pg.sql.Value(StrCat(
      "SELECT floor(extract(epoch FROM at)) FROM status_event WHERE message_id = '", id, "'"));
  EXPECT_EQ(
      StrCat(
          std::chrono::duration_cast<std::chrono::seconds>(fault.since.time_since_epoch()).count()),
      at);
  EXPECT_EQ(report.chains[1].faults, 1);
  EXPECT_EQ(report.chains[2].faults, 0) << "clinic's holds";
  EXPECT_THAT(chain.Verify("clinic").faults, IsEmpty());
}

TEST(ChainTest, ACommitThatComesLateIsSealed) {
  ChainFixture chain;
  SqlSession late(chain.pg.database.url());
  late.Run(
      "BEGIN; INSERT INTO operator_action (tenant_id, action_id, actor, action, reason) VALUES "
      "(gen_random_uuid(), gen_random_uuid(), 'late', 'PAUSE', '')");
  late.Run(
      StrCat("INSERT INTO status_event (slot, tenant_id, message_id, revision, previous, "
             "state, cause, attempt, final, conversation_id, external_contact_id, "
             "campaign_id) SELECT slot, tenant_id, gen_random_uuid(), 1, 1, 1, 1, 1, false, "
             "tenant_id, '', '' FROM (SELECT 1 AS slot, '",
             chain.acme.ToString(), "'::uuid AS tenant_id) s"));
  RecordSome(chain);
  EXPECT_EQ(chain.pg.sql.Number("SELECT sum(rows) FROM chain_link"), 200) << "nobody waits for it";
  EXPECT_THAT(chain.Verify().faults, IsEmpty());
  late.Run("COMMIT");
  EXPECT_THAT(chain.Verify().faults, IsEmpty());
  EXPECT_EQ(chain.SealAll(), 2);
  EXPECT_THAT(chain.Verify().faults, IsEmpty());
  chain.pg.sql.Run("DELETE FROM operator_action WHERE actor = 'late'");
  EXPECT_THAT(chain.Faults(), ElementsAre("ROWS_MISSING operator_action 1"));
}

TEST(ChainTest, SeveralSealersBesideTrafficMakeOneChain) {
  ChainFixture chain;
  constexpr int kSealers = 3;
  constexpr int kRounds = 40;
  PgPool pools(chain.pg.clock, chain.pg.random,
               {.conninfo = chain.pg.database.url(), .max_sessions = kSealers});
  std::atomic<int> writing = 1;
  InParallel(kSealers + 1, [&](int worker) {
    if (worker == kSealers) {
      for (int i = 0; i < kRounds; ++i) {
        chain.Record(i % 2 == 0 ? chain.acme : chain.clinic, 4);
        EXPECT_TRUE(chain.pg.store.MakeTick().ok());
      }
      writing = 0;
      return;
    }
    Metrics metrics;
    ChainSealer sealer(pools, chain.pg.clock, metrics);
    while (writing > 0) {
      const auto sealed = sealer.Seal();
      EXPECT_TRUE(sealed.ok()) << sealed.status();
    }
  });
  chain.SealAll();
  EXPECT_THAT(chain.Verify().faults, IsEmpty());
  EXPECT_EQ(chain.pg.sql.Number("SELECT sum(rows) FROM chain_link"), kRounds * 8);
  EXPECT_EQ(chain.pg.sql.Number("SELECT count(*) - max(seal_no) FROM chain_seal"), 0);
}

TEST(ChainTest, WhoIsNotAtItLeavesItToTheOther) {
  ChainFixture chain;
  chain.Record(chain.acme, 4);
  chain.pg.sql.Run("BEGIN; SELECT FROM chain_position FOR UPDATE");
  const auto sealed = chain.sealer.Seal();
  ASSERT_TRUE(sealed.ok()) << sealed.status();
  EXPECT_FALSE(sealed->at_it);
  chain.pg.sql.Run("ROLLBACK");
  EXPECT_EQ(chain.SealAll(), 8);
}

TEST(ChainTest, OldRowsMayGoAndYoungOnesMayNot) {
  ChainFixture chain;
  chain.Record(chain.acme, 4, 410);
  chain.SealAll();
  chain.Record(chain.acme, 4, 390);
  chain.SealAll();
  const std::string one =
      "DELETE FROM status_event WHERE message_id = (SELECT message_id FROM "
      "status_event WHERE at < now() - interval '";
  chain.pg.sql.Run(StrCat(one, "400 days' LIMIT 1)"));
  EXPECT_THAT(chain.Faults(), IsEmpty());
  EXPECT_EQ(chain.Of("acme").past_retention, 1) << "one of four is gone";
  chain.pg.sql.Run("UPDATE status_event SET state = 2 WHERE at < now() - interval '400 days'");
  EXPECT_THAT(chain.Faults(), ElementsAre("ROWS_CHANGED status_event 1"));
  chain.pg.sql.Run("DELETE FROM status_event WHERE at < now() - interval '400 days'");
  EXPECT_THAT(chain.Faults(), IsEmpty());
  const ChainState acme = chain.Of("acme");
  EXPECT_EQ(acme.links, 6);
  EXPECT_EQ(acme.past_retention, 1);
  EXPECT_EQ(acme.rows, 12);
  chain.pg.sql.Run(StrCat(one, "380 days' LIMIT 1)"));
  EXPECT_THAT(chain.Faults(), ElementsAre("ROWS_MISSING status_event 4"));
  chain.pg.sql.Run("DELETE FROM operator_action WHERE at < now() - interval '400 days'");
  EXPECT_THAT(chain.Faults(),
              UnorderedElementsAre("ROWS_MISSING status_event 4", "ROWS_MISSING operator_action 3"))
      << "what operators did is kept for ever";
  chain.pg.sql.Run("UPDATE chain_link SET rows = 3 WHERE link_no = 1");
  EXPECT_THAT(chain.Faults(), Contains("LINK_BROKEN status_event 1"));
}

/// All events so far in a partition that no tick needs any more.
constexpr const char* kCloseThePartition = R"(
CREATE TABLE old AS SELECT * FROM status_event;
DELETE FROM status_event;
ALTER TABLE status_event DETACH PARTITION status_event0;
DROP TABLE status_event0;
CREATE TABLE status_event0 (LIKE status_event INCLUDING DEFAULTS);
INSERT INTO status_event0 SELECT * FROM old;
DO $$ DECLARE next text := (SELECT max(xid::text::bigint) + 1 FROM old); BEGIN
  EXECUTE format('ALTER TABLE status_event ATTACH PARTITION status_event0 FOR VALUES FROM (''0'') TO (%L)', next);
  EXECUTE format('UPDATE tick SET snap = %L', next || ':' || next || ':');
END $$)";

TEST(ChainTest, WhatRetentionDropsIsPastRetentionAndNothingElseIsDropped) {
  for (const int age_days : {410, 390}) {
    SCOPED_TRACE(age_days);
    ChainFixture chain;
    chain.Record(chain.acme, 4, age_days);
    chain.SealAll();
    chain.pg.sql.Run(kCloseThePartition);
    EXPECT_THAT(chain.Faults(), IsEmpty()) << "wherever the rows are";
    const auto drops = chain.pg.store.DropOld(KeepTimes{}, std::stop_token());
    ASSERT_TRUE(drops.ok()) << drops.status();
    const bool old = age_days > 400;
    EXPECT_EQ(drops->dropped.size(), old ? 1U : 0U);
    EXPECT_THAT(chain.Faults(), IsEmpty());
    EXPECT_EQ(chain.Of("acme").past_retention, old ? 1 : 0);
  }
}

TEST(ChainTest, WhatIsTooNewToBeInALinkIsTold) {
  ChainFixture chain;
  chain.Record(chain.acme, 4);
  chain.SealAll();
  chain.Record(chain.acme, 6);
  const ChainReport report = chain.Verify("acme");
  EXPECT_THAT(report.faults, IsEmpty());
  EXPECT_EQ(report.chains[0].rows, 8);
  EXPECT_EQ(report.chains[0].not_sealed, 12);
}

TEST(ChainTest, ANotedHeadIsFoundAsLongAsNothingBeforeItWasMadeAnew) {
  ChainFixture chain;
  chain.Record(chain.acme, 4);
  chain.SealAll();
  const std::string head = chain.Verify("acme").chains[0].head;
  EXPECT_EQ(head.size(), 64U);
  chain.Record(chain.acme, 4);
  chain.SealAll();
  EXPECT_EQ(chain.Verify("acme", head).expected_link, 3);
  EXPECT_EQ(chain.Verify("clinic", head).expected_link, 0);

  // Who may write everything makes a chain anew.
  chain.pg.sql.Run(
      "UPDATE status_event SET state = 7; TRUNCATE chain_link, chain_head, chain_seal; "
      "UPDATE chain_position p SET seal_no = 0, sealed_snap = b.begin_snap, snap = b.begin_snap, "
      "before_sealed = '1:1:', before_snap = '1:1:', tick_no = 0 FROM chain_begin b");
  chain.SealAll();
  EXPECT_THAT(chain.Verify("acme").faults, IsEmpty());
  EXPECT_EQ(chain.Verify("acme", head).expected_link, 0);
}

TEST(ChainTest, SealingGoesOnOverTicksThatWereForgotten) {
  ChainFixture chain;
  for (int i = 0; i < 3; ++i) {
    chain.Record(chain.acme, 4);
    chain.pg.sql.Run(
        "INSERT INTO tick (tick_no, snap, nonce) SELECT t.tick_no + 1000, pg_current_snapshot(), "
        "gen_random_uuid() FROM tick t ORDER BY t.tick_no DESC LIMIT 1");
  }
  chain.pg.sql.Run("DELETE FROM tick WHERE tick_no < 2000");
  EXPECT_EQ(chain.SealAll(), 24);
  EXPECT_THAT(chain.Verify().faults, IsEmpty());
}

TEST(ChainTest, WhatLiesBetweenTicksFarApartIsSealedInParts) {
  ChainFixture chain;
  chain.SealAll();
  chain.Record(chain.acme, 4);
  chain.pg.sql.Run(
      "DO $$ BEGIN FOR i IN 1..30000 LOOP PERFORM pg_current_xact_id(); COMMIT; END LOOP; END $$");
  chain.Record(chain.acme, 4);
  // Transactions of other databases do not count: rows are of this one.
  chain.pg.sql.Run(
      "INSERT INTO tick (tick_no, snap, nonce) SELECT t.tick_no + 1000, (x.xid || ':' || x.xid || "
      "':')::pg_snapshot, gen_random_uuid() FROM tick t, (SELECT pg_snapshot_xmax("
      "pg_current_snapshot())::text AS xid) x ORDER BY t.tick_no DESC LIMIT 1");
  EXPECT_EQ(chain.SealAll(), 16);
  EXPECT_EQ(chain.pg.sql.Number("SELECT count(*) FROM chain_seal"), 3);
  EXPECT_THAT(chain.Verify().faults, IsEmpty());
}

TEST(ChainTest, ADatabaseThatWasMadeFromADumpIsToldOf) {
  ChainFixture chain;
  chain.pg.sql.Run("UPDATE chain_position SET snap = '9000000000:9000000000:'");
  chain.pg.sql.Run(
      "INSERT INTO tick (tick_no, snap, nonce) SELECT t.tick_no + 1, pg_current_snapshot(), "
      "gen_random_uuid() FROM tick t ORDER BY t.tick_no DESC LIMIT 1");
  const auto refused = chain.sealer.Seal();
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_FALSE(chain.sealer.Step());
}

TEST(ChainTest, TheLagIsShown) {
  ChainFixture chain;
  chain.Record(chain.acme, 4);
  chain.SealAll();
  EXPECT_FALSE(chain.sealer.Step());
  EXPECT_THAT(chain.metrics.Expose(), HasSubstr("postrider_chain_lag_seconds 0."));
}

TEST(ChainTest, AnAuditorVerifiesTheGrantedTenantsChainsAndNoOthers) {
  AuditFixture audit;
  AuditorSession acme(audit.pg.database.url(), audit.NewAuditor("acme", {"acme"}));
  AuditorSession none(audit.pg.database.url(), audit.NewRole("none"));
  const std::string verify =
      "SELECT concat_ws(' ', tenant, verdict, table_name, rows, found) FROM audit.verify_chain()";
  EXPECT_THAT(acme.Column(verify), ElementsAre("acme HOLDS 491 491"));
  EXPECT_EQ(none.Ask(verify).sqlstate, "42501");
  EXPECT_THAT(acme.Column("SELECT DISTINCT tenant FROM audit.chain"), ElementsAre("acme"));
  EXPECT_THAT(acme.Column("SELECT * FROM audit.verify_chain('clinic')"), IsEmpty());
  EXPECT_THAT(acme.Column("SELECT * FROM audit.verify_chain(sealed_since => now() + interval '1 "
                          "hour')"),
              IsEmpty());

  audit.pg.sql.Run(StrCat("UPDATE consent_event SET reason = 'another' WHERE tenant_id = '",
                          audit.clinic.ToString(), "'"));
  EXPECT_THAT(acme.Column(verify), ElementsAre("acme HOLDS 491 491"));
  audit.pg.sql.Run(StrCat("UPDATE consent_event SET reason = 'another' WHERE tenant_id = '",
                          audit.acme.ToString(), "'"));
  EXPECT_THAT(acme.Column(verify),
              UnorderedElementsAre("acme HOLDS 441 441", "acme ROWS_CHANGED consent_event 50 50"));
  EXPECT_THAT(acme.Column("SELECT since FROM audit.verify_chain() WHERE verdict <> 'HOLDS'"),
              Each(Not(IsEmpty())));
}

}  // namespace
}  // namespace postrider
