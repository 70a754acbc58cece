#include "server/sandbox/sandbox.h"

#include <deque>
#include <map>
#include <thread>

#include <gtest/gtest.h>

#include "server/base/strings.h"
#include "server/json/json.h"
#include "server/provider/profile_factory.h"

namespace postrider {
namespace {

using namespace std::chrono_literals;
using Statuses = std::vector<std::string>;

/// A gateway's webhook: keeps every receipt, and answers as scripted, else 200.
class Webhook {
 public:
  explicit Webhook(const Clock& clock) : server_({.workers = 2}, clock, metrics_) {
    server_.Handle("POST", "/webhooks/guide/key", [this](const HttpRequest& request) {
      int status = 200;
      {
        MutexLock lock(mu_);
        bodies_.push_back(request.body);
        if (!script_.empty()) {
          status = script_.front();
          script_.pop_front();
        }
      }
      changed_.NotifyAll();
      return HttpResponse{.status = status};
    });
    EXPECT_TRUE(server_.Start("127.0.0.1", 0).ok());
  }

  std::string url() const {
    return StrCat("http://127.0.0.1:", server_.port(), "/webhooks/guide/key");
  }
  void Script(std::deque<int> statuses) {
    MutexLock lock(mu_);
    script_ = std::move(statuses);
  }
  /// False when `count` requests have not come within 10 s.
  bool WaitFor(std::size_t count) {
    MutexLock lock(mu_);
    return changed_.WaitFor(
        mu_, {}, 10s, [&]() ABSL_NO_THREAD_SAFETY_ANALYSIS { return bodies_.size() >= count; });
  }
  std::vector<std::string> bodies() const {
    MutexLock lock(mu_);
    return bodies_;
  }

 private:
  Metrics metrics_;
  mutable Mutex mu_;
  CondVar changed_;
  std::deque<int> script_ ABSL_GUARDED_BY(mu_);
  std::vector<std::string> bodies_ ABSL_GUARDED_BY(mu_);
  GuardedServer server_;
};

class SandboxTest : public testing::Test {
 protected:
  SandboxTest() : SandboxTest(Fast()) {}
  explicit SandboxTest(Sandbox::Options options)
      : sandbox_(std::move(options), clock_, random_, metrics_) {
    EXPECT_TRUE(sandbox_.Start().ok());
    EXPECT_TRUE(sandbox_.SetWebhook("sandbox", webhook_.url()).ok());
  }
  static Sandbox::Options Fast() {
    return {.requests_per_minute = 0,
            .receipts = {.after = {1ms, 2ms, 3ms}, .retry_scale = 1e-7, .workers = 1}};
  }

  std::unique_ptr<Provider> MakeProvider() {
    auto made = factory_.Make({.base_url = sandbox_.base_url(),
                               .send_path = "/api/v2/messaging/outbound/agentsless/messages",
                               .token_url = sandbox_.token_url(),
                               .client_id = "sandbox",
                               .client_secret = Secret("sandbox-secret"),
                               .ca_file = ""});
    EXPECT_TRUE(made.ok()) << made.status();
    return *std::move(made);
  }
  SendRequest RequestTo(std::string_view recipient) {
    SendRequest request;
    request.message_id = {MakeUuidV7(clock_.Wall(), random_)};
    request.recipient = recipient;
    request.sender = "+15559876543";
    request.text = "Your appointment is tomorrow.";
    request.conversation_id = {MakeUuidV4(random_)};
    request.metadata = {{"triggerSource", "test"}};
    return request;
  }
  SendRequest MagicRequest(std::string_view name) {
    for (const MagicNumber& row : MagicNumbers())
      if (row.name == name) return RequestTo(row.number);
    ADD_FAILURE() << "no magic number " << name;
    return RequestTo("+15550000000");
  }
  std::vector<LedgerEntry> PostsOf(MessageId message) {
    std::vector<LedgerEntry> found;
    for (LedgerEntry& entry : sandbox_.ledger().After(0, 100'000))
      if (entry.message_id == message) found.push_back(std::move(entry));
    return found;
  }
  HttpResult Call(HttpCall call) {
    auto client = HttpClient::Create({.base_url = sandbox_.base_url()}, clock_).value();
    return client->Send(call);
  }

  SystemClock clock_;
  OsRandom random_;
  Metrics metrics_;
  Webhook webhook_{clock_};
  Sandbox sandbox_;
  ProfileFactory factory_{clock_, metrics_};
};

TEST_F(SandboxTest, AMessageIsAcceptedAndItsReceiptsComeBackReadable) {
  const SendRequest request = RequestTo("+15551234567");
  const Outcome outcome = MakeProvider()->Send(request);
  EXPECT_EQ(outcome.kind, OutcomeKind::kAccepted);
  EXPECT_EQ(outcome.http_status, 202);
  EXPECT_EQ(outcome.provider_conversation_id, request.conversation_id.ToString());
  EXPECT_FALSE(outcome.correlation_id.empty());
  ASSERT_TRUE(webhook_.WaitFor(3));
  std::vector<MessageState> states;
  for (const std::string& body : webhook_.bodies()) {
    const auto content = ParseWebhook("guide", body);
    ASSERT_TRUE(content.ok()) << content.status();
    const auto* const receipt = std::get_if<Receipt>(&*content);
    ASSERT_NE(receipt, nullptr);
    EXPECT_EQ(receipt->message_id, request.message_id);
    EXPECT_EQ(receipt->status.attempt, 1);
    EXPECT_EQ(receipt->provider_message_id, outcome.provider_message_id);
    EXPECT_NE(body.find(R"("triggerSource":"test")"), std::string::npos) << body;
    states.push_back(receipt->status.state);
  }
  EXPECT_EQ(states,
            (std::vector{MessageState::kSubmitted, MessageState::kSent, MessageState::kDelivered}));
}

TEST_F(SandboxTest, TextsAreCheckedForWhoHasAToken) {
  const auto ask = [&](const std::string& body, bool with_token) {
    HttpCall call{.method = "POST",
                  .path = "/api/v2/messaging/compliance/check",
                  .body = body,
                  .content_type = "application/json"};
    if (with_token) {
      const HttpResult token =
          Call({.method = "POST",
                .path = "/oauth/token",
                .headers = {{"Authorization", "Basic c2FuZGJveDpzYW5kYm94LXNlY3JldA=="}},
                .body = "grant_type=client_credentials",
                .content_type = "application/x-www-form-urlencoded"});
      const auto parsed = ParseJson(token.response.value().body);
      call.headers.Add("Authorization",
                       StrCat("Bearer ", parsed->GetString("access_token").value_or("")));
    }
    return Call(call).response.value_or(HttpResult::Response());
  };
  EXPECT_EQ(ask(R"({"message":"hi"})", false).status, 401);
  EXPECT_EQ(ask(R"({"message":"hi"})", true).body, R"({"compliant":true})");
  EXPECT_EQ(ask(R"({"message":"Cheap ContraBand!"})", true).body,
            R"({"compliant":false,"violations":[{"rule":"refused_word",)"
            R"("message":"says \"contraband\""}]})");
  EXPECT_EQ(ask(R"({"text":"hi"})", true).status, 400);
  EXPECT_EQ(ask("no", true).status, 400);
  EXPECT_EQ(Call({.method = "POST", .path = "/sandbox/compliance/off"}).response->status, 204);
  EXPECT_EQ(ask(R"({"message":"hi"})", true).status, 503);
  EXPECT_EQ(Call({.method = "POST", .path = "/sandbox/compliance/on"}).response->status, 204);
  EXPECT_EQ(ask(R"({"message":"hi"})", true).status, 200);
}

TEST_F(SandboxTest, EachMagicNumberDoesWhatItsRowSays) {
  struct Case {
    const char* name;
    OutcomeKind first;
    OutcomeKind again;  ///< Of a second attempt, made after kNotSent.
    int processed;
    Statuses receipts;
  };
  const Statuses delivered = {"queued", "sent", "delivered"};
  const Statuses failed = {"queued", "sent", "failed"};
  using enum OutcomeKind;
  const Case cases[] = {
      {"DELIVERED", kAccepted, kAccepted, 1, delivered},
      {"CARRIER_REJECTED", kAccepted, kAccepted, 1, failed},
      {"INVALID_NUMBER", kAccepted, kAccepted, 1, failed},
      {"LANDLINE", kAccepted, kAccepted, 1, failed},
      {"OPTED_OUT", kAccepted, kAccepted, 1, failed},
      {"UNREACHABLE", kAccepted, kAccepted, 1, failed},
      {"STAYS_SENT", kAccepted, kAccepted, 1, {"queued", "sent"}},
      {"NO_RECEIPTS", kAccepted, kAccepted, 1, {}},
      {"RECEIPTS_FIRST", kAccepted, kAccepted, 1, delivered},
      {"RECEIPTS_BACKWARDS",
       kAccepted,
       kAccepted,
       1,
       {"delivered", "delivered", "sent", "sent", "queued", "queued"}},
      {"RECEIPTS_WITHOUT_METADATA", kAccepted, kAccepted, 1, {}},  // theirs: a test of its own
      {"REDIRECT", kRejected, kAccepted, 0, {}},
      {"BAD_REQUEST", kRejected, kAccepted, 0, {}},
      {"ACTIVE_CONVERSATION", kRejected, kAccepted, 0, {}},
      {"BAD_CREDENTIALS", kNotSent, kNotSent, 0, {}},
      {"NO_PERMISSION", kRejected, kAccepted, 0, {}},
      {"QUOTA", kHeld, kAccepted, 0, {}},
      {"TOKEN_GONE", kAccepted, kAccepted, 1, delivered},
      {"TOO_MANY_REQUESTS", kNotSent, kAccepted, 1, delivered},
      {"TOO_MANY_REQUESTS_LONG", kNotSent, kAccepted, 1, delivered},
      {"SERVER_ERROR", kUnknown, kAccepted, 1, delivered},
      {"UNAVAILABLE", kUnknown, kAccepted, 0, {}},
      {"ANSWER_LOST", kUnknown, kAccepted, 1, delivered},
      {"ANSWER_LOST_NO_RECEIPTS", kUnknown, kAccepted, 1, {}},
      {"HTML_ANSWER", kAccepted, kAccepted, 1, delivered},
      {"ANSWER_WITHOUT_ID", kAccepted, kAccepted, 1, delivered},
  };
  // SLOW_ANSWER is not here: it takes 2 s, and has a test of its own.
  ASSERT_EQ(std::size(cases) + 1, MagicNumbers().size()) << "a magic number has no case here";
  const std::unique_ptr<Provider> provider = MakeProvider();
  std::size_t expected = 3;  // of RECEIPTS_WITHOUT_METADATA
  std::map<std::string, MessageId> ids;
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    SendRequest request = MagicRequest(c.name);
    ids[c.name] = request.message_id;
    const Outcome outcome = provider->Send(request);
    EXPECT_EQ(outcome.kind, c.first) << outcome.detail;
    if (outcome.kind == kNotSent) {
      request.attempt = 2;
      EXPECT_EQ(provider->Send(request).kind, c.again);
    }
    int processed = 0;
    for (const LedgerEntry& entry : PostsOf(request.message_id)) processed += entry.processed;
    EXPECT_EQ(processed, c.processed);
    expected += c.receipts.size();
  }
  ASSERT_TRUE(webhook_.WaitFor(expected));
  EXPECT_EQ(sandbox_.receipt_totals().waiting, 0);
  std::map<std::string, Statuses> got;
  for (const std::string& body : webhook_.bodies()) {
    const auto receipt = ParseJson(body).value();
    const auto metadata = receipt.GetStringMap("metadata").value_or(Metadata());
    got[metadata.contains("postriderMessageId") ? metadata.at("postriderMessageId") : ""].push_back(
        receipt.GetString("status").value());
  }
  for (const Case& c : cases) EXPECT_EQ(got[ids[c.name].ToString()], c.receipts) << c.name;
  EXPECT_EQ(got[""], delivered) << "without metadata";
}

TEST_F(SandboxTest, ALostAnswerIsOnePostAndIsProcessedOnce) {
  const SendRequest request = MagicRequest("ANSWER_LOST");
  const std::unique_ptr<Provider> provider = MakeProvider();
  // On a connection that was used before, too: there a client might silently send again.
  EXPECT_EQ(provider->Send(MagicRequest("DELIVERED")).kind, OutcomeKind::kAccepted);
  const Outcome outcome = provider->Send(request);
  EXPECT_EQ(outcome.kind, OutcomeKind::kUnknown);
  EXPECT_EQ(outcome.http_status, 0);
  const std::vector<LedgerEntry> posts = PostsOf(request.message_id);
  ASSERT_EQ(posts.size(), 1U);
  EXPECT_TRUE(posts[0].processed);
  EXPECT_EQ(posts[0].http_status, 0);
}

TEST_F(SandboxTest, AfterRevokedTokensTheNextSendAuthenticatesAgainAndGoesThrough) {
  const std::unique_ptr<Provider> provider = MakeProvider();
  EXPECT_EQ(provider->Send(MagicRequest("DELIVERED")).kind, OutcomeKind::kAccepted);
  EXPECT_EQ(Call({.method = "POST", .path = "/sandbox/revoke-tokens"}).response->status, 204);
  const SendRequest request = MagicRequest("DELIVERED");
  EXPECT_EQ(provider->Send(request).kind, OutcomeKind::kAccepted);
  EXPECT_EQ(sandbox_.tokens_issued(), 2);
  EXPECT_EQ(PostsOf(request.message_id).size(), 1U);
}

TEST_F(SandboxTest, ManyWorkersOfOneAccountAskForOneToken) {
  {
    std::vector<std::jthread> workers;
    for (int i = 0; i < 8; ++i)
      workers.emplace_back([this] {
        EXPECT_EQ(MakeProvider()->Send(MagicRequest("DELIVERED")).kind, OutcomeKind::kAccepted);
      });
  }
  EXPECT_EQ(sandbox_.tokens_issued(), 1);
  EXPECT_EQ(sandbox_.ledger().totals().processed, 8);
}

TEST_F(SandboxTest, ReceiptsCanBeThereBeforeThePostIsAnswered) {
  EXPECT_EQ(MakeProvider()->Send(MagicRequest("RECEIPTS_FIRST")).kind, OutcomeKind::kAccepted);
  EXPECT_EQ(webhook_.bodies().size(), 3U);
}

TEST_F(SandboxTest, AReceiptThatIsNotTakenIsSentFiveTimesInAll) {
  webhook_.Script({500, 404, 302, 503});
  EXPECT_EQ(MakeProvider()->Send(MagicRequest("RECEIPTS_FIRST")).kind, OutcomeKind::kAccepted);
  ASSERT_TRUE(webhook_.WaitFor(7));
  webhook_.Script(std::deque<int>(15, 500));
  EXPECT_EQ(MakeProvider()->Send(MagicRequest("DELIVERED")).kind, OutcomeKind::kAccepted);
  ASSERT_TRUE(webhook_.WaitFor(7 + 15));
  sandbox_.Drain();  // counts are there once the workers have ended
  const ReceiptSender::Totals totals = sandbox_.receipt_totals();
  EXPECT_EQ(totals.delivered, 3);
  EXPECT_EQ(totals.failed_tries, 4 + 15);
  EXPECT_EQ(totals.given_up, 3);
}

TEST_F(SandboxTest, ASlowAnswerDoesNotHoldUpTheEnd) {
  const SendRequest request = MagicRequest("SLOW_ANSWER");
  Outcome outcome;
  {
    std::jthread worker([&] { outcome = MakeProvider()->Send(request); });
    ASSERT_TRUE(webhook_.WaitFor(3));
    sandbox_.Drain();
  }
  EXPECT_EQ(outcome.kind, OutcomeKind::kAccepted);
}

TEST_F(SandboxTest, RefusesWhatGenesysRefuses) {
  const HttpResult token =
      Call({.method = "POST",
            .path = "/oauth/token",
            .headers = {{"Authorization", "Basic c2FuZGJveDpzYW5kYm94LXNlY3JldA=="}},
            .body = "grant_type=client_credentials"});
  ASSERT_EQ(token.response->status, 200) << token.response->body;
  const std::string bearer =
      StrCat("Bearer ", *ParseJson(token.response->body).value().GetString("access_token"));
  const std::string path = "/api/v2/messaging/outbound/agentsless/messages";
  const std::string good =
      R"({"to":"+15551234567","from":"+15559876543","message":"Hello","type":"sms"})";
  struct Case {
    const char* name;
    HttpCall call;
    int status;
  };
  const Case cases[] = {
      {"good", {"POST", path, {{"Authorization", bearer}}, good, "application/json"}, 202},
      {"no token", {"POST", path, {}, good, "application/json"}, 401},
      {"bad token", {"POST", path, {{"Authorization", "Bearer x"}}, good, "application/json"}, 401},
      {"a form", {"POST", path, {{"Authorization", bearer}}, good, "text/plain"}, 415},
      {"no JSON", {"POST", path, {{"Authorization", bearer}}, "{", "application/json"}, 400},
      {"no object", {"POST", path, {{"Authorization", bearer}}, "[]", "application/json"}, 400},
      {"another path", {"POST", "/api/v2", {{"Authorization", bearer}}, good, ""}, 404},
      {"wrong secret", {"POST", "/oauth/token", {{"Authorization", "Basic eDp5"}}, "", ""}, 401},
  };
  for (const Case& c : cases) {
    const HttpResult result = Call(c.call);
    ASSERT_TRUE(result.response) << c.name << ": " << result.error;
    EXPECT_EQ(result.response->status, c.status) << c.name << ": " << result.response->body;
  }
}

TEST_F(SandboxTest, TheLedgerAndThePageCanBeReadByOtherProcesses) {
  const SendRequest request = MagicRequest("DELIVERED");
  const Outcome outcome = MakeProvider()->Send(request);
  const HttpResult all = Call({.path = "/sandbox/ledger"});
  ASSERT_TRUE(all.response);
  ASSERT_TRUE(all.response->body.ends_with("}\n"));
  const Json line = ParseJson(all.response->body).value();
  EXPECT_EQ(line.GetInt("number"), 1);
  EXPECT_EQ(line.GetString("message_id"), request.message_id.ToString());
  EXPECT_EQ(line.GetInt("attempt"), 1);
  EXPECT_EQ(line.GetBool("processed"), true);
  EXPECT_EQ(line.GetInt("http_status"), 202);
  EXPECT_EQ(line.GetString("provider_message_id"), outcome.provider_message_id);
  EXPECT_EQ(line.GetString("recipient"), request.recipient);
  EXPECT_EQ(Call({.path = "/sandbox/ledger?after=1"}).response->body, "");
  EXPECT_EQ(Call({.path = "/sandbox/ledger?after=-1"}).response->status, 400);
  const std::string page = Call({.path = "/sandbox"}).response->body;
  EXPECT_NE(page.find("+15550000429"), std::string::npos);
  EXPECT_NE(page.find("POSTs 1, processed 1"), std::string::npos) << page;
}

class LimitedSandboxTest : public SandboxTest {
 protected:
  LimitedSandboxTest() : SandboxTest(Limited()) {}
  static Sandbox::Options Limited() {
    Sandbox::Options options = Fast();
    options.requests_per_minute = 2;
    return options;
  }
};

TEST_F(LimitedSandboxTest, WhatIsTooFastIsToldWhenToComeBack) {
  const std::unique_ptr<Provider> provider = MakeProvider();
  for (int i = 0; i < 2; ++i)
    EXPECT_EQ(provider->Send(MagicRequest("DELIVERED")).kind, OutcomeKind::kAccepted);
  const Outcome outcome = provider->Send(MagicRequest("DELIVERED"));
  EXPECT_EQ(outcome.kind, OutcomeKind::kNotSent);
  EXPECT_TRUE(outcome.pauses_tenant);
  EXPECT_GT(outcome.retry_after, 0s);
  EXPECT_LE(outcome.retry_after, 60s);
  EXPECT_EQ(sandbox_.ledger().totals().processed, 2);
}

}  // namespace
}  // namespace postrider
