// The hash chain where it cannot simply go on: what was there before it, a position that is lost, a
// database that was made from a dump, a transaction that is open for long.
#include "absl/strings/str_replace.h"
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "server/base/strings.h"
#include "server/store/chain_begin.h"
#include "tests/integration/store/audit_fixture.h"
#include "tests/integration/store/chain_fixture.h"

namespace postrider {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

constexpr const char* kTick =
    "INSERT INTO tick (tick_no, snap, nonce) SELECT t.tick_no + 1, pg_current_snapshot(), "
    "gen_random_uuid() FROM tick t ORDER BY t.tick_no DESC LIMIT 1";

/// What is on record now is of before the chain, as after migration 0012: nothing is sealed.
void BeginHere(SqlSession& sql) {
  sql.Run(
      "TRUNCATE chain_link, chain_head, chain_seal; UPDATE chain_begin SET begin_snap = "
      "pg_current_snapshot(), before_end = pg_current_snapshot(); UPDATE chain_position p SET "
      "seal_no = 0, sealed_snap = b.begin_snap, snap = b.begin_snap, before_sealed = '1:1:', "
      "before_snap = '1:1:' FROM chain_begin b");
}

absl::StatusOr<BegunChain> Begin(ChainFixture& chain, const std::string& reason = "a test") {
  return BeginChain(chain.pool, {.action_id = MakeUuidV7(chain.pg.clock.Wall(), chain.pg.random),
                                 .actor = "",
                                 .reason = reason});
}

/// All that is on record, and what is sealed of it, as a dump brings it to another server: of
/// transactions that are far ahead of this one's.
void LikeFromADump(SqlSession& sql) {
  constexpr const char* kAhead = "(($)::text::bigint + 1000000000)::text::xid8";
  for (const char* table : {"status_event", "consent_event", "operator_action"}) {
    sql.Run(StrCat("UPDATE ", table, " SET xid = ", absl::StrReplaceAll(kAhead, {{"$", "xid"}})));
  }
  sql.Run(
      "INSERT INTO tick (tick_no, snap, nonce) SELECT t.tick_no + 1, (x.xid || ':' || x.xid || "
      "':')::pg_snapshot, gen_random_uuid() FROM tick t, (SELECT pg_snapshot_xmax("
      "pg_current_snapshot())::text::bigint + 1000000000 AS xid) x ORDER BY t.tick_no DESC LIMIT "
      "1");
}

/// Seals up to the newest tick, without a new one.
void SealTicks(ChainFixture& chain) {
  for (bool more = true; more;) {
    const auto sealed = chain.sealer.Seal();
    ASSERT_TRUE(sealed.ok()) << sealed.status();
    more = sealed->more;
  }
}

TEST(ChainRestartTest, WhatWasThereBeforeTheChainIsPutIntoIt) {
  ChainFixture chain;
  SqlSession& sql = chain.pg.sql;
  chain.Record(chain.acme, 4);
  sql.Run("UPDATE consent_event SET xid = '0'; UPDATE operator_action SET xid = '0'");
  chain.Record(chain.clinic, 4);
  BeginHere(sql);
  EXPECT_EQ(chain.Of("acme").before_chain, 8) << "not yet";
  EXPECT_THAT(chain.Faults(), IsEmpty());
  EXPECT_EQ(chain.SealAll(), 16);
  EXPECT_EQ(chain.Of("acme").before_chain, 0);
  EXPECT_EQ(chain.Of("acme").rows, 8);
  chain.Record(chain.acme, 4);
  EXPECT_EQ(chain.SealAll(), 8);
  EXPECT_THAT(chain.Faults(), IsEmpty());

  for (const std::string table : {"status_event", "consent_event", "operator_action"}) {
    const std::string one = StrCat(" WHERE ctid = (SELECT ctid FROM ", table,
                                   " WHERE tenant_id = '", chain.clinic.ToString(), "' LIMIT 1)");
    const std::string column = table == "status_event" ? "provider_code" : "reason";
    sql.Run(StrCat("BEGIN; UPDATE ", table, " SET ", column, " = 'another'", one));
    SqlSession::Row faults = sql.Run("SELECT count(*) FROM chain_check WHERE NOT same")[0];
    EXPECT_EQ(faults[0], "1") << table << " is changed";
    sql.Run(StrCat("ROLLBACK; BEGIN; DELETE FROM ", table, one));
    faults = sql.Run("SELECT count(*) FROM chain_check WHERE NOT same")[0];
    EXPECT_EQ(faults[0], "1") << table << " is removed";
    sql.Run("ROLLBACK");
  }
  sql.Run(
      "INSERT INTO operator_action (tenant_id, action_id, actor, action, reason, xid) SELECT "
      "tenant_id, gen_random_uuid(), 'ann', 'PAUSE', '', '3' FROM operator_action LIMIT 1");
  EXPECT_THAT(chain.Faults(), ElementsAre(HasSubstr("operator_action"))) << "nor is any added";
}

TEST(ChainRestartTest, WhatWasThereIsSealedInPartsAndWhatIsNewIsNotHeldUp) {
  ChainFixture chain;
  SqlSession& sql = chain.pg.sql;
  constexpr int kParts = 3;
  for (int i = 0; i < kParts; ++i) {
    chain.Record(chain.acme, 4);
    sql.Run(
        "DO $$ BEGIN FOR i IN 1..21000 LOOP PERFORM pg_current_xact_id(); COMMIT; END LOOP; END "
        "$$");
  }
  BeginHere(sql);
  chain.Record(chain.acme, 6);
  sql.Run(kTick);
  const auto first = chain.sealer.Seal();
  ASSERT_TRUE(first.ok()) << first.status();
  EXPECT_EQ(first->rows, 12 + 8) << "what is new, and one part";
  EXPECT_TRUE(first->more);
  EXPECT_EQ(chain.Of("acme").before_chain, (kParts - 1) * 8);
  EXPECT_EQ(chain.SealAll(), (kParts - 1) * 8);
  EXPECT_EQ(sql.Number("SELECT count(*) FROM chain_seal WHERE of_before"), kParts + 1)
      << "the last one ends it";
  EXPECT_THAT(chain.Faults(), IsEmpty());
}

TEST(ChainRestartTest, APositionThatIsMovedForwardIsFoundAlsoWhenSealingGoesOn) {
  ChainFixture chain;
  chain.Record(chain.acme, 4);
  chain.SealAll();
  chain.Record(chain.acme, 4);  // nobody is to see this
  chain.pg.sql.Run(
      "UPDATE chain_position SET sealed_snap = pg_current_snapshot(), snap = "
      "pg_current_snapshot()");
  EXPECT_THAT(chain.Faults(), ElementsAre("POSITION_WRONG 2"));
  chain.Record(chain.acme, 4);
  chain.SealAll();
  EXPECT_THAT(chain.Faults(), ElementsAre("SEALS_APART 3"));
  EXPECT_THAT(chain.Verify("clinic").faults.size(), 1U) << "seals are of all";

  chain.pg.sql.Run(
      "UPDATE chain_position SET tick_no = tick_no + 1000, tick_at = now() + interval '1 day'");
  EXPECT_THAT(chain.Faults(), ElementsAre("POSITION_WRONG 3", "SEALS_APART 3"));
  chain.pg.sql.Run(kTick);
  EXPECT_EQ(chain.sealer.Seal().status().code(), absl::StatusCode::kFailedPrecondition)
      << "it would wait for that tick";
}

TEST(ChainRestartTest, AnAuditorIsToldOfSealsThatAreApartAndNothingOfOthers) {
  AuditFixture audit;
  audit.pg.sql.Run("UPDATE chain_seal SET from_snap = '9:9:' WHERE NOT of_before");
  AuditorSession acme(audit.pg.database.url(), audit.NewAuditor("acme", {"acme"}));
  EXPECT_THAT(acme.Column("SELECT concat_ws('|', tenant, verdict, detail) FROM "
                          "audit.verify_chain() WHERE detail IS NOT NULL"),
              Contains(HasSubstr("acme|SEALS_APART|it does not begin where the one before")));
}

TEST(ChainRestartTest, ASealOfAnAbsurdNumberIsAFaultAndVerifyingEnds) {
  ChainFixture chain;
  chain.Record(chain.acme, 4);
  chain.SealAll();
  SqlSession& sql = chain.pg.sql;
  for (const char* number :
       {"9000000000000000000", "9223372036854775807", "-9223372036854775808"}) {
    sql.Run(StrCat("BEGIN; INSERT INTO chain_seal SELECT ", number,
                   ", to_snap, to_snap FROM "
                   "chain_seal WHERE seal_no = 2; "
                   "COMMIT"));
    EXPECT_THAT(chain.Faults(), Contains(StrCat("SEALS_APART ", number)));
    sql.Run(StrCat("DELETE FROM chain_seal WHERE seal_no = ", number));
    sql.Run(StrCat("UPDATE chain_position SET seal_no = ", number));
    EXPECT_THAT(chain.Faults(), ElementsAre(StrCat("POSITION_WRONG ", number)));
    sql.Run("UPDATE chain_position SET seal_no = 2");
    sql.Run(StrCat("UPDATE chain_link SET seal_no = ", number, " WHERE link_no = 1 AND kind = 1"));
    EXPECT_THAT(chain.Faults(), Contains("LINK_BROKEN status_event 1"));
    sql.Run("UPDATE chain_link SET seal_no = 2 WHERE link_no = 1 AND kind = 1");
    sql.Run(StrCat("UPDATE chain_link SET link_no = ", number, " WHERE link_no = 3"));
    EXPECT_THAT(chain.Faults(), Contains(StrCat("LINK_BROKEN operator_action ", number)));
    sql.Run(StrCat("UPDATE chain_link SET link_no = 3 WHERE link_no = ", number));
  }
  EXPECT_THAT(chain.Faults(), IsEmpty());
}

TEST(ChainRestartTest, APositionThatIsLostIsAnErrorAndAFaultUntilANewChainBegins) {
  ChainFixture chain;
  chain.Record(chain.acme, 4);
  chain.SealAll();
  const std::string head = chain.Of("acme").head;
  chain.pg.sql.Run("DELETE FROM chain_position");
  chain.Record(chain.acme, 4);
  EXPECT_FALSE(chain.sealer.Step());
  EXPECT_THAT(chain.metrics.Expose(), HasSubstr("postrider_chain_failing 1"));
  EXPECT_THAT(std::string(chain.sealer.Seal().status().message()),
              AllOf(HasSubstr("chain_position has no row"), HasSubstr("begin-chain")));
  EXPECT_THAT(chain.Faults(), ElementsAre("POSITION_WRONG 0"));

  const auto begun = Begin(chain, "the position was lost");
  ASSERT_TRUE(begun.ok()) << begun.status();
  EXPECT_EQ(begun->chain_no, 2);
  EXPECT_EQ(begun->links, 2) << "acme's, and the one of no tenant";
  EXPECT_EQ(chain.SealAll(), 8 + 8 + 1) << "all that was there, and that it was begun";
  EXPECT_FALSE(chain.sealer.Step());
  EXPECT_THAT(chain.metrics.Expose(), HasSubstr("postrider_chain_failing 0"));
  const ChainReport report = chain.Verify("acme", head);
  EXPECT_THAT(report.faults, IsEmpty());
  EXPECT_EQ(report.expected_link, 3) << "the old chain is there";
  ASSERT_EQ(report.begins.size(), 1U);
  EXPECT_EQ(report.begins[0].reason, "the position was lost");
  EXPECT_EQ(chain.pg.sql.Value(StrCat("SELECT encode(before, 'hex') FROM chain_link WHERE kind = 4 "
                                      "AND tenant_id = '",
                                      chain.acme.ToString(), "'")),
            head)
      << "it is over the last link of the old one";
  EXPECT_EQ(chain.pg.sql.Value("SELECT actor || ' ' || target || ' ' || reason FROM "
                               "operator_action WHERE action = 'BEGIN_CHAIN'"),
            StrCat(report.begins[0].actor, " chain 2 the position was lost"));
}

TEST(ChainRestartTest, InADatabaseFromADumpANewChainGoesOnAndTheOldOneIsStillVerified) {
  ChainFixture chain;
  SqlSession& sql = chain.pg.sql;
  chain.Record(chain.acme, 4);
  LikeFromADump(sql);
  SealTicks(chain);
  EXPECT_THAT(chain.Faults(), ElementsAre("POSITION_WRONG 2"));
  chain.Record(chain.clinic, 4);
  LikeFromADump(sql);  // recorded and not sealed when the dump was made
  sql.Run(
      "UPDATE status_event SET xid = (xid::text::bigint - 1000000000)::text::xid8 WHERE "
      "tenant_id = '" +
      chain.acme.ToString() + "'");
  for (const char* table : {"consent_event", "operator_action"}) {
    sql.Run(StrCat("UPDATE ", table, " SET xid = (xid::text::bigint - 1000000000)::text::xid8 ",
                   "WHERE tenant_id = '", chain.acme.ToString(), "'"));
  }
  sql.Run("DELETE FROM tick WHERE tick_no = (SELECT max(tick_no) FROM tick)");
  sql.Run(kTick);
  EXPECT_EQ(chain.sealer.Seal().status().code(), absl::StatusCode::kFailedPrecondition);

  ASSERT_TRUE(Begin(chain).ok());
  EXPECT_THAT(chain.Faults(), IsEmpty());
  chain.Record(chain.acme, 6);
  EXPECT_EQ(chain.SealAll(), 8 + 8 + 12 + 1);
  EXPECT_THAT(chain.Faults(), IsEmpty());
  EXPECT_EQ(chain.Of("acme").rows, 8 + 8 + 12) << "old ones in the old chain and in the new one";

  const auto faults_of = [&](const std::string& change) {
    sql.Run(StrCat("CREATE TABLE kept AS SELECT * FROM status_event; ", change));
    std::vector<std::string> faults = chain.Faults();
    sql.Run(
        "DELETE FROM status_event; INSERT INTO status_event SELECT * FROM kept; DROP TABLE kept");
    return faults;
  };
  const std::string of = "UPDATE status_event SET state = 7 WHERE tenant_id = '$' AND chain_no = ";
  const std::string acme = absl::StrReplaceAll(of, {{"$", chain.acme.ToString()}});
  const std::string clinic = absl::StrReplaceAll(of, {{"$", chain.clinic.ToString()}});
  EXPECT_EQ(faults_of(acme + "1").size(), 2U) << "both chains have it";
  EXPECT_EQ(faults_of(clinic + "1").size(), 1U) << "the old chain had it not";
  EXPECT_EQ(faults_of(acme + "2").size(), 1U);
  EXPECT_THAT(chain.Faults(), IsEmpty());
}

/// The transaction after the last consent event's, of those that the chain has seen the end of.
constexpr const char* kNextSeen =
    "(SELECT coalesce(min(x), max(c.last) + 1) FROM (SELECT max(xid::text::bigint) AS last FROM "
    "consent_event) c CROSS JOIN chain_position p LEFT JOIN LATERAL generate_series(c.last + 1, "
    "pg_snapshot_xmax(p.snap)::text::bigint) x ON pg_visible_in_snapshot(x::text::xid8, p.snap))";

TEST(ChainRestartTest, ARowOfWhicheverChainAndTransactionThatIsAddedIsFound) {
  ChainFixture chain;
  SqlSession& sql = chain.pg.sql;
  chain.Record(chain.acme, 4);
  // A transaction that is open all the time, as another database's may be: what it would leave is
  // sealed when it ends, so of those that have begun only ended ones are forged.
  SqlSession open(chain.pg.database.url());
  open.Run("BEGIN; SELECT pg_current_xact_id()");
  chain.SealAll();
  sql.Run("CREATE TABLE seen (xid bigint)");
  const auto expect_found = [&](const std::string& chains) {
    for (const std::string chain_no : {"1", "2", "3", "0", "-1", "99"}) {
      for (const std::string xid :
           {"3", "(SELECT min(xid::text::bigint) FROM consent_event)",
            "(SELECT max(xid::text::bigint) FROM consent_event)", kNextSeen,
            "(SELECT max(xid) FROM seen)",
            "pg_snapshot_xmax(pg_current_snapshot())::text::bigint + 100000",
            "4000000000000000000"}) {
        sql.Run(
            StrCat("CREATE TABLE forged AS SELECT * FROM consent_event LIMIT 1; UPDATE forged "
                   "SET consent_id = gen_random_uuid(), chain_no = ",
                   chain_no, ", xid = (", xid,
                   ")::text::xid8; INSERT INTO consent_event SELECT * FROM forged"));
        EXPECT_FALSE(chain.Faults().empty()) << chains << ": " << chain_no << " of " << xid;
        sql.Run(
            "DELETE FROM consent_event WHERE consent_id IN (SELECT consent_id FROM forged); "
            "DROP TABLE forged");
      }
    }
  };
  sql.Run("INSERT INTO seen SELECT pg_current_xact_id()::text::bigint");
  chain.SealAll();
  expect_found("the first chain");
  EXPECT_THAT(chain.Faults(), IsEmpty());
  ASSERT_TRUE(Begin(chain).ok());
  sql.Run("INSERT INTO seen SELECT pg_current_xact_id()::text::bigint");
  chain.Record(chain.acme, 4);
  chain.SealAll();
  chain.SealAll();
  expect_found("the second chain");
  EXPECT_THAT(chain.Faults(), IsEmpty());
  LikeFromADump(sql);
  sql.Run(
      "TRUNCATE chain_link, chain_head, chain_seal; DELETE FROM chain_begin WHERE chain_no > 2");
  ASSERT_TRUE(Begin(chain).ok());
  chain.Record(chain.acme, 4);
  chain.SealAll();
  sql.Run("DELETE FROM seen");
  // The oldest that was open when the chain began may be open still: then the one before.
  sql.Run(
      "INSERT INTO seen SELECT pg_snapshot_xmin(b.begin_snap)::text::bigint - CASE WHEN "
      "pg_visible_in_snapshot(pg_snapshot_xmin(b.begin_snap), p.snap) THEN 0 ELSE 1 END "
      "FROM chain_begin b, chain_position p WHERE b.chain_no = 3");
  expect_found("a chain after a dump");
}

TEST(ChainRestartTest, WhereAChainBeginsCannotBeHidden) {
  ChainFixture chain;
  chain.Record(chain.acme, 4);
  chain.SealAll();
  ASSERT_TRUE(Begin(chain, "to hide something").ok());
  chain.Record(chain.acme, 4);
  chain.SealAll();
  EXPECT_THAT(chain.Faults(), IsEmpty());
  SqlSession& sql = chain.pg.sql;
  const char* const attempts[] = {
      "DELETE FROM chain_begin WHERE chain_no = 2",
      "UPDATE chain_begin SET reason = 'a restore' WHERE chain_no = 2",
      "UPDATE chain_begin SET begun_at = begun_at - interval '1 year' WHERE chain_no = 2",
      "DELETE FROM chain_link WHERE kind = 4",
      "UPDATE chain_seal SET chain_no = 1; DELETE FROM chain_begin WHERE chain_no = 2",
      "DELETE FROM operator_action WHERE action = 'BEGIN_CHAIN'"};
  for (const char* attempt : attempts) {
    sql.Run(
        StrCat("CREATE TABLE k1 AS SELECT * FROM chain_begin; CREATE TABLE k2 AS SELECT * FROM "
               "chain_link; CREATE TABLE k3 AS SELECT * FROM chain_seal; CREATE TABLE k4 AS "
               "SELECT * FROM operator_action; ",
               attempt));
    EXPECT_FALSE(chain.Faults().empty()) << attempt;
    sql.Run(
        "TRUNCATE chain_begin, chain_link, chain_seal, operator_action; INSERT INTO chain_begin "
        "SELECT * FROM k1; INSERT INTO chain_link SELECT * FROM k2; INSERT INTO chain_seal "
        "SELECT * FROM k3; INSERT INTO operator_action SELECT * FROM k4; DROP TABLE k1, k2, k3, "
        "k4");
  }
  EXPECT_THAT(chain.Faults(), IsEmpty());
}

TEST(ChainRestartTest, WritersOfOldAndNewRowsBesideABeginLeaveNothingOut) {
  ChainFixture chain;
  constexpr int kRounds = 60;
  std::atomic<int> writing = 2;
  InParallel(4, [&](int worker) {
    if (worker < 2) {
      SqlSession sql(chain.pg.database.url());
      for (int i = 0; i < kRounds; ++i) {
        // Has its number before it writes what is sealed.
        sql.Run("BEGIN; SELECT pg_current_xact_id()");
        sql.Run(
            StrCat("INSERT INTO consent_event (tenant_id, consent_id, recipient_key, sender_id, "
                   "recipient, change, source, evidence, actor, reason, said_at) VALUES ('",
                   (worker == 0 ? chain.acme : chain.clinic).ToString(),
                   "', gen_random_uuid(), '', gen_random_uuid(), '', 1, 3, '', '', '', now())"));
        sql.Run("COMMIT");
        EXPECT_TRUE(chain.pg.store.MakeTick().ok());
      }
      --writing;
    } else if (worker == 2) {
      for (int i = 0; i < 3; ++i) EXPECT_TRUE(Begin(chain).ok());
    } else {
      while (writing > 0) EXPECT_TRUE(chain.sealer.Seal().ok());
    }
  });
  chain.SealAll();
  EXPECT_THAT(chain.Faults(), IsEmpty());
  EXPECT_EQ(chain.Verify().begins.size(), 3U);
  const std::int64_t new_rows = chain.pg.sql.Number(
      "SELECT sum(l.rows) FROM chain_link l JOIN chain_seal s USING (seal_no) WHERE NOT "
      "s.of_before");
  const std::int64_t before =
      chain.pg.sql.Number("SELECT count(*) FROM consent_event WHERE chain_no < 4");
  EXPECT_LE(new_rows, 2 * kRounds + 3);
  EXPECT_EQ(chain.pg.sql.Number("SELECT sum(l.rows) FROM chain_link l JOIN chain_seal s USING "
                                "(seal_no) WHERE s.of_before AND s.chain_no = 4 AND l.kind = 2"),
            before);
}

TEST(ChainRestartTest, ATransactionThatIsOpenForLongMakesNoSealLargerAndIsShown) {
  ChainFixture chain;
  SqlSession& sql = chain.pg.sql;
  SqlSession late(chain.pg.database.url());
  late.Run(
      "BEGIN; INSERT INTO operator_action (tenant_id, action_id, actor, action, reason) VALUES "
      "(gen_random_uuid(), gen_random_uuid(), 'late', 'PAUSE', '')");
  constexpr int kParts = 3;
  for (int i = 0; i < kParts; ++i) {
    chain.Record(chain.acme, 4);
    sql.Run(
        "DO $$ BEGIN FOR i IN 1..21000 LOOP PERFORM pg_current_xact_id(); COMMIT; END LOOP; END "
        "$$");
  }
  sql.Run(
      "INSERT INTO tick (tick_no, snap, nonce) SELECT t.tick_no + 1000, pg_current_snapshot(), "
      "gen_random_uuid() FROM tick t ORDER BY t.tick_no DESC LIMIT 1");
  for (int i = 0; i < kParts; ++i) EXPECT_TRUE(chain.sealer.Step() || i + 1 == kParts) << i;
  EXPECT_EQ(sql.Number("SELECT max(rows) FROM chain_link WHERE kind = 1"), 4) << "in parts";
  EXPECT_THAT(chain.Faults(), IsEmpty());
  const std::string shown = chain.metrics.Expose();
  const std::string name = "\npostrider_chain_held_back_transactions ";
  ASSERT_NE(shown.find(name), std::string::npos);
  EXPECT_GT(std::stod(shown.substr(shown.find(name) + name.size())), kParts * 21000);
  late.Run("COMMIT");
  EXPECT_EQ(chain.SealAll(), 1);
  EXPECT_THAT(chain.Faults(), IsEmpty());
  sql.Run("DELETE FROM operator_action WHERE actor = 'late'");
  EXPECT_THAT(chain.Faults(), ElementsAre("ROWS_MISSING operator_action 1"));
}

}  // namespace
}  // namespace postrider
