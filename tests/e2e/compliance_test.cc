// A tenant's compliance check, from its YAML file to the sandbox that is asked and back.
#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "client/batch.h"
#include "server/base/strings.h"
#include "tests/e2e/rig.h"
#include "tests/support/child_program.h"
#include "tests/support/test_database.h"

namespace postrider {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

class ComplianceTest : public ::testing::Test {
 protected:
  /// The file of a tenant whose check is at the sandbox; `more` goes below `compliance_check`.
  std::string Yaml(const std::string& more = "",
                   const std::string& template_text = "Hi {name}, your visit is at {time}.") const {
    return StrCat(
        "campaigns:\n"
        "  - campaign_id: visits\n"
        "    templates: [visit]\n"
        "templates:\n"
        "  - name: visit\n"
        "    text: \"",
        template_text,
        "\"\n"
        "compliance_check:\n"
        "  url: ",
        rig_.gateway.sandbox_url(), "/api/v2/messaging/compliance/check\n", more);
  }
  CommandResult Apply(const std::string& yaml, std::vector<std::string> more = {"--reason", "x"}) {
    const std::string file = dir_.path() + "/tenant.yaml";
    std::ofstream(file) << yaml;
    std::vector<std::string> args = {POSTRIDER, "apply", "-f", file};
    args.insert(args.end(), more.begin(), more.end());
    args.insert(args.end(), {"--address", rig_.gateway.admin_address(), "--token-file",
                             rig_.gateway.operator_token_file()});
    return RunCommand(args);
  }
  v1::SendMessageRequest Visit(const std::string& name) const {
    v1::SendMessageRequest request = RequestTo(kRecipient);
    request.set_campaign_id("visits");
    request.mutable_template_()->set_name("visit");
    (*request.mutable_template_()->mutable_values())["name"] = name;
    (*request.mutable_template_()->mutable_values())["time"] = "9:30";
    return request;
  }
  v1::SendMessageRequest Plain(const std::string& text) const {
    return RequestTo(kRecipient, text);
  }
  /// Why it is refused; empty when it is not. Tried once.
  std::string ReasonOf(const v1::SendMessageRequest& request) {
    const auto sent = rig_.ImpatientClient()->Send(request);
    if (sent.ok()) response_ = *sent;
    if (!sent.ok()) error_ = sent.status();
    return sent.ok() ? "" : client::DecodeError(sent.status()).reason;
  }
  /// Of a counter of the gateway's, labels included; 0 when it is not there.
  std::int64_t Shown(const std::string& metric) const {
    std::string page;
    EXPECT_EQ(HttpGet(StrCat(rig_.gateway.ops_url(), "/metrics"), &page), 200);
    const std::size_t at = page.find(StrCat("\n", metric, " "));
    if (at == std::string::npos) return 0;
    return static_cast<std::int64_t>(std::stod(page.substr(at + metric.size() + 2)));
  }
  std::int64_t Verdicts(const std::string& result) const {
    return Shown(StrCat("postrider_content_verdicts_total{result=\"", result, "\"}"));
  }
  /// What the sandbox was asked.
  std::int64_t Asked() const { return Shown("postrider_sandbox_checks_total{status=\"200\"}"); }
  void SwitchCheck(bool on) const {
    const std::string url = rig_.gateway.sandbox_url();
    EXPECT_EQ(HttpPost(StrCat(url, "/sandbox/compliance/", on ? "on" : "off"), ""), 204);
  }
  /// Applies it and waits until messages of campaigns that are not registered are refused.
  void ApplyAndAwait(const std::string& yaml) {
    const CommandResult applied = Apply(yaml);
    ASSERT_EQ(applied.exit.status, 0) << applied.err;
    ASSERT_TRUE(Await([&] {
      v1::SendMessageRequest unknown = Plain("hello");
      unknown.set_campaign_id("unknown");
      return ReasonOf(unknown) == "CAMPAIGN_NOT_ACTIVE";
    }));
  }

  Rig rig_;
  const TestDir dir_;
  v1::SendMessageResponse response_;
  absl::Status error_;
};

TEST_F(ComplianceTest, ACampaignByTemplateIsAskedAboutOnceAlsoAfterARestart) {
  const CommandResult shown = Apply(Yaml("  verdicts_expire_after: 12h\n"), {"--dry-run"});
  EXPECT_EQ(shown.exit.status, 0) << shown.err;
  EXPECT_THAT(shown.out, AllOf(HasSubstr("+ compliance_check.verdicts_expire_after: 43200s\n"),
                               HasSubstr("+ compliance_check.checks_per_minute: 10\n")));
  ApplyAndAwait(Yaml("  verdicts_expire_after: 12h\n"));

  constexpr int kMessages = 1000;
  int accepted = 0;
  client::Batch batch(rig_.client(), {}, [&](const client::Batch::Answer& answer) {
    EXPECT_TRUE(answer.response.ok()) << answer.response.status();
    accepted += answer.response.ok() ? 1 : 0;
  });
  for (int i = 0; i < kMessages; ++i) {
    batch.Send(Visit(StrCat("Ann ", i)), static_cast<std::uint64_t>(i));
  }
  batch.Finish();
  EXPECT_EQ(accepted, kMessages);
  EXPECT_EQ(Asked(), 1);
  EXPECT_EQ(Verdicts("asked"), 1);
  EXPECT_EQ(Verdicts("unavailable"), 0);
  // Those that came while the first one was asked about have waited for it, and asked nothing.
  EXPECT_EQ(Verdicts("hit") + Verdicts("joined"), kMessages - 1);
  EXPECT_GE(Verdicts("hit") + Verdicts("joined"), kMessages * 99 / 100);

  rig_.gateway.Stop();
  ASSERT_TRUE(rig_.gateway.Start());
  EXPECT_EQ(ReasonOf(Visit("Eve")), "");
  EXPECT_EQ(Asked(), 0) << "counted since the start";
  EXPECT_EQ(Verdicts("stored"), 1);

  ApplyAndAwait(Yaml("", "Hello {name}, your visit is at {time}."));
  ASSERT_TRUE(Await([&] { return ReasonOf(Visit("Eve")).empty() && Asked() == 1; }));
  EXPECT_EQ(rig_.sql.Number("SELECT count(*) FROM content_approval WHERE approved"), 2);
  EXPECT_EQ(rig_.sql.Number("SELECT count(DISTINCT campaign_version) FROM content_approval"), 2);
}

TEST_F(ComplianceTest, ARefusedTextIsToldItsRuleAndIsOnRecord) {
  ApplyAndAwait(Yaml());
  v1::SendMessageRequest request = Plain("Cheap contraband, see example.com");
  request.set_campaign_id("");
  request.set_request_id("smuggler-1");
  EXPECT_EQ(ReasonOf(request), "CONTENT_NOT_APPROVED");
  const client::Error error = client::DecodeError(error_);
  EXPECT_EQ(error.metadata.at("rules"), "refused_word");
  EXPECT_EQ(rig_.sql.Text("SELECT concat_ws(' | ', reason, detail, times) FROM refusal "
                          "WHERE request_id = 'smuggler-1'"),
            "CONTENT_NOT_APPROVED | compliance_check refused_word | 1");
  EXPECT_EQ(rig_.sql.Text("SELECT violations FROM content_approval WHERE NOT approved"),
            "{\"refused_word\": \"says \\\"contraband\\\"\"}");
  EXPECT_EQ(ReasonOf(request), "CONTENT_NOT_APPROVED");
  EXPECT_EQ(Asked(), 1) << "a refusal is remembered, too";
  EXPECT_EQ(ReasonOf(Plain("All well")), "");
  // A value that is refused is no word against the template.
  EXPECT_EQ(ReasonOf(Visit("Contraband")), "CONTENT_NOT_APPROVED");
  EXPECT_EQ(ReasonOf(Visit("Ann")), "");
  const std::string log = rig_.gateway.Errors();
  EXPECT_EQ(log.find("contraband"), std::string::npos) << "no text is logged";
}

TEST_F(ComplianceTest, WithoutAVerdictTheTenantsSettingDecides) {
  ApplyAndAwait(Yaml());
  EXPECT_EQ(ReasonOf(Plain("known")), "");
  SwitchCheck(false);
  const v1::SendMessageRequest request = Plain("unknown");
  EXPECT_EQ(ReasonOf(request), "COMPLIANCE_CHECK_UNAVAILABLE");
  EXPECT_GT(client::DecodeError(error_).retry_after.value_or(std::chrono::milliseconds(0)),
            std::chrono::milliseconds(0));
  EXPECT_EQ(ReasonOf(Plain("known")), "") << "what is known needs nobody";
  EXPECT_EQ(rig_.sql.Number("SELECT count(*) FROM refusal"), 1) << "the unregistered campaign's";

  ASSERT_EQ(Apply(Yaml("  when_unavailable: ALLOW\n")).exit.status, 0);
  ASSERT_TRUE(Await([&] { return ReasonOf(request).empty(); }));
  ASSERT_EQ(response_.warnings_size(), 1);
  EXPECT_THAT(response_.warnings(0), HasSubstr("no verdict"));
  EXPECT_FALSE(response_.deduplicated()) << "nothing was kept of it before";
  EXPECT_TRUE(response_.message().content_unchecked());
  EXPECT_EQ(rig_.sql.Text("SELECT message_id FROM message WHERE content_unchecked"),
            response_.message().message_id())
      << "of the two that were accepted";
  EXPECT_GE(Shown("postrider_content_unchecked_total"), 1);
  SwitchCheck(true);
  EXPECT_EQ(ReasonOf(Plain("new contraband")), "CONTENT_NOT_APPROVED");
}

TEST_F(ComplianceTest, AFileWaitsForVerdictsLongerThanForAGateway) {
  ApplyAndAwait(Yaml());
  SwitchCheck(false);
  const std::string file = dir_.path() + "/texts.csv";
  std::ofstream(file) << "recipient,text\n" << kRecipient << ",one\n" << kRecipient << ",two\n";
  ChildProgram sending(
      {.arguments = {POSTRIDER, "send", "--file", file, "--from", kSender, "--retry-for", "0.1"},
       .environment = {"POSTRIDER_ADDRESS=" + rig_.gateway.grpc_address(),
                       "POSTRIDER_TOKEN_FILE=" + rig_.gateway.token_file()},
       .output_file = dir_.path() + "/out",
       .error_file = dir_.path() + "/err"});
  ASSERT_TRUE(Await([&] { return Verdicts("unavailable") >= 4; })) << "both were repeated";
  SwitchCheck(true);
  const auto exit = sending.AwaitExit(std::chrono::minutes(1));
  ASSERT_TRUE(exit.has_value());
  EXPECT_EQ(exit->status, 0) << ReadWholeFile(dir_.path() + "/err");
  EXPECT_EQ(rig_.sql.Number("SELECT count(*) FROM message"), 2);
}

TEST_F(ComplianceTest, NoMoreIsAskedInAMinuteThanWasSet) {
  ApplyAndAwait(Yaml("  checks_per_minute: 2\n"));
  int refused = 0;
  for (int i = 0; i < 8; ++i) {
    const std::string reason = ReasonOf(Plain(StrCat("text ", std::string(1, char('a' + i)))));
    refused += reason == "COMPLIANCE_CHECK_UNAVAILABLE" ? 1 : 0;
  }
  EXPECT_GE(refused, 4) << "two minutes at most";
  EXPECT_LE(Asked(), 4);
  EXPECT_EQ(Asked() + refused, 8);
  const auto wait = client::DecodeError(error_).retry_after;
  ASSERT_TRUE(wait.has_value());
  EXPECT_LE(*wait, std::chrono::minutes(1));
}

TEST_F(ComplianceTest, WhatIsWrongWithItIsNamed) {
  const CommandResult wrong =
      Apply("compliance_check:\n  url: http://check.example/v1\n  checks_per_minute: 1000\n",
            {"--dry-run"});
  EXPECT_EQ(wrong.exit.status, 3);
  EXPECT_THAT(wrong.err, AllOf(HasSubstr("tenant.yaml:2:3: compliance_check.url: must be https"),
                               HasSubstr("compliance_check.checks_per_minute")));
  EXPECT_EQ(rig_.sql.Number("SELECT count(*) FROM compliance_check"), 0);
}

}  // namespace
}  // namespace postrider
