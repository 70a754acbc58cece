#include <gmock/gmock.h>

#include "tests/unit/api/stream_session_fixture.h"

namespace postrider {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

TEST_F(StreamSessionTest, ACheckpointComesAtOnceAndAtEveryInterval) {
  auto stream = OpenAndTake(All());
  EXPECT_THAT(stream->sink.Said(), ElementsAre("checkpoint"));
  EXPECT_EQ(stream->sink.elements[0].complete_until, published_.at);
  clock_.Advance(kCheckpointDefault - 1ns);
  hub_.Beat();
  EXPECT_EQ(stream->sink.elements.size(), 1U);
  clock_.Advance(1ns);
  hub_.Beat();
  EXPECT_THAT(stream->sink.Said(), ElementsAre("checkpoint", "checkpoint"));
}

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

TEST_F(StreamSessionTest, ATokenFromInsideOfASnapshotSkipsNothing) {
  for (const std::uint64_t number : {5, 6, 7}) Send(number);
  Publish();
  StreamQuery query = All();
  query.include_snapshot = true;
  const auto first = OpenAndTake(query);
  ASSERT_THAT(first->sink.Said(),
              ElementsAre("checkpoint", "snapshot 5:1", "snapshot 6:1", "snapshot 7:1"));
  End(5);
  Publish();
  const std::vector<std::string> rests[] = {
      {"checkpoint", "snapshot 5:2", "snapshot 6:1", "snapshot 7:1", "change 5:2"},
      {"checkpoint", "snapshot 6:1", "snapshot 7:1", "change 5:2"},
      {"checkpoint", "snapshot 7:1", "change 5:2"},
      {"checkpoint", "change 5:2"},
  };
  for (std::size_t i = 0; i < 4; ++i) {
    const auto again = OpenAndTake(Resumed(query, first->sink.elements[i].resume_token));
    EXPECT_EQ(again->sink.Said(), rests[i]) << i;
  }
}

TEST_F(StreamSessionTest, ResumesAfterAnyElement) {
  auto first = OpenAndTake(All());
  for (const std::uint64_t number : {5, 6}) Send(number);
  Publish();
  End(5);
  Publish();
  Take(*first);
  ASSERT_THAT(first->sink.Said(),
              ElementsAre("checkpoint", "change 5:1", "change 6:1", "change 5:2"));
  for (std::size_t i = 0; i < 4; ++i) {
    const auto again = OpenAndTake(Resumed(All(), first->sink.elements[i].resume_token));
    const std::vector<std::string> all = first->sink.Said();
    std::vector<std::string> rest = {"checkpoint"};
    rest.insert(rest.end(), all.begin() + static_cast<std::ptrdiff_t>(i) + 1, all.end());
    // Order is promised per message only: the store's ranges are wider than the hub's batches.
    EXPECT_THAT(again->sink.Said(), testing::UnorderedElementsAreArray(rest)) << i;
  }
}

TEST_F(StreamSessionTest, ATokenOfATickThatIsGoneHasExpired) {
  StreamQuery query = All();
  query.resumes = true;
  query.position.after = {published_.number, UuidOf(666), {}};  // from before a restore
  const auto stream = OpenAndTake(query);
  EXPECT_EQ(stream->sink.Reason(), "RESUME_TOKEN_EXPIRED");
  EXPECT_EQ(stream->sink.error->code, absl::StatusCode::kOutOfRange);
  EXPECT_THAT(stream->sink.Said(), IsEmpty());
}

TEST_F(StreamSessionTest, UntilFinalEndsWithOkAndReportsFirstWhatIsFinalAlready) {
  for (const std::uint64_t number : {5, 6, 7}) Send(number);
  End(5);
  Publish();
  auto stream = OpenAndTake(Named({5, 6}));
  EXPECT_THAT(stream->sink.Said(), ElementsAre("checkpoint", "snapshot 5:2"));
  EXPECT_EQ(stream->sink.Reason(), "open");
  End(7);
  Publish();
  Take(*stream);
  EXPECT_EQ(stream->sink.Reason(), "open") << "7 was not asked for";
  End(6);
  Publish();
  Take(*stream);
  EXPECT_THAT(stream->sink.Said(), ElementsAre("checkpoint", "snapshot 5:2", "change 6:2"));
  EXPECT_EQ(stream->sink.Reason(), "OK");
  EXPECT_EQ(hub_.subscriptions(), 0U);
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

TEST_F(StreamSessionTest, ASlowReaderIsServedFromTheStoreAndDisturbsNobody) {
  auto slow = Open(All());
  auto quick = OpenAndTake(All());
  DoReads();
  std::vector<std::string> expected = {"checkpoint"};
  for (std::uint64_t number = 10; number < 30; ++number) {
    Send(number);
    Publish();
    expected.push_back(StrCat("change ", number, ":1"));
    Take(*quick);
    EXPECT_EQ(quick->sink.Said(), expected);
  }
  EXPECT_EQ(slow->sink.elements.size(), 1U);
  Take(*slow);
  EXPECT_EQ(slow->sink.Said(), expected);
}

TEST_F(StreamSessionTest, AWriteThatDoesNotEndIsCut) {
  auto stuck = Open(All());
  DoReads();
  ASSERT_TRUE(stuck->sink.writing);
  clock_.Advance(kStreamStall);
  hub_.Beat();
  EXPECT_FALSE(stuck->sink.cut.has_value());
  clock_.Advance(1s);
  hub_.Beat();
  ASSERT_TRUE(stuck->sink.cut.has_value());
  EXPECT_EQ(stuck->sink.cut->reason, "STREAM_TOO_SLOW");
  stuck->session->OnWritten(false);
  EXPECT_EQ(stuck->sink.Reason(), "STREAM_TOO_SLOW");
  EXPECT_EQ(hub_.subscriptions(), 0U);
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

TEST_F(StreamSessionTest, ADrainSaysALastCheckpointThenGoodbye) {
  auto stream = OpenAndTake(All());
  Send(5);
  Publish();
  Take(*stream);
  draining_ = true;
  hub_.Beat();
  Take(*stream);
  EXPECT_THAT(stream->sink.Said(), ElementsAre("checkpoint", "change 5:1", "checkpoint"));
  EXPECT_EQ(stream->sink.Reason(), "SERVER_DRAINING");
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
  auto stream = Open(All());
  DoReads();
  EXPECT_THAT(stream->sink.Said(), IsEmpty());
  hub_.Beat();
  Take(*stream);
  EXPECT_THAT(stream->sink.Said(), ElementsAre("checkpoint"));
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
