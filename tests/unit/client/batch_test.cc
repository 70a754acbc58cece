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

TEST_F(BatchTest, RepeatsUnderTheSameRequestIdAndReportsRefusals) {
  Fail(GoneAway());
  Fail(GoneAway());
  Fail({grpc::StatusCode::INVALID_ARGUMENT, "no"});
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
  for (int i = 0; i < 200; ++i) {
    gateway_.OnSend([](grpc::ServerContext& context, const auto&, auto&) {
      context.AddTrailingMetadata("grpc-retry-pushback-ms", "20000");
      return RichStatus(grpc::StatusCode::RESOURCE_EXHAUSTED, "full", Reason("QUEUE_FULL"));
    });
  }
  const MonotonicTime start = time_.clock.Now();
  Batch batch(*client_, {}, Keep());
  batch.Send({}, 1);
  batch.Finish();
  EXPECT_TRUE(answers_.at(1).ok()) << answers_.at(1);
  EXPECT_GE(time_.clock.Now() - start, 200 * 20s);
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
