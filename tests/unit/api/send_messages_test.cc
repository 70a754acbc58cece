// SendMessages: through gRPC, and its session alone where the order of events matters.
#include <gmock/gmock.h>

#include "server/api/convert.h"
#include "server/api/send_session.h"
#include "tests/support/await.h"
#include "tests/unit/api/message_service_fixture.h"

namespace postrider {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using SendCall =
    grpc::ClientReaderWriterInterface<v1::SendMessagesRequest, v1::SendMessagesResponse>;

class SendMessagesTest : public MessageServiceTest {
 protected:
  std::unique_ptr<SendCall> Open(const std::string& token = "good") {
    context_ = Context(token);
    return stub_->SendMessages(context_.get());
  }
  static v1::SendMessagesRequest One(const v1::SendMessageRequest& request) {
    v1::SendMessagesRequest message;
    *message.mutable_request() = request;
    return message;
  }
  static Decoded RefusalOf(const v1::SendMessagesResponse& verdict) {
    const google::rpc::Status& status = verdict.refused().status();
    return Decoded({static_cast<grpc::StatusCode>(status.code()), status.message(),
                    status.SerializeAsString()});
  }
};

TEST_F(SendMessagesTest, EachIsAnsweredInItsOrderAndARefusedOneEndsNothingElse) {
  const auto call = Open();
  v1::SendMessageRequest bad = Good("order-2");
  bad.set_recipient("nobody");
  v1::SendMessageRequest reused = Good("order-1");
  reused.set_text("another text");
  for (const v1::SendMessageRequest& request :
       {Good("order-1"), bad, Good("order-1"), reused, Good("order-3")}) {
    ASSERT_TRUE(call->Write(One(request)));
  }
  ASSERT_TRUE(call->WritesDone());
  std::vector<std::string> said;
  std::vector<std::string> message_ids;
  v1::SendMessagesResponse verdict;
  while (call->Read(&verdict)) {
    const bool accepted = verdict.has_accepted();
    said.push_back(StrCat(verdict.request_id(), " ",
                          !accepted                           ? RefusalOf(verdict).info.reason()
                          : verdict.accepted().deduplicated() ? "again"
                                                              : "new"));
    if (accepted) message_ids.push_back(verdict.accepted().message().message_id());
  }
  EXPECT_TRUE(call->Finish().ok());
  EXPECT_THAT(said, ElementsAre("order-1 new", "order-2 INVALID_FIELD", "order-1 again",
                                "order-1 REQUEST_ID_REUSED", "order-3 new"));
  ASSERT_EQ(message_ids.size(), 3U);
  EXPECT_EQ(message_ids[0], message_ids[1]);
  EXPECT_EQ(accepted_, 2);
}

TEST_F(SendMessagesTest, ARefusalSaysWhatSendMessageWould) {
  v1::SendMessageRequest bad = Good();
  bad.set_recipient("nobody");
  bad.set_sender("");
  v1::SendMessageResponse response;
  const grpc::Status alone = Send(bad, response);
  const auto call = Open();
  ASSERT_TRUE(call->Write(One(bad)));
  v1::SendMessagesResponse verdict;
  ASSERT_TRUE(call->Read(&verdict));
  EXPECT_EQ(verdict.refused().status().SerializeAsString(), alone.error_details());
  EXPECT_FALSE(verdict.refused().retryable());
  ASSERT_TRUE(call->WritesDone());
  EXPECT_TRUE(call->Finish().ok());
}

TEST_F(SendMessagesTest, WhatIsWorthRepeatingIsToldSo) {
  store_.FailNext(1, FakeStore::When::kBefore, "Accept");
  const auto call = Open();
  ASSERT_TRUE(call->Write(One(Good())));
  v1::SendMessagesResponse verdict;
  ASSERT_TRUE(call->Read(&verdict));
  EXPECT_EQ(RefusalOf(verdict).info.reason(), "STORE_UNAVAILABLE");
  EXPECT_TRUE(verdict.refused().retryable());
  ASSERT_TRUE(call->Write(One(Good())));
  ASSERT_TRUE(call->Read(&verdict));
  EXPECT_TRUE(verdict.has_accepted());
  ASSERT_TRUE(call->WritesDone());
  EXPECT_TRUE(call->Finish().ok());
}

TEST_F(SendMessagesTest, ADrainEndsAnIdleCallAndSaysSo) {
  const auto call = Open();
  ASSERT_TRUE(call->Write(One(Good())));
  v1::SendMessagesResponse verdict;
  ASSERT_TRUE(call->Read(&verdict));
  EXPECT_TRUE(verdict.has_accepted());
  service_.RefuseNewCalls();
  EXPECT_FALSE(call->Read(&verdict));
  const Decoded error(call->Finish());
  EXPECT_EQ(error.code, grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(error.info.reason(), "SERVER_DRAINING");
  EXPECT_TRUE(service_.AwaitCallsEnd(std::chrono::seconds(20)));
}

TEST_F(SendMessagesTest, AnEndedTokenTakesNoMoreAndEndsTheCall) {
  ApiTokenRow row;
  row.token_sha256 = Sha256Bytes("short");
  row.tenant_id = kTenant;
  row.scopes = {"send"};
  row.expires_at = clock_.Wall() + std::chrono::seconds(10);
  ASSERT_TRUE(store_.AddToken(row).ok());
  const auto call = Open("short");
  ASSERT_TRUE(call->Write(One(Good("order-1"))));
  v1::SendMessagesResponse verdict;
  ASSERT_TRUE(call->Read(&verdict));
  clock_.Advance(kTokenRecheck + std::chrono::seconds(1));
  ASSERT_TRUE(call->Write(One(Good("order-2"))));
  ASSERT_TRUE(call->Read(&verdict));
  EXPECT_EQ(RefusalOf(verdict).info.reason(), "TOKEN_EXPIRED") << "not taken, not even one";
  EXPECT_FALSE(call->Read(&verdict));
  EXPECT_EQ(Decoded(call->Finish()).info.reason(), "TOKEN_EXPIRED");
  EXPECT_EQ(accepted_, 1);
}

TEST_F(SendMessagesTest, ACallerThatGoesAwayIsForgottenAndWhatItSentIsKept) {
  {
    const auto call = Open();
    ASSERT_TRUE(call->Write(One(Good())));
    v1::SendMessagesResponse verdict;
    ASSERT_TRUE(call->Read(&verdict));
    context_->TryCancel();
    EXPECT_EQ(call->Finish().error_code(), grpc::StatusCode::CANCELLED);
  }
  EXPECT_TRUE(service_.AwaitCallsEnd(std::chrono::seconds(20)));
  v1::SendMessageResponse again;
  ASSERT_TRUE(Send(Good(), again).ok());
  EXPECT_TRUE(again.deduplicated());
}

TEST_F(SendMessagesTest, MoreCallsThanATenantMayHaveAreRefused) {
  std::vector<std::unique_ptr<grpc::ClientContext>> contexts;
  std::vector<std::unique_ptr<SendCall>> calls;
  v1::SendMessagesResponse verdict;
  for (std::size_t i = 0; i < kMaxSendStreamsPerTenant; ++i) {
    contexts.push_back(Context());
    calls.push_back(stub_->SendMessages(contexts.back().get()));
    ASSERT_TRUE(calls.back()->Write(One(Good(StrCat("order-", i)))));
    ASSERT_TRUE(calls.back()->Read(&verdict)) << i;
  }
  const auto call = Open();
  EXPECT_FALSE(call->Read(&verdict));
  EXPECT_EQ(Decoded(call->Finish()).info.reason(), "TOO_MANY_STREAMS");
  EXPECT_EQ(Trailer("grpc-retry-pushback-ms"), "-1");
  for (const auto& open : calls) {
    ASSERT_TRUE(open->WritesDone());
    EXPECT_TRUE(open->Finish().ok());
  }
}

TEST_F(SendMessagesTest, OneThatCannotBeReadIsRefusedAlone) {
  const std::string path = "/postrider.v1.MessageService/SendMessages";
  EXPECT_TRUE(CallRaw(path, "\x0a\x03\x0a\x01\xff").ok());
  EXPECT_TRUE(CallRaw(path, "\xff\xff\xff").ok());
  EXPECT_EQ(store_.Calls("Accept"), 0);
  EXPECT_THAT(metrics_.Expose(), HasSubstr("verdict=\"refused\"} 2"));
}

/// A caller whose connection does what the test says.
class FakeSendSink final : public SendSink {
 public:
  void Read() override {
    MutexLock lock(mu_);
    EXPECT_FALSE(ended_);
    ++reads_;
  }
  void Write(const v1::SendMessagesResponse& verdict) override {
    MutexLock lock(mu_);
    EXPECT_FALSE(ended_);
    EXPECT_FALSE(writing_) << "one write at a time";
    writing_ = true;
    said_.push_back(verdict.request_id());
  }
  google::rpc::Status Refusal(const ApiError& error) override { return ToRpcStatus(error, "id"); }
  void End(const std::optional<ApiError>& error) override {
    MutexLock lock(mu_);
    EXPECT_FALSE(ended_) << "ends once";
    ended_ = true;
    reason_ = error ? error->reason : "OK";
  }

  int reads() const {
    MutexLock lock(mu_);
    return reads_;
  }
  std::vector<std::string> said() const {
    MutexLock lock(mu_);
    return said_;
  }
  /// Empty: it has not ended.
  std::string reason() const {
    MutexLock lock(mu_);
    return reason_;
  }
  /// Ends the write that is under way; false: none is.
  bool TakeWritten() {
    MutexLock lock(mu_);
    return std::exchange(writing_, false);
  }

 private:
  mutable Mutex mu_;
  int reads_ ABSL_GUARDED_BY(mu_) = 0;
  bool writing_ ABSL_GUARDED_BY(mu_) = false;
  bool ended_ ABSL_GUARDED_BY(mu_) = false;
  std::string reason_ ABSL_GUARDED_BY(mu_);
  std::vector<std::string> said_ ABSL_GUARDED_BY(mu_);
};

/// A session whose messages are not stored before the test says so.
class SendSessionTest : public SendMessagesTest {
 protected:
  SendSessionTest() {
    Caller caller;
    caller.tenant_id = kTenant;
    caller.token_sha256 = Sha256Bytes("good");
    caller.token = std::make_shared<const ApiTokenRow>();
    session_ = std::make_shared<SendSession>(SendSession::Parts{clock_, guard_, intake_, draining_},
                                             caller, sink_);
    session_->Begin();
  }

  void Take(const std::string& request_id) {
    session_->OnRead(One(Good(request_id)), std::nullopt);
  }
  /// As gRPC does it, until the session has ended.
  void WriteAll() {
    ASSERT_TRUE(Await([this] {
      while (sink_.TakeWritten()) session_->OnWritten(true);
      return !sink_.reason().empty();
    }));
  }

  std::atomic<bool> draining_ = false;
  AcceptCommit held_{clock_, metrics_, {.name = "held"}, [this](std::span<const NewMessage> batch) {
                       return store_.Accept(batch);
                     }};
  MessageIntake intake_{
      {clock_, random_, store_, held_, refusals_, tenants_, reads_, draining_, nullptr, nullptr}};
  FakeSendSink sink_;
  std::shared_ptr<SendSession> session_;
};

TEST_F(SendSessionTest, NoMoreIsReadThanTheWindowHolds) {
  std::vector<std::string> sent;
  for (std::size_t i = 0; i < kSendWindow; ++i) {
    ASSERT_EQ(sink_.reads(), static_cast<int>(i) + 1) << "each is asked for";
    sent.push_back(StrCat("order-", i));
    Take(sent.back());
  }
  EXPECT_EQ(sink_.reads(), static_cast<int>(kSendWindow)) << "none beyond the window";
  held_.Start();
  ASSERT_TRUE(Await([this] { return sink_.said().size() == 1; }));
  ASSERT_TRUE(sink_.TakeWritten());
  session_->OnWritten(true);
  EXPECT_EQ(sink_.reads(), static_cast<int>(kSendWindow) + 1) << "as one is answered, one is read";
  session_->OnReadsEnd();
  WriteAll();
  EXPECT_EQ(sink_.said(), sent);
  EXPECT_EQ(sink_.reason(), "OK");
}

TEST_F(SendSessionTest, NoMoreIsReadThanTheWindowsBytes) {
  constexpr std::size_t kBytes = 100'000;
  const auto most = static_cast<int>(kSendWindowBytes / kBytes) + 1;
  for (int i = 0; i < most; ++i) {
    ASSERT_EQ(sink_.reads(), i + 1);
    // As if it were valid: what is not is answered at once.
    v1::SendMessagesRequest message = One(Good(StrCat("order-", i)));
    message.mutable_request()
        ->GetReflection()
        ->MutableUnknownFields(message.mutable_request())
        ->AddLengthDelimited(900, std::string(kBytes, 'x'));
    session_->OnRead(std::move(message), std::nullopt);
  }
  EXPECT_EQ(sink_.reads(), most);
  held_.Start();
  session_->OnReadsEnd();
  WriteAll();
}

TEST_F(SendSessionTest, ADrainAnswersWhatWasTakenFirst) {
  Take("order-1");
  Take("order-2");
  draining_ = true;
  session_->Pump();
  EXPECT_EQ(sink_.reason(), "");
  held_.Start();
  WriteAll();
  EXPECT_THAT(sink_.said(), ElementsAre("order-1", "order-2"));
  EXPECT_EQ(sink_.reason(), "SERVER_DRAINING");
}

TEST_F(SendSessionTest, WhatIsReadWhileTheCallEndsIsNotTaken) {
  held_.Start();
  session_->Cancel();
  EXPECT_EQ(sink_.reason(), "CANCELLED");
  Take("order-1");  // the read that was under way
  session_->OnReadsEnd();
  EXPECT_TRUE(absl::IsNotFound(store_.GetMessageByRequest(kTenant, "order-1").status()));
  EXPECT_THAT(sink_.said(), ElementsAre());
}

TEST_F(SendSessionTest, ItDoesNotEndBeforeItHasBegun) {
  FakeSendSink sink;
  Caller caller;
  caller.tenant_id = kTenant;
  const auto session = std::make_shared<SendSession>(
      SendSession::Parts{clock_, guard_, intake_, draining_}, caller, sink);
  draining_ = true;
  session->Pump();  // a drain that finds it while it is made
  EXPECT_EQ(sink.reason(), "");
  session->Begin();
  EXPECT_EQ(sink.reason(), "SERVER_DRAINING");
}

TEST_F(SendSessionTest, AfterTheCallerHasGoneTheEndWaitsForTheStore) {
  Take("order-1");
  session_->Cancel();
  session_->OnReadsEnd();
  EXPECT_EQ(sink_.reason(), "") << "the store may still write into its messages";
  held_.Start();
  ASSERT_TRUE(Await([this] { return sink_.reason() == "CANCELLED"; }));
  EXPECT_THAT(sink_.said(), ElementsAre());
  EXPECT_TRUE(store_.GetMessageByRequest(kTenant, "order-1").ok());
}

}  // namespace
}  // namespace postrider
