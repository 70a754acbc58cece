// What the gateway writes about messages and calls: enough to find each again, and nothing that is
// nobody's business (S18).
#include "server/base/log.h"

#include <map>
#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "postrider/v1/message_service.grpc.pb.h"
#include "server/base/strings.h"
#include "server/json/json.h"
#include "tests/e2e/rig.h"

namespace postrider {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;

using Fields = std::map<std::string, std::string>;

/// The lines of one event, each as those of `names` that it has as text.
std::vector<Fields> LinesOf(const std::vector<Json>& log, const std::string& event,
                            const std::vector<std::string>& names) {
  std::vector<Fields> lines;
  for (const Json& line : log) {
    if (line.GetString("event") != event) continue;
    Fields& fields = lines.emplace_back();
    for (const std::string& name : names) {
      if (const auto value = line.GetString(name)) fields[name] = *value;
    }
  }
  return lines;
}

/// A gateway that writes all it can, as JSON.
class LogTest : public ::testing::Test {
 protected:
  /// The postrider-call-id of a SendMessage that is refused.
  std::string RefusedCall(const v1::SendMessageRequest& request, const std::string& token) {
    const auto stub = v1::MessageService::NewStub(rig_.NewChannel());
    grpc::ClientContext context;
    context.AddMetadata("authorization", "Bearer " + token);
    v1::SendMessageResponse response;
    EXPECT_FALSE(stub->SendMessage(&context, request, &response).ok());
    const auto& trailers = context.GetServerTrailingMetadata();
    const auto found = trailers.find("postrider-call-id");
    if (found == trailers.end()) return "no call id";
    return {found->second.data(), found->second.size()};
  }

  /// Stops the gateway. Each line of its log; fails the test for one that is not JSON.
  std::vector<Json> TakeLog() {
    rig_.gateway.Stop();
    std::vector<Json> log;
    std::istringstream lines(rig_.gateway.Errors());
    for (std::string line; std::getline(lines, line);) {
      absl::StatusOr<Json> json = ParseJson(line);
      EXPECT_TRUE(json.ok() && json->IsObject()) << line;
      if (json.ok()) log.push_back(*std::move(json));
    }
    return log;
  }

  Rig rig_{{.flags = {"--log-level", "debug", "--log-format", "json"}}};
  const std::string tenant_ = rig_.sql.Text("SELECT tenant_id FROM tenant");
};

TEST_F(LogTest, AMessageIsFoundByItsIdsFromAcceptanceToReceipt) {
  const v1::SendMessageRequest requests[] = {RequestTo(kRecipient), RequestTo("+15550000001")};
  const v1::MessageState ends[] = {v1::MESSAGE_STATE_DELIVERED, v1::MESSAGE_STATE_FAILED};
  std::vector<std::string> ids;
  for (const v1::SendMessageRequest& request : requests) ids.push_back(rig_.Send(request));
  for (std::size_t i = 0; i < ids.size(); ++i) rig_.AwaitState(ids[i], ends[i]);
  const std::vector<Json> log = TakeLog();

  for (std::size_t i = 0; i < ids.size(); ++i) {
    const Fields ids_of{{"message_id", ids[i]},
                        {"tenant", tenant_},
                        {"request_id", requests[i].request_id()},
                        {"recipient", MaskedNumber(requests[i].recipient())}};
    const std::vector<std::string> names = {"message_id", "tenant", "request_id", "recipient"};
    EXPECT_THAT(LinesOf(log, "message accepted", names), Contains(ids_of).Times(1));
    EXPECT_THAT(LinesOf(log, "message posted", names), Contains(ids_of).Times(1));
    const char* status = i == 0 ? "DELIVERED" : "FAILED";
    EXPECT_THAT(
        LinesOf(log, "receipt applied", {"message_id", "tenant", "status"}),
        Contains(Fields{{"message_id", ids[i]}, {"tenant", tenant_}, {"status", status}}).Times(1));
  }
}

TEST_F(LogTest, ACancelAndWhatBecameOfAWebhookAreFound) {
  v1::SendMessageRequest held = RequestTo(kRecipient);
  held.mutable_not_before()->set_seconds(time(nullptr) + 3600);
  const std::string id = rig_.Send(held);
  ASSERT_TRUE(rig_.client().Cancel(id).ok());
  ASSERT_EQ(HttpPost(rig_.gateway.webhook_url(), R"({"no":"receipt"})"), 200);
  ASSERT_TRUE(Await([this] { return rig_.sql.Number("SELECT count(*) FROM dead_letter") == 1; }));
  const std::string inbox_id = rig_.sql.Text("SELECT dead_letter_id FROM dead_letter");
  const std::vector<Json> log = TakeLog();
  EXPECT_THAT(
      LinesOf(log, "message cancelled", {"message_id", "tenant", "request_id"}),
      Contains(Fields{{"message_id", id}, {"tenant", tenant_}, {"request_id", held.request_id()}}));
  EXPECT_THAT(LinesOf(log, "webhook put aside as a dead letter", {"tenant", "inbox_id"}),
              Contains(Fields{{"tenant", tenant_}, {"inbox_id", inbox_id}}));
}

TEST_F(LogTest, ARefusedCallIsFoundByTheIdInItsTrailer) {
  const std::string wrong = RefusedCall(RequestTo("12345"), rig_.Token());
  const std::string strange = RefusedCall(RequestTo(kRecipient), "prt_nobody");
  const std::vector<Json> log = TakeLog();
  const std::vector<Fields> lines =
      LinesOf(log, "call refused", {"call_id", "tenant", "method", "reason"});
  EXPECT_THAT(lines, Contains(Fields{{"call_id", wrong},
                                     {"tenant", tenant_},
                                     {"method", "SendMessage"},
                                     {"reason", "INVALID_FIELD"}}));
  // Whose token is not known has no tenant.
  EXPECT_THAT(lines, Contains(Fields{{"call_id", strange},
                                     {"tenant", ""},
                                     {"method", "SendMessage"},
                                     {"reason", "TOKEN_INVALID"}}));
}

TEST_F(LogTest, NoTextNumberTokenOrSecretIsEverWritten) {
  const std::string text = "Canary text 8164";
  const std::string unlucky = "+15550000001";
  rig_.AwaitState(rig_.Send(RequestTo(kRecipient, text)), v1::MESSAGE_STATE_DELIVERED);
  rig_.AwaitState(rig_.Send(RequestTo(unlucky, text)), v1::MESSAGE_STATE_FAILED);
  rig_.AwaitState(rig_.Send(RequestTo("+15550000400", text)), v1::MESSAGE_STATE_REJECTED);
  const std::string token = rig_.Token();
  const std::string foreign = "+4915112345678";
  v1::SendMessageRequest not_ours = RequestTo(foreign, text);
  not_ours.set_sender("+4915187654321");
  RefusedCall(not_ours, token);
  RefusedCall(RequestTo(foreign, text), "prt_nobody_knows");
  ASSERT_EQ(HttpPost(rig_.gateway.webhook_url(), "{\"from\":\"" + foreign + "\"}"), 200);
  ASSERT_TRUE(Await([this] { return InboxIsAccountedFor(rig_.sql).empty(); }));
  const std::string webhook = rig_.gateway.webhook_url();
  const std::vector<Json> log = TakeLog();
  // Else the rest proves nothing.
  EXPECT_EQ(LinesOf(log, "message posted", {}).size(), 3U);

  const std::string secrets[] = {text,
                                 std::string(kRecipient).substr(1),
                                 std::string(kSender).substr(1),
                                 unlucky.substr(1),
                                 "15550000400",
                                 foreign.substr(1),
                                 "4915187654321",
                                 token,
                                 "prt_nobody_knows",
                                 "sandbox-secret",
                                 webhook.substr(webhook.rfind('/') + 1)};
  const std::string written = rig_.gateway.Errors();
  for (const std::string& secret : secrets) {
    ASSERT_GE(secret.size(), 10U);
    EXPECT_THAT(written, Not(HasSubstr(secret)));
  }
}

TEST_F(LogTest, OddRepliesAreOnRecordAndTheirContentsAreNot) {
  const struct {
    const char* recipient;
    v1::MessageState state;
    const char* detail;
  } cases[] = {
      {"+15550000604", v1::MESSAGE_STATE_DELIVERED, "accepted; the reply cannot be read"},
      {"+15550000605", v1::MESSAGE_STATE_DELIVERED, "accepted; the reply has no id"},
      {"+15550000302", v1::MESSAGE_STATE_REJECTED, "redirected"},
  };
  const std::string text = "Canary text 2719";
  std::vector<std::string> ids;
  for (const auto& c : cases) ids.push_back(rig_.Send(RequestTo(c.recipient, text)));
  for (std::size_t i = 0; i < ids.size(); ++i) rig_.AwaitState(ids[i], cases[i].state);
  const std::vector<Json> log = TakeLog();
  for (std::size_t i = 0; i < ids.size(); ++i) {
    EXPECT_THAT(LinesOf(log, "message posted", {"message_id", "detail"}),
                Contains(Fields{{"message_id", ids[i]}, {"detail", cases[i].detail}}).Times(1));
  }
  EXPECT_THAT(LinesOf(log, "odd reply of the provider", {"reason"}),
              Contains(Fields{{"reason", "no_id"}}));

  const std::string written = rig_.gateway.Errors();
  // Of the page, of where it leads to, and of the refusal: bodies and headers of the sandbox.
  const std::string contents[] = {text,
                                  "15550000604",
                                  "15550000605",
                                  "15550000302",
                                  std::string(kSender).substr(1),
                                  "doctype",
                                  "Thank you",
                                  "Your request was received",
                                  "/elsewhere",
                                  "The request is not valid"};
  for (const std::string& content : contents) EXPECT_THAT(written, Not(HasSubstr(content)));
}

}  // namespace
}  // namespace postrider
