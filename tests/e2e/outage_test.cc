// Postgres goes away under a gateway that stays: clear refusals meanwhile, then everything again,
// without a restart.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "server/store/private_cluster.h"
#include "tests/e2e/rig.h"

namespace postrider {
namespace {

using client::DecodeError;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

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
  EXPECT_EQ(HttpPost(gateway.webhook_url(), "{}"), 503);

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

}  // namespace
}  // namespace postrider
