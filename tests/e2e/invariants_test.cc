// Negative controls: each checker of tests/support/invariants.h finds what it is there for.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "server/base/strings.h"
#include "tests/e2e/rig.h"

namespace postrider {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::StartsWith;

TEST(InvariantsTest, EachCheckerFindsItsBreach) {
  Rig rig;
  Watcher watcher(rig.client(), {});
  std::vector<AcknowledgedSend> sends;
  for (int i = 0; i < 2; ++i) {
    const v1::SendMessageRequest request = RequestTo(kRecipient);
    const std::string id = rig.Send(request);
    sends.push_back({request.request_id(), id, request.recipient(), kSender, request.text()});
    rig.AwaitState(id, v1::MESSAGE_STATE_DELIVERED);
  }
  EXPECT_TRUE(Await([&] { return NothingWasMissed(rig.sql, watcher.Changes()).empty(); }));
  const std::vector<StreamedChange> streamed = watcher.Changes();
  rig.gateway.Stop();
  const std::vector<LedgerPost> ledger = ReadLedger(rig.gateway.ledger_file());
  ASSERT_THAT(CheckInvariants(rig.sql, ledger, sends, streamed), IsEmpty());

  struct Case {
    const char* breaks;
    std::string by;  ///< In the database; undone afterwards.
    std::string undo;
  };
  const std::string of_first = StrCat(" WHERE message_id = '", sends[0].message_id, "'");
  const std::string of_second = StrCat(" WHERE message_id = '", sends[1].message_id, "'");
  const Case cases[] = {
      {"S1: ", "UPDATE message SET body = 'Hullo'" + of_first,
       "UPDATE message SET body = 'Hello'" + of_first},
      {"S2: ", "UPDATE request_key SET message_id = gen_random_uuid()" + of_first,
       StrCat("UPDATE request_key SET message_id = '", sends[0].message_id,
              "' WHERE request_id = '", sends[0].request_id, "'")},
      {"S3: ",
       "INSERT INTO attempt (tenant_id, message_id, attempt, slot, epoch, replica_id) "
       "SELECT tenant_id, message_id, attempt + n, slot, epoch, replica_id FROM attempt, "
       "generate_series(1, 2) n" +
           of_first,
       "DELETE FROM attempt WHERE attempt > 1"},
      {"S6: ", "UPDATE attempt SET attempt = 7" + of_first,
       "UPDATE attempt SET attempt = 1" + of_first},
      {"S8: ",
       "CREATE TABLE kept AS SELECT * FROM receipt_applied LIMIT 1; DELETE FROM receipt_applied "
       "WHERE inbox_id = (SELECT inbox_id FROM kept)",
       "INSERT INTO receipt_applied SELECT * FROM kept; DROP TABLE kept"},
      {"S10: ", "UPDATE message SET revision = revision + 1" + of_first,
       "UPDATE message SET revision = revision - 1" + of_first},
      {"counts: ", "UPDATE send_count SET messages = messages + 1 WHERE state = 7",
       "UPDATE send_count SET messages = messages - 1 WHERE state = 7"},
      {"S16: ", "UPDATE attempt SET replica_id = gen_random_uuid()" + of_first,
       "UPDATE attempt SET replica_id = (SELECT replica_id FROM attempt" + of_second + ")"},
      {"queue: ",
       "INSERT INTO dispatch_queue (tenant_id, message_id, slot, priority, sender_id, "
       "recipient_key, due_at) SELECT tenant_id, message_id, slot, priority, sender_id, "
       "recipient_key, now() FROM message" +
           of_first,
       "DELETE FROM dispatch_queue"},
  };
  for (const Case& c : cases) {
    rig.sql.Ask(c.by);
    const Breaches found = CheckInvariants(rig.sql, ledger, sends, streamed);
    EXPECT_FALSE(found.empty()) << c.breaks;
    EXPECT_THAT(found, ::testing::Each(StartsWith(c.breaks)));
    rig.sql.Ask(c.undo);
    ASSERT_THAT(CheckInvariants(rig.sql, ledger, sends, streamed), IsEmpty()) << c.breaks;
  }
  std::vector<LedgerPost> twice = ledger;
  twice.push_back(ledger.front());
  EXPECT_THAT(CheckInvariants(rig.sql, twice, sends, streamed), ElementsAre(StartsWith("S4: ")));
  std::vector<StreamedChange> fewer = streamed;
  fewer.pop_back();
  EXPECT_THAT(CheckInvariants(rig.sql, ledger, sends, fewer), ElementsAre(StartsWith("S11: ")));
  std::vector<StreamedChange> more = streamed;
  more.push_back({sends[0].message_id, 99, 7});
  EXPECT_THAT(CheckInvariants(rig.sql, ledger, sends, more), ElementsAre(StartsWith("S12: ")));
}

/// S10 within a history; each change is tried alone.
TEST(InvariantsTest, AHistoryWithAHoleAFallOrAReturnFromTheEndIsNotWhole) {
  Rig rig;
  rig.AwaitState(rig.Send(RequestTo(kRecipient)), v1::MESSAGE_STATE_DELIVERED);
  rig.gateway.Stop();
  ASSERT_THAT(HistoriesAreWhole(rig.sql), IsEmpty());
  rig.sql.Ask("CREATE TABLE kept AS SELECT * FROM status_event");
  for (const char* change : {"DELETE FROM status_event WHERE revision = 3",
                             "UPDATE status_event SET state = 6, previous = 6 WHERE revision = 3",
                             "UPDATE status_event SET previous = 1 WHERE revision = 4",
                             "UPDATE status_event SET final = true WHERE revision = 2"}) {
    rig.sql.Ask(change);
    EXPECT_FALSE(HistoriesAreWhole(rig.sql).empty()) << change;
    rig.sql.Ask("DELETE FROM status_event; INSERT INTO status_event SELECT * FROM kept");
    ASSERT_THAT(HistoriesAreWhole(rig.sql), IsEmpty()) << change;
  }
}

TEST(InvariantsTest, MorePostsThanTheRateAllowsAreFound) {
  using namespace std::chrono_literals;
  std::vector<LedgerPost> ledger(10);
  for (std::size_t i = 0; i < ledger.size(); ++i) ledger[i].at = WallTime() + 50ms * i;
  // 10 in 450 ms, of which 4 are the burst: 6 are due at 10 a second after 600 ms, and 650 go.
  EXPECT_THAT(RateWasKept(ledger, 10, 4, 0, 0ms), IsEmpty());
  ledger.insert(ledger.begin() + 3, ledger.front());
  EXPECT_THAT(RateWasKept(ledger, 10, 4, 0, 0ms), ElementsAre(StartsWith("S13: ")));
  EXPECT_THAT(RateWasKept(ledger, 10, 4, 1, 0ms), IsEmpty()) << "one was on its way";
  EXPECT_THAT(RateWasKept(ledger, 10, 4, 0, 60ms), IsEmpty()) << "the machine hung";
}

TEST(InvariantsTest, PostsWithoutMetadataAreKnownByTheirAddresses) {
  Rig rig({.flags = {"--genesys-profile", "platform"}});
  for (const char* recipient : {"+15550000202", "+15551234567"}) {
    rig.AwaitState(rig.Send(RequestTo(recipient)), v1::MESSAGE_STATE_SUBMITTED);
  }
  rig.gateway.Stop();
  std::vector<LedgerPost> ledger = ReadLedger(rig.gateway.ledger_file());
  ASSERT_EQ(ledger.size(), 2U);
  for (const LedgerPost& post : ledger) ASSERT_EQ(post.message_id, "");
  EXPECT_THAT(AtMostOnceIsProcessedOnce(rig.sql, ledger), IsEmpty());
  EXPECT_THAT(EveryPostWasIntended(rig.sql, ledger), IsEmpty());

  ledger.push_back(ledger.back());
  EXPECT_THAT(AtMostOnceIsProcessedOnce(rig.sql, ledger), ElementsAre(HasSubstr("went out 2")));
  EXPECT_THAT(EveryPostWasIntended(rig.sql, ledger), ElementsAre(HasSubstr("attempt 2 is not")));
  ledger.back().recipient = "+15557654321";
  EXPECT_THAT(AtMostOnceIsProcessedOnce(rig.sql, ledger), IsEmpty());
  EXPECT_THAT(EveryPostWasIntended(rig.sql, ledger), ElementsAre(HasSubstr("+15557654321")));
}

}  // namespace
}  // namespace postrider
