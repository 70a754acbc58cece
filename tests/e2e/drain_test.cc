// An orderly end: nobody loses anything, and whoever cannot wait ends it at once.
#include <set>
#include <signal.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "postrider/v1/message_service.grpc.pb.h"
#include "server/store/child_process.h"
#include "server/store/postgres_files.h"
#include "tests/e2e/rig.h"

namespace postrider {
namespace {

using ::testing::IsEmpty;

/// The raw stream: what comes before the client library makes the best of it.
class DrainTest : public ::testing::Test {
 protected:
  DrainTest() {
    context_.AddMetadata("authorization", "Bearer " + rig_.Token());
    stub_ = v1::MessageService::NewStub(rig_.NewChannel());
    stream_ = stub_->StreamStatus(&context_, {});
  }

  Rig rig_;
  std::unique_ptr<v1::MessageService::Stub> stub_;
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReader<v1::StreamStatusResponse>> stream_;
};

TEST_F(DrainTest, StreamsEndWithALastCheckpointThatGoesOnAfterwards) {
  v1::StreamStatusResponse element;
  ASSERT_TRUE(stream_->Read(&element));
  ASSERT_TRUE(element.has_checkpoint());
  std::vector<StreamedChange> seen;
  const std::string id = rig_.Send(RequestTo(kRecipient));
  ASSERT_TRUE(stream_->Read(&element));
  ASSERT_TRUE(element.has_change());
  seen.push_back({id, element.change().revision(), element.change().state()});

  rig_.gateway.process()->Signal(SIGTERM);
  v1::StreamStatusResponse last;
  while (stream_->Read(&element)) {
    last = element;
    if (element.has_change()) {
      seen.push_back({id, element.change().revision(), element.change().state()});
    }
  }
  EXPECT_TRUE(last.has_checkpoint());
  const grpc::Status end = stream_->Finish();
  EXPECT_EQ(end.error_code(), grpc::StatusCode::UNAVAILABLE);
  const client::Error error = client::DecodeError(end);
  EXPECT_EQ(error.reason, "SERVER_DRAINING");
  EXPECT_TRUE(error.retry_after.has_value());
  EXPECT_EQ(rig_.gateway.AwaitExit().status, 0);
  // All that is stored was told, what the drain itself changed included.
  EXPECT_THAT(NothingWasMissed(rig_.sql, seen), IsEmpty());

  ASSERT_TRUE(rig_.gateway.Start());
  v1::StreamStatusRequest resume;
  resume.set_resume_token(last.resume_token());
  Watcher watcher(rig_.client(), resume);
  const std::string next = rig_.Send(RequestTo(kRecipient));
  rig_.AwaitState(next, v1::MESSAGE_STATE_DELIVERED);
  EXPECT_TRUE(Await([&] {
    std::vector<StreamedChange> all = watcher.Changes();
    all.insert(all.end(), seen.begin(), seen.end());
    return NothingWasMissed(rig_.sql, all).empty();
  }));
  // Nor is anything told again. (Whether the first message left before or after the drain is open.)
  const std::set<StreamedChange> before(seen.begin(), seen.end());
  for (const StreamedChange& change : watcher.Changes()) EXPECT_FALSE(before.contains(change));
}

TEST(DrainOfDispatchTest, WhatIsOnItsWayIsFinishedAndWhatIsQueuedWaits) {
  Rig rig;
  v1::SendMessageRequest held = RequestTo(kRecipient);
  held.mutable_not_before()->set_seconds(time(nullptr) + 3600);
  rig.Send(held);
  const std::string slow = rig.Send(RequestTo("+15550000603"));  // Answered after 2 s.
  EXPECT_TRUE(Await([&] { return rig.StateOf(slow) == v1::MESSAGE_STATE_DISPATCHING; }));
  rig.gateway.Stop();
  // 5: submitted, or more by a receipt. Nothing is left in between.
  EXPECT_GE(rig.sql.Number("SELECT state FROM message WHERE message_id = '" + slow + "'"), 5);
  EXPECT_EQ(rig.sql.Number("SELECT count(*) FROM message WHERE state = 1"), 1);
  EXPECT_EQ(rig.sql.Number("SELECT count(*) FROM attempt WHERE outcome IS NULL"), 0);
  // The slots were handed back: the next owner need not wait for a lease to end.
  EXPECT_EQ(rig.sql.Number("SELECT count(*) FROM slot_lease WHERE owner IS NOT NULL"), 0);
  EXPECT_THAT(QueueIsExact(rig.sql), IsEmpty());
}

TEST(DrainOfDispatchTest, ASecondSignalEndsItAtOnce) {
  Rig rig;
  const std::string slow = rig.Send(RequestTo("+15550000603"));  // Keeps the drain waiting.
  EXPECT_TRUE(Await([&] { return rig.StateOf(slow) == v1::MESSAGE_STATE_DISPATCHING; }));
  rig.gateway.process()->Signal(SIGTERM);
  EXPECT_TRUE(Await([&] { return HttpGet(rig.gateway.ops_url() + "/readyz") == 503; }));
  rig.gateway.process()->Signal(SIGTERM);
  EXPECT_EQ(rig.gateway.AwaitExit().signal, SIGTERM);
  EXPECT_EQ(rig.sql.Number("SELECT count(*) FROM message WHERE state = 2"), 1);
}

TEST(DrainOfDispatchTest, ADatabaseThatHangsHoldsItUpNoLongerThanTheDeadline) {
  Rig rig({.flags = {"--drain-deadline-s", "1"}, .private_postgres = true});
  const std::string stored = rig.Send(RequestTo(kRecipient));
  rig.AwaitState(stored, v1::MESSAGE_STATE_DELIVERED);
  const auto tell_postgres = [&](int signal) {
    for (const pid_t pid : ProcessesIn(rig.gateway.state_dir() + "/postgres")) {
      if (const auto process = ProcessHandle::Open(pid); process.ok()) process->Signal(signal);
    }
  };
  tell_postgres(SIGSTOP);
  rig.gateway.process()->Signal(SIGTERM);
  EXPECT_EQ(rig.gateway.AwaitExit().status, 1) << "it says that something was left";
  tell_postgres(SIGCONT);
  ASSERT_TRUE(rig.gateway.Start());
  rig.AwaitState(stored, v1::MESSAGE_STATE_DELIVERED);
}

}  // namespace
}  // namespace postrider
