// What operators do and see, through the front door.
#include <gmock/gmock.h>
#include <google/protobuf/util/time_util.h>
#include <gtest/gtest.h>

#include "server/base/strings.h"
#include "tests/e2e/rig.h"
#include "tests/support/child_program.h"

namespace postrider {
namespace {

using google::protobuf::util::TimeUtil;
using ::testing::HasSubstr;
using ::testing::StartsWith;

TEST(ControlTest, APausedTenantSendsNothingUntilItIsResumed) {
  Rig rig;
  const auto admin = rig.NewAdmin();
  const auto pause = admin->Pause(PauseFor("the carrier asked us to"));
  ASSERT_TRUE(pause.ok()) << pause.status();
  EXPECT_EQ(pause->actor(), "operator token file");
  EXPECT_FALSE(pause->has_until());
  std::vector<std::string> held;
  for (int i = 0; i < 3; ++i) held.push_back(rig.Send(RequestTo(kRecipient)));
  v1::SendMessageRequest short_lived = RequestTo(kRecipient);
  *short_lived.mutable_expire_at() = TimeUtil::GetCurrentTime() + TimeUtil::SecondsToDuration(2);
  // Its expiry shows that the dispatcher had its time.
  rig.AwaitState(rig.Send(short_lived), v1::MESSAGE_STATE_EXPIRED);
  for (const std::string& id : held) EXPECT_EQ(rig.StateOf(id), v1::MESSAGE_STATE_QUEUED);
  EXPECT_EQ(rig.sql.Text("SELECT count(*) FROM attempt"), "0");

  const auto state = admin->State("default");
  ASSERT_TRUE(state.ok()) << state.status();
  ASSERT_EQ(state->tenants_size(), 1);
  const v1::TenantState& tenant = state->tenants(0);
  EXPECT_EQ(tenant.queue_depth(), 3);
  EXPECT_EQ(tenant.licensed_per_s(), 1000);
  EXPECT_TRUE(tenant.has_oldest_due_at());
  EXPECT_FALSE(tenant.owner().empty());
  ASSERT_EQ(tenant.pauses_size(), 1);
  EXPECT_EQ(tenant.pauses(0).reason(), "the carrier asked us to");
  EXPECT_EQ(state->slots_size(), 16);
  ASSERT_EQ(state->replicas_size(), 1);
  EXPECT_TRUE(state->replicas(0).alive());
  EXPECT_EQ(state->replicas(0).name(), state->answered_by());

  EXPECT_EQ(admin->Resume(ResumeFor("works again")).value(), true);
  EXPECT_EQ(admin->Resume(ResumeFor("works again")).value(), false);
  for (const std::string& id : held) rig.AwaitState(id, v1::MESSAGE_STATE_DELIVERED);
  EXPECT_EQ(rig.sql.Text("SELECT string_agg(action || ' ' || reason, ', ' ORDER BY at) "
                         "FROM operator_action WHERE actor = 'operator token file'"),
            "PAUSE the carrier asked us to, RESUME works again");
}

TEST(ControlTest, APauseOfACampaignHoldsItAloneAndEndsByItself) {
  Rig rig;
  const auto admin = rig.NewAdmin();
  v1::PauseDispatchRequest request = PauseFor("typing error in the text", "spring");
  *request.mutable_until() = TimeUtil::GetCurrentTime() + TimeUtil::SecondsToDuration(3);
  ASSERT_TRUE(admin->Pause(request).ok());
  v1::SendMessageRequest in_campaign = RequestTo(kRecipient);
  in_campaign.set_campaign_id("spring");
  const std::string held = rig.Send(in_campaign);
  rig.AwaitState(rig.Send(RequestTo(kRecipient)), v1::MESSAGE_STATE_DELIVERED);
  EXPECT_EQ(rig.StateOf(held), v1::MESSAGE_STATE_QUEUED);
  rig.AwaitState(held, v1::MESSAGE_STATE_DELIVERED);
  EXPECT_EQ(rig.sql.Text(StrCat("SELECT a.intended_at >= p.until FROM attempt a, dispatch_pause p "
                                "WHERE a.message_id = '",
                                held, "'")),
            "t");
}

TEST(ControlTest, AScheduledMessageLeavesAtItsTimeAndNotBefore) {
  Rig rig;
  v1::SendMessageRequest later = RequestTo(kRecipient);
  *later.mutable_not_before() = TimeUtil::GetCurrentTime() + TimeUtil::SecondsToDuration(2);
  v1::SendMessageRequest never = RequestTo(kRecipient);
  *never.mutable_not_before() = TimeUtil::GetCurrentTime() + TimeUtil::SecondsToDuration(3600);
  *never.mutable_expire_at() = TimeUtil::GetCurrentTime() + TimeUtil::SecondsToDuration(3700);
  const std::string first = rig.Send(later);
  const std::string second = rig.Send(never);
  EXPECT_EQ(rig.StateOf(second), v1::MESSAGE_STATE_QUEUED);
  EXPECT_TRUE(rig.client().Cancel(second).ok());
  rig.AwaitState(first, v1::MESSAGE_STATE_DELIVERED);
  EXPECT_EQ(rig.sql.Text(StrCat("SELECT a.intended_at >= m.not_before FROM attempt a "
                                "JOIN message m USING (tenant_id, message_id)")),
            "t");
  EXPECT_EQ(rig.StateOf(second), v1::MESSAGE_STATE_CANCELLED);
}

TEST(ControlTest, AnOverriddenBreakerHoldsTrafficUntilItIsLetGo) {
  Rig rig;
  const auto admin = rig.NewAdmin();
  v1::OverrideBreakerRequest request;
  request.set_tenant("default");
  request.set_kind(v1::BREAKER_KIND_CARRIER);
  request.set_position(v1::BREAKER_POSITION_OPEN);
  request.set_reason("the carrier has an outage");
  *request.mutable_until() = TimeUtil::GetCurrentTime() + TimeUtil::SecondsToDuration(3600);
  const auto held = admin->Override(request);
  ASSERT_TRUE(held.ok()) << held.status();
  EXPECT_EQ(held->override(), v1::BREAKER_POSITION_OPEN);
  EXPECT_EQ(held->position(), v1::BREAKER_POSITION_CLOSED) << "as measured";
  const char* const kOpen = "postrider_breaker_state{breaker=\"carrier\",state=\"open\"} 1\n";
  ASSERT_TRUE(Await([&] {
    std::string text;
    return HttpGet(rig.gateway.ops_url() + "/metrics", &text) == 200 &&
           text.find(kOpen) != text.npos;
  }));
  const std::string waits = rig.Send(RequestTo(kRecipient));
  v1::SendMessageRequest short_lived = RequestTo(kRecipient);
  *short_lived.mutable_expire_at() = TimeUtil::GetCurrentTime() + TimeUtil::SecondsToDuration(2);
  // Refused, or expired: its end shows that the dispatcher had its time.
  const auto sent = rig.ImpatientClient()->Send(short_lived);
  if (sent.ok()) rig.AwaitState(sent->message().message_id(), v1::MESSAGE_STATE_EXPIRED);
  EXPECT_EQ(rig.StateOf(waits), v1::MESSAGE_STATE_QUEUED);

  request.clear_position();
  request.clear_until();
  request.set_reason("over");
  const auto let_go = admin->Override(request);
  ASSERT_TRUE(let_go.ok()) << let_go.status();
  EXPECT_EQ(let_go->override(), v1::BREAKER_POSITION_UNSPECIFIED);
  rig.AwaitState(waits, v1::MESSAGE_STATE_DELIVERED);
  EXPECT_EQ(rig.sql.Text("SELECT string_agg(action || ' ' || target || ' ' || reason, ', ' "
                         "ORDER BY at) FROM operator_action WHERE reason <> ''"),
            "OVERRIDE_BREAKER CARRIER OPEN the carrier has an outage, "
            "OVERRIDE_BREAKER CARRIER NONE over");
}

TEST(ControlTest, AnUndeterminedMessageIsReplayedOnceAndOnRecord) {
  Rig rig({.flags = {"--receipt-window-s", "1"}});
  const auto admin = rig.NewAdmin();
  // Processed, without an answer and without receipts.
  const std::string id = rig.Send(RequestTo("+15550000602"));
  rig.AwaitState(id, v1::MESSAGE_STATE_UNDETERMINED);
  ASSERT_TRUE(admin->Pause(PauseFor("so that the replayed one can be looked at")).ok());
  v1::ReplayMessageRequest request;
  request.set_tenant("default");
  request.set_message_id(id);
  request.set_reason("the patient did not get it");
  const auto replayed = admin->Replay(request);
  ASSERT_TRUE(replayed.ok()) << replayed.status();
  EXPECT_EQ(replayed->attempt(), 2);
  EXPECT_EQ(rig.StateOf(id), v1::MESSAGE_STATE_QUEUED);
  const client::Error again = client::DecodeError(admin->Replay(request).status());
  EXPECT_EQ(again.reason, "NOT_FAILED");
  EXPECT_EQ(again.code, absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(again.metadata.at("state"), "QUEUED");
  ASSERT_TRUE(admin->Resume(ResumeFor("works again")).ok());
  EXPECT_TRUE(Await([&] { return ReadLedger(rig.gateway.ledger_file()).size() == 2; }));
  EXPECT_EQ(rig.sql.Text("SELECT count(*) FROM operator_action WHERE action = 'REPLAY'"), "1");
  request.set_message_id("00000000-0000-4000-8000-000000000000");
  EXPECT_EQ(client::DecodeError(admin->Replay(request).status()).reason, "MESSAGE_NOT_FOUND");
}

TEST(ControlTest, RefusedRequestsNameWhatIsWrong) {
  Rig rig;
  const auto admin = rig.NewAdmin();
  v1::PauseDispatchRequest request = PauseFor("", "not a campaign");
  *request.mutable_until() = TimeUtil::SecondsToTimestamp(1000);
  const client::Error bad = client::DecodeError(admin->Pause(request).status());
  EXPECT_EQ(bad.reason, "INVALID_FIELD");
  std::vector<std::string> fields;
  for (const auto& violation : bad.violations) fields.push_back(violation.subject);
  EXPECT_THAT(fields, ::testing::UnorderedElementsAre("target.campaign_id", "reason", "until"));
  request = PauseFor("why");
  request.mutable_target()->set_tenant("nobody");
  EXPECT_EQ(client::DecodeError(admin->Pause(request).status()).reason, "TENANT_NOT_FOUND");
  EXPECT_EQ(client::DecodeError(admin->State("nobody").status()).reason, "TENANT_NOT_FOUND");
  request = PauseFor("why");
  request.mutable_target()->set_sender("+15550009999");
  EXPECT_EQ(client::DecodeError(admin->Pause(request).status()).reason, "SENDER_NOT_REGISTERED");
  v1::OverrideBreakerRequest hold;
  hold.set_position(v1::BREAKER_POSITION_HALF_OPEN);
  const client::Error wrong = client::DecodeError(admin->Override(hold).status());
  fields.clear();
  for (const auto& violation : wrong.violations) fields.push_back(violation.subject);
  EXPECT_THAT(fields, ::testing::UnorderedElementsAre("tenant", "kind", "position", "reason"));
  const client::Error empty = client::DecodeError(admin->Replay({}).status());
  fields.clear();
  for (const auto& violation : empty.violations) fields.push_back(violation.subject);
  EXPECT_THAT(fields, ::testing::UnorderedElementsAre("tenant", "message_id", "reason"));
  EXPECT_EQ(rig.sql.Text("SELECT count(*) FROM operator_action WHERE reason <> ''"), "0");
}

TEST(ControlTest, AWatchTellsOfAPauseAtOnce) {
  Rig rig;
  const auto admin = rig.NewAdmin();
  v1::WatchGatewayStateRequest request;
  request.mutable_interval()->set_seconds(300);
  std::stop_source done;
  int states = 0;
  const absl::Status end = admin->Watch(
      request,
      [&](const v1::GatewayState& state) {
        if (++states == 1) {
          EXPECT_EQ(state.tenants(0).pauses_size(), 0);
          EXPECT_TRUE(rig.NewAdmin()->Pause(PauseFor("a change")).ok());
        } else if (state.tenants(0).pauses_size() == 1) {
          done.request_stop();
        }
      },
      done.get_token());
  EXPECT_TRUE(end.ok()) << end;
  EXPECT_GE(states, 2);
}

TEST(ControlTest, ATextThatCameByAnotherWayJoinsItsConversationOnce) {
  Rig rig;
  const auto admin = rig.NewAdmin();
  const std::string id = rig.Send(RequestTo(kRecipient));
  v1::RecordInboundMessageRequest request;
  EXPECT_EQ(client::DecodeError(admin->RecordInbound(request).status()).violations.size(), 6U);
  request.set_tenant("default");
  request.set_request_id("call-7");
  request.set_sender("+15550000099");
  request.set_recipient(kRecipient);
  request.set_text(" \"stop\" \\ ");
  request.mutable_said_at()->set_seconds(1'700'000'000);
  request.set_reason("told the front desk");
  EXPECT_EQ(client::DecodeError(admin->RecordInbound(request).status()).reason,
            "SENDER_NOT_REGISTERED");
  request.set_sender(kSender);
  const auto recorded = admin->RecordInbound(request);
  ASSERT_TRUE(recorded.ok()) << recorded.status();
  EXPECT_EQ(recorded->keyword(), v1::KEYWORD_OPT_OUT);
  EXPECT_FALSE(recorded->deduplicated());
  EXPECT_TRUE(admin->RecordInbound(request)->deduplicated());
  EXPECT_EQ(
      rig.sql.Text("SELECT (i.inbound_id, i.body, i.provider_message_id, "
                   "extract(epoch FROM i.provider_at)::bigint, m.message_id) "
                   "FROM inbound_message i JOIN message m USING (tenant_id, conversation_id)"),
      StrCat("(", recorded->inbound_id(), ",\" \"\"stop\"\" \\\\ \",recorded:call-7,",
             "1700000000,", id, ")"));
  EXPECT_EQ(rig.sql.Text(
                "SELECT (actor, action, target, reason) FROM operator_action WHERE reason <> ''"),
            StrCat("(\"operator token file\",RECORD_INBOUND,", recorded->inbound_id(),
                   ",\"told the front desk\")"));
  EXPECT_TRUE(Await([&] { return InboxIsAccountedFor(rig.sql).empty(); }));
  // What is kept is a webhook as Genesys sends it: the sweep could apply it, too.
  EXPECT_EQ(rig.sql.Text("SELECT (b->>'type', b->>'direction', b->>'text', b#>>'{channel,to,id}', "
                         "b#>>'{channel,from,id}', b#>>'{channel,time}') FROM (SELECT "
                         "convert_from(body, 'UTF8')::jsonb AS b FROM webhook_inbox "
                         "WHERE inbox_id = '" +
                         recorded->inbound_id() + "') i"),
            StrCat("(Text,Inbound,\" \"\"stop\"\" \\\\ \",", kSender, ",", kRecipient,
                   ",2023-11-14T22:13:20Z)"));
}

TEST(ControlTest, TheCommandLineShowsPausesAndResumes) {
  Rig rig;
  const auto run = [&](std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), POSTRIDER);
    arguments.insert(arguments.end(), {"--address", rig.gateway.admin_address(), "--token-file",
                                       rig.gateway.operator_token_file()});
    return RunCommand(arguments, {});
  };
  EXPECT_EQ(run({"admin", "pause"}).exit.status, 2) << "a reason is needed";
  const CommandResult paused = run({"admin", "pause", "--reason", "a test", "--for", "600"});
  EXPECT_EQ(paused.exit.status, 0) << paused.err;
  EXPECT_THAT(paused.out, HasSubstr("paused default since "));
  const CommandResult state = run({"admin", "state"});
  EXPECT_EQ(state.exit.status, 0) << state.err;
  EXPECT_THAT(state.out, HasSubstr("1 paused"));
  EXPECT_THAT(state.out, HasSubstr("a test"));
  const CommandResult top = run({"top", "--count", "2"});
  EXPECT_EQ(top.exit.status, 0) << top.err;
  EXPECT_EQ(std::count(top.out.begin(), top.out.end(), '\n'), 2) << top.out;
  EXPECT_THAT(top.out, HasSubstr("paused=1 breakers_not_closed=0 replicas=1"));
  const CommandResult inbound = run({"admin", "inbound", "--sender", kSender, "--from", kRecipient,
                                     "--text", "HELP", "--reason", "by phone"});
  EXPECT_THAT(inbound.out, StartsWith("recorded ")) << inbound.err;
  const CommandResult json = run({"-o", "jsonl", "admin", "state"});
  EXPECT_THAT(json.out, HasSubstr("\"queue_depth\":\"0\""));
  EXPECT_THAT(run({"admin", "resume", "--reason", "over"}).out, HasSubstr("resumed default"));
  EXPECT_THAT(run({"admin", "resume", "--reason", "over"}).out, HasSubstr("was not paused"));
  const CommandResult held = run({"admin", "override", "--breaker", "transport", "--position",
                                  "open", "--for", "60", "--reason", "a test"});
  EXPECT_THAT(held.out, HasSubstr("transport breaker of default held open until 2")) << held.err;
  EXPECT_THAT(run({"admin", "state"}).out, HasSubstr("OPEN until 2"));
  EXPECT_EQ(run({"admin", "override", "--breaker", "transport", "--position", "open", "--reason",
                 "a test"})
                .exit.status,
            2)
      << "for how long?";
  EXPECT_THAT(
      run({"admin", "override", "--breaker", "transport", "--position", "none", "--reason", "over"})
          .out,
      HasSubstr("goes by itself again"));
  EXPECT_THAT(
      run({"admin", "replay", "00000000-0000-4000-8000-000000000000", "--reason", "a test"}).err,
      HasSubstr("MESSAGE_NOT_FOUND"));
  const CommandResult nobody = run({"admin", "state", "--tenant", "nobody"});
  EXPECT_EQ(nobody.exit.status, 4) << nobody.err;
}

}  // namespace
}  // namespace postrider
