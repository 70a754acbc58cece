// kill -9 at every step of a message's way: what was promised still holds afterwards.
#include <atomic>
#include <set>
#include <signal.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "client/batch.h"
#include "server/base/strings.h"
#include "server/json/json.h"
#include "tests/e2e/rig.h"

namespace postrider {
namespace {

using ::testing::ContainerEq;
using ::testing::IsEmpty;
using ::testing::Not;

constexpr int kMessages = 60;

/// A caller's record of what it sent and what was answered, over any number of restarts.
class Caller {
 public:
  /// Sends `kMessages` on a worker of its own, repeating each under its request_id.
  explicit Caller(const Rig& rig)
      : client_(rig.NewClient()), worker_("caller", [this](std::stop_token stop) {
          if (!finished_) SendAll();
          WaitOrStop(stop, std::chrono::milliseconds(100));
        }) {}

  bool finished() const { return finished_; }
  std::vector<AcknowledgedSend> Acknowledged() const {
    MutexLock lock(mu_);
    return acknowledged_;
  }

 private:
  void SendAll() {
    client::Batch batch(*client_, {.window = 8}, [this](client::Batch::Answer answer) {
      ASSERT_TRUE(answer.response.ok()) << answer.response.status();
      const v1::Message& message = answer.response->message();
      MutexLock lock(mu_);
      acknowledged_.push_back({answer.request_id, message.message_id(), message.recipient(),
                               message.sender(), message.text()});
    });
    for (int i = 0; i < kMessages; ++i) {
      batch.Send(RequestTo(StrCat("+1555200", 1000 + i), StrCat("Text ", i)),
                 static_cast<std::uint64_t>(i));
    }
    batch.Finish();
    finished_ = true;
  }

  const std::unique_ptr<Client> client_;
  std::atomic<bool> finished_ = false;
  mutable Mutex mu_;
  std::vector<AcknowledgedSend> acknowledged_ ABSL_GUARDED_BY(mu_);
  Worker worker_;
};

/// The receipt that Genesys would have sent, had the sandbox not died with the gateway.
std::string DeliveredReceipt(const LedgerPost& post) {
  return JsonObject()
      .Set("id", StrCat("msg-", post.message_id))
      .Set("type", "sms")
      .Set("from", kSender)
      .Set("to", post.recipient)
      .Set("status", "delivered")
      .Set("timestamp", "2030-01-01T00:00:00Z")
      .Set("deliveryStatus", "delivered")
      .Set("metadata", JsonObject()
                           .Set("postriderMessageId", post.message_id)
                           .Set("postriderAttempt", StrCat(post.attempt)))
      .Dump();
}

std::multiset<std::string> IdsOf(const Sql& sql, const std::string& query) {
  std::multiset<std::string> ids;
  for (const Sql::Row& row : sql.Ask(query)) ids.insert(row[0]);
  return ids;
}

struct CrashCase {
  const char* name;
  const char* crash_at;
  /// "20": receipts are on their way at the crash, and what was stored is swept up. "600000": all
  /// receipts come from the test.
  const char* receipt_delay_ms = "600000";
};

class CrashTest : public ::testing::TestWithParam<CrashCase> {};

TEST_P(CrashTest, EveryPromiseHoldsAfterIt) {
  Rig rig({.flags = {"--sandbox-receipt-delay-ms", GetParam().receipt_delay_ms}});
  rig.gateway.Stop();
  // Not at the first passage: some messages are then in every state.
  ASSERT_TRUE(rig.gateway.Start({StrCat("POSTRIDER_CRASH_AT=", GetParam().crash_at)}));
  const std::unique_ptr<Client> dashboard = rig.NewClient();
  Watcher watcher(*dashboard, {});
  Caller caller(rig);
  ASSERT_EQ(rig.gateway.AwaitExit().signal, SIGKILL);
  ASSERT_TRUE(rig.gateway.Start());

  ASSERT_TRUE(Await([&] { return caller.finished(); }));
  // 1, 2: queued, dispatching.
  EXPECT_TRUE(
      Await([&] { return rig.sql.Number("SELECT count(*) FROM message WHERE state <= 2") == 0; }));
  const std::vector<LedgerPost> ledger = ReadLedger(rig.gateway.ledger_file());
  std::multiset<std::string> went_out;
  for (const LedgerPost& post : ledger) {
    if (!post.processed) continue;
    went_out.insert(post.message_id);
    EXPECT_EQ(HttpPost(rig.gateway.webhook_url(), DeliveredReceipt(post)), 200);
  }
  EXPECT_THAT(went_out, Not(IsEmpty()));
  // Each that went out is known to be delivered; the others stay in doubt, and nothing else.
  const auto delivered = [&] {
    return IdsOf(rig.sql, "SELECT message_id FROM message WHERE state = 7 AND final");
  };
  Await([&] { return delivered() == went_out; });
  EXPECT_THAT(delivered(), ContainerEq(went_out));
  EXPECT_EQ(rig.sql.Number("SELECT count(*) FROM message WHERE state NOT IN (3, 7)"), 0);
  EXPECT_TRUE(Await([&] { return InboxIsAccountedFor(rig.sql).empty(); }));
  // Draining ends the sandbox's receipts, and tells streams the last change.
  rig.gateway.Stop();
  EXPECT_TRUE(Await([&] { return NothingWasMissed(rig.sql, watcher.Changes()).empty(); }));

  const std::vector<AcknowledgedSend> acknowledged = caller.Acknowledged();
  EXPECT_EQ(acknowledged.size(), static_cast<std::size_t>(kMessages));
  EXPECT_EQ(rig.sql.Number("SELECT count(*) FROM message"), kMessages);
  EXPECT_THAT(CheckInvariants(rig.sql, ledger, acknowledged, watcher.Changes()), IsEmpty());
}

INSTANTIATE_TEST_SUITE_P(Points, CrashTest,
                         ::testing::Values(CrashCase{"BeforeAccept", "before_accept:3"},
                                           CrashCase{"AfterAccept", "after_accept:3"},
                                           CrashCase{"BeforeIntent", "before_intent:2"},
                                           CrashCase{"AfterIntent", "after_intent:2"},
                                           CrashCase{"BeforePost", "before_post:10"},
                                           CrashCase{"AfterPost", "after_post:10"},
                                           CrashCase{"BeforeOutcome", "before_outcome:3"},
                                           CrashCase{"AfterOutcome", "after_outcome:3", "20"},
                                           CrashCase{"AfterInbox", "after_inbox:3", "20"},
                                           CrashCase{"BeforeApply", "before_apply:3", "20"},
                                           CrashCase{"AfterApply", "after_apply:3", "20"}),
                         [](const auto& test) { return test.param.name; });

TEST(CrashPrivatePostgresTest, TheNextStartTakesOverWhatAKillLeftRunning) {
  Rig rig({.private_postgres = true});
  v1::SendMessageRequest held = RequestTo(kRecipient);
  held.mutable_not_before()->set_seconds(time(nullptr) + 3600);
  const std::string held_id = rig.Send(held);
  const std::string id = rig.Send(RequestTo(kRecipient));
  rig.AwaitState(id, v1::MESSAGE_STATE_DELIVERED);

  rig.gateway.Kill();
  // Postgres does not die with us: that is what the next start finds.
  EXPECT_EQ(rig.sql.Number("SELECT count(*) FROM message"), 2);
  ASSERT_TRUE(rig.gateway.Start());
  EXPECT_EQ(rig.StateOf(held_id), v1::MESSAGE_STATE_QUEUED);
  EXPECT_EQ(rig.StateOf(id), v1::MESSAGE_STATE_DELIVERED);
  rig.AwaitState(rig.Send(RequestTo(kRecipient)), v1::MESSAGE_STATE_DELIVERED);
  EXPECT_THAT(HistoriesAreWhole(rig.sql), IsEmpty());
  rig.gateway.Stop();
}

}  // namespace
}  // namespace postrider
