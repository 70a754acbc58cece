// The written guarantees of StreamStatus, each by its name. What a guarantee says of Postgres, of
// real connections and of processes is shown elsewhere: tests/README.md lists it.
#include <map>
#include <set>

#include <gmock/gmock.h>

#include "tests/unit/api/stream_session_fixture.h"

namespace postrider {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

class StreamGuaranteesTest : public StreamSessionTest {};

// --- 1. Complete

TEST_F(StreamGuaranteesTest, CompleteWhicheverReplicaTookTheTick) {
  auto stream = OpenAndTake(All());
  std::set<std::string> expected = {"checkpoint"};
  for (std::uint64_t number = 5; number < 11; ++number) {
    Send(number);
    expected.insert(StrCat("change ", number, ":1"));
    clock_.Advance(25ms);
    ASSERT_TRUE(store_.MakeTick().ok());  // another replica's: here it is spanned
    if (number % 2 == 0) Publish();
    Take(*stream);
  }
  EXPECT_THAT(stream->sink.Said(), testing::UnorderedElementsAreArray(expected));
}

// --- 2. Ordered

TEST_F(StreamGuaranteesTest, OrderedPerMessageByRevisionLiveAndFromTheStore) {
  auto live = OpenAndTake(All());
  auto behind = Open(All());  // its buffer of four overflows
  DoReads();
  for (const std::uint64_t number : {5, 6, 7}) Send(number);
  End(6);
  Publish();
  Take(*live);
  for (const std::uint64_t number : {7, 5}) End(number);
  Publish();
  Take(*live);
  Take(*behind);
  for (const Stream* stream : {live.get(), behind.get()}) {
    std::map<MessageId, int> last;
    for (const StreamElement& element : stream->sink.elements) {
      if (!element.event) continue;
      EXPECT_EQ(element.event->status.revision, ++last[element.event->message_id]);
    }
    EXPECT_EQ(stream->sink.elements.size(), 7U) << "a checkpoint and two changes of each";
  }
}

// --- 3. Resumable

TEST_F(StreamGuaranteesTest, ResumableAfterAnyElement) {
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

TEST_F(StreamGuaranteesTest, ResumableFromInsideOfASnapshot) {
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

TEST_F(StreamGuaranteesTest, ResumableOnAnotherReplica) {
  const auto first = OpenAndTake(All());
  Send(5);
  Publish();
  Take(*first);
  Hub other_hub(metrics_);  // has seen nothing yet
  Stream again;
  again.session = std::make_shared<StreamSession>(
      StreamSession::Parts{clock_, store_, guard_, reads_, other_hub, draining_},
      Resumed(All(), first->sink.elements[0].resume_token), Sha256Bytes("good"), again.sink);
  again.session->Open();
  Take(again);
  Send(6);
  clock_.Advance(25ms);
  const Tick tick = *store_.MakeTick();
  other_hub.Publish(std::make_shared<const EventBatch>(EventBatch{tick, tick, {}}));
  Take(again);
  EXPECT_THAT(again.sink.Said(), ElementsAre("checkpoint", "change 5:1", "change 6:1"));
}

// --- 4. At least once

TEST_F(StreamGuaranteesTest, AtLeastOnceOverReconnectsAndOnceWithinAStream) {
  const auto first = OpenAndTake(All());
  for (const std::uint64_t number : {5, 6, 7}) Send(number);
  Publish();
  End(6);
  Publish();
  Take(*first);
  const std::vector<std::string> all = first->sink.Said();
  ASSERT_EQ(all.size(), 5U);
  EXPECT_EQ(std::set<std::string>(all.begin(), all.end()).size(), 5U);
  for (std::size_t taken = 1; taken <= all.size(); ++taken) {
    const auto again = OpenAndTake(Resumed(All(), first->sink.elements[taken - 1].resume_token));
    const std::vector<std::string> rest = again->sink.Said();
    std::set<std::string> seen(rest.begin(), rest.end());
    EXPECT_EQ(seen.size(), rest.size()) << "once within a stream";
    seen.insert(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(taken));
    EXPECT_EQ(seen, std::set<std::string>(all.begin(), all.end())) << taken;
  }
}

// --- 5. Bookmarked

TEST_F(StreamGuaranteesTest, BookmarkedAtOnceAndAtEveryInterval) {
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

TEST_F(StreamGuaranteesTest, BookmarkedNeverAheadOfAnUndeliveredChange) {
  auto stream = OpenAndTake(All());
  Send(5);
  Send(6);
  Publish();
  clock_.Advance(kCheckpointDefault);
  Take(*stream, 1);  // 5; then a checkpoint is due, and 6 waits
  ASSERT_THAT(stream->sink.Said(), ElementsAre("checkpoint", "change 5:1", "checkpoint"));
  EXPECT_LT(stream->sink.elements.back().complete_until, published_.at);
  const auto again = OpenAndTake(Resumed(All(), stream->sink.elements.back().resume_token));
  EXPECT_THAT(again->sink.Said(), ElementsAre("checkpoint", "change 6:1"));
}

// --- 6. Bounded

TEST_F(StreamGuaranteesTest, BoundedSoThatASlowReaderIsServedFromTheStoreAndDisturbsNobody) {
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

TEST_F(StreamGuaranteesTest, BoundedInTimeSoThatAWriteThatDoesNotEndIsCut) {
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

// --- 7. Honest about the past

TEST_F(StreamGuaranteesTest, HonestAboutThePastWithTheOldestTokenThatStillWorks) {
  Send(5);
  Publish();
  StreamQuery query = All();
  query.resumes = true;
  query.position.after = {published_.number, UuidOf(666), {}};  // from before a restore
  const auto stream = OpenAndTake(query);
  EXPECT_EQ(stream->sink.Reason(), "RESUME_TOKEN_EXPIRED");
  EXPECT_EQ(stream->sink.error->code, absl::StatusCode::kOutOfRange);
  EXPECT_THAT(stream->sink.Said(), IsEmpty());
  const std::string oldest = stream->sink.error->metadata.at("oldest_resume_token");
  const auto again = OpenAndTake(Resumed(All(), oldest));
  EXPECT_THAT(again->sink.Said(), ElementsAre("checkpoint", "change 5:1"));
}

TEST_F(StreamGuaranteesTest, HonestAboutThePastOrTheCallerIsToRepeat) {
  StreamQuery query = All();
  query.resumes = true;
  query.position.after = {published_.number, UuidOf(666), {}};
  store_.FailNext(1, FakeStore::When::kBefore, "OldestTick");
  EXPECT_EQ(OpenAndTake(query)->sink.Reason(), "STORE_UNAVAILABLE");
}

// --- 8. until_final

TEST_F(StreamGuaranteesTest, UntilFinalEndsWithOkAndReportsFirstWhatIsFinalAlready) {
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

// --- 9. Drained

TEST_F(StreamGuaranteesTest, DrainedWithALastCheckpointAndThenUnavailable) {
  auto stream = OpenAndTake(All());
  Send(5);
  Publish();
  Take(*stream);
  draining_ = true;
  hub_.Beat();
  Take(*stream);
  EXPECT_THAT(stream->sink.Said(), ElementsAre("checkpoint", "change 5:1", "checkpoint"));
  EXPECT_EQ(stream->sink.Reason(), "SERVER_DRAINING");
  EXPECT_EQ(stream->sink.error->code, absl::StatusCode::kUnavailable);
}

TEST_F(StreamGuaranteesTest, DrainedAfterTheChangesThatWereAlreadyHere) {
  auto stream = OpenAndTake(All());
  for (const std::uint64_t number : {5, 6, 7}) Send(number);
  Publish();  // the first is being written, the others wait
  draining_ = true;
  hub_.Beat();
  Take(*stream);
  EXPECT_THAT(stream->sink.Said(),
              ElementsAre("checkpoint", "change 5:1", "change 6:1", "change 7:1", "checkpoint"));
  EXPECT_EQ(stream->sink.Reason(), "SERVER_DRAINING");
}

}  // namespace
}  // namespace postrider
