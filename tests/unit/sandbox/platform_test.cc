// Profile `platform` against the sandbox: what is sent can be read again, also when the POST's
// answer was lost.
#include <gtest/gtest.h>

#include "server/base/strings.h"
#include "server/model/limits.h"
#include "server/provider/profile_factory.h"
#include "server/sandbox/sandbox.h"

namespace postrider {
namespace {

using namespace std::chrono_literals;
using Kind = ReadAnswer::Kind;

class PlatformSandboxTest : public testing::TestWithParam<SandboxReplies> {
 protected:
  PlatformSandboxTest() : sandbox_(Options(), clock_, random_, metrics_) {
    EXPECT_TRUE(sandbox_.Start().ok());
    auto made = factory_.Make({.profile = "platform",
                               .base_url = sandbox_.base_url(),
                               .send_path = "",
                               .token_url = sandbox_.token_url(),
                               .client_id = "sandbox",
                               .client_secret = Secret("sandbox-secret"),
                               .ca_file = "",
                               .active_conversation = ActiveConversation::kJoin});
    EXPECT_TRUE(made.ok()) << made.status();
    provider_ = *std::move(made);
  }
  static Sandbox::Options Options() {
    Sandbox::Options options{.requests_per_minute = 0, .receipts = {.after = {0ms, 0ms, 0ms}}};
    if (const auto* test = testing::UnitTest::GetInstance()->current_test_info();
        test->value_param() != nullptr)
      options.replies = GetParam();
    return options;
  }

  SendRequest RequestTo(const std::string& recipient, const std::string& text = "Hello") {
    SendRequest request;
    request.message_id = {MakeUuidV7(clock_.Wall(), random_)};
    request.recipient = recipient;
    request.sender = "+15559876543";
    request.text = text;
    return request;
  }
  ReadRequest Of(const SendRequest& sent, const Outcome& outcome) {
    return {.message_id = sent.message_id,
            .provider_message_id = outcome.provider_message_id,
            .provider_conversation_id = outcome.provider_conversation_id,
            .recipient = sent.recipient,
            .sender = sent.sender,
            .text = sent.text,
            .intended_at = clock_.Wall()};
  }

  SystemClock clock_;
  OsRandom random_;
  Metrics metrics_;
  Sandbox sandbox_;
  ProfileFactory factory_{clock_, metrics_};
  std::unique_ptr<Provider> provider_;
};

TEST_P(PlatformSandboxTest, WhatWasSentCanBeReadById) {
  const struct {
    const char* recipient;
    MessageState state;
    FailureReason failure;
    const char* code;
  } cases[] = {
      {"+15551234567", MessageState::kDelivered, FailureReason::kNone, ""},
      {"+15550000001", MessageState::kFailed, FailureReason::kCarrierRejected,
       "GeneralError: carrier_rejected"},
      {"+15550000201", MessageState::kSent, FailureReason::kNone, ""},
      {"+15550000202", MessageState::kSubmitted, FailureReason::kNone, ""},
      {"+15550000410", MessageState::kDelivered, FailureReason::kNone, ""},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.recipient);
    const SendRequest request = RequestTo(c.recipient);
    const Outcome outcome = provider_->Send(request);
    ASSERT_EQ(outcome.kind, OutcomeKind::kAccepted) << outcome.detail;
    ASSERT_FALSE(outcome.provider_message_id.empty());
    const ReadAnswer answer = provider_->Read(Of(request, outcome));
    ASSERT_EQ(answer.kind, Kind::kFound) << answer.detail;
    EXPECT_EQ(answer.requests, 1);
    EXPECT_EQ(answer.found[0].provider_message_id, outcome.provider_message_id);
    EXPECT_EQ(answer.found[0].provider_conversation_id, outcome.provider_conversation_id);
    EXPECT_EQ(answer.found[0].status.state, c.state);
    EXPECT_EQ(answer.found[0].status.failure, c.failure);
    EXPECT_EQ(answer.found[0].status.provider_code, c.code);
  }
}

INSTANTIATE_TEST_SUITE_P(Generations, PlatformSandboxTest,
                         testing::Values(SandboxReplies::kNewer, SandboxReplies::kOlder),
                         [](const auto& test) {
                           return test.param == SandboxReplies::kNewer ? "newer" : "older";
                         });

class LostAnswerTest : public PlatformSandboxTest {};

TEST_F(LostAnswerTest, TheLoneCandidateIsFound) {
  const SendRequest request = RequestTo("+15550000601");
  const Outcome outcome = provider_->Send(request);
  ASSERT_EQ(outcome.kind, OutcomeKind::kUnknown);
  const ReadAnswer answer = provider_->Read(Of(request, outcome));
  ASSERT_EQ(answer.kind, Kind::kFound) << answer.detail;
  EXPECT_LE(answer.requests, kMostRequestsOfSearch);
  EXPECT_EQ(answer.found[0].status.state, MessageState::kDelivered);
  const std::vector<LedgerEntry> posts = sandbox_.ledger().After(0, 10);
  ASSERT_EQ(posts.size(), 1U);
  EXPECT_EQ(answer.found[0].provider_message_id,
            StrCat("msg-", posts[0].provider_message_uuid.ToString()));
}

TEST_F(LostAnswerTest, AnotherTextIsNoCandidate) {
  const SendRequest first = RequestTo("+15550000601", "Your code is 1");
  const SendRequest second = RequestTo("+15550000601", "Your code is 2");
  (void)provider_->Send(first);
  const Outcome lost = provider_->Send(second);
  const ReadAnswer answer = provider_->Read(Of(second, lost));
  ASSERT_EQ(answer.kind, Kind::kFound) << answer.detail;
  EXPECT_EQ(answer.found[0].provider_message_id,
            StrCat("msg-", sandbox_.ledger().After(1, 1)[0].provider_message_uuid.ToString()));
}

TEST_F(LostAnswerTest, SeveralCandidatesAreToldAndNoneIsChosen) {
  const SendRequest request = RequestTo("+15550000601");
  (void)provider_->Send(request);
  const Outcome lost = provider_->Send(request);
  const ReadAnswer answer = provider_->Read(Of(request, lost));
  EXPECT_EQ(answer.kind, Kind::kSeveral);
  EXPECT_EQ(answer.found.size(), 2U);
}

TEST_F(LostAnswerTest, WhatWasNotProcessedIsAbsent) {
  const SendRequest request = RequestTo("+15550000503");
  const Outcome lost = provider_->Send(request);
  ASSERT_EQ(lost.kind, OutcomeKind::kUnknown);
  EXPECT_EQ(provider_->Read(Of(request, lost)).kind, Kind::kAbsent);
}

TEST_F(LostAnswerTest, WhatLeftAtAnotherTimeIsNoCandidate) {
  const SendRequest request = RequestTo("+15550000601");
  const Outcome lost = provider_->Send(request);
  ReadRequest read = Of(request, lost);
  read.intended_at -= 1h;
  EXPECT_EQ(provider_->Read(read).kind, Kind::kAbsent);
}

TEST_F(LostAnswerTest, AnIdThatNobodyKnowsIsAbsent) {
  ReadRequest read;
  read.provider_message_id = "msg-nobody";
  read.provider_conversation_id = "conv-nobody";
  const ReadAnswer answer = provider_->Read(read);
  EXPECT_EQ(answer.kind, Kind::kAbsent);
  EXPECT_EQ(answer.requests, 2);
}

}  // namespace
}  // namespace postrider
