#include <gmock/gmock.h>

#include "tests/unit/api/stream_session_fixture.h"

namespace postrider {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

TEST_F(StreamSessionTest, WithoutTokenItStartsNow) {
  Send(5);
  Publish();
  auto stream = OpenAndTake(All());
  Send(6);
  Publish();
  Take(*stream);
  EXPECT_THAT(stream->sink.Said(), ElementsAre("checkpoint", "change 6:1"));
}

TEST_F(StreamSessionTest, ASnapshotComesFirstThenEveryChangeAfterIt) {
  Send(5);
  Send(6);
  Publish();
  StreamQuery query = All();
  query.include_snapshot = true;
  auto stream = OpenAndTake(query);
  EXPECT_THAT(stream->sink.Said(), ElementsAre("checkpoint", "snapshot 5:1", "snapshot 6:1"));
  End(5);
  Publish();
  Take(*stream);
  EXPECT_EQ(stream->sink.Said().back(), "change 5:2");
}

TEST_F(StreamSessionTest, AChangeDuringTheSnapshotIsNotLost) {
  Send(5);
  Send(6);
  Publish();
  StreamQuery query = All();
  query.include_snapshot = true;
  auto stream = Open(query);
  Take(*stream, 2);  // the checkpoint and 5
  End(5);
  Send(7);
  Publish();
  Take(*stream);
  EXPECT_THAT(stream->sink.Said(), ElementsAre("checkpoint", "snapshot 5:1", "snapshot 6:1",
                                               "change 5:2", "change 7:1"));
}

TEST_F(StreamSessionTest, UntilFinalOfAMessageThatTheTenantDoesNotHaveEndsAtOnce) {
  Send(5);
  Send(7);
  End(7);
  Publish();
  const auto stream = OpenAndTake(Named({5, 6, 7, 8}));
  EXPECT_EQ(stream->sink.Reason(), "MESSAGE_NOT_FOUND");
  EXPECT_EQ(stream->sink.error->code, absl::StatusCode::kNotFound);
  EXPECT_EQ(stream->sink.error->metadata.at("message_id"), UuidOf(6).ToString());
  EXPECT_EQ(hub_.subscriptions(), 0U);
  const auto known = OpenAndTake(Named({5, 7}));
  EXPECT_EQ(known->sink.Reason(), "open");
  const auto again = OpenAndTake(Resumed(Named({5, 6}), known->sink.elements.back().resume_token));
  EXPECT_EQ(again->sink.Reason(), "MESSAGE_NOT_FOUND");
}

TEST_F(StreamSessionTest, UntilFinalSeesTheEndThroughAFilterOfStates) {
  Send(5);
  Publish();
  StreamQuery query = Named({5});
  query.filter.states = {MessageState::kDelivered};
  auto stream = OpenAndTake(query);
  End(5);
  Publish();
  Take(*stream);
  EXPECT_THAT(stream->sink.Said(), ElementsAre("checkpoint"));
  EXPECT_EQ(stream->sink.Reason(), "OK");
}

TEST_F(StreamSessionTest, UntilFinalResumedTellsWhatCameAfterTheTokenBeforeItEnds) {
  Send(5);
  Send(6);
  Publish();
  const auto first = OpenAndTake(Named({5, 6}));
  const std::string token = first->sink.elements.back().resume_token;
  End(5);
  Publish();
  End(6);
  Publish();
  const auto again = OpenAndTake(Resumed(Named({5, 6}), token));
  EXPECT_EQ(again->sink.Reason(), "OK");
  const auto said = again->sink.Said();
  EXPECT_THAT(said, testing::IsSupersetOf({"change 5:2", "change 6:2"}));
}

TEST_F(StreamSessionTest, ARevokedTokenEndsTheStreamWithTheLastResumeToken) {
  AddToken(true);
  auto stream = Open(All(), "revoked");  // revoked just after it was let in
  Take(*stream);
  EXPECT_EQ(stream->sink.Reason(), "open");
  clock_.Advance(kTokenRecheck);
  hub_.Beat();
  Take(*stream);
  EXPECT_EQ(stream->sink.Reason(), "TOKEN_INVALID");
  EXPECT_EQ(stream->sink.error->metadata.at("resume_token"),
            stream->sink.elements.back().resume_token);
}

TEST_F(StreamSessionTest, TheStoreBeingAwayDoesNotRevokeAToken) {
  auto stream = OpenAndTake(All());
  clock_.Advance(kTokenRecheck);
  store_.FailNext(1, FakeStore::When::kBefore, "FindToken");
  hub_.Beat();
  Take(*stream);
  EXPECT_EQ(stream->sink.Reason(), "open");
}

TEST_F(StreamSessionTest, TheStoreBeingAwayEndsAStreamThatNeedsIt) {
  StreamQuery query = All();
  query.include_snapshot = true;
  store_.FailNext(1, FakeStore::When::kBefore, "CurrentStates");
  const auto stream = OpenAndTake(query);
  EXPECT_EQ(stream->sink.Reason(), "STORE_UNAVAILABLE");
}

TEST_F(StreamSessionTest, AFullReadQueueIsTriedAgainAtTheHeartbeat) {
  for (int i = 0; i < 8; ++i) ASSERT_TRUE(reads_.TrySubmit([] {}));
  StreamQuery query = All();
  query.include_snapshot = true;  // Without, the hub alone would do.
  auto stream = Open(query);
  DoReads();
  EXPECT_THAT(stream->sink.Said(), IsEmpty());
  hub_.Beat();
  Take(*stream);
  EXPECT_THAT(stream->sink.Said(), ElementsAre("checkpoint"));
}

class RememberedStreamTest : public StreamSessionTest {
 protected:
  RememberedStreamTest() : StreamSessionTest(64) {}
};

TEST_F(RememberedStreamTest, AStreamThatComesBackAsksTheStoreNothing) {
  auto stream = OpenAndTake(All());
  const std::string token = stream->sink.elements.back().resume_token;
  stream->session->Cancel();
  for (std::uint64_t number = 1; number <= 6; ++number) {
    Send(number);
    Publish();
  }
  const int before = store_.Calls("FindTick") + store_.Calls("NextTick") +
                     store_.Calls("EventsBetween") + store_.Calls("MakeTick");
  auto again = OpenAndTake(Resumed(All(), token));
  EXPECT_THAT(again->sink.Said(), testing::SizeIs(7)) << "a checkpoint and six changes";
  EXPECT_EQ(store_.Calls("FindTick") + store_.Calls("NextTick") + store_.Calls("EventsBetween") +
                store_.Calls("MakeTick"),
            before);
}

TEST_F(StreamSessionTest, ACallerWhoGoesAwayLeavesNothingBehind) {
  auto idle = OpenAndTake(All());
  auto writing = Open(All());
  DoReads();
  idle->session->Cancel();
  EXPECT_TRUE(idle->sink.ended);
  writing->session->Cancel();
  EXPECT_FALSE(writing->sink.ended) << "its write is still under way";
  writing->session->OnWritten(false);
  EXPECT_TRUE(writing->sink.ended);
  EXPECT_EQ(hub_.subscriptions(), 0U);
}

TEST_F(StreamSessionTest, TooManyStreamsOfATenantAreRefused) {
  std::vector<std::unique_ptr<Stream>> open;
  for (int i = 0; i < 8; ++i) open.push_back(OpenAndTake(All()));
  const auto refused = OpenAndTake(All());
  EXPECT_EQ(refused->sink.Reason(), "TOO_MANY_STREAMS");
  EXPECT_TRUE(refused->sink.error->never_retry);
}

}  // namespace
}  // namespace postrider
