#include "client/client.h"

#include <fstream>
#include <set>

#include <gtest/gtest.h>

#include "tests/unit/client/fake_gateway.h"

namespace postrider::client {
namespace {

using namespace std::chrono_literals;

grpc::Status Away() {
  return RichStatus(grpc::StatusCode::UNAVAILABLE, "away", Reason("STORE_UNAVAILABLE"));
}

class ClientTest : public testing::Test {
 protected:
  std::unique_ptr<Client> Open(Options options = {}) {
    options.address = gateway_.address();
    options.token = Secret("secret");
    return *Client::Open(std::move(options), time_.seams());
  }
  void FailNext(const grpc::Status& status, const std::string& pushback = "") {
    gateway_.OnSend([status, pushback](grpc::ServerContext& context, const auto&, auto&) {
      if (!pushback.empty()) context.AddTrailingMetadata("grpc-retry-pushback-ms", pushback);
      return status;
    });
  }

  FakeGateway gateway_;
  FakeTime time_;
};

TEST_F(ClientTest, SendCarriesTheTokenAndMakesARequestId) {
  const auto response = Open()->Send({});
  ASSERT_TRUE(response.ok()) << response.status();
  EXPECT_EQ(gateway_.authorization(), "Bearer secret");
  EXPECT_EQ(gateway_.sent()[0].request_id().size(), 34U);
  EXPECT_EQ(response->message().request_id(), gateway_.sent()[0].request_id());
}

TEST_F(ClientTest, SendRepeatsUnderTheSameRequestId) {
  FailNext(Away());
  FailNext(Away());
  ASSERT_TRUE(Open()->Send({}).ok());
  ASSERT_EQ(gateway_.sent().size(), 3U);
  std::set<std::string> ids;
  for (const auto& request : gateway_.sent()) ids.insert(request.request_id());
  EXPECT_EQ(ids.size(), 1U);
  EXPECT_EQ(time_.pauses.size(), 2U);
}

TEST_F(ClientTest, SendKeepsTheCallersRequestId) {
  v1::SendMessageRequest request;
  request.set_request_id("mine");
  ASSERT_TRUE(Open()->Send(request).ok());
  EXPECT_EQ(gateway_.sent()[0].request_id(), "mine");
}

TEST_F(ClientTest, SendWaitsAsLongAsTheGatewayAsks) {
  google::rpc::RetryInfo retry;
  retry.mutable_retry_delay()->set_seconds(4);
  FailNext(RichStatus(grpc::StatusCode::UNAVAILABLE, "draining", Reason("SERVER_DRAINING"), retry));
  FailNext(RichStatus(grpc::StatusCode::RESOURCE_EXHAUSTED, "full", Reason("QUEUE_FULL")), "7000");
  ASSERT_TRUE(Open()->Send({}).ok());
  ASSERT_EQ(time_.pauses.size(), 2U);
  EXPECT_GE(time_.pauses[0], 4s);
  EXPECT_GE(time_.pauses[1], 7s);
}

TEST_F(ClientTest, SendObeysANegativePushback) {
  FailNext(RichStatus(grpc::StatusCode::UNAVAILABLE, "open", Reason("CIRCUIT_OPEN")), "-1");
  const auto response = Open()->Send({});
  EXPECT_EQ(DecodeError(response.status()).reason, "CIRCUIT_OPEN");
  EXPECT_EQ(gateway_.sent().size(), 1U);
}

TEST_F(ClientTest, SendGivesUpWithinItsBudget) {
  for (int i = 0; i < 1000; ++i) FailNext(Away());
  const MonotonicTime start = time_.clock.Now();
  const auto response = Open({.retry = {.budget = 20s}})->Send({});
  EXPECT_EQ(DecodeError(response.status()).reason, "STORE_UNAVAILABLE");
  EXPECT_LE(time_.clock.Now() - start, 20s);
  EXPECT_GT(gateway_.sent().size(), 3U);
}

TEST_F(ClientTest, SendDoesNotRepeatARefusal) {
  google::rpc::BadRequest bad;
  bad.add_field_violations()->set_field("recipient");
  FailNext(RichStatus(grpc::StatusCode::INVALID_ARGUMENT, "no", Reason("INVALID_FIELD"), bad));
  const auto response = Open()->Send({});
  EXPECT_EQ(DecodeError(response.status()).violations.at(0).subject, "recipient");
  EXPECT_EQ(gateway_.sent().size(), 1U);
}

TEST_F(ClientTest, AStopEndsTheWaitForTheNextTry) {
  FailNext(Away());
  std::stop_source stop;
  stop.request_stop();
  EXPECT_TRUE(absl::IsUnavailable(Open()->Send({}, stop.get_token()).status()));
  EXPECT_EQ(gateway_.sent().size(), 1U);
}

TEST_F(ClientTest, GetStatusGivesTheMessageOrTheReason) {
  v1::GetStatusResponse known;
  known.mutable_message()->set_message_id("m");
  gateway_.OnGetStatus(grpc::Status::OK, known);
  EXPECT_EQ(Open()->GetStatus("m")->message().message_id(), "m");
  gateway_.OnGetStatus(
      RichStatus(grpc::StatusCode::NOT_FOUND, "no such", Reason("MESSAGE_NOT_FOUND")), {});
  EXPECT_EQ(DecodeError(Open()->GetStatusByRequestId("r").status()).reason, "MESSAGE_NOT_FOUND");
}

TEST(TokenFileTest, Table) {
  struct Case {
    const char* name;
    std::string text;
    std::string token;  ///< Empty: INVALID_ARGUMENT.
  };
  const Case cases[] = {
      {"one line", "abc\n", "abc"},
      {"space around", " \r\n abc \r\n\n", "abc"},
      {"nothing", "", ""},
      {"space only", " \n", ""},
      {"two lines", "abc\ndef\n", ""},
      {"not a token",
       "ab\x01"
       "c",
       ""},
  };
  const std::string path = testing::TempDir() + "/client_test_token";
  for (const Case& c : cases) {
    std::ofstream(path, std::ios::trunc) << c.text;
    const auto token = ReadTokenFile(path);
    EXPECT_EQ(token.ok(), !c.token.empty()) << c.name;
    if (token.ok()) {
      EXPECT_EQ(token->Reveal(), c.token) << c.name;
    } else {
      EXPECT_TRUE(absl::IsInvalidArgument(token.status())) << c.name;
    }
  }
  EXPECT_TRUE(absl::IsNotFound(ReadTokenFile(path + ".missing").status()));
}

}  // namespace
}  // namespace postrider::client
