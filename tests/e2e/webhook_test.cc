// What strangers and broken senders get from the webhook port, and what it cannot do to a message.
#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "server/base/strings.h"
#include "tests/e2e/rig.h"
#include "tests/support/http_raw_client.h"

namespace postrider {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::StartsWith;

std::string PathOf(const std::string& url) { return url.substr(url.find('/', 7)); }

TEST(WebhookTest, WhatIsNotAWebhookGetsItsStatusAndAClosedConnection) {
  Rig rig;
  const std::string path = PathOf(rig.gateway.webhook_url());
  struct Case {
    const char* what;
    std::string head;
    std::string body;
    const char* status;
  };
  const std::string huge(600'000, ' ');
  const Case cases[] = {
      {"oversized", StrCat("Content-Length: ", huge.size(), "\r\n"), "", "HTTP/1.1 413"},
      {"chunked", "Transfer-Encoding: chunked\r\n", "2\r\n{}\r\n0\r\n\r\n", "HTTP/1.1 411"},
      {"gzip", "Content-Encoding: gzip\r\nContent-Length: 2\r\n", "\x1f\x8b", "HTTP/1.1 415"},
      {"without a length", "", "", "HTTP/1.1 411"},
  };
  for (const Case& c : cases) {
    HttpRawClient peer(rig.gateway.webhook_port());
    ASSERT_TRUE(peer.connected());
    peer.Send(StrCat("POST ", path, " HTTP/1.1\r\nHost: localhost\r\n",
                     "Content-Type: application/json\r\n", c.head, "\r\n", c.body));
    const std::optional<std::string> answer = peer.ReadToEnd();
    ASSERT_TRUE(answer.has_value()) << c.what << ": the connection stays open";
    EXPECT_THAT(*answer, StartsWith(c.status)) << c.what;
  }
  EXPECT_EQ(rig.sql.Number("SELECT count(*) FROM webhook_inbox"), 0);
}

TEST(WebhookTest, WhatCannotBeReadOrIsForNobodyIsRefusedAndNotKept) {
  Rig rig;
  const std::string path = PathOf(rig.gateway.webhook_url());
  struct Case {
    const char* what;
    std::string path;
    std::string body;
    const char* status;
  };
  const std::string deep(10'000, '[');
  const Case cases[] = {
      {"not JSON", path, "{\"status\":", "HTTP/1.1 400"},
      {"not an object", path, "[1]", "HTTP/1.1 400"},
      {"bad UTF-8", path, "{\"status\":\"\xff\xfe\"}", "HTTP/1.1 400"},
      {"U+0000", path, "{\"status\":\"\\u0000\"}", "HTTP/1.1 400"},
      {"too deep", path, deep, "HTTP/1.1 400"},
      {"a name twice", path, R"({"id":"a","id":"b"})", "HTTP/1.1 400"},
      {"an endless number", path, R"({"n":1e400})", "HTTP/1.1 400"},
      {"unknown key", path + "x", "{}", "HTTP/1.1 404"},
      {"another profile", std::string(path).replace(path.find("/guide/"), 7, "/platform/"), "{}",
       "HTTP/1.1 400"},
  };
  for (const Case& c : cases) {
    HttpRawClient peer(rig.gateway.webhook_port());
    ASSERT_TRUE(peer.connected());
    peer.Send(StrCat("POST ", c.path, " HTTP/1.1\r\nHost: localhost\r\nContent-Length: ",
                     c.body.size(), "\r\n\r\n", c.body));
    const std::optional<std::string> answer = peer.ReadToEnd();
    ASSERT_TRUE(answer.has_value()) << c.what << ": the connection stays open";
    EXPECT_THAT(*answer, StartsWith(c.status)) << c.what;
  }
  const std::string url = rig.gateway.webhook_url();
  EXPECT_EQ(HttpPost(url.substr(0, url.rfind('/')), "{}"), 404) << "no key";
  EXPECT_EQ(HttpGet(url), 405);
  EXPECT_EQ(rig.sql.Number("SELECT count(*) FROM webhook_inbox"), 0);
}

TEST(WebhookTest, ForgedFieldsChangeNothingButTheStateTheyName) {
  Rig rig({.flags = {"--sandbox-receipt-delay-ms", "600000"}});
  const std::string id = rig.Send(RequestTo(kRecipient));
  rig.AwaitState(id, v1::MESSAGE_STATE_SUBMITTED);
  const std::string before = rig.sql.Text(
      "SELECT (tenant_id, message_id, recipient, body, conversation_id, request_id, "
      "sender, metadata) FROM message");
  const std::string forged = StrCat(
      R"({"id":"msg-x","type":"sms","status":"sent","timestamp":"2023-10-27T14:32:15Z",)",
      R"("deliveryStatus":"sent","errorCode":null,"tenant_id":"00000000-0000-0000-0000-000000000001",)",
      R"("final":true,"revision":99,"from":"+19990000000","to":"+19990000001","text":"x",)",
      R"("conversationId":"'; DROP TABLE postrider.message; --","state":7,"attempt":{"a":[1]},)",
      R"("metadata":{"postriderMessageId":")", id,
      R"(","postriderAttempt":"1","postriderTenant":"x","__proto__":"y"}})");
  EXPECT_EQ(HttpPost(rig.gateway.webhook_url(), forged), 200);
  rig.AwaitState(id, v1::MESSAGE_STATE_SENT);
  EXPECT_EQ(rig.sql.Text("SELECT (tenant_id, message_id, recipient, body, conversation_id, "
                         "request_id, sender, metadata) FROM message"),
            before);
  EXPECT_EQ(rig.sql.Text("SELECT final FROM message"), "f");
  EXPECT_THAT(HistoriesAreWhole(rig.sql), IsEmpty());
}

TEST(WebhookTest, WhatItTookIsAppliedOnceParkedOrADeadLetter) {
  Rig rig({.flags = {"--sandbox-receipt-delay-ms", "600000"}});
  const std::string id = rig.Send(RequestTo(kRecipient));
  rig.AwaitState(id, v1::MESSAGE_STATE_SUBMITTED);
  const auto receipt = [](const std::string& message_id, const char* status) {
    return StrCat(R"({"id":"msg-1","type":"sms","status":")", status,
                  R"(","timestamp":"2023-10-27T14:32:15Z","deliveryStatus":")", status,
                  R"(","metadata":{"postriderMessageId":")", message_id,
                  R"(","postriderAttempt":"1"}})");
  };
  const std::string url = rig.gateway.webhook_url();
  for (int copy = 0; copy < 3; ++copy) {
    EXPECT_EQ(HttpPost(url, receipt(id, "delivered")), 200);
    EXPECT_EQ(HttpPost(url, receipt(id, "sent")), 200);
  }
  EXPECT_EQ(HttpPost(url, receipt("01890a5d-ac96-774b-bcce-b302099a8057", "sent")), 200);
  EXPECT_EQ(HttpPost(url, R"({"no":"receipt"})"), 200);
  rig.AwaitState(id, v1::MESSAGE_STATE_DELIVERED);
  EXPECT_TRUE(Await([&] { return InboxIsAccountedFor(rig.sql).empty(); }));
  EXPECT_EQ(rig.sql.Number("SELECT count(*) FROM webhook_inbox"), 8);
  EXPECT_EQ(rig.sql.Number("SELECT count(*) FROM receipt_parked"), 1);
  EXPECT_EQ(rig.sql.Number("SELECT count(*) FROM dead_letter"), 1);
  EXPECT_EQ(rig.sql.Number("SELECT count(*) FROM status_event WHERE state = 7"), 1);
}

/// A text as Open Messaging tells of it.
std::string InboundBody(const std::string& id, const std::string& recipient,
                        const std::string& text, const std::string& sender = kSender) {
  return StrCat(R"({"id":")", id, R"(","channel":{"id":"i-1","platform":"Open","type":"Private",)",
                R"("messageId":"c-1","to":{"id":")", sender, R"("},"from":{"id":")", recipient,
                R"(","idType":"Phone"},"time":"2026-02-01T15:04:05Z"},"type":"Text","text":")",
                text, R"(","direction":"Inbound"})");
}

TEST(WebhookTest, ATextFromARecipientJoinsTheConversationThatWasLastWrittenIn) {
  Rig rig;
  for (const char* contact : {"mother", "daughter"}) {  // They share a number.
    v1::SendMessageRequest request = RequestTo(kRecipient);
    request.set_external_contact_id(contact);
    rig.AwaitState(rig.Send(request), v1::MESSAGE_STATE_DELIVERED);
  }
  const std::string url = rig.gateway.webhook_url();
  EXPECT_EQ(HttpPost(url, InboundBody("in-1", kRecipient, "Stop!")), 200);
  EXPECT_EQ(HttpPost(url, InboundBody("in-1", kRecipient, "Stop!")), 200);
  EXPECT_EQ(HttpPost(url, InboundBody("in-2", "+15557654321", "Who is this?")), 200);
  EXPECT_EQ(HttpPost(url, InboundBody("in-3", kRecipient, "Hello", "+15550000099")), 200);
  ASSERT_TRUE(Await([&] { return rig.sql.Number("SELECT count(*) FROM inbound_message") == 2; }));
  EXPECT_TRUE(Await([&] { return InboxIsAccountedFor(rig.sql).empty(); }));
  EXPECT_EQ(rig.sql.Text("SELECT (c.contact_key, i.body, i.keyword, i.provider_message_id, "
                         "i.provider_at AT TIME ZONE 'UTC') FROM inbound_message i "
                         "JOIN conversation c USING (tenant_id, conversation_id) "
                         "WHERE i.recipient = '+15551234567'"),
            "(x:daughter,Stop!,1,in-1,\"2026-02-01 15:04:05\")");
  EXPECT_EQ(rig.sql.Text("SELECT (c.contact_key, i.keyword) FROM inbound_message i "
                         "JOIN conversation c USING (tenant_id, conversation_id) "
                         "WHERE i.recipient = '+15557654321'"),
            "(n:+15557654321,0)")
      << "who was never written to has a conversation of their own";
  EXPECT_EQ(rig.sql.Text("SELECT string_agg(reason, ',') FROM dead_letter"), "UNKNOWN_SENDER");
  EXPECT_TRUE(Await([&] {
    std::string metrics;
    return HttpGet(rig.gateway.ops_url() + "/metrics", &metrics) == 200 &&
           metrics.find("postrider_inbound_messages_total{keyword=\"OPT_OUT\"} 1") !=
               std::string::npos;
  }));
  // The answer goes into the same conversation.
  const std::string id = rig.Send(RequestTo("+15557654321"));
  EXPECT_EQ(rig.sql.Number(StrCat("SELECT count(*) FROM message JOIN inbound_message i USING "
                                  "(tenant_id, conversation_id) WHERE message_id = '",
                                  id, "'")),
            1);
}

TEST(WebhookTest, ReceiptsOfOpenMessagingAreAppliedOnEitherPath) {
  for (const char* profile : {"guide", "platform"}) {
    SCOPED_TRACE(profile);
    Rig rig({.flags = {"--genesys-profile", profile, "--sandbox-receipt-delay-ms", "600000"}});
    const std::string id = rig.Send(RequestTo(kRecipient));
    rig.AwaitState(id, v1::MESSAGE_STATE_SUBMITTED);
    const std::string known = rig.sql.Text("SELECT provider_message_id FROM message");
    ASSERT_NE(known, "");
    const auto tell = [&](const std::string& own, const std::string& channels, const char* end) {
      const std::string body =
          StrCat(R"({"id":")", own, R"(","channel":{"platform":"Open","messageId":")", channels,
                 R"(","time":"2026-02-01T15:04:05.123Z"},"type":"Receipt","direction":"Outbound",)",
                 end, "}");
      EXPECT_EQ(HttpPost(rig.gateway.webhook_url(), body), 200);
    };
    tell("r-1", known, R"("status":"Sent")");
    rig.AwaitState(id, v1::MESSAGE_STATE_SENT);
    tell(known, "c-2", R"("status":"Failed","isFinalReceipt":false,"reasons":[])");
    tell(known, "c-2",
         R"("status":"Failed","reasons":[{"code":"GeneralError","message":"carrier_rejected"}])");
    rig.AwaitState(id, v1::MESSAGE_STATE_FAILED);
    EXPECT_EQ(rig.sql.Text("SELECT (provider_message_id, provider_code) FROM message"),
              StrCat("(", known, ",\"GeneralError: carrier_rejected\")"));
    EXPECT_EQ(rig.sql.Number("SELECT count(*) FROM dead_letter WHERE source <> 'send'"), 0);
    EXPECT_TRUE(Await([&] { return InboxIsAccountedFor(rig.sql).empty(); }));
  }
}

TEST(WebhookTest, SignedOnesAreTakenAndForgedOnesChangeNothingAndAreCounted) {
  const TestDir dir;
  const std::string file = dir.path() + "/webhook.secrets";
  std::ofstream(file) << "shared with Genesys\n";
  Rig rig({.flags = {"--genesys-webhook-secret-file", file, "--genesys-webhook-window-s", "300"}});
  const std::string forged =
      R"({"id":"msg-x","status":"delivered","timestamp":"2023-10-27T14:32:15Z"})";
  EXPECT_EQ(HttpPost(rig.gateway.webhook_url(), forged), 401);
  EXPECT_EQ(rig.sql.Number("SELECT count(*) FROM webhook_inbox"), 0);
  // The sandbox signs its receipts with the file's first secret.
  rig.AwaitState(rig.Send(RequestTo(kRecipient)), v1::MESSAGE_STATE_DELIVERED);
  std::string metrics;
  ASSERT_EQ(HttpGet(rig.gateway.ops_url() + "/metrics", &metrics), 200);
  EXPECT_THAT(metrics, HasSubstr("postrider_webhook_signatures_total{verdict=\"missing\"} 1"));
  EXPECT_THAT(metrics, HasSubstr("postrider_webhooks_total{status=\"401\"} 1"));

  // A new secret comes before the old one goes: nothing is refused meanwhile.
  std::ofstream(file) << "next\nshared with Genesys\n";
  rig.AwaitState(rig.Send(RequestTo(kRecipient)), v1::MESSAGE_STATE_DELIVERED);
  EXPECT_EQ(rig.sql.Number("SELECT count(*) FROM dead_letter"), 0);
}

}  // namespace
}  // namespace postrider
