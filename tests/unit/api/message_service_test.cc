#include "server/api/message_service.h"

#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include <gmock/gmock.h>
#include <grpcpp/channel.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/generic/generic_stub.h>
#include <gtest/gtest.h>

#include "server/api/grpc_server.h"
#include "server/base/digest.h"
#include "tests/support/event_log.h"
#include "tests/support/fake_clock.h"
#include "tests/support/fake_store.h"
#include "tests/unit/api/decoded_error.h"

namespace postrider {
namespace {

using testing::ElementsAre;
using testing::UnorderedElementsAre;

const TenantId kTenant{UuidOf(1)};

/// The service on a real gRPC server, over a store in memory.
class MessageServiceTest : public testing::Test {
 protected:
  MessageServiceTest() {
    TenantRow tenant;
    tenant.tenant_id = kTenant;
    tenant.name = "one";
    tenant.client_id = "client-1";
    tenant.senders = {{{UuidOf(101)}, "+15559876543"}};
    EXPECT_TRUE(store_.PutTenant(tenant).ok());
    AddToken("good", {"send", "read"});
    AddToken("sender", {"send"});
    AddToken("reader", {"read"});
    EXPECT_TRUE(tenants_.Refresh().ok());
    reads_.Start();
    accept_.Start();
    const absl::StatusOr<int> port = server_.Start();
    EXPECT_TRUE(port.ok()) << port.status();
    channel_ = grpc::CreateChannel(StrCat("127.0.0.1:", *port), grpc::InsecureChannelCredentials());
    stub_ = v1::MessageService::NewStub(channel_);
  }
  ~MessageServiceTest() override {
    service_.RefuseNewCalls();
    service_.EndStreams();
    server_.Drain(std::chrono::seconds(10));
    reads_.Drain();
  }

  void AddToken(const std::string& token, std::vector<std::string> scopes) {
    ApiTokenRow row;
    row.token_sha256 = Sha256Bytes(token);
    row.tenant_id = kTenant;
    row.scopes = std::move(scopes);
    EXPECT_TRUE(store_.AddToken(row).ok());
  }
  /// As the event feed does it.
  void Publish() {
    clock_.Advance(std::chrono::milliseconds(25));
    const Tick tick = *store_.MakeTick();
    EventBatch batch{published_, tick, {}};
    if (published_.number != 0) batch.events = *store_.EventsBetween(published_, tick, {});
    hub_.Publish(std::make_shared<const EventBatch>(std::move(batch)));
    published_ = tick;
  }

  static std::unique_ptr<grpc::ClientContext> Context(const std::string& token = "good") {
    auto context = std::make_unique<grpc::ClientContext>();
    if (!token.empty()) context->AddMetadata("authorization", "Bearer " + token);
    context->set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
    return context;
  }
  static v1::SendMessageRequest Good(const std::string& request_id = "order-1") {
    v1::SendMessageRequest request;
    request.set_request_id(request_id);
    request.set_recipient("+15551234567");
    request.set_sender("+15559876543");
    request.set_text("hello");
    return request;
  }
  grpc::Status Send(const v1::SendMessageRequest& request, v1::SendMessageResponse& response,
                    const std::string& token = "good") {
    context_ = Context(token);
    return stub_->SendMessage(context_.get(), request, &response);
  }
  grpc::Status Cancel(const std::string& message_id) {
    v1::CancelMessageRequest request;
    request.set_message_id(message_id);
    v1::CancelMessageResponse response;
    return stub_->CancelMessage(Context().get(), request, &response);
  }
  std::string Trailer(const std::string& name) {
    const auto& trailers = context_->GetServerTrailingMetadata();
    const auto found = trailers.find(name);
    return found == trailers.end() ? "" : std::string(found->second.data(), found->second.size());
  }

  FakeClock clock_;
  SeededRandom random_{7};
  FakeStore store_{clock_};
  Metrics metrics_;
  ReadPool reads_{metrics_, {.workers = 2}};
  Guard guard_{clock_, store_, reads_};
  TenantDirectory tenants_{store_};
  Hub hub_{metrics_};
  AcceptCommit accept_{
      clock_, metrics_, {.name = "accept"}, [this](std::span<const NewMessage> batch) {
        return store_.Accept(batch);
      }};
  std::atomic<int> accepted_ = 0;
  MessageService service_{{clock_, random_, metrics_, store_, accept_, tenants_, guard_, reads_,
                           hub_, [this](TenantId) { ++accepted_; }}};
  GrpcServer server_{{}, {&service_}};
  Tick published_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<v1::MessageService::Stub> stub_;
  std::unique_ptr<grpc::ClientContext> context_;
};

TEST_F(MessageServiceTest, EveryRpcRefusesAnAnonymousCall) {
  const google::protobuf::ServiceDescriptor* service =
      google::protobuf::DescriptorPool::generated_pool()->FindServiceByName(
          v1::MessageService::service_full_name());
  ASSERT_NE(service, nullptr);
  ASSERT_GE(service->method_count(), 4);
  grpc::GenericStub anyone(channel_);
  for (int i = 0; i < service->method_count(); ++i) {
    SCOPED_TRACE(service->method(i)->full_name());
    const std::string path = StrCat("/", service->full_name(), "/", service->method(i)->name());
    grpc::CompletionQueue queue;
    const auto context = Context("");
    const auto call = anyone.PrepareCall(context.get(), path, &queue);
    void* tag = nullptr;
    bool ok = false;
    const auto wait = [&] { ASSERT_TRUE(queue.Next(&tag, &ok)); };
    call->StartCall(nullptr);
    wait();
    call->WriteLast(grpc::ByteBuffer(nullptr, 0), grpc::WriteOptions(), nullptr);
    wait();
    grpc::Status status;
    call->Finish(&status, nullptr);
    wait();
    EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAUTHENTICATED);
    EXPECT_EQ(Decoded(status).info.reason(), "TOKEN_MISSING");
    queue.Shutdown();
  }
}

TEST_F(MessageServiceTest, EachScopeOpensItsOwnCallsOnly) {
  v1::SendMessageResponse sent;
  EXPECT_EQ(Decoded(Send(Good(), sent, "reader")).info.reason(), "SCOPE_MISSING");
  v1::GetStatusRequest request;
  request.set_request_id("order-1");
  v1::GetStatusResponse response;
  const auto status = stub_->GetStatus(Context("sender").get(), request, &response);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::PERMISSION_DENIED);
  EXPECT_EQ(Decoded(status).info.reason(), "SCOPE_MISSING");
}

TEST_F(MessageServiceTest, AnAcceptedMessageIsAnsweredAsStored) {
  v1::SendMessageRequest request = Good();
  (*request.mutable_metadata())["order"] = "1";
  request.set_text("it’s ready");
  v1::SendMessageResponse response;
  const grpc::Status status = Send(request, response);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_FALSE(response.deduplicated());
  EXPECT_EQ(response.segment_count(), 1);
  EXPECT_EQ(response.encoding(), v1::TEXT_ENCODING_UCS2);
  EXPECT_EQ(response.warnings_size(), 1);
  EXPECT_EQ(accepted_, 1);
  v1::GetStatusRequest ask;
  ask.set_message_id(response.message().message_id());
  v1::GetStatusResponse stored;
  ASSERT_TRUE(stub_->GetStatus(Context().get(), ask, &stored).ok());
  EXPECT_EQ(stored.message().SerializeAsString(), response.message().SerializeAsString())
      << stored.message().DebugString() << response.message().DebugString();
  EXPECT_EQ(stored.history_size(), 1);
  ask.set_request_id("order-1");
  ASSERT_TRUE(stub_->GetStatus(Context().get(), ask, &stored).ok());
  EXPECT_EQ(stored.message().message_id(), response.message().message_id());
}

TEST_F(MessageServiceTest, AllViolationsComeAtOnceInDecodableDetails) {
  v1::SendMessageResponse response;
  const grpc::Status status = Send(v1::SendMessageRequest(), response);
  const Decoded error(status);
  EXPECT_EQ(error.code, grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(error.info.reason(), "INVALID_FIELD");
  std::vector<std::string> fields;
  for (const auto& violation : error.bad_request.field_violations()) {
    fields.push_back(violation.field());
  }
  EXPECT_THAT(fields, UnorderedElementsAre("request_id", "recipient", "sender", "text"));
  EXPECT_NE(Trailer("postrider-call-id"), "");
  EXPECT_EQ(Trailer("grpc-retry-pushback-ms"), "");
  EXPECT_TRUE(context_->GetServerInitialMetadata().find("postrider-call-id") ==
              context_->GetServerInitialMetadata().end());
}

TEST_F(MessageServiceTest, TextThatIsNotUtf8IsRefusedAtTheEdge) {
  v1::SendMessageRequest request = Good();
  request.set_text("caf\xe9");
  v1::SendMessageResponse response;
  const grpc::Status status = Send(request, response);
  // protobuf does not parse it and no handler sees it; gRPC 1.51 calls that UNIMPLEMENTED. Clients'
  // own libraries do not send such text.
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNIMPLEMENTED);
  EXPECT_EQ(accepted_, 0);
  EXPECT_EQ(store_.Calls("Accept"), 0);
}

TEST_F(MessageServiceTest, ARepeatGivesTheFirstMessageInItsCurrentState) {
  v1::SendMessageResponse first;
  ASSERT_TRUE(Send(Good(), first).ok());
  ASSERT_TRUE(Cancel(first.message().message_id()).ok());
  v1::SendMessageResponse repeat;
  ASSERT_TRUE(Send(Good(), repeat).ok());
  EXPECT_TRUE(repeat.deduplicated());
  EXPECT_EQ(repeat.message().message_id(), first.message().message_id());
  EXPECT_EQ(repeat.message().status().state(), v1::MESSAGE_STATE_CANCELLED);
  EXPECT_EQ(accepted_, 1);
}

TEST_F(MessageServiceTest, AReusedRequestIdNamesTheDifferingFields) {
  v1::SendMessageResponse response;
  ASSERT_TRUE(Send(Good(), response).ok());
  v1::SendMessageRequest other = Good();
  other.set_text("another");
  other.set_priority(v1::PRIORITY_BULK);
  const Decoded error(Send(other, response));
  EXPECT_EQ(error.code, grpc::StatusCode::ALREADY_EXISTS);
  EXPECT_EQ(error.info.reason(), "REQUEST_ID_REUSED");
  EXPECT_EQ(error.info.metadata().at("fields"), "text,priority");
}

TEST_F(MessageServiceTest, ValidateOnlyKeepsNothing) {
  v1::SendMessageRequest request = Good();
  request.set_validate_only(true);
  v1::SendMessageResponse response;
  ASSERT_TRUE(Send(request, response).ok());
  EXPECT_EQ(response.message().message_id(), "");
  EXPECT_EQ(response.segment_count(), 1);
  EXPECT_EQ(store_.Calls("Accept"), 0);
  request.clear_sender();
  EXPECT_EQ(Decoded(Send(request, response)).info.reason(), "INVALID_FIELD");
}

TEST_F(MessageServiceTest, RefusalsOfTheStoreTable) {
  store_.Suppress(kTenant, "+15557777777");
  v1::SendMessageResponse response;
  v1::SendMessageRequest request = Good("a");
  request.set_recipient("+15557777777");
  Decoded error(Send(request, response));
  EXPECT_EQ(error.code, grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_EQ(error.info.reason(), "RECIPIENT_OPTED_OUT");
  EXPECT_EQ(error.precondition.violations_size(), 1);

  ASSERT_TRUE(Send(Good("b"), response).ok());
  request = Good("c");
  request.set_conversation_id(UuidOf(77).ToString());
  error = Decoded(Send(request, response));
  EXPECT_EQ(error.info.reason(), "CONVERSATION_MISMATCH");
  EXPECT_EQ(error.info.metadata().at("conversation_id"), response.message().conversation_id());
  EXPECT_EQ(accepted_, 1);
}

TEST_F(MessageServiceTest, TheStoreBeingAwayIsUnavailableWithATimeToComeBack) {
  store_.FailNext(1, FakeStore::When::kBefore, "Accept");
  v1::SendMessageResponse response;
  const Decoded error(Send(Good(), response));
  EXPECT_EQ(error.code, grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(error.info.reason(), "STORE_UNAVAILABLE");
  EXPECT_TRUE(error.has_retry);
  EXPECT_EQ(Trailer("grpc-retry-pushback-ms"), "1000");
  EXPECT_TRUE(Send(Good(), response).ok());
}

TEST_F(MessageServiceTest, AnInternalErrorTellsNothingButItsId) {
  store_.Poison("boom");
  v1::SendMessageRequest request = Good();
  request.set_text("boom");
  v1::SendMessageResponse response;
  const Decoded error(Send(request, response));
  EXPECT_EQ(error.code, grpc::StatusCode::INTERNAL);
  EXPECT_EQ(error.info.reason(), "INTERNAL");
  EXPECT_EQ(error.request.request_id(), Trailer("postrider-call-id"));
}

TEST_F(MessageServiceTest, UnknownMessagesAreNotFound) {
  v1::GetStatusRequest request;
  request.set_message_id(UuidOf(99).ToString());
  v1::GetStatusResponse response;
  const auto status = stub_->GetStatus(Context().get(), request, &response);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::NOT_FOUND);
  EXPECT_EQ(Decoded(status).info.reason(), "MESSAGE_NOT_FOUND");
  EXPECT_EQ(Decoded(Cancel(UuidOf(99).ToString())).info.reason(), "MESSAGE_NOT_FOUND");
}

TEST_F(MessageServiceTest, ADrainingServerSendsCallersAway) {
  service_.RefuseNewCalls();
  v1::SendMessageResponse response;
  const Decoded error(Send(Good(), response));
  EXPECT_EQ(error.code, grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(error.info.reason(), "SERVER_DRAINING");
  EXPECT_TRUE(error.has_retry);
}

TEST_F(MessageServiceTest, AStreamCarriesSnapshotChangesAndEndsWhenAllIsFinal) {
  Publish();
  v1::SendMessageResponse sent;
  ASSERT_TRUE(Send(Good(), sent).ok());
  Publish();
  v1::StreamStatusRequest request;
  request.add_message_ids(sent.message().message_id());
  request.set_until_final(true);
  request.set_include_snapshot(true);
  const auto context = Context();
  const auto reader = stub_->StreamStatus(context.get(), request);
  v1::StreamStatusResponse element;
  ASSERT_TRUE(reader->Read(&element));
  EXPECT_TRUE(element.has_checkpoint());
  ASSERT_TRUE(reader->Read(&element));
  EXPECT_EQ(element.snapshot().status().state(), v1::MESSAGE_STATE_QUEUED);
  ASSERT_TRUE(Cancel(sent.message().message_id()).ok());
  Publish();
  ASSERT_TRUE(reader->Read(&element));
  EXPECT_EQ(element.change().state(), v1::MESSAGE_STATE_CANCELLED);
  EXPECT_TRUE(element.change().final());
  EXPECT_EQ(element.change().revision(), 2);
  EXPECT_FALSE(reader->Read(&element));
  EXPECT_TRUE(reader->Finish().ok());
}

TEST_F(MessageServiceTest, ADrainEndsStreamsWithALastCheckpoint) {
  Publish();
  const auto context = Context();
  const auto reader = stub_->StreamStatus(context.get(), v1::StreamStatusRequest());
  v1::StreamStatusResponse element;
  ASSERT_TRUE(reader->Read(&element));
  service_.EndStreams();
  ASSERT_TRUE(reader->Read(&element));
  EXPECT_TRUE(element.has_checkpoint());
  EXPECT_FALSE(reader->Read(&element));
  const Decoded error(reader->Finish());
  EXPECT_EQ(error.info.reason(), "SERVER_DRAINING");
  EXPECT_EQ(error.info.metadata().at("resume_token"), element.resume_token());
}

TEST_F(MessageServiceTest, StreamsThatCallersLeaveAreForgotten) {
  Publish();
  {
    const auto context = Context();
    const auto reader = stub_->StreamStatus(context.get(), v1::StreamStatusRequest());
    v1::StreamStatusResponse element;
    ASSERT_TRUE(reader->Read(&element));
    context->TryCancel();
    EXPECT_EQ(reader->Finish().error_code(), grpc::StatusCode::CANCELLED);
  }
  server_.Drain(std::chrono::seconds(10));  // waits for the server's side
  EXPECT_EQ(hub_.subscriptions(), 0U);
}

TEST_F(MessageServiceTest, ABadResumeTokenIsAnInvalidField) {
  v1::StreamStatusRequest request;
  request.set_resume_token("nonsense");
  const auto context = Context();
  const auto reader = stub_->StreamStatus(context.get(), request);
  v1::StreamStatusResponse element;
  EXPECT_FALSE(reader->Read(&element));
  const Decoded error(reader->Finish());
  EXPECT_EQ(error.code, grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(error.info.reason(), "RESUME_TOKEN_INVALID");
  EXPECT_EQ(error.bad_request.field_violations(0).field(), "resume_token");
}

}  // namespace
}  // namespace postrider
