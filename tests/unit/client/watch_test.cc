#include "client/watch.h"

#include <gtest/gtest.h>

#include "tests/unit/client/fake_gateway.h"

namespace postrider::client {
namespace {

using namespace std::chrono_literals;

const grpc::Status kLost(grpc::StatusCode::UNAVAILABLE, "connection reset");

class WatchTest : public testing::Test {
 protected:
  WatchEnd Watch(v1::StreamStatusRequest request, Options options = {}) {
    options.address = gateway_.address();
    const auto client = Client::Open(std::move(options), time_.seams());
    return (*client)->Watch(
        std::move(request),
        [this](const v1::StreamStatusResponse& element) {
          if (element.has_checkpoint()) {
            seen_.push_back("checkpoint");
          } else {
            const v1::StatusChange& change =
                element.has_snapshot() ? element.snapshot().status() : element.change();
            seen_.push_back(StrCat(change.message_id(), change.revision()));
          }
          if (seen_.size() == stop_after_) stop_.request_stop();
        },
        stop_.get_token());
  }

  FakeGateway gateway_;
  FakeTime time_;
  std::vector<std::string> seen_;
  std::size_t stop_after_ = 0;
  std::stop_source stop_;
};

v1::StreamStatusRequest UntilFinal(const std::string& message_id) {
  v1::StreamStatusRequest request;
  request.add_message_ids(message_id);
  request.set_until_final(true);
  return request;
}

TEST_F(WatchTest, ResumesWithTheLastTokenAndDropsRepeats) {
  gateway_.OnStream(
      {.elements = {CheckpointAt("t0"), Change("a", 1, v1::MESSAGE_STATE_QUEUED, "t1"),
                    Change("a", 2, v1::MESSAGE_STATE_SENT, "t2")},
       .end = kLost});
  gateway_.OnStream({.elements = {Change("a", 2, v1::MESSAGE_STATE_SENT, "t2"),
                                  Change("a", 3, v1::MESSAGE_STATE_DELIVERED, "t3")},
                     .end = grpc::Status::OK});
  const WatchEnd end = Watch(UntilFinal("a"));
  EXPECT_TRUE(end.status.ok()) << end.status;
  EXPECT_EQ(end.resume_token, "t3");
  EXPECT_EQ(seen_, (std::vector<std::string>{"checkpoint", "a1", "a2", "a3"}));
  ASSERT_EQ(gateway_.streamed().size(), 2U);
  EXPECT_EQ(gateway_.streamed()[0].resume_token(), "");
  EXPECT_EQ(gateway_.streamed()[1].resume_token(), "t2");
  EXPECT_EQ(gateway_.streamed()[1].message_ids(0), "a");
}

TEST_F(WatchTest, AnOrderlyEndOfTheGatewayIsNoError) {
  google::rpc::RetryInfo retry;
  retry.mutable_retry_delay()->set_nanos(200'000'000);
  gateway_.OnStream({.elements = {CheckpointAt("t0"), CheckpointAt("t1")},
                     .end = RichStatus(grpc::StatusCode::UNAVAILABLE, "shutting down",
                                       Reason("SERVER_DRAINING"), retry)});
  gateway_.OnStream({.elements = {}, .end = grpc::Status::OK});
  EXPECT_TRUE(Watch(UntilFinal("a")).status.ok());
  ASSERT_EQ(gateway_.streamed().size(), 2U);
  EXPECT_EQ(gateway_.streamed()[1].resume_token(), "t1");
  ASSERT_EQ(time_.pauses.size(), 1U);
  EXPECT_GE(time_.pauses[0], 200ms) << "the time that the gateway asked for";
}

TEST_F(WatchTest, ResumesAfterAGatewayThatEndedTookItsStreamAlong) {
  gateway_.OnStream(
      {.elements = {CheckpointAt("t0")}, .end = {grpc::StatusCode::CANCELLED, "CANCELLED"}});
  gateway_.OnStream({.elements = {}, .end = grpc::Status::OK});
  EXPECT_TRUE(Watch(UntilFinal("a")).status.ok());
  ASSERT_EQ(gateway_.streamed().size(), 2U);
  EXPECT_EQ(gateway_.streamed()[1].resume_token(), "t0");
}

TEST_F(WatchTest, ResumesAfterItWasCutForBeingSlow) {
  // As it arrives: the cut carries no details.
  gateway_.OnStream({.elements = {CheckpointAt("t0"), Change("a", 1, v1::MESSAGE_STATE_SENT, "t1")},
                     .end = {grpc::StatusCode::RESOURCE_EXHAUSTED, "STREAM_TOO_SLOW: ..."}});
  gateway_.OnStream({.elements = {}, .end = grpc::Status::OK});
  EXPECT_TRUE(Watch(UntilFinal("a")).status.ok());
  ASSERT_EQ(gateway_.streamed().size(), 2U);
  EXPECT_EQ(gateway_.streamed()[1].resume_token(), "t1");
}

TEST_F(WatchTest, WhatIsExhaustedOtherwiseIsNotTakenForACut) {
  struct Case {
    const char* name;
    std::vector<v1::StreamStatusResponse> elements;
    grpc::Status end;
  };
  const grpc::StatusCode code = grpc::StatusCode::RESOURCE_EXHAUSTED;
  const Case cases[] = {
      {"a stream that never began", {}, {code, "no memory"}},
      {"another reason", {CheckpointAt("t0")}, RichStatus(code, "", Reason("TOO_MANY_STREAMS"))},
  };
  std::size_t streams = 0;
  for (const Case& c : cases) {
    gateway_.OnStream({.elements = c.elements, .end = c.end});
    EXPECT_TRUE(absl::IsResourceExhausted(Watch({}).status)) << c.name;
    EXPECT_EQ(gateway_.streamed().size(), ++streams) << c.name;
  }
}

TEST_F(WatchTest, ABrokenSnapshotGoesOnWhereItBroke) {
  v1::StreamStatusRequest request = UntilFinal("a");
  request.set_include_snapshot(true);
  gateway_.OnStream({.elements = {}, .end = kLost});
  gateway_.OnStream(
      {.elements = {CheckpointAt("t0"), SnapshotOf("a", 3, v1::MESSAGE_STATE_SENT, "t1")},
       .end = kLost});
  gateway_.OnStream(
      {.elements = {SnapshotOf("b", 1, v1::MESSAGE_STATE_QUEUED, "t2")}, .end = grpc::Status::OK});
  const WatchEnd end = Watch(request);
  EXPECT_TRUE(end.status.ok());
  EXPECT_EQ(end.resume_token, "t2");
  EXPECT_EQ(seen_, (std::vector<std::string>{"checkpoint", "a3", "b1"}));
  ASSERT_EQ(gateway_.streamed().size(), 3U);
  EXPECT_TRUE(gateway_.streamed()[1].include_snapshot()) << "nothing of it had come";
  EXPECT_EQ(gateway_.streamed()[1].resume_token(), "");
  EXPECT_FALSE(gateway_.streamed()[2].include_snapshot());
  EXPECT_EQ(gateway_.streamed()[2].resume_token(), "t1");
}

TEST_F(WatchTest, ASilentStreamIsTakenForLost) {
  gateway_.OnStream({.elements = {CheckpointAt("t0")}, .end = {}, .hangs = true});
  gateway_.OnStream({.elements = {}, .end = grpc::Status::OK});
  EXPECT_TRUE(Watch(UntilFinal("a"), {.watch_silence = 200ms}).status.ok());
  ASSERT_EQ(gateway_.streamed().size(), 2U);
  EXPECT_EQ(gateway_.streamed()[1].resume_token(), "t0");
}

TEST_F(WatchTest, AStopEndsItWithOkAndTheLastToken) {
  stop_after_ = 1;
  gateway_.OnStream(
      {.elements = {Change("a", 1, v1::MESSAGE_STATE_QUEUED, "t1")}, .end = {}, .hangs = true});
  const WatchEnd end = Watch({});
  EXPECT_TRUE(end.status.ok());
  EXPECT_EQ(end.resume_token, "t1");
}

TEST_F(WatchTest, OtherErrorsEndItWithTheirReasonAndTheToken) {
  gateway_.OnStream({.elements = {},
                     .end = RichStatus(grpc::StatusCode::OUT_OF_RANGE, "too old",
                                       Reason("RESUME_TOKEN_EXPIRED"))});
  v1::StreamStatusRequest request;
  request.set_resume_token("mine");
  const WatchEnd end = Watch(request);
  EXPECT_EQ(DecodeError(end.status).reason, "RESUME_TOKEN_EXPIRED");
  EXPECT_EQ(end.resume_token, "mine");
}

TEST_F(WatchTest, GivesUpWhenNothingComesWithinTheBudget) {
  for (int i = 0; i < 1000; ++i) gateway_.OnStream({.elements = {}, .end = kLost});
  const MonotonicTime start = time_.clock.Now();
  const WatchEnd end = Watch({}, {.retry = {.budget = 20s}});
  EXPECT_TRUE(absl::IsUnavailable(end.status));
  EXPECT_LE(time_.clock.Now() - start, 20s);
}

TEST_F(WatchTest, EveryElementStartsTheBudgetAnew) {
  for (int i = 0; i < 200; ++i) {
    gateway_.OnStream({.elements = {CheckpointAt(StrCat("t", i))}, .end = kLost});
  }
  gateway_.OnStream({.elements = {}, .end = grpc::Status::OK});
  EXPECT_TRUE(Watch(UntilFinal("a"), {.retry = {.budget = 5s}}).status.ok());
  EXPECT_EQ(gateway_.streamed().size(), 201U);
}

TEST(RepeatFilterTest, KnowsTheRevisionsOfTheMessagesSeenLast) {
  RepeatFilter filter(2);
  EXPECT_FALSE(filter.SeenBefore("a", 1));
  EXPECT_TRUE(filter.SeenBefore("a", 1));
  EXPECT_FALSE(filter.SeenBefore("a", 3));
  EXPECT_TRUE(filter.SeenBefore("a", 2));
  EXPECT_FALSE(filter.SeenBefore("b", 1));
  EXPECT_FALSE(filter.SeenBefore("c", 1));
  EXPECT_TRUE(filter.SeenBefore("a", 3)) << "two messages later it is still known";
  EXPECT_FALSE(filter.SeenBefore("d", 1));
  EXPECT_FALSE(filter.SeenBefore("e", 1));
  EXPECT_FALSE(filter.SeenBefore("a", 1)) << "four messages later it is forgotten";
}

}  // namespace
}  // namespace postrider::client
