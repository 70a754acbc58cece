#include "server/webhook/webhook_server.h"

#include <filesystem>
#include <fstream>
#include <future>
#include <memory>
#include <string>
#include <unistd.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "server/provider/signature.h"
#include "tests/support/fake_clock.h"
#include "tests/support/fake_store.h"
#include "tests/support/http_raw_client.h"

namespace postrider {
namespace {

using ::testing::HasSubstr;

constexpr const char* kReceipt = R"({"id":"msg-1","status":"delivered"})";

std::string PostOf(const std::string& path) {
  return StrCat("POST ", path,
                " HTTP/1.1\r\nHost: x\r\nContent-Length: ", std::string_view(kReceipt).size(),
                "\r\n\r\n", kReceipt);
}

struct ServerRig {
  SystemClock clock;
  FakeStore store{clock};
  SeededRandom random{9};
  Metrics metrics;
  TenantDirectory tenants{store};
  TenantRow tenant;
  Mutex mu;
  std::vector<InboxRow> told ABSL_GUARDED_BY(mu);
  InboxCommit inbox;
  WebhookIntake intake;
  WebhookServer server;

  explicit ServerRig(std::chrono::nanoseconds answer_deadline = 10s, std::size_t queue = 16)
      : inbox(clock, metrics, {.name = "inbox", .writers = 1, .max_queue = queue},
              [this](std::span<const InboxRow> rows) -> absl::StatusOr<std::vector<bool>> {
                if (absl::Status stored = store.AppendInbox(rows); !stored.ok()) return stored;
                return std::vector<bool>(rows.size(), true);
              }),
        intake(store, inbox, nullptr, clock, random,
               {.on_stored =
                    [this](InboxRow row) {
                      MutexLock lock(mu);
                      told.push_back(std::move(row));
                    }}),
        server(tenants, intake, clock, random, metrics, {.http = HttpWith(answer_deadline)}) {
    tenant.tenant_id = {MakeUuidV4(random)};
    tenant.name = "acme";
    tenant.webhook_key = "unguessable";
    EXPECT_TRUE(store.PutTenant(tenant).ok());
    EXPECT_TRUE(tenants.Refresh().ok());
  }

  static GuardedServer::Options HttpWith(std::chrono::nanoseconds answer_deadline) {
    GuardedServer::Options http = WebhookServer::DefaultHttp();
    http.front.answer_deadline = answer_deadline;
    return http;
  }

  /// The answer, when it comes.
  std::future<HttpResponse> Begin(const std::string& profile, const std::string& key,
                                  const std::string& body, HttpHeaders headers = {}) {
    auto answer = std::make_shared<std::promise<HttpResponse>>();
    server.Receive(
        {.method = "POST", .captures = {profile, key}, .headers = headers, .body = body},
        HttpReply([answer](HttpResponse response) { answer->set_value(std::move(response)); }));
    return answer->get_future();
  }
  HttpResponse Post(const std::string& profile, const std::string& key, const std::string& body) {
    return Begin(profile, key, body).get();
  }
  std::size_t Told() {
    MutexLock lock(mu);
    return told.size();
  }
};

TEST(WebhookServerTest, AnAnswerOf200MeansTheWebhookIsStored) {
  ServerRig rig;
  rig.inbox.Start();
  int stored_when_answered = 0;
  rig.store.BeforeEach([&](const std::string&) {
    EXPECT_EQ(rig.Told(), 0U) << "nobody hears of it before the commit";
  });
  EXPECT_EQ(rig.Post("guide", "unguessable", kReceipt).status, 200);
  stored_when_answered = rig.store.Inbox().open;
  EXPECT_EQ(stored_when_answered, 1);
  MutexLock lock(rig.mu);
  ASSERT_EQ(rig.told.size(), 1U);
  EXPECT_EQ(rig.told[0].body, kReceipt);
  EXPECT_EQ(rig.told[0].tenant_id, rig.tenant.tenant_id);
  EXPECT_EQ(rig.told[0].profile, "guide");
}

TEST(WebhookServerTest, RefusalTable) {
  struct Case {
    const char* name;
    const char* profile;
    const char* key;
    std::string body;
    int status;
  };
  const Case cases[] = {
      {"unknown key", "guide", "guessed", kReceipt, 404},
      {"unknown key, bad body", "guide", "guessed", "nonsense", 404},
      {"another profile", "platform", "unguessable", kReceipt, 400},
      {"empty", "guide", "unguessable", "", 400},
      {"not JSON", "guide", "unguessable", "status=delivered", 400},
      {"not an object", "guide", "unguessable", "[1]", 400},
      {"bad UTF-8", "guide", "unguessable", "{\"a\":\"\xff\"}", 400},
      {"too deep", "guide", "unguessable", "{\"a\":" + std::string(5000, '['), 400},
  };
  ServerRig rig;
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    EXPECT_EQ(rig.Post(c.profile, c.key, c.body).status, c.status);
  }
  EXPECT_EQ(rig.store.Calls("AppendInbox"), 0);
}

TEST(WebhookServerTest, OfATenantThatSignsOnlyWhatIsSignedIsTaken) {
  ServerRig rig;
  rig.inbox.Start();
  const std::string file = ::testing::TempDir() + "webhook-secrets-" + std::to_string(getpid());
  const auto keep_secrets_in = [&](const std::string& path) {
    rig.tenant.webhook_secret_file = path;
    rig.tenant.webhook_window = 300s;
    ASSERT_TRUE(rig.store.PutTenant(rig.tenant).ok());
    ASSERT_TRUE(rig.tenants.Refresh().ok());
  };
  const auto now =
      std::chrono::duration_cast<std::chrono::seconds>(rig.clock.Wall().time_since_epoch());
  const auto post = [&](std::chrono::seconds age, const Secret& secret, std::string body) {
    HttpHeaders headers;
    const std::string time = StrCat((now - age).count());
    headers.Add(kSignatureTimeHeader, time);
    headers.Add(kSignatureHeader, SignatureOf(kReceipt, time, secret));
    return rig.Begin("guide", "unguessable", body, headers).get().status;
  };
  keep_secrets_in("/nowhere");
  EXPECT_EQ(post(0s, Secret("ours"), kReceipt), 503) << "nothing to check it with: come again";
  std::ofstream(file) << "ours\nnext\n";
  keep_secrets_in(file);
  EXPECT_EQ(rig.Post("guide", "unguessable", kReceipt).status, 401);
  EXPECT_EQ(post(0s, Secret("theirs"), kReceipt), 401);
  EXPECT_EQ(post(0s, Secret("ours"), "{}"), 401) << "of another body";
  EXPECT_EQ(post(310s, Secret("ours"), kReceipt), 401) << "a copy of an old one";
  EXPECT_EQ(rig.store.Calls("AppendInbox"), 0);
  EXPECT_EQ(post(0s, Secret("ours"), kReceipt), 200);
  EXPECT_EQ(post(0s, Secret("next"), kReceipt), 200);
  const std::string metrics = rig.metrics.Expose();
  EXPECT_THAT(metrics, HasSubstr("postrider_webhook_signatures_total{verdict=\"wrong\"} 2"));
  EXPECT_THAT(metrics, HasSubstr("postrider_webhook_signatures_total{verdict=\"out_of_time\"} 1"));
  std::filesystem::remove(file);
}

TEST(WebhookServerTest, WhileTheStoreIsAwayTheSenderIsAskedToComeAgain) {
  ServerRig rig;
  rig.inbox.Start();
  rig.store.FailNext(1);
  const HttpResponse refused = rig.Post("guide", "unguessable", kReceipt);
  EXPECT_EQ(refused.status, 503);
  EXPECT_TRUE(refused.headers.Get("Retry-After").has_value());
  EXPECT_EQ(rig.Told(), 0U);
  EXPECT_EQ(rig.Post("guide", "unguessable", kReceipt).status, 200) << "and then it is taken";
}

TEST(WebhookServerTest, AFullInboxIsNotA200) {
  ServerRig rig(10s, 1);  // No writer yet: the first waits, and fills the queue.
  std::future<HttpResponse> first = rig.Begin("guide", "unguessable", kReceipt);
  EXPECT_EQ(rig.Post("guide", "unguessable", kReceipt).status, 503);
  EXPECT_EQ(rig.Told(), 0U);
  EXPECT_TRUE(rig.inbox.Drain(std::chrono::minutes(1)));
  EXPECT_EQ(first.get().status, 200);
  EXPECT_EQ(rig.Told(), 1U);
}

TEST(WebhookServerTest, ALateCommitIsNotA200) {
  ServerRig rig(1ms);  // No writer yet: it waits in vain.
  ASSERT_TRUE(rig.server.Start("127.0.0.1", 0).ok());
  HttpRawClient client(rig.server.port());
  ASSERT_TRUE(client.Send(PostOf("/webhooks/guide/unguessable")));
  const auto all = client.ReadToEnd();
  ASSERT_TRUE(all.has_value());
  EXPECT_TRUE(all->starts_with("HTTP/1.1 503 ")) << *all;
  EXPECT_EQ(rig.Told(), 0U);
  // The answer may have come before its handler had begun: that has ended now.
  EXPECT_TRUE(rig.server.Drain(std::chrono::minutes(1)));
  EXPECT_TRUE(rig.inbox.Drain(std::chrono::minutes(1)));
  EXPECT_EQ(rig.Told(), 1U) << "what commits after its answer is applied all the same";
}

TEST(WebhookServerTest, ServesHttp) {
  struct Case {
    std::string request;
    std::string_view answer;
  };
  const Case cases[] = {
      {PostOf("/webhooks/guide/unguessable"), "HTTP/1.1 200"},
      {PostOf("/webhooks/guide/guessed"), "HTTP/1.1 404"},
      {"GET /webhooks/guide/unguessable HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 405"},
      {"POST /webhooks/guide/unguessable HTTP/1.1\r\nHost: x\r\nContent-Length: 70000\r\n\r\n",
       "HTTP/1.1 413"},
  };
  ServerRig rig;
  rig.inbox.Start();
  ASSERT_TRUE(rig.server.Start("127.0.0.1", 0).ok());
  for (const Case& c : cases) {
    HttpRawClient client(rig.server.port());
    ASSERT_TRUE(client.connected());
    ASSERT_TRUE(client.Send(c.request));
    EXPECT_EQ(client.ReadAnswer().substr(0, 12), c.answer);
  }
  EXPECT_EQ(rig.store.Inbox().open, 1);
  EXPECT_TRUE(rig.server.Drain(10s));
}

}  // namespace
}  // namespace postrider
