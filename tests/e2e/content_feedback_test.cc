// What carriers reject for its content feeds back: through webhooks to the campaign's pause, and
// what operators and callers see of it.
#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "server/base/strings.h"
#include "server/model/content_limits.h"
#include "tests/e2e/rig.h"
#include "tests/support/child_program.h"
#include "tests/support/test_database.h"

namespace postrider {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

constexpr const char* kRejectedByCarrier = "+15550000001";

class ContentFeedbackTest : public ::testing::Test {
 protected:
  CommandResult Operate(std::vector<std::string> args) {
    args.insert(args.begin(), POSTRIDER);
    args.insert(args.end(), {"--address", rig_.gateway.admin_address(), "--token-file",
                             rig_.gateway.operator_token_file()});
    return RunCommand(args);
  }
  void Apply(const std::string& yaml) {
    const std::string file = dir_.path() + "/tenant.yaml";
    std::ofstream(file) << yaml;
    const CommandResult applied = Operate({"apply", "-f", file, "--reason", "rules"});
    ASSERT_EQ(applied.exit.status, 0) << applied.err;
  }
  std::string SendOf(const std::string& campaign, const std::string& recipient) {
    ++sent_;
    v1::SendMessageRequest request =
        RequestTo(recipient, StrCat("Buy number ", sent_, " at www.shop.example/", sent_));
    request.set_campaign_id(campaign);
    return rig_.Send(request);
  }
  std::string Pauses() {
    return rig_.sql.Text("SELECT coalesce(string_agg(target, ' '), '') FROM dispatch_pause");
  }
  bool AwaitJudged(int count) {
    return Await([&] {
      return rig_.sql.Number(
                 "SELECT count(*) FROM content_rejection WHERE judged_at IS NOT NULL") == count;
    });
  }

  Rig rig_;
  const TestDir dir_;
  int sent_ = 0;
};

TEST_F(ContentFeedbackTest, ATextThatCarriersRejectPausesItsCampaignUntilItIsResumed) {
  Apply("campaigns:\n  - campaign_id: spring\n  - campaign_id: autumn\n");
  ASSERT_TRUE(Await([&] {
    v1::SendMessageRequest unknown = RequestTo(kRecipient);
    unknown.set_campaign_id("none");
    unknown.set_validate_only(true);
    return !rig_.client().Send(unknown).ok();
  })) << "the setup is gone by";
  for (int i = 0; i < kClusterRejections - 1; ++i) SendOf("spring", kRejectedByCarrier);
  ASSERT_TRUE(AwaitJudged(kClusterRejections - 1));
  EXPECT_EQ(Pauses(), "");
  rig_.AwaitState(SendOf("spring", kRecipient), v1::MESSAGE_STATE_DELIVERED);

  SendOf("spring", kRejectedByCarrier);
  ASSERT_TRUE(Await([&] { return Pauses() == "spring"; }));
  const std::string held = SendOf("spring", kRecipient);
  rig_.AwaitState(SendOf("autumn", kRecipient), v1::MESSAGE_STATE_DELIVERED);
  EXPECT_EQ(rig_.StateOf(held), v1::MESSAGE_STATE_QUEUED);

  // The caller sees what holds it, the operator why and since when.
  const auto explained = rig_.client().Explain(held);
  ASSERT_TRUE(explained.ok()) << explained.status();
  ASSERT_GT(explained->gates_size(), 0);
  EXPECT_EQ(explained->gates(0).kind(), v1::GATE_KIND_PAUSED);
  EXPECT_EQ(explained->gates(0).detail(), "campaign");
  const auto state = rig_.NewAdmin()->State("default");
  ASSERT_TRUE(state.ok()) << state.status();
  ASSERT_EQ(state->tenants(0).pauses_size(), 1);
  EXPECT_EQ(state->tenants(0).pauses(0).actor(), "postrider");
  EXPECT_THAT(state->tenants(0).pauses(0).reason(),
              StartsWith("carriers rejected 5 of the last 6 messages with one text"));
  EXPECT_EQ(rig_.sql.Text("SELECT string_agg(actor || ' ' || action || ' ' || target, ',') FROM "
                          "operator_action WHERE actor = 'postrider'"),
            "postrider PAUSE campaign spring");
  EXPECT_EQ(rig_.sql.Text("SELECT string_agg(campaign_id || verdict_epoch, ' ' ORDER BY 1) "
                          "FROM (SELECT * FROM campaign ORDER BY campaign_id) c"),
            "autumn0 spring1");
  std::string metrics;
  ASSERT_EQ(HttpGet(rig_.gateway.ops_url() + "/metrics", &metrics), 200);
  EXPECT_THAT(metrics, HasSubstr("postrider_content_clusters_total{paused=\"yes\"} 1\n"));
  EXPECT_THAT(metrics, HasSubstr("postrider_content_rejections_total 5\n"));
  EXPECT_THAT(rig_.gateway.Errors(), HasSubstr("carriers reject a text: its campaign is paused"));

  const CommandResult resumed = Operate({"admin", "resume", "--tenant", "default", "--campaign",
                                         "spring", "--reason", "another text"});
  EXPECT_EQ(resumed.exit.status, 0) << resumed.err;
  rig_.AwaitState(held, v1::MESSAGE_STATE_DELIVERED);
  // One more of it is not held against what was sent before the pause.
  rig_.AwaitState(SendOf("spring", kRejectedByCarrier), v1::MESSAGE_STATE_FAILED);
  ASSERT_TRUE(AwaitJudged(kClusterRejections + 1));
  EXPECT_EQ(Pauses(), "");
}

TEST_F(ContentFeedbackTest, MessagesWithoutACampaignAreToldOfOnly) {
  for (int i = 0; i < kClusterRejections; ++i) SendOf("", kRejectedByCarrier);
  ASSERT_TRUE(AwaitJudged(kClusterRejections));
  EXPECT_EQ(rig_.sql.Text("SELECT concat_ws(' ', campaign_id, rejections, paused) "
                          "FROM content_cluster"),
            " 5 f");
  EXPECT_EQ(Pauses(), "");
  rig_.AwaitState(SendOf("", kRecipient), v1::MESSAGE_STATE_DELIVERED);
  EXPECT_THAT(rig_.gateway.Errors(),
              AllOf(HasSubstr("carriers reject a text"), Not(HasSubstr("campaign is paused"))));
}

TEST_F(ContentFeedbackTest, TypographicSignsAreMadePlainByTheTenantsSetting) {
  Apply("plain_punctuation: true\n");
  const auto send = [&](const std::string& id, const std::string& text) {
    return RunCommand({POSTRIDER, "send", "--to", kRecipient, "--from", kSender, "--text", text,
                       "--request-id", id, "--address", rig_.gateway.grpc_address(), "--token-file",
                       rig_.gateway.token_file()});
  };
  CommandResult sent;
  int tries = 0;
  ASSERT_TRUE(Await([&] {
    sent = send(StrCat("quote-", ++tries), "It\u2019s \u2018on\u2019\u2026");
    return sent.out.find("RIGHT SINGLE QUOTATION MARK (2)") != std::string::npos;
  })) << sent.out
      << sent.err;
  EXPECT_EQ(
      rig_.sql.Text(StrCat("SELECT body FROM message WHERE request_id = 'quote-", tries, "'")),
      "It's 'on'...");
  const CommandResult again = send("quote-1", "It\u2019s \u2018on\u2019\u2026");
  EXPECT_EQ(again.exit.status, 0) << "set meanwhile, and still the first message: " << again.err;
  EXPECT_THAT(Operate({"apply", "-f", dir_.path() + "/tenant.yaml", "--dry-run"}).out,
              HasSubstr("0 changes"));
}

}  // namespace
}  // namespace postrider
