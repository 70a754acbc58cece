// What a tenant may send, from its YAML file to the refusals that an auditor reads.
#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "server/base/strings.h"
#include "tests/e2e/rig.h"
#include "tests/support/child_program.h"
#include "tests/support/test_database.h"

namespace postrider {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr const char* kSetup = R"(# What the clinic sends.
campaigns:
  - campaign_id: visits
    templates: [visit]
  - campaign_id: spring
    campaign_class: MARKETING
    forbidden_words: [loan]
    links: LISTED
    link_hosts: [clinic.example]
    opt_out_text: Reply STOP to end
    daily_cap: 2
templates:
  - name: visit
    text: "Hi {name}, your visit is at {time}."
destinations:
  - prefix: "+1555"
)";

class SetupTest : public ::testing::Test {
 protected:
  CommandResult Apply(const std::string& yaml, std::vector<std::string> more) {
    const std::string file = dir_.path() + "/tenant.yaml";
    std::ofstream(file) << yaml;
    std::vector<std::string> args = {POSTRIDER, "apply", "-f", file};
    args.insert(args.end(), more.begin(), more.end());
    args.insert(args.end(), {"--address", rig_.gateway.admin_address(), "--token-file",
                             rig_.gateway.operator_token_file()});
    return RunCommand(args);
  }
  /// Why a message is refused; empty when it is not.
  std::string RefusalOf(const std::string& campaign, const std::string& text,
                        const std::string& recipient = kRecipient) {
    v1::SendMessageRequest request = RequestTo(recipient);
    request.set_campaign_id(campaign);
    request.set_text(text);
    const auto sent = rig_.client().Send(request);
    return sent.ok() ? "" : client::DecodeError(sent.status()).reason;
  }

  Rig rig_;
  const TestDir dir_;
};

TEST_F(SetupTest, AFileIsShownAppliedEnforcedAndOnRecord) {
  const CommandResult shown = Apply(kSetup, {"--dry-run"});
  EXPECT_EQ(shown.exit.status, 0) << shown.err;
  EXPECT_THAT(shown.out, AllOf(HasSubstr("+ campaigns[spring].campaign_class: MARKETING\n"),
                               HasSubstr("+ destinations[+1555].allowed: true\n"),
                               HasSubstr("not applied (--dry-run)")));
  EXPECT_EQ(rig_.sql.Number("SELECT count(*) FROM campaign"), 0);
  EXPECT_EQ(RefusalOf("other", "hello"), "");

  const CommandResult applied = Apply(kSetup, {"--reason", "the clinic's rules"});
  EXPECT_EQ(applied.exit.status, 0) << applied.err;
  EXPECT_THAT(applied.out, HasSubstr("changes applied\n"));
  ASSERT_TRUE(Await([&] { return RefusalOf("other", "hello") == "CAMPAIGN_NOT_ACTIVE"; }));
  EXPECT_EQ(Apply(kSetup, {"--reason", "again"}).out, "0 changes applied\n");

  EXPECT_EQ(RefusalOf("visits", "Hi Ann, your visit is at 9."), "");
  EXPECT_EQ(RefusalOf("visits", "Buy now"), "CONTENT_NOT_APPROVED");
  EXPECT_EQ(RefusalOf("", "hello", "+4915112345678"), "DESTINATION_NOT_ALLOWED");
  EXPECT_EQ(RefusalOf("spring", "A loan at evil.example"), "CONTENT_NOT_APPROVED");
  const std::string fresh = "+15550009999";
  EXPECT_EQ(RefusalOf("spring", "See clinic.example/spring", fresh), "CONTENT_NOT_APPROVED");
  EXPECT_EQ(RefusalOf("spring", "See clinic.example. Reply STOP to end", fresh), "");
  EXPECT_EQ(RefusalOf("spring", "See clinic.example/spring", fresh), "");
  EXPECT_EQ(RefusalOf("spring", "See clinic.example/spring", fresh), "QUOTA_EXCEEDED");

  EXPECT_EQ(rig_.sql.Text("SELECT string_agg(concat_ws(' ', action, reason), ',') "
                          "FROM operator_action WHERE action = 'APPLY_SETUP'"),
            "APPLY_SETUP the clinic's rules");
  EXPECT_EQ(rig_.sql.Text("SELECT string_agg(DISTINCT reason, ' ' ORDER BY reason) FROM refusal "
                          "WHERE campaign_id = 'spring'"),
            "CONTENT_NOT_APPROVED QUOTA_EXCEEDED");
  EXPECT_EQ(rig_.sql.Text("SELECT detail FROM refusal WHERE campaign_id = 'visits'"),
            "template the text is none of the campaign's templates");
  EXPECT_EQ(rig_.sql.Number("SELECT count(*) FROM refusal WHERE recipient ~ '[0-9]{3}'"), 0)
      << "numbers are masked";
}

TEST_F(SetupTest, AMessageByTemplateIsFilledIn) {
  ASSERT_EQ(Apply(kSetup, {"--reason", "rules"}).exit.status, 0);
  CommandResult sent;
  ASSERT_TRUE(Await([&] {
    sent = RunCommand({POSTRIDER,      "send",
                       "--to",         kRecipient,
                       "--from",       kSender,
                       "--campaign",   "visits",
                       "--template",   "visit",
                       "--value",      "name=Ann",
                       "--value",      "time=9:30",
                       "--request-id", "visit-1",
                       "--address",    rig_.gateway.grpc_address(),
                       "--token-file", rig_.gateway.token_file()});
    return sent.exit.status == 0;
  })) << sent.err;
  EXPECT_EQ(rig_.sql.Text("SELECT body FROM message WHERE request_id = 'visit-1'"),
            "Hi Ann, your visit is at 9:30.");
}

TEST_F(SetupTest, ARepeatByTemplateGivesTheFirstMessageAfterTheTemplateWasRemoved) {
  ASSERT_EQ(Apply(kSetup, {"--reason", "rules"}).exit.status, 0);
  v1::SendMessageRequest request = RequestTo(kRecipient);
  request.set_request_id("visit-2");
  request.set_campaign_id("visits");
  request.mutable_template_()->set_name("visit");
  auto& values = *request.mutable_template_()->mutable_values();
  values["name"] = "Ann";
  values["time"] = "9:30";
  const auto send = [&] { return rig_.client().Send(request); };
  ASSERT_TRUE(Await([&] { return send().ok(); }));
  const std::string first = send()->message().message_id();
  EXPECT_EQ(send()->message().template_name(), "visit");
  EXPECT_EQ(rig_.sql.Text("SELECT template_name FROM message WHERE request_id = 'visit-2'"),
            "visit");

  ASSERT_EQ(Apply("campaigns: []\ntemplates: []\n", {"--reason", "no templates"}).exit.status, 0);
  v1::SendMessageRequest fresh = request;
  ASSERT_TRUE(Await([&] {
    fresh.set_request_id(fresh.request_id() + "x");
    const auto refused = rig_.client().Send(fresh);
    return !refused.ok() && client::DecodeError(refused.status()).reason == "INVALID_FIELD";
  })) << "the template is gone";
  const auto again = send();
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_TRUE(again->deduplicated());
  EXPECT_EQ(again->message().message_id(), first);
  EXPECT_EQ(again->message().text(), "Hi Ann, your visit is at 9:30.");
  values["name"] = "Bob";
  const auto reused = send();
  ASSERT_FALSE(reused.ok());
  EXPECT_EQ(client::DecodeError(reused.status()).reason, "REQUEST_ID_REUSED");
  EXPECT_EQ(client::DecodeError(reused.status()).metadata.at("fields"), "template");
}

TEST_F(SetupTest, WhatIsLargerThanARequestIsToldBeforeItIsSent) {
  std::string yaml = "templates:\n";
  for (int i = 0; i < 400; ++i) {
    StrAppend(yaml, "  - name: t", i, "\n    text: ", std::string(700, 'x'), "\n");
  }
  const CommandResult refused = Apply(yaml, {"--dry-run"});
  EXPECT_EQ(refused.exit.status, 2);
  EXPECT_THAT(refused.err, AllOf(HasSubstr("the gateway takes 262144"),
                                 HasSubstr("apply one section at a time")));
}

TEST_F(SetupTest, WhatIsWrongIsNamedAndNothingIsApplied) {
  const CommandResult misspelt =
      Apply("campaigns:\n  - campaign_id: spring\n    dayly_cap: 3\n", {"--reason", "x"});
  EXPECT_EQ(misspelt.exit.status, 2);
  EXPECT_THAT(misspelt.err, AllOf(StartsWith("postrider: apply: nothing was applied\n  "),
                                  HasSubstr("tenant.yaml:3:5: campaigns[0].dayly_cap: there is no "
                                            "such key; did you mean daily_cap?\n")));
  const CommandResult conflicting = Apply(
      "campaigns:\n"
      "  - campaign_id: spring\n"
      "    campaign_class: MARKETING\n"
      "    templates: [none]\n",
      {"--dry-run"});
  EXPECT_EQ(conflicting.exit.status, 3);
  EXPECT_THAT(conflicting.err,
              AllOf(HasSubstr("tenant.yaml:2:5: campaigns[spring].opt_out_text: is required"),
                    HasSubstr("tenant.yaml:4:17: campaigns[spring].templates[0]: there is no "
                              "template none\n")));
  EXPECT_EQ(rig_.sql.Number("SELECT count(*) FROM campaign"), 0);
  EXPECT_EQ(rig_.sql.Number("SELECT count(*) FROM operator_action WHERE action = 'APPLY_SETUP'"),
            0);
}

}  // namespace
}  // namespace postrider
