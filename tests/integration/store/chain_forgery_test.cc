// What somebody tries who may write every table and knows how the hash chain is checked.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "server/base/strings.h"
#include "tests/integration/store/chain_fixture.h"

namespace postrider {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::IsSupersetOf;

TEST(ChainForgeryTest, MarksThatAreAddedDoNotExcuseAChangedRowOfAnOldLink) {
  ChainFixture chain;
  chain.Record(chain.acme, 4, 410);
  chain.SealAll();
  SqlSession& sql = chain.pg.sql;
  sql.Run(
      "UPDATE status_event SET state = 7 WHERE message_id = (SELECT message_id FROM status_event "
      "ORDER BY message_id LIMIT 1)");
  sql.Run(
      "DELETE FROM status_event WHERE message_id = (SELECT message_id FROM status_event "
      "ORDER BY message_id DESC LIMIT 1)");
  EXPECT_THAT(chain.Faults(), ElementsAre("ROWS_CHANGED status_event 1"));
  sql.Run(
      "UPDATE chain_link SET marks = marks || (SELECT substr(audit.event_hash(e), 1, 8) FROM "
      "status_event e WHERE e.state = 7) WHERE kind = 1");
  EXPECT_THAT(chain.Faults(), ElementsAre("LINK_BROKEN status_event 1"));
}

TEST(ChainForgeryTest, APositionThatIsSetElsewhereHidesNoSeal) {
  ChainFixture chain;
  for (int i = 0; i < 5; ++i) {
    chain.Record(chain.acme, 4);
    chain.SealAll();
  }
  SqlSession& sql = chain.pg.sql;
  sql.Run(
      "UPDATE status_event SET state = 7 WHERE message_id = (SELECT message_id FROM status_event "
      "ORDER BY xid DESC LIMIT 1)");
  EXPECT_THAT(chain.Faults(), ElementsAre("ROWS_CHANGED status_event 13"));
  for (const int seal_no : {5, 1, 0, -7}) {
    sql.Run(StrCat("UPDATE chain_position SET seal_no = ", seal_no));
    EXPECT_THAT(chain.Faults(),
                ElementsAre(StrCat("POSITION_WRONG ", seal_no), "ROWS_CHANGED status_event 13"));
  }
}

TEST(ChainForgeryTest, SealsOfNumbersThatThereAreNotAreLookedAt) {
  ChainFixture chain;
  chain.Record(chain.acme, 4);
  chain.SealAll();
  chain.pg.sql.Run("UPDATE chain_position SET seal_no = -7");
  chain.Record(chain.acme, 4);
  chain.SealAll();
  EXPECT_THAT(chain.Faults(), IsSupersetOf({"POSITION_WRONG -6", "SEALS_APART -6"}));
  chain.pg.sql.Run("UPDATE status_event SET state = 7");
  EXPECT_THAT(chain.Faults(),
              IsSupersetOf({"ROWS_CHANGED status_event 4", "ROWS_CHANGED status_event 1"}));
}

/// Puts a copy of a row of `table` there, which `set` makes another.
void Forge(SqlSession& sql, const std::string& table, const std::string& set) {
  sql.Run(StrCat("CREATE TEMPORARY TABLE forged AS SELECT * FROM ", table, " LIMIT 1"));
  sql.Run(StrCat("UPDATE forged SET ", set));
  sql.Run(StrCat("INSERT INTO ", table, " SELECT * FROM forged"));
  sql.Run("DROP TABLE forged");
}

TEST(ChainForgeryTest, AnEventOfASlotThatThereIsNotIsFound) {
  ChainFixture chain;
  chain.Record(chain.acme, 4);
  chain.SealAll();
  for (const char* slot : {"99", "-1"}) {
    Forge(chain.pg.sql, "status_event", StrCat("message_id = gen_random_uuid(), slot = ", slot));
    EXPECT_THAT(chain.Faults(), ElementsAre("ROWS_IN_NO_LINK status_event 0")) << slot;
    EXPECT_EQ(chain.Verify("acme").chains[0].faults, 1);
    EXPECT_EQ(chain.SealAll(), 0);
    chain.pg.sql.Run(StrCat("DELETE FROM status_event WHERE slot = ", slot));
  }
  EXPECT_THAT(chain.Faults(), IsEmpty());
}

TEST(ChainForgeryTest, ARowOfATransactionThatHasNotBegunIsFound) {
  const std::pair<const char*, const char*> kRows[] = {{"status_event", "message_id"},
                                                       {"consent_event", "consent_id"},
                                                       {"operator_action", "action_id"}};
  ChainFixture chain;
  chain.Record(chain.acme, 4);
  chain.SealAll();
  for (const auto& [table, id] : kRows) {
    Forge(chain.pg.sql, table,
          StrCat(id,
                 " = gen_random_uuid(), xid = (pg_snapshot_xmax(pg_current_snapshot())::text::"
                 "bigint + 1000000)::text::xid8"));
    EXPECT_EQ(chain.SealAll(), 0);
    const ChainReport report = chain.Verify();
    ASSERT_EQ(report.faults.size(), 1U) << table;
    EXPECT_EQ(report.faults[0].verdict, "ROWS_IN_NO_LINK");
    EXPECT_EQ(report.faults[0].table, table);
    EXPECT_EQ(report.faults[0].found, 1);
    EXPECT_EQ(chain.Of("acme").not_sealed, 0);
    chain.pg.sql.Run(
        StrCat("DELETE FROM ", table, " WHERE xid >= pg_snapshot_xmax(pg_current_snapshot())"));
  }
  EXPECT_THAT(chain.Faults(), IsEmpty());
}

}  // namespace
}  // namespace postrider
