// The contract's table of errors, over the wire: what a caller's program sees of each.
#include <functional>
#include <tuple>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "server/fanout/resume_token.h"
#include "tests/unit/api/message_service_fixture.h"

namespace postrider {
namespace {

enum class Detail { kNone, kBadRequest, kPrecondition, kRequestInfo, kQuota };

class ErrorTableTest : public MessageServiceTest {
 protected:
  ErrorTableTest() {
    TenantRow other;
    other.tenant_id = {UuidOf(2)};
    other.name = "two";
    other.client_id = "client-2";
    other.senders = {{{UuidOf(102)}, "+15550002222"}};
    EXPECT_TRUE(store_.PutTenant(other).ok());
    TenantRow strict;
    strict.tenant_id = {UuidOf(3)};
    strict.name = "three";
    strict.client_id = "client-3";
    strict.strict = true;
    strict.senders = {{{UuidOf(103)}, "+15559876543"}};
    EXPECT_TRUE(store_.PutTenant(strict).ok());
    TenantRow full;
    full.tenant_id = {UuidOf(4)};
    full.name = "four";
    full.client_id = "client-4";
    full.rate_per_s = 0.001;
    full.queue_limit = 1;
    full.senders = {{{UuidOf(104)}, "+15559876543"}};
    EXPECT_TRUE(store_.PutTenant(full).ok());
    TenantRow spent;
    spent.tenant_id = {UuidOf(5)};
    spent.name = "five";
    spent.client_id = "client-5";
    spent.daily_quota = 0;
    spent.senders = {{{UuidOf(105)}, "+15559876543"}};
    EXPECT_TRUE(store_.PutTenant(spent).ok());
    TenantRow night;
    night.tenant_id = {UuidOf(6)};
    night.name = "six";
    night.client_id = "client-6";
    night.default_class = CampaignClass::kMarketing;
    night.quiet = {.on = true, .own = HourSpan{0, 1439}, .default_zone = "UTC"};
    night.senders = {{{UuidOf(106)}, "+15559876543"}};
    EXPECT_TRUE(store_.PutTenant(night).ok());
    EXPECT_TRUE(tenants_.Refresh().ok());
    for (const auto& [token, tenant, expires] :
         {std::tuple("strict", strict.tenant_id, WallTime{}),
          std::tuple("full", full.tenant_id, WallTime{}),
          std::tuple("spent", spent.tenant_id, WallTime{}),
          std::tuple("night", night.tenant_id, WallTime{}),
          std::tuple("old", kTenant, clock_.Wall() - std::chrono::seconds(1))}) {
      ApiTokenRow row;
      row.token_sha256 = Sha256Bytes(token);
      row.tenant_id = tenant;
      row.scopes = {"send", "read"};
      row.expires_at = expires;
      EXPECT_TRUE(store_.AddToken(row).ok());
    }
    Publish();
  }

  /// Sends what `edit` makes of a good request of a fresh request_id.
  grpc::Status SendEdited(const std::function<void(v1::SendMessageRequest&)>& edit,
                          const std::string& token = "good") {
    v1::SendMessageRequest request = Good(StrCat("edited-", ++requests_));
    edit(request);
    return Send(request, response_, token);
  }
  void OpenBreakerFor(std::chrono::seconds time) {
    EXPECT_TRUE(store_
                    .OverrideBreaker({kTenant, Breaker::kCarrier}, BreakerState::kOpen,
                                     clock_.Wall() + time, {{}, "ops", "test"})
                    .ok());
    EXPECT_TRUE(breakers_.Refresh().ok());
  }
  grpc::Status Resume(const std::string& resume_token) {
    v1::StreamStatusRequest request;
    request.set_resume_token(resume_token);
    context_ = Context();
    const auto reader = stub_->StreamStatus(context_.get(), request);
    v1::StreamStatusResponse element;
    while (reader->Read(&element)) {
    }
    return reader->Finish();
  }
  grpc::Status CancelKept(const std::string& message_id) {
    v1::CancelMessageRequest request;
    request.set_message_id(message_id);
    v1::CancelMessageResponse response;
    context_ = Context();
    return stub_->CancelMessage(context_.get(), request, &response);
  }
  /// Puts the message on its way, as a dispatcher does.
  void Intend(const std::string& message_id) {
    const ReplicaId replica{UuidOf(900)};
    ASSERT_TRUE(store_.RenewReplica(replica, "test").ok());
    const auto leases = store_.AcquireSlots(replica);
    ASSERT_TRUE(leases.ok());
    const MessageKey key{kTenant, *MessageId::Parse(message_id)};
    const auto intents = store_.Intend(replica, leases->owned, {&key, 1});
    ASSERT_TRUE(intents.ok()) << intents.status();
  }
  /// One stream more than the tenant may have.
  grpc::Status OneStreamTooMany() {
    std::vector<std::unique_ptr<grpc::ClientContext>> contexts;
    std::vector<std::unique_ptr<grpc::ClientReader<v1::StreamStatusResponse>>> open;
    for (int i = 0; i < 4; ++i) {
      contexts.push_back(Context());
      open.push_back(stub_->StreamStatus(contexts.back().get(), v1::StreamStatusRequest()));
      v1::StreamStatusResponse element;
      EXPECT_TRUE(open.back()->Read(&element));
    }
    const grpc::Status refused = Resume("");
    for (std::size_t i = 0; i < open.size(); ++i) {
      contexts[i]->TryCancel();
      open[i]->Finish();
    }
    return refused;
  }

  v1::SendMessageResponse response_;
  int requests_ = 0;
};

// STREAM_TOO_SLOW, which comes without details, is in slow_reader_test.cc.
TEST_F(ErrorTableTest, EveryErrorHasItsCodeItsReasonAndWhatProgramsGoBy) {
  using Code = grpc::StatusCode;
  ASSERT_TRUE(Send(Good("first"), response_).ok());
  const std::string leaving = response_.message().message_id();
  Intend(leaving);
  v1::SendMessageRequest for_another = Good("another");
  for_another.set_recipient("+15551110000");
  ASSERT_TRUE(Send(for_another, response_).ok());
  const std::string anothers_conversation = response_.message().conversation_id();
  store_.Suppress(kTenant, "+15557777777");
  store_.Poison("boom");
  const std::string nobodys = UuidOf(99).ToString();
  EventPosition lost;
  lost.after = {published_.number, UuidOf(666), {}};

  struct Case {
    const char* name;
    std::function<grpc::Status()> call;
    Code code;
    const char* reason;
    Detail detail = Detail::kNone;
    const char* pushback = "";  ///< A pattern. Of a time there is RetryInfo, too.
  };
  const auto edited = [this](auto edit, const char* token = "good") {
    return [this, edit, token] { return SendEdited(edit, token); };
  };
  const auto as_is = [](v1::SendMessageRequest&) {};
  const Case cases[] = {
      {"a bad field", edited([](auto& r) { r.set_recipient("12"); }), Code::INVALID_ARGUMENT,
       "INVALID_FIELD", Detail::kBadRequest},
      {"a strict tenant and no conversation", edited(as_is, "strict"), Code::INVALID_ARGUMENT,
       "CONVERSATION_REQUIRED", Detail::kBadRequest},
      {"a conversation that is not this contact's",
       edited([&](auto& r) { r.set_conversation_id(nobodys); }), Code::FAILED_PRECONDITION,
       "CONVERSATION_MISMATCH", Detail::kPrecondition},
      {"another contact's conversation", edited([&](auto& r) {
         r.set_external_contact_id("somebody");
         r.set_conversation_id(anothers_conversation);
       }),
       Code::FAILED_PRECONDITION, "CONTACT_MISMATCH", Detail::kPrecondition},
      {"a recipient who opted out", edited([](auto& r) { r.set_recipient("+15557777777"); }),
       Code::FAILED_PRECONDITION, "RECIPIENT_OPTED_OUT", Detail::kPrecondition},
      {"marketing by night that expires before the morning",
       edited(
           [&](auto& r) {
             r.set_recipient("+4915112345678");
             r.mutable_expire_at()->set_seconds((clock_.Wall() + 600s).time_since_epoch() / 1s);
           },
           "night"),
       Code::FAILED_PRECONDITION, "QUIET_HOURS", Detail::kPrecondition},
      {"nobody's sender", edited([](auto& r) { r.set_sender("+15550009999"); }),
       Code::FAILED_PRECONDITION, "SENDER_NOT_REGISTERED", Detail::kPrecondition},
      {"another tenant's sender", edited([](auto& r) { r.set_sender("+15550002222"); }),
       Code::PERMISSION_DENIED, "SENDER_NOT_ALLOWED"},
      {"a token without the scope", edited(as_is, "reader"), Code::PERMISSION_DENIED,
       "SCOPE_MISSING"},
      {"a cancel that comes too late", [&] { return CancelKept(leaving); },
       Code::FAILED_PRECONDITION, "TOO_LATE_TO_CANCEL", Detail::kPrecondition},
      {"a request_id used for another request", edited([](auto& r) {
         r.set_request_id("first");
         r.set_text("other");
       }),
       Code::ALREADY_EXISTS, "REQUEST_ID_REUSED"},
      {"no such message", [&] { return CancelKept(nobodys); }, Code::NOT_FOUND,
       "MESSAGE_NOT_FOUND"},
      {"no token", edited(as_is, ""), Code::UNAUTHENTICATED, "TOKEN_MISSING"},
      {"nobody's token", edited(as_is, "nobody's"), Code::UNAUTHENTICATED, "TOKEN_INVALID"},
      {"a token past its time", edited(as_is, "old"), Code::UNAUTHENTICATED, "TOKEN_EXPIRED"},
      {"another tenant's resume token",
       [&] { return Resume(EncodeResumeToken({published_, {}, {}, 0, false}, {UuidOf(2)})); },
       Code::INVALID_ARGUMENT, "RESUME_TOKEN_INVALID", Detail::kBadRequest},
      {"a resume token from before a restore",
       [&] { return Resume(EncodeResumeToken(lost, kTenant)); }, Code::OUT_OF_RANGE,
       "RESUME_TOKEN_EXPIRED"},
      {"too many streams", [&] { return OneStreamTooMany(); }, Code::RESOURCE_EXHAUSTED,
       "TOO_MANY_STREAMS", Detail::kNone, "-1"},
      {"a full queue",
       [&] {
         EXPECT_TRUE(SendEdited(as_is, "full").ok());
         return SendEdited(as_is, "full");
       },
       Code::RESOURCE_EXHAUSTED, "QUEUE_FULL", Detail::kNone, "4[89]...|5....|60000"},
      {"a quota that is used up", edited(as_is, "spent"), Code::RESOURCE_EXHAUSTED,
       "QUOTA_EXCEEDED", Detail::kQuota, "-1"},
      {"too much fails, and it expires before that is tried again", edited([&](auto& r) {
         OpenBreakerFor(30s);
         r.mutable_expire_at()->set_seconds((clock_.Wall() + 29s).time_since_epoch() / 1s);
       }),
       Code::UNAVAILABLE, "CIRCUIT_OPEN", Detail::kNone, "-1"},
      {"the store is away",
       [&] {
         store_.FailNext(1, FakeStore::When::kBefore, "Accept");
         return SendEdited(as_is);
       },
       Code::UNAVAILABLE, "STORE_UNAVAILABLE", Detail::kNone, "1000"},
      {"a bug", edited([](auto& r) { r.set_text("boom"); }), Code::INTERNAL, "INTERNAL",
       Detail::kRequestInfo},
      {"a drain",  // the last one: nothing is served after it
       [&] {
         service_.RefuseNewCalls();
         return SendEdited(as_is);
       },
       Code::UNAVAILABLE, "SERVER_DRAINING", Detail::kNone, "200"},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    const grpc::Status status = c.call();
    ASSERT_EQ(status.error_code(), c.code) << status.error_message();
    const Decoded error(status);
    const std::string pushback = c.pushback;
    EXPECT_EQ(error.info.reason(), c.reason);
    EXPECT_THAT(Trailer("grpc-retry-pushback-ms"), ::testing::MatchesRegex(pushback));
    EXPECT_EQ(error.has_retry, c.detail == Detail::kQuota ||
                                   (!pushback.empty() && pushback != "-1") ||
                                   error.info.reason() == "CIRCUIT_OPEN");
    EXPECT_EQ(error.quota.violations_size() > 0, c.detail == Detail::kQuota);
    EXPECT_NE(Trailer("postrider-call-id"), "");
    EXPECT_EQ(error.bad_request.field_violations_size() > 0, c.detail == Detail::kBadRequest);
    EXPECT_EQ(error.precondition.violations_size() > 0, c.detail == Detail::kPrecondition);
    EXPECT_EQ(!error.request.request_id().empty(), c.detail == Detail::kRequestInfo);
    EXPECT_EQ(error.info.metadata().contains("oldest_resume_token"),
              error.info.reason() == "RESUME_TOKEN_EXPIRED");
  }
}

}  // namespace
}  // namespace postrider
