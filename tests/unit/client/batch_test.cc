#include "client/batch.h"

#include <map>
#include <set>

#include <gtest/gtest.h>

#include "tests/unit/client/fake_gateway.h"

namespace postrider::client {
namespace {

using namespace std::chrono_literals;

grpc::Status GoneAway() { return {grpc::StatusCode::UNAVAILABLE, "away"}; }

class BatchTest : public testing::Test {
 protected:
  BatchTest() : client_(*Client::Open({.address = gateway_.address()}, time_.seams())) {}
  void Fail(const grpc::Status& status) {
    gateway_.OnSend([status](grpc::ServerContext&, const auto&, auto&) { return status; });
  }
  Batch::OnAnswer Keep() {
    return [this](Batch::Answer answer) {
      EXPECT_TRUE(answers_.emplace(answer.tag, answer.response.status()).second);
    };
  }
  /// A message that is refused 200 times, each with 20 seconds to wait, is sent in the end.
  void ExpectPatience(grpc::StatusCode code, const char* reason) {
    for (int i = 0; i < 200; ++i) {
      google::rpc::RetryInfo later;
      later.mutable_retry_delay()->set_seconds(20);
      Fail(RichStatus(code, "not now", Reason(reason), later));
    }
    const MonotonicTime start = time_.clock.Now();
    Batch batch(*client_, {}, Keep());
    batch.Send({}, 1);
    batch.Finish();
    EXPECT_TRUE(answers_.at(1).ok()) << answers_.at(1);
    EXPECT_GE(time_.clock.Now() - start, 200 * 20s);
  }

  FakeGateway gateway_;
  FakeTime time_;
  std::unique_ptr<Client> client_;
  std::map<std::uint64_t, absl::Status> answers_;
};

TEST_F(BatchTest, EveryMessageIsAnsweredOnceWithItsTag) {
  Batch batch(*client_, {.window = 8}, Keep());
  for (std::uint64_t i = 0; i < 100; ++i) batch.Send({}, i);
  batch.Finish();
  ASSERT_EQ(answers_.size(), 100U);
  for (const auto& [tag, status] : answers_) EXPECT_TRUE(status.ok()) << tag;
  std::set<std::string> ids;
  for (const auto& request : gateway_.sent()) ids.insert(request.request_id());
  EXPECT_EQ(ids.size(), 100U);
}

TEST_F(BatchTest, ManyMessagesGoByOneCallAndInOrder) {
  Batch batch(*client_, {.window = 8}, Keep());
  for (std::uint64_t i = 0; i < 50; ++i) {
    v1::SendMessageRequest request;
    request.set_request_id(StrCat(i));
    batch.Send(std::move(request), i);
  }
  batch.Finish();
  EXPECT_EQ(gateway_.send_calls(), 1);
  const auto sent = gateway_.sent();
  ASSERT_EQ(sent.size(), 50U);
  for (std::size_t i = 0; i < sent.size(); ++i) EXPECT_EQ(sent[i].request_id(), StrCat(i));
}

TEST_F(BatchTest, ACallThatBreaksOffIsFollowedByOneWithWhatHadNoVerdict) {
  constexpr int kMessages = 40;
  constexpr int kBreaksAt = 10;
  for (int i = 0; i < kBreaksAt; ++i) Fail(grpc::Status::OK);
  Fail(GoneAway());
  Batch batch(*client_, {.window = 16}, Keep());
  for (std::uint64_t i = 0; i < kMessages; ++i) {
    v1::SendMessageRequest request;
    request.set_request_id(StrCat(i));
    batch.Send(std::move(request), i);
  }
  batch.Finish();
  ASSERT_EQ(answers_.size(), 40U);
  for (const auto& [tag, status] : answers_) EXPECT_TRUE(status.ok()) << tag << " " << status;
  EXPECT_EQ(gateway_.send_calls(), 2);
  std::map<std::string, int> times;
  for (const auto& request : gateway_.sent()) ++times[request.request_id()];
  for (int i = 0; i < kMessages; ++i) EXPECT_EQ(times[StrCat(i)], i == kBreaksAt ? 2 : 1) << i;
}

TEST_F(BatchTest, OneThatIsTooLongFailsAlone) {
  Batch batch(*client_, {}, Keep());
  batch.Send({}, 1);
  v1::SendMessageRequest large;
  large.set_text(std::string(300'000, 'x'));
  batch.Send(std::move(large), 2);
  batch.Send({}, 3);
  batch.Finish();
  EXPECT_TRUE(absl::IsInvalidArgument(answers_.at(2)));
  EXPECT_TRUE(answers_.at(1).ok() && answers_.at(3).ok());
  EXPECT_EQ(gateway_.sent().size(), 2U);
}

TEST_F(BatchTest, WhatMustNotBeRepeatedIsAnsweredOnce) {
  Fail({grpc::StatusCode::UNAUTHENTICATED, "no"});
  Batch batch(*client_, {}, Keep());
  for (std::uint64_t i = 0; i < 5; ++i) batch.Send({}, i);
  batch.Finish();
  ASSERT_EQ(answers_.size(), 5U);
  for (const auto& [tag, status] : answers_) EXPECT_TRUE(absl::IsUnauthenticated(status)) << tag;
  EXPECT_EQ(gateway_.send_calls(), 1);
}

TEST_F(BatchTest, RepeatsUnderTheSameRequestIdAndReportsRefusals) {
  Fail(GoneAway());
  Fail(GoneAway());
  Fail(RichStatus(grpc::StatusCode::INVALID_ARGUMENT, "no", Reason("INVALID_FIELD")));
  Batch batch(*client_, {.window = 1}, Keep());
  batch.Send({}, 1);
  batch.Send({}, 2);
  batch.Finish();
  const auto sent = gateway_.sent();
  ASSERT_EQ(sent.size(), 4U);
  EXPECT_EQ(sent[0].request_id(), sent[1].request_id());
  EXPECT_EQ(sent[0].request_id(), sent[2].request_id());
  EXPECT_TRUE(absl::IsInvalidArgument(answers_.at(1)));
  EXPECT_TRUE(answers_.at(2).ok());
}

TEST_F(BatchTest, GivesUpWithinTheBudgetOfEachMessage) {
  for (int i = 0; i < 1000; ++i) Fail(GoneAway());
  const MonotonicTime start = time_.clock.Now();
  Batch batch(*client_, {}, Keep());
  batch.Send({}, 1);
  batch.Finish();
  EXPECT_TRUE(absl::IsUnavailable(answers_.at(1)));
  EXPECT_LE(time_.clock.Now() - start, 30s);
}

TEST_F(BatchTest, AFullQueueIsWaitedForHoweverLongItTakes) {
  ExpectPatience(grpc::StatusCode::RESOURCE_EXHAUSTED, "QUEUE_FULL");
}

TEST_F(BatchTest, AComplianceCheckIsWaitedForHoweverLongItTakes) {
  ExpectPatience(grpc::StatusCode::UNAVAILABLE, "COMPLIANCE_CHECK_UNAVAILABLE");
}

TEST_F(BatchTest, AStopEndsTheWaitForRepeats) {
  Fail(GoneAway());
  std::stop_source stop;
  Batch batch(*client_, {.stop = stop.get_token()}, Keep());
  batch.Send({}, 1);
  stop.request_stop();
  batch.Finish();
  EXPECT_TRUE(absl::IsCancelled(answers_.at(1)));
}

TEST_F(BatchTest, GoingAwayWithCallsUnderWayAnswersNothing) {
  {
    Batch batch(*client_, {}, Keep());
    for (std::uint64_t i = 0; i < 10; ++i) batch.Send({}, i);
  }
  EXPECT_TRUE(answers_.empty());
}

}  // namespace
}  // namespace postrider::client
