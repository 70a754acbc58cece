// Postgres goes away under a gateway that stays: clear refusals meanwhile, then everything again,
// without a restart. One that is started meanwhile takes webhooks at least.
#include <filesystem>
#include <fstream>
#include <signal.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "server/base/digest.h"
#include "server/base/strings.h"
#include "server/json/json.h"
#include "server/provider/signature.h"
#include "server/store/private_cluster.h"
#include "tests/e2e/rig.h"

namespace postrider {
namespace {

using client::DecodeError;
using ::testing::AllOf;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

std::string ReceiptFor(const std::string& message_id, const char* status) {
  return JsonObject()
      .Set("id", StrCat("msg-", message_id))
      .Set("type", "sms")
      .Set("from", kSender)
      .Set("to", "+15550000202")
      .Set("status", status)
      .Set("timestamp", "2030-01-01T00:00:00Z")
      .Set("deliveryStatus", status)
      .Set("metadata",
           JsonObject().Set("postriderMessageId", message_id).Set("postriderAttempt", "1"))
      .Dump();
}

/// A Postgres of the test's own, that it may stop.
class OutageTest : public ::testing::Test {
 protected:
  static std::unique_ptr<PrivateCluster> StartPostgres(const std::string& dir) {
    auto cluster = PrivateCluster::Start(dir);
    EXPECT_TRUE(cluster.ok()) << cluster.status();
    return cluster.ok() ? *std::move(cluster) : nullptr;
  }

  void SetUp() override {
    postgres_ = StartPostgres(dir_.path());
    ASSERT_NE(postgres_, nullptr);
    const CommandResult migrated =
        RunCommand({POSTRIDERD, "migrate", "up", "--database-url", postgres_->database_url()});
    ASSERT_EQ(migrated.exit.status, 0) << migrated.err;
  }

  const TestDir dir_;
  std::unique_ptr<PrivateCluster> postgres_;
};

TEST_F(OutageTest, CallsAreRefusedMeanwhileAndEverythingComesBackByItself) {
  const std::string url = postgres_->database_url();
  GatewayProcess gateway({.database_url = url});
  const Sql sql(url);
  auto opened =
      Client::Open({.address = gateway.grpc_address(), .token_file = gateway.token_file()});
  ASSERT_TRUE(opened.ok()) << opened.status();
  auto impatient = Client::Open({.address = gateway.grpc_address(),
                                 .token_file = gateway.token_file(),
                                 .retry = {.budget = std::chrono::milliseconds(0)}});
  ASSERT_TRUE(impatient.ok()) << impatient.status();
  const Client& client = **opened;
  Watcher watcher(client, {});
  const auto before = client.Send(RequestTo(kRecipient));
  ASSERT_TRUE(before.ok()) << before.status();

  ASSERT_TRUE(postgres_->Stop().ok());
  postgres_.reset();
  const std::string readyz = gateway.ops_url() + "/readyz";
  EXPECT_TRUE(Await([&] { return HttpGet(readyz) == 503; }));
  EXPECT_EQ(HttpGet(gateway.ops_url() + "/healthz"), 200);
  const v1::SendMessageRequest refused = RequestTo(kRecipient);
  const client::Error errors[] = {
      DecodeError((*impatient)->Send(refused).status()),
      DecodeError((*impatient)->GetStatus(before->message().message_id()).status()),
      DecodeError((*impatient)->Cancel(before->message().message_id()).status())};
  for (const client::Error& error : errors) {
    EXPECT_EQ(error.code, absl::StatusCode::kUnavailable) << error.message;
    EXPECT_EQ(error.reason, "STORE_UNAVAILABLE");
    EXPECT_TRUE(error.retry_after.has_value());
  }

  postgres_ = StartPostgres(dir_.path());
  ASSERT_NE(postgres_, nullptr);
  EXPECT_TRUE(Await([&] { return HttpGet(readyz) == 200; }));
  // The refused one was not accepted in secret; with patience it is now.
  const auto after = client.Send(refused);
  ASSERT_TRUE(after.ok()) << after.status();
  // 7: delivered.
  EXPECT_TRUE(Await([&] {
    return sql.Number("SELECT count(*) FROM message WHERE state = 7 AND message_id = '" +
                      after->message().message_id() + "'") == 1;
  }));
  EXPECT_TRUE(Await([&] { return NothingWasMissed(sql, watcher.Changes()).empty(); }));
  EXPECT_FALSE(watcher.End().has_value());
  EXPECT_THAT(NothingWasInvented(sql, watcher.Changes()), IsEmpty());
  EXPECT_THAT(HistoriesAreWhole(sql), IsEmpty());
  EXPECT_THAT(QueueIsExact(sql), IsEmpty());
  gateway.Stop();
}

TEST_F(OutageTest, WebhooksAreKeptMeanwhileAlsoOverAKillAndThenApplied) {
  constexpr int kSent = 5;
  const std::string url = postgres_->database_url();
  GatewayProcess gateway({.database_url = url});
  const Sql sql(url);
  auto client =
      Client::Open({.address = gateway.grpc_address(), .token_file = gateway.token_file()});
  ASSERT_TRUE(client.ok()) << client.status();
  std::vector<std::string> ids;
  for (int i = 0; i < kSent; ++i) {
    // Accepted, and no receipt ever comes.
    const auto sent = (*client)->Send(RequestTo("+15550000202"));
    ASSERT_TRUE(sent.ok()) << sent.status();
    ids.push_back(sent->message().message_id());
  }
  const auto in_state = [&](int state) {
    return sql.Number(StrCat("SELECT count(*) FROM message WHERE state = ", state));
  };
  ASSERT_TRUE(Await([&] { return in_state(5) == kSent; }));  // submitted

  ASSERT_TRUE(postgres_->Stop().ok());
  postgres_.reset();
  ASSERT_TRUE(Await([&] { return HttpGet(gateway.ops_url() + "/readyz") == 503; }));
  for (const std::string& id : ids) {
    EXPECT_EQ(HttpPost(gateway.webhook_url(), ReceiptFor(id, "delivered")), 200);
    EXPECT_EQ(HttpPost(gateway.webhook_url(), ReceiptFor(id, "delivered")), 200) << "a copy";
  }
  EXPECT_EQ(HttpPost(gateway.webhook_url(), "{}"), 200) << "what it says is looked at later";
  std::string metrics;
  EXPECT_EQ(HttpGet(gateway.ops_url() + "/metrics", &metrics), 200);
  EXPECT_THAT(metrics, HasSubstr(StrCat("\npostrider_spool_rows ", 2 * kSent + 1, "\n")));
  gateway.Kill();

  postgres_ = StartPostgres(dir_.path());
  ASSERT_NE(postgres_, nullptr);
  ASSERT_TRUE(gateway.Start());
  EXPECT_TRUE(Await([&] { return in_state(7) == kSent; }));  // delivered
  EXPECT_TRUE(Await([&] { return InboxIsAccountedFor(sql).empty(); }));
  EXPECT_EQ(sql.Number("SELECT count(*) FROM webhook_inbox"), 2 * kSent + 1);
  EXPECT_EQ(sql.Number("SELECT count(*) FROM dead_letter"), 1);
  EXPECT_THAT(HistoriesAreWhole(sql), IsEmpty());
  gateway.Stop();
}

/// A gateway whose webhooks are signed and which has run before, with messages that wait for their
/// receipts; it and Postgres are stopped.
class StartDuringOutageTest : public OutageTest {
 protected:
  static constexpr int kSent = 3;

  void SetUp() override {
    OutageTest::SetUp();
    const std::string file = dir_.path() + "/webhook.secrets";
    std::ofstream(file) << "shared with Genesys\n";
    gateway_ = std::make_unique<GatewayProcess>(
        GatewayProcess::Options{.database_url = postgres_->database_url(),
                                .flags = {"--genesys-webhook-secret-file", file}});
    auto client =
        Client::Open({.address = gateway_->grpc_address(), .token_file = gateway_->token_file()});
    ASSERT_TRUE(client.ok()) << client.status();
    for (int i = 0; i < kSent; ++i) {
      // Accepted, and no receipt ever comes.
      const auto sent = (*client)->Send(RequestTo("+15550000202"));
      ASSERT_TRUE(sent.ok()) << sent.status();
      receipts_.push_back(ReceiptFor(sent->message().message_id(), "delivered"));
    }
    ASSERT_TRUE(Await([&] { return InState(5) == kSent; }));  // submitted
    url_ = gateway_->webhook_url();
    gateway_->Stop();
  }

  void StopPostgres() {
    ASSERT_TRUE(postgres_->Stop().ok());
    postgres_.reset();
  }
  std::int64_t InState(int state) const {
    return Sql(postgres_->database_url())
        .Number(StrCat("SELECT count(*) FROM message WHERE state = ", state));
  }
  int PostSigned(const std::string& body) const {
    HttpHeaders headers;
    headers.Add(kSignatureHeader,
                StrCat("sha256=", HexOf(HmacSha256(Secret("shared with Genesys"), body))));
    return HttpPost(url_, body, headers);
  }
  std::string Ready(int status) const {
    std::string lines;
    EXPECT_TRUE(Await([&] { return HttpGet(gateway_->ops_url() + "/readyz", &lines) == status; }));
    return lines;
  }
  std::string keys_file() const { return gateway_->state_dir() + "/webhook.keys"; }

  std::unique_ptr<GatewayProcess> gateway_;
  std::string url_;
  std::vector<std::string> receipts_;
};

TEST_F(StartDuringOutageTest, WebhooksAreTakenAtOnceAndEverythingGoesOnWhenPostgresIsThere) {
  StopPostgres();
  gateway_->Launch();
  EXPECT_THAT(Ready(503), AllOf(HasSubstr("waits for the database"),
                                HasSubstr("store: cannot connect to the database")));
  EXPECT_TRUE(Await([&] { return PostSigned(receipts_[0]) == 200; }));
  EXPECT_EQ(HttpPost(url_, receipts_[0]), 401) << "not signed";
  EXPECT_EQ(HttpPost(url_ + "x", receipts_[0]), 404) << "nobody's key";
  EXPECT_EQ(HttpGet("http://" + gateway_->grpc_address()), 0) << "calls cannot be taken";
  gateway_->Kill();

  gateway_->Launch();
  EXPECT_TRUE(Await([&] { return PostSigned(receipts_[1]) == 200; }));
  gateway_->process()->Signal(SIGTERM);
  EXPECT_EQ(gateway_->AwaitExit().status, 128 + SIGTERM);
  EXPECT_THAT(gateway_->Errors(), EndsWith("postriderd: stopped before it was ready\n"));

  gateway_->Launch();
  EXPECT_TRUE(Await([&] { return PostSigned(receipts_[2]) == 200; }));
  std::string metrics;
  EXPECT_EQ(HttpGet(gateway_->ops_url() + "/metrics", &metrics), 200);
  EXPECT_THAT(metrics, HasSubstr(StrCat("\npostrider_spool_rows ", kSent, "\n")));

  postgres_ = StartPostgres(dir_.path());
  ASSERT_NE(postgres_, nullptr);
  ASSERT_TRUE(gateway_->AwaitReady());
  EXPECT_EQ(gateway_->webhook_url(), url_);
  EXPECT_TRUE(Await([&] { return InState(7) == kSent; }));  // delivered
  EXPECT_EQ(PostSigned(receipts_[0]), 200) << "a copy, the usual way";
  const Sql sql(postgres_->database_url());
  EXPECT_TRUE(Await([&] { return sql.Number("SELECT count(*) FROM webhook_inbox") == kSent + 1; }));
  EXPECT_TRUE(Await([&] { return InboxIsAccountedFor(sql).empty(); }));
  EXPECT_THAT(HistoriesAreWhole(sql), IsEmpty());
  gateway_->Stop();
}

TEST_F(StartDuringOutageTest, WithoutSoundKeysItFailsAsEverAndSaysSo) {
  StopPostgres();
  const auto expect_failure = [&](const char* says) {
    const CommandResult result = RunCommand(gateway_->Arguments());
    EXPECT_EQ(result.exit.status, 1) << result.err;
    EXPECT_THAT(result.err, AllOf(HasSubstr(says), HasSubstr("webhook.keys"),
                                  HasSubstr("postriderd: cannot connect to the database")));
  };
  std::filesystem::resize_file(keys_file(), std::filesystem::file_size(keys_file()) - 1);
  expect_failure("damaged");
  std::filesystem::remove(keys_file());
  expect_failure("there is no");
}

TEST_F(StartDuringOutageTest, WhatWaitingDoesNotMendEndsItAndTheSpoolStays) {
  const std::string change = "INSERT INTO schema_migration (number, name, sha256) VALUES ";
  Sql(postgres_->database_url()).Ask(change + "(9999, '9999_future', 'x')");
  StopPostgres();
  gateway_->Launch();
  EXPECT_TRUE(Await([&] { return PostSigned(receipts_[0]) == 200; }));
  postgres_ = StartPostgres(dir_.path());
  ASSERT_NE(postgres_, nullptr);
  EXPECT_EQ(gateway_->AwaitExit().status, 1);
  EXPECT_THAT(gateway_->Errors(), HasSubstr("9999_future"));
  const Sql sql(postgres_->database_url());
  EXPECT_EQ(sql.Number("SELECT count(*) FROM webhook_inbox"), 0) << "not in a schema of tomorrow";
  const CommandResult again = RunCommand(gateway_->Arguments());
  EXPECT_EQ(again.exit.status, 1) << "also when the database is there from the first";

  sql.Ask("DELETE FROM schema_migration WHERE number = 9999");
  ASSERT_TRUE(gateway_->Start());
  EXPECT_TRUE(Await([&] { return InState(7) == 1; }));
  gateway_->Stop();
}

}  // namespace
}  // namespace postrider
