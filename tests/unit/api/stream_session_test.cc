#include "server/api/stream_session.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "server/base/digest.h"
#include "server/base/strings.h"
#include "server/fanout/resume_token.h"
#include "server/model/limits.h"
#include "tests/support/event_log.h"
#include "tests/support/fake_clock.h"
#include "tests/support/fake_store.h"

namespace postrider {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::IsEmpty;

const TenantId kTenant{UuidOf(1)};

/// A caller that reads when the test says so.
class FakeSink final : public StreamSink {
 public:
  void Write(const StreamElement& element) override {
    ASSERT_FALSE(writing) << "one write at a time";
    ASSERT_FALSE(ended) << "nothing after the end";
    writing = true;
    elements.push_back(element);
  }
  void Cut(const ApiError& with) override { cut = with; }
  void End(const std::optional<ApiError>& with) override {
    ASSERT_FALSE(ended) << "ends once";
    ended = true;
    error = with;
  }
  /// The elements as "snapshot 5:1", "change 5:2", "checkpoint".
  std::vector<std::string> Said() const {
    std::vector<std::string> said;
    for (const StreamElement& element : elements) {
      if (!element.event) {
        said.emplace_back("checkpoint");
        continue;
      }
      const bool snapshot = element.kind == StreamElement::Kind::kSnapshot;
      said.push_back(StrCat(snapshot ? "snapshot " : "change ",
                            element.event->message_id.uuid.bytes[15], ":",
                            element.event->status.revision));
    }
    return said;
  }
  std::string Reason() const { return error ? error->reason : ended ? "OK" : "open"; }

  std::vector<StreamElement> elements;
  bool writing = false;
  bool ended = false;
  std::optional<ApiError> error;
  std::optional<ApiError> cut;
};

struct Stream {
  FakeSink sink;
  std::shared_ptr<StreamSession> session;
};

class StreamSessionTest : public testing::Test {
 protected:
  StreamSessionTest() {
    AddToken(false);
    Publish();
  }

  void AddToken(bool revoked) {
    ApiTokenRow row;
    row.token_sha256 = Sha256Bytes(revoked ? "revoked" : "good");
    row.tenant_id = kTenant;
    row.scopes = {"read"};
    row.revoked = revoked;
    ASSERT_TRUE(store_.AddToken(row).ok());
  }
  void Send(std::uint64_t number) {
    NewMessage message;
    message.request.tenant_id = kTenant;
    message.request.request_id = StrCat("r", number);
    message.request.recipient = StrCat("+1555000000", number);
    message.request.text = "hello";
    message.message_id = {UuidOf(number)};
    message.new_conversation_id = {UuidOf(number + 1000)};
    message.fingerprint = message.request.request_id;
    const auto accepted = store_.Accept(std::span(&message, 1));
    ASSERT_TRUE(accepted.ok() && accepted->front().kind == Acceptance::Kind::kNew);
  }
  /// Makes it final.
  void End(std::uint64_t number) { ASSERT_TRUE(store_.Cancel({kTenant, {UuidOf(number)}}).ok()); }
  void Publish() {
    clock_.Advance(25ms);
    const Tick tick = *store_.MakeTick();
    EventBatch batch{published_, tick, {}};
    if (published_.number != 0) batch.events = *store_.EventsBetween(published_, tick, {});
    hub_.Publish(std::make_shared<const EventBatch>(std::move(batch)));
    published_ = tick;
  }

  StreamQuery All() {
    StreamQuery query;
    query.filter.tenant_id = kTenant;
    query.checkpoint_interval = kCheckpointDefault;
    return query;
  }
  StreamQuery Named(std::vector<std::uint64_t> numbers) {
    StreamQuery query = All();
    query.until_final = true;
    for (const std::uint64_t number : numbers) query.filter.message_ids.push_back({UuidOf(number)});
    return query;
  }
  StreamQuery Resumed(StreamQuery query, const std::string& token) {
    query.include_snapshot = false;
    query.resumes = true;
    query.position = *ParseResumeToken(token, kTenant);
    return query;
  }
  /// Begins without doing a read or taking an element.
  std::unique_ptr<Stream> Open(StreamQuery query, const std::string& token = "good") {
    auto stream = std::make_unique<Stream>();
    stream->session = std::make_shared<StreamSession>(
        StreamSession::Parts{clock_, store_, guard_, reads_, hub_, draining_}, std::move(query),
        Sha256Bytes(token), stream->sink);
    stream->session->Open();
    return stream;
  }
  void DoReads() {
    while (reads_.Step(std::stop_token()) > 0) {
    }
  }
  /// The caller takes `most` elements, or all there are.
  void Take(Stream& stream, std::size_t most = SIZE_MAX) {
    DoReads();
    while (most-- > 0 && stream.sink.writing) {
      stream.sink.writing = false;
      stream.session->OnWritten(true);
      DoReads();
    }
  }
  std::unique_ptr<Stream> OpenAndTake(StreamQuery query) {
    auto stream = Open(std::move(query));
    Take(*stream);
    return stream;
  }

  FakeClock clock_;
  FakeStore store_{clock_};
  Metrics metrics_;
  ReadPool reads_{metrics_, {.workers = 0, .queue = 8}};
  Guard guard_{clock_, store_, reads_};
  Hub hub_{metrics_, {.buffer = 4, .streams_per_tenant = 8}};
  std::atomic<bool> draining_ = false;
  Tick published_;
};

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
