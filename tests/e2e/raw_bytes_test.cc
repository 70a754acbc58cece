// Requests as bytes, as no client library would write them: refused by field, and nothing is kept.
#include <set>

#include <gmock/gmock.h>
#include <grpcpp/completion_queue.h>
#include <grpcpp/generic/generic_stub.h>
#include <gtest/gtest.h>

#include "tests/e2e/rig.h"

namespace postrider {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class RawBytesTest : public ::testing::Test {
 protected:
  grpc::Status SendMessage(const std::string& bytes) {
    grpc::ClientContext context;
    context.AddMetadata("authorization", "Bearer " + rig_.Token());
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(30));
    grpc::CompletionQueue queue;
    const grpc::Slice slice(bytes);
    const grpc::ByteBuffer request(&slice, 1);
    grpc::ByteBuffer response;
    grpc::Status status;
    const auto call = stub_.PrepareUnaryCall(&context, "/postrider.v1.MessageService/SendMessage",
                                             request, &queue);
    call->StartCall();
    call->Finish(&response, &status, nullptr);
    void* tag = nullptr;
    bool ok = false;
    EXPECT_TRUE(queue.Next(&tag, &ok));
    queue.Shutdown();
    return status;
  }
  std::int64_t Kept() const {
    return rig_.sql.Number("SELECT count(*) FROM message") +
           rig_.sql.Number("SELECT count(*) FROM request_key");
  }

  Rig rig_;
  grpc::GenericStub stub_{rig_.NewChannel()};
};

TEST_F(RawBytesTest, NulAndBytesThatAreNotUtf8AreRefusedByTheirFieldAndNothingIsKept) {
  // Appended to a good request: what comes last of a field counts.
  struct Case {
    const char* name;
    std::string bytes;
    const char* field;
  };
  using namespace std::string_literals;
  const Case cases[] = {
      {"NUL in the text", "\x22\x03"s + "a\0b"s, "text"},
      {"NUL in the contact", "\x32\x03"s + "a\0b"s, "external_contact_id"},
      {"NUL in metadata", "\x3a\x08\x0a\x01k\x12\x03"s + "a\0b"s, "metadata[k]"},
      {"NUL in the sender", "\x1a\x03"s + "a\0b"s, "sender"},
      {"Latin-1 in the text", "\x22\x05"s + "caf\xe9!"s, "text"},
      {"half a surrogate pair", "\x22\x03\xed\xa0\x80"s, "text"},
      {"an overlong NUL", "\x22\x02\xc0\x80"s, "text"},
      {"a character cut off", "\x22\x02\xe2\x82"s, "text"},
      {"no UTF-8 in the contact", "\x32\x01\xff"s, "external_contact_id"},
      {"no UTF-8 in metadata", "\x3a\x06\x0a\x01k\x12\x01\xff"s, "metadata[k]"},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    const grpc::Status status = SendMessage(RequestTo(kRecipient).SerializeAsString() + c.bytes);
    const client::Error error = client::DecodeError(status);
    EXPECT_EQ(error.code, absl::StatusCode::kInvalidArgument) << error.message;
    EXPECT_EQ(error.reason, "INVALID_FIELD");
    std::set<std::string> fields;
    for (const client::Violation& violation : error.violations) fields.insert(violation.subject);
    EXPECT_THAT(fields, ElementsAre(c.field));
  }
  EXPECT_EQ(Kept(), 0);
  EXPECT_THAT(ReadLedger(rig_.gateway.ledger_file()), IsEmpty());
  const grpc::Status good = SendMessage(RequestTo(kRecipient).SerializeAsString());
  EXPECT_TRUE(good.ok()) << good.error_message();
  EXPECT_EQ(Kept(), 2);
}

TEST_F(RawBytesTest, ARequestThatIsTooLargeIsRefusedByGrpcWithItsCodeAlone) {
  const std::string large = RequestTo(kRecipient, std::string(300 * 1024, 'a')).SerializeAsString();
  const grpc::Status status = SendMessage(large);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_EQ(status.error_details(), "");
  EXPECT_EQ(Kept(), 0);
}

}  // namespace
}  // namespace postrider
