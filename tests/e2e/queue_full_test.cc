// A bounded queue and quotas, as callers meet them.
#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "server/base/strings.h"
#include "tests/e2e/rig.h"

namespace postrider {
namespace {

using ::testing::HasSubstr;

constexpr const char* kDepth = "SELECT coalesce(sum(depth), 0) FROM queue_depth";

/// Sends until one is refused; the error, and how many were accepted.
std::pair<client::Error, int> FillQueue(const Client& caller) {
  for (int accepted = 0; accepted < 100; ++accepted) {
    const auto sent = caller.Send(RequestTo(kRecipient));
    if (!sent.ok()) return {client::DecodeError(sent.status()), accepted};
  }
  ADD_FAILURE() << "never refused";
  return {};
}

TEST(QueueFullTest, AFullQueueIsToldWithATimeToComeBackAndRepeatsStillGetTheirMessage) {
  const Rig rig(
      Rig::Options{.flags = {"--rate-per-second", "0.1", "--burst", "1", "--queue-limit", "5"}});
  const auto caller = rig.ImpatientClient();
  v1::SendMessageRequest first = RequestTo(kRecipient);
  first.set_request_id("first");
  ASSERT_TRUE(caller->Send(first).ok());
  const auto [error, accepted] = FillQueue(*caller);
  EXPECT_GE(accepted, 4);
  EXPECT_EQ(error.code, absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(error.reason, "QUEUE_FULL");
  EXPECT_EQ(error.metadata.at("limit"), "5");
  EXPECT_EQ(error.metadata.at("depth"), "5");
  ASSERT_TRUE(error.retry_after.has_value());
  EXPECT_GE(*error.retry_after, std::chrono::seconds(1));
  EXPECT_LE(*error.retry_after, std::chrono::seconds(60));
  EXPECT_LE(rig.sql.Number(kDepth), 5);

  const auto again = caller->Send(first);
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_TRUE(again->deduplicated());
  std::string metrics;
  EXPECT_EQ(HttpGet(rig.gateway.ops_url() + "/metrics", &metrics), 200);
  EXPECT_THAT(metrics, HasSubstr("reason=\"QUEUE_FULL\"} 1"));
}

TEST(QueueFullTest, TheClientLibraryWaitsForRoom) {
  Rig rig(Rig::Options{.flags = {"--rate-per-second", "2", "--burst", "1", "--queue-limit", "2"}});
  for (int i = 0; i < 8; ++i) rig.Send(RequestTo(kRecipient));
  EXPECT_EQ(rig.sql.Number("SELECT count(*) FROM message"), 8);
}

TEST(QueueFullTest, AFileGoesThroughAFullQueueToItsEnd) {
  const Rig rig(
      Rig::Options{.flags = {"--rate-per-second", "4", "--burst", "1", "--queue-limit", "2"}});
  const TestDir dir;
  const std::string file = dir.path() + "/texts.csv";
  {
    std::ofstream out(file);
    out << "recipient,text\n";
    for (int i = 0; i < 20; ++i) out << kRecipient << ",Text " << i << "\n";
  }
  const CommandResult sent =
      RunCommand({POSTRIDER, "send", "--file", file, "--from", kSender},
                 {"POSTRIDER_ADDRESS=" + rig.gateway.grpc_address(),
                  "POSTRIDER_TOKEN_FILE=" + rig.gateway.token_file(), "NO_COLOR=1"});
  EXPECT_EQ(sent.exit.status, 0) << sent.err;
  EXPECT_EQ(rig.sql.Number("SELECT count(*) FROM message"), 20);
  EXPECT_LE(rig.sql.Number(kDepth), 2);
}

TEST(QueueFullTest, QuotasOfTenantAndTokenHoldExactlyAndAreNotRepeated) {
  Rig rig(Rig::Options{.flags = {"--daily-quota", "5"}});
  const CommandResult token = RunCommand(
      {POSTRIDERD, "token", "create", "--name", "billing", "--daily-quota", "2", "--state-dir",
       rig.gateway.state_dir(), "--database-url", rig.gateway.database_url()});
  ASSERT_EQ(token.exit.status, 0) << token.err;
  const auto billing = *Client::Open({.address = rig.gateway.grpc_address(),
                                      .token = Secret(token.out.substr(0, token.out.find('\n')))});
  const auto [own, by_billing] = FillQueue(*billing);
  EXPECT_EQ(by_billing, 2);
  EXPECT_EQ(own.reason, "QUOTA_EXCEEDED");
  ASSERT_EQ(own.violations.size(), 1U);
  EXPECT_EQ(own.violations[0].subject, "token:billing");
  EXPECT_TRUE(own.retry_after.has_value());

  const auto [tenants, by_others] = FillQueue(rig.client());
  EXPECT_EQ(by_others, 3);
  EXPECT_EQ(tenants.reason, "QUOTA_EXCEEDED");
  EXPECT_EQ(tenants.metadata.at("subject"), "tenant:default");
  EXPECT_EQ(tenants.metadata.at("used"), "5");
  EXPECT_EQ(rig.sql.Number("SELECT count(*) FROM message"), 5);
}

constexpr const char* kPlainClient = R"(
import os, sys, uuid
sys.path.insert(0, os.environ["POSTRIDER_STUBS"])
import grpc
from postrider.v1 import message_service_pb2 as pb, message_service_pb2_grpc
config = open(sys.argv[1]).read()
with grpc.insecure_channel(os.environ["POSTRIDER_ADDRESS"],
                           options=[("grpc.service_config", config)]) as channel:
    service = message_service_pb2_grpc.MessageServiceStub(channel)
    for i in range(6):
        service.SendMessage(
            pb.SendMessageRequest(request_id=str(uuid.uuid4()), recipient="+15551234567",
                                  sender="+15559876543", text="Hello"),
            metadata=(("authorization", "Bearer " + os.environ["POSTRIDER_TOKEN"]),), timeout=60)
)";

TEST(QueueFullTest, APlainGrpcClientGetsThroughByTheServiceConfigOfTheReadme) {
  const Rig rig(
      Rig::Options{.flags = {"--rate-per-second", "2", "--burst", "1", "--queue-limit", "2"}});
  const TestDir dir;
  std::ofstream(dir.path() + "/config.json")
      << ReadmeBlock("client/README.md", "json", "retryPolicy");
  std::ofstream(dir.path() + "/plain.py") << kPlainClient;
  const CommandResult result = RunCommand(
      {"/usr/bin/python3", dir.path() + "/plain.py", dir.path() + "/config.json"},
      {"POSTRIDER_ADDRESS=" + rig.gateway.grpc_address(), "POSTRIDER_TOKEN=" + rig.Token(),
       std::string("POSTRIDER_STUBS=") + PYTHON_STUBS, "PYTHONDONTWRITEBYTECODE=1"});
  EXPECT_EQ(result.exit.status, 0) << result.err;
  EXPECT_EQ(rig.sql.Number("SELECT count(*) FROM message"), 6);
  std::string metrics;
  EXPECT_EQ(HttpGet(rig.gateway.ops_url() + "/metrics", &metrics), 200);
  EXPECT_THAT(metrics, HasSubstr("reason=\"QUEUE_FULL\"")) << "it was never full";
}

}  // namespace
}  // namespace postrider
