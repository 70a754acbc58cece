#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "server/api/stream_session.h"
#include "server/base/digest.h"
#include "server/base/strings.h"
#include "server/fanout/resume_token.h"
#include "server/model/limits.h"
#include "tests/support/event_log.h"
#include "tests/support/fake_clock.h"
#include "tests/support/fake_store.h"
#include "tests/unit/api/api_tenant.h"
#include "tests/unit/api/fake_stream_sink.h"

namespace postrider {

using namespace std::chrono_literals;

struct Stream {
  FakeSink sink;
  std::shared_ptr<StreamSession> session;
};

class StreamSessionTest : public testing::Test {
 protected:
  /// Of a hub that remembers nothing, so that the store is asked, or so many batches.
  explicit StreamSessionTest(std::size_t recent_batches = 0)
      : hub_(metrics_, {.buffer = 4, .streams_per_tenant = 8, .recent_batches = recent_batches}) {
    AddToken(false);
    Publish();
  }

  ~StreamSessionTest() override { reads_.Drain(); }

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
  Hub hub_;
  std::atomic<bool> draining_ = false;
  Tick published_;
};

}  // namespace postrider
