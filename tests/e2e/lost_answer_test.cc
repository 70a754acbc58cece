// A POST that Genesys processed and whose answer was lost: never a second one, unless the caller
// asked for that; and what it was is found out.
#include <fstream>
#include <sys/stat.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "server/base/strings.h"
#include "server/json/json.h"
#include "server/sandbox/sandbox.h"
#include "tests/e2e/rig.h"
#include "tests/support/tcp_gate.h"

namespace postrider {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr const char* kPost = "POST /api/v2/messaging/outbound";

/// A gateway that reaches its Genesys through a gate. Receipts come from the test alone.
class LostAnswerTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(genesys_.Start().ok());
    gate_ = std::make_unique<TcpGate>(genesys_.base_url());
    const std::string secret_file = dir_.path() + "/genesys.secret";
    std::ofstream(secret_file) << "genesys-secret\n";
    ::chmod(secret_file.c_str(), 0600);
    gateway_ = std::make_unique<GatewayProcess>(GatewayProcess::Options{
        .database_url = database_.url(),
        .flags = {"--genesys-base-url", gate_->url(), "--genesys-token-url", genesys_.token_url(),
                  "--genesys-client-id", "genesys-client", "--genesys-client-secret-file",
                  secret_file, "--senders", kSender, "--send-again-after-s", "1"},
        .sandbox = false});
    auto opened =
        Client::Open({.address = gateway_->grpc_address(), .token_file = gateway_->token_file()});
    ASSERT_TRUE(opened.ok()) << opened.status();
    client_ = *std::move(opened);
  }

  std::string Send(v1::DuplicatePolicy policy) {
    v1::SendMessageRequest request = RequestTo(kRecipient);
    request.set_duplicate_policy(policy);
    const auto sent = client_->Send(request);
    EXPECT_TRUE(sent.ok()) << sent.status();
    return sent.ok() ? sent->message().message_id() : "";
  }

  v1::GetStatusResponse StatusOf(const std::string& id) {
    const auto read = client_->GetStatus(id);
    return read.ok() ? *read : v1::GetStatusResponse{};
  }
  bool AwaitState(const std::string& id, v1::MessageState state, int attempts = 1) {
    return Await([&] {
      const v1::GetStatusResponse now = StatusOf(id);
      return now.message().status().state() == state && now.attempts_size() == attempts;
    });
  }
  std::vector<v1::Cause> CausesOf(const std::string& id) {
    std::vector<v1::Cause> causes;
    const v1::GetStatusResponse now = StatusOf(id);
    for (const v1::StatusChange& change : now.history()) causes.push_back(change.cause());
    return causes;
  }

  int Receive(const std::string& id, int attempt, const std::string& status) {
    return HttpPost(
        gateway_->webhook_url(),
        JsonObject()
            .Set("id", StrCat("msg-", attempt))
            .Set("type", "sms")
            .Set("from", kSender)
            .Set("to", kRecipient)
            .Set("status", status)
            .Set("timestamp", "2030-01-01T00:00:00Z")
            .Set("deliveryStatus", status)
            .Set(
                "metadata",
                JsonObject().Set("postriderMessageId", id).Set("postriderAttempt", StrCat(attempt)))
            .Dump());
  }

  int Processed() const {
    int processed = 0;
    for (const LedgerPost& post : ReadLedger(ledger_file_)) processed += post.processed ? 1 : 0;
    return processed;
  }

  static Sandbox::Options SandboxOptions(const std::string& ledger_file) {
    Sandbox::Options options;
    options.ledger_file = ledger_file;
    options.clients = {{"genesys-client", Secret("genesys-secret")}};
    return options;
  }

  const TestDir dir_;
  const std::string ledger_file_ = dir_.path() + "/ledger.jsonl";
  const TestDatabase database_;
  const Sql sql_{database_.url()};
  const SystemClock clock_;
  OsRandom random_;
  Metrics metrics_;
  Sandbox genesys_{SandboxOptions(ledger_file_), clock_, random_, metrics_};
  std::unique_ptr<TcpGate> gate_;
  std::unique_ptr<GatewayProcess> gateway_;
  std::unique_ptr<Client> client_;
};

TEST_F(LostAnswerTest, AtMostOncePostsOnceAndAReceiptSettlesIt) {
  gate_->DropReplies(kPost, 1);
  const std::string id = Send(v1::DUPLICATE_POLICY_AT_MOST_ONCE);
  ASSERT_TRUE(AwaitState(id, v1::MESSAGE_STATE_UNKNOWN)) << StatusOf(id).DebugString();
  EXPECT_EQ(gate_->dropped(), 1);

  // Looked at, and left alone: it waits for a receipt.
  EXPECT_TRUE(Await([&] {
    return sql_.Number(
               "SELECT count(*) FROM reconcile_queue "
               "WHERE next_read_at > now() + interval '30 minutes'") == 1;
  }));
  EXPECT_EQ(Processed(), 1);
  EXPECT_EQ(Receive(id, 1, "delivered"), 200);
  EXPECT_TRUE(AwaitState(id, v1::MESSAGE_STATE_DELIVERED));
  EXPECT_THAT(CausesOf(id), ElementsAre(v1::CAUSE_ACCEPTED, v1::CAUSE_INTENDED,
                                        v1::CAUSE_POST_ANSWERED, v1::CAUSE_RECEIPT));
  EXPECT_EQ(Processed(), 1);
  EXPECT_EQ(sql_.Number("SELECT count(*) FROM reconcile_queue"), 0);
  EXPECT_TRUE(Await([&] { return InboxIsAccountedFor(sql_).empty(); }));
  gateway_->Stop();
  EXPECT_THAT(HistoriesAreWhole(sql_), IsEmpty());
  EXPECT_THAT(AtMostOnceIsProcessedOnce(sql_, ReadLedger(ledger_file_)), IsEmpty());
}

TEST_F(LostAnswerTest, AtLeastOncePostsOnceMoreAndShowsTheBestAttempt) {
  gate_->DropReplies(kPost, 1);
  const std::string id = Send(v1::DUPLICATE_POLICY_AT_LEAST_ONCE);
  ASSERT_TRUE(AwaitState(id, v1::MESSAGE_STATE_SUBMITTED, 2)) << StatusOf(id).DebugString();
  EXPECT_EQ(Processed(), 2);
  EXPECT_THAT(CausesOf(id),
              ElementsAre(v1::CAUSE_ACCEPTED, v1::CAUSE_INTENDED, v1::CAUSE_POST_ANSWERED,
                          v1::CAUSE_SENT_AGAIN, v1::CAUSE_INTENDED, v1::CAUSE_POST_ANSWERED));
  EXPECT_EQ(Receive(id, 2, "failed"), 200);
  EXPECT_TRUE(AwaitState(id, v1::MESSAGE_STATE_FAILED, 2));
  EXPECT_EQ(Receive(id, 1, "delivered"), 200);
  EXPECT_TRUE(AwaitState(id, v1::MESSAGE_STATE_DELIVERED, 2));
  EXPECT_EQ(StatusOf(id).message().status().attempt(), 1);
  EXPECT_TRUE(StatusOf(id).message().status().correction());
  EXPECT_TRUE(Await([&] { return InboxIsAccountedFor(sql_).empty(); }));
  gateway_->Stop();
  EXPECT_THAT(HistoriesAreWhole(sql_), IsEmpty());
  EXPECT_THAT(IndefiniteAttemptsAreFew(sql_), IsEmpty());
}

TEST_F(LostAnswerTest, AtLeastOnceNeverPostsAThirdTime) {
  gate_->DropReplies(kPost, 100);
  const std::string id = Send(v1::DUPLICATE_POLICY_AT_LEAST_ONCE);
  ASSERT_TRUE(AwaitState(id, v1::MESSAGE_STATE_UNKNOWN, 2)) << StatusOf(id).DebugString();
  EXPECT_TRUE(Await([&] {
    return sql_.Number(
               "SELECT count(*) FROM reconcile_queue "
               "WHERE next_read_at > now() + interval '30 minutes'") == 1;
  }));
  EXPECT_EQ(Processed(), 2);
  EXPECT_THAT(IndefiniteAttemptsAreFew(sql_), IsEmpty());
  EXPECT_EQ(Receive(id, 1, "sent"), 200);
  EXPECT_EQ(Receive(id, 2, "delivered"), 200);
  EXPECT_TRUE(AwaitState(id, v1::MESSAGE_STATE_DELIVERED, 2));
  gateway_->Stop();
  EXPECT_THAT(HistoriesAreWhole(sql_), IsEmpty());
}

}  // namespace
}  // namespace postrider
