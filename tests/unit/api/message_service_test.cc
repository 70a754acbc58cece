#include <gmock/gmock.h>

#include "server/api/convert.h"
#include "tests/unit/api/message_service_fixture.h"

namespace postrider {
namespace {

using testing::ElementsAre;
using testing::UnorderedElementsAre;

TEST_F(MessageServiceTest, EveryRpcRefusesAnAnonymousCall) {
  const google::protobuf::ServiceDescriptor* service =
      google::protobuf::DescriptorPool::generated_pool()->FindServiceByName(
          v1::MessageService::service_full_name());
  ASSERT_NE(service, nullptr);
  ASSERT_GE(service->method_count(), 4);
  for (int i = 0; i < service->method_count(); ++i) {
    SCOPED_TRACE(service->method(i)->full_name());
    const std::string path = StrCat("/", service->full_name(), "/", service->method(i)->name());
    const grpc::Status status = CallRaw(path, "", "");
    EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAUTHENTICATED);
    EXPECT_EQ(Decoded(status).info.reason(), "TOKEN_MISSING");
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

TEST_F(MessageServiceTest, EveryAnswerTellsTheLastChangeAsGetStatusDoes) {
  v1::SendMessageResponse sent;
  ASSERT_TRUE(Send(Good(), sent).ok());
  v1::CancelMessageRequest cancel;
  cancel.set_message_id(sent.message().message_id());
  v1::CancelMessageResponse cancelled;
  ASSERT_TRUE(stub_->CancelMessage(Context().get(), cancel, &cancelled).ok());
  EXPECT_EQ(cancelled.message().status().cause(), v1::CAUSE_CANCEL_REQUESTED);
  EXPECT_EQ(cancelled.message().status().previous(), v1::MESSAGE_STATE_QUEUED);
  v1::GetStatusRequest ask;
  ask.set_message_id(sent.message().message_id());
  v1::GetStatusResponse asked;
  ASSERT_TRUE(stub_->GetStatus(Context().get(), ask, &asked).ok());
  v1::SendMessageResponse repeat;
  ASSERT_TRUE(Send(Good(), repeat).ok());
  EXPECT_EQ(cancelled.message().DebugString(), asked.message().DebugString());
  EXPECT_EQ(repeat.message().DebugString(), asked.message().DebugString());
}

TEST_F(MessageServiceTest, WhatWasErasedOfAMessageSaysSo) {
  v1::SendMessageResponse sent;
  ASSERT_TRUE(Send(Good(), sent).ok());
  EXPECT_FALSE(sent.message().text_erased());
  EXPECT_FALSE(sent.message().recipient_erased());
  ASSERT_TRUE(Cancel(sent.message().message_id()).ok());
  TenantRow tenant = store_.LoadTenants()->front();
  tenant.keep_texts_days = 31;
  ASSERT_TRUE(store_.PutTenant(tenant).ok());
  clock_.Advance(std::chrono::days(40));
  ASSERT_EQ(store_.EraseSome()->texts, 1);
  v1::GetStatusRequest ask;
  ask.set_message_id(sent.message().message_id());
  v1::GetStatusResponse stored;
  ASSERT_TRUE(stub_->GetStatus(Context().get(), ask, &stored).ok());
  EXPECT_TRUE(stored.message().text_erased());
  EXPECT_EQ(stored.message().text(), "");
  EXPECT_FALSE(stored.message().recipient_erased());
  EXPECT_EQ(stored.message().recipient(), Good().recipient());
  EXPECT_EQ(stored.message().status().state(), v1::MESSAGE_STATE_CANCELLED);
}

TEST_F(MessageServiceTest, ARepeatAfterItsTimeHasPassedGivesTheFirstMessage) {
  v1::SendMessageRequest request = Good();
  ToProto(clock_.Wall() + std::chrono::minutes(1), *request.mutable_expire_at());
  v1::SendMessageResponse first;
  ASSERT_TRUE(Send(request, first).ok());
  clock_.Advance(std::chrono::minutes(2));
  v1::SendMessageResponse repeat;
  const grpc::Status status = Send(request, repeat);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_TRUE(repeat.deduplicated());
  EXPECT_EQ(repeat.message().message_id(), first.message().message_id());
  EXPECT_EQ(repeat.message().status().cause(), v1::CAUSE_ACCEPTED);
  EXPECT_EQ(repeat.segment_count(), 1);
  EXPECT_EQ(accepted_, 1);

  v1::SendMessageRequest other = request;
  other.set_text("another");
  const Decoded reused(Send(other, repeat));
  EXPECT_EQ(reused.info.reason(), "REQUEST_ID_REUSED");
  EXPECT_EQ(reused.info.metadata().at("fields"), "text");

  request.set_request_id("never-seen");
  const Decoded late(Send(request, repeat));
  EXPECT_EQ(late.info.reason(), "INVALID_FIELD");
  EXPECT_EQ(late.bad_request.field_violations(0).field(), "expire_at");

  store_.FailNext(1, FakeStore::When::kBefore, "GetMessageByRequest");
  EXPECT_EQ(Decoded(Send(request, repeat)).info.reason(), "STORE_UNAVAILABLE");
}

TEST_F(MessageServiceTest, OnlyLatenessIsLookedUp) {
  v1::SendMessageResponse response;
  v1::SendMessageRequest request = Good();
  ASSERT_TRUE(Send(request, response).ok());
  ToProto(clock_.Wall(), *request.mutable_expire_at());
  request.set_recipient("nobody");
  const Decoded error(Send(request, response));
  EXPECT_EQ(error.info.reason(), "INVALID_FIELD");
  EXPECT_EQ(error.bad_request.field_violations_size(), 2);
  EXPECT_EQ(store_.Calls("GetMessageByRequest"), 0);
}

TEST_F(MessageServiceTest, TheTimeOfAcceptanceIsTheStores) {
  store_.BeforeEach([this](const std::string& operation) {
    if (operation == "Accept") clock_.Advance(std::chrono::seconds(5));
  });
  v1::SendMessageResponse response;
  v1::SendMessageRequest request = Good();
  ToProto(clock_.Wall() + std::chrono::seconds(3), *request.mutable_not_before());
  ASSERT_TRUE(Send(request, response).ok());
  v1::GetStatusRequest ask;
  ask.set_message_id(response.message().message_id());
  v1::GetStatusResponse stored;
  ASSERT_TRUE(stub_->GetStatus(Context().get(), ask, &stored).ok());
  EXPECT_EQ(stored.message().DebugString(), response.message().DebugString());
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

TEST_F(MessageServiceTest, ValidateOnlyTellsWhatOnlyTheStoreKnowsButNotWhatPasses) {
  store_.Suppress(kTenant, "+15557777777");
  v1::SendMessageResponse response;
  v1::SendMessageRequest request = Good("a");
  request.set_validate_only(true);
  request.set_recipient("+15557777777");
  EXPECT_EQ(Decoded(Send(request, response)).info.reason(), "RECIPIENT_OPTED_OUT");

  ASSERT_TRUE(Send(Good("b"), response).ok());
  const std::string conversation = response.message().conversation_id();
  request = Good("c");
  request.set_validate_only(true);
  request.set_conversation_id(UuidOf(77).ToString());
  const Decoded mismatch(Send(request, response));
  EXPECT_EQ(mismatch.info.reason(), "CONVERSATION_MISMATCH");
  EXPECT_EQ(mismatch.info.metadata().at("conversation_id"), conversation);
  request.set_conversation_id(conversation);
  EXPECT_TRUE(Send(request, response).ok());
  EXPECT_EQ(response.message().message_id(), "");
  EXPECT_EQ(accepted_, 1);

  store_.FailNext(1, FakeStore::When::kBefore, "WouldAccept");
  EXPECT_EQ(Decoded(Send(request, response)).info.reason(), "STORE_UNAVAILABLE");
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
