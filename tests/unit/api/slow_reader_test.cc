// A reader that takes nothing, over real connections: what it costs, and how it ends.
#include <set>

#include <gmock/gmock.h>

#include "tests/support/await.h"
#include "tests/unit/api/message_service_fixture.h"

namespace postrider {
namespace {

using testing::StartsWith;

class SlowReaderTest : public MessageServiceTest {
 protected:
  struct Reader {
    std::unique_ptr<v1::MessageService::Stub> stub;
    std::unique_ptr<grpc::ClientContext> context = Context();
    std::unique_ptr<grpc::ClientReader<v1::StreamStatusResponse>> stream;
    std::set<std::string> seen;  ///< Messages of which a change came.
    std::string token;

    bool Read() {
      v1::StreamStatusResponse element;
      if (!stream->Read(&element)) return false;
      token = element.resume_token();
      if (element.has_change()) seen.insert(element.change().message_id());
      return true;
    }
    /// Reads until changes of `count` messages have come; false when the stream ended before.
    bool ReadUpTo(std::size_t count) {
      while (seen.size() < count) {
        if (!Read()) return false;
      }
      return true;
    }
  };

  /// Of its own connection, which takes 64 KiB before somebody reads.
  Reader Open(const std::string& resume_token = {}) {
    grpc::ChannelArguments arguments;
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    arguments.SetInt(GRPC_ARG_HTTP2_BDP_PROBE, 0);
    arguments.SetInt(GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES, 64 * 1024);
    v1::StreamStatusRequest request;
    request.set_resume_token(resume_token);
    Reader reader;
    reader.stub = v1::MessageService::NewStub(grpc::CreateCustomChannel(
        StrCat("127.0.0.1:", port_), grpc::InsecureChannelCredentials(), arguments));
    reader.stream = reader.stub->StreamStatus(reader.context.get(), request);
    return reader;
  }

  /// Adds `count` messages whose elements are some 500 bytes each.
  void Accept(int count) {
    std::vector<NewMessage> batch(static_cast<std::size_t>(count));
    for (NewMessage& message : batch) {
      const std::uint64_t number = ++accepted_numbers_;
      message.request.tenant_id = kTenant;
      message.request.request_id = StrCat("r", number);
      message.request.recipient = StrCat("+155500", 10000 + number);
      message.request.external_contact_id = StrCat(std::string(120, 'c'), number);
      message.request.campaign_id = std::string(64, 'c');
      message.request.text = "hello";
      message.message_id = {UuidOf(1000 + number)};
      message.new_conversation_id = {UuidOf(100'000 + number)};
      message.fingerprint = message.request.request_id;
    }
    ASSERT_TRUE(store_.Accept(batch).ok());
  }

  std::uint64_t accepted_numbers_ = 0;
};

TEST_F(SlowReaderTest, IsCutAloneAndResumesWithoutALoss) {
  constexpr std::size_t kMessages = 1600;
  static_assert(kMessages > kStreamBuffer, "the slow one must fall behind");
  Publish();
  Reader slow = Open();
  Reader quick = Open();
  ASSERT_TRUE(slow.Read()) << "the checkpoint that comes at once";
  ASSERT_TRUE(quick.Read());
  for (std::size_t sent = 0; sent < kMessages;) {
    Accept(200);
    Publish();
    sent += 200;
    ASSERT_TRUE(quick.ReadUpTo(sent)) << "the other one's not reading is nothing to it";
  }
  quick.context->TryCancel();
  quick.stream->Finish();
  ASSERT_TRUE(Await([&] { return hub_.subscriptions() == 1; }));

  // The first minute may begin before its connection is full, and then counts for nothing.
  ASSERT_TRUE(Await([&] {
    clock_.Advance(kStreamStall + std::chrono::seconds(1));
    hub_.Beat();
    return hub_.subscriptions() == 0;
  }));
  while (slow.Read()) {
  }
  const grpc::Status end = slow.stream->Finish();
  EXPECT_EQ(end.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_THAT(end.error_message(), StartsWith("STREAM_TOO_SLOW"));
  EXPECT_EQ(end.error_details(), "") << "then the contract's comments are to be changed";
  EXPECT_LT(slow.seen.size(), kMessages) << "its connection took all: nothing was stuck";

  Reader again = Open(slow.token);
  again.seen = slow.seen;
  EXPECT_TRUE(again.ReadUpTo(kMessages));
}

}  // namespace
}  // namespace postrider
