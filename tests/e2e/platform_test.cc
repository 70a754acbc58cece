// A tenant of profile `platform`, through the gateway: what callers see does not depend on which
// contract Genesys speaks.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "server/base/strings.h"
#include "tests/e2e/rig.h"

namespace postrider {
namespace {

using ::testing::IsEmpty;

std::vector<LedgerPost> LedgerPostsTo(const Rig& rig, const std::string& recipient) {
  std::vector<LedgerPost> posts;
  for (const LedgerPost& post : ReadLedger(rig.gateway.ledger_file())) {
    if (post.recipient == recipient) posts.push_back(post);
  }
  return posts;
}

Rig::Options Platform(std::vector<std::string> more = {}) {
  more.insert(more.end(), {"--genesys-profile", "platform"});
  return {.flags = std::move(more)};
}

std::string ProviderIdOf(const Rig& rig, const std::string& id) {
  return rig.sql.Text("SELECT provider_message_id FROM message WHERE message_id = '" + id + "'");
}

class RepliesTest : public ::testing::TestWithParam<const char*> {};

TEST_P(RepliesTest, AMessageIsSubmittedAndItsProviderIdsAreKnown) {
  Rig rig(Platform({"--sandbox-replies", GetParam()}));
  const std::string id = rig.Send(RequestTo("+15550000202"));
  rig.AwaitState(id, v1::MESSAGE_STATE_SUBMITTED);
  const std::vector<LedgerPost> posts = LedgerPostsTo(rig, "+15550000202");
  ASSERT_EQ(posts.size(), 1U);
  EXPECT_TRUE(posts[0].processed);
  EXPECT_TRUE(Await([&] { return !ProviderIdOf(rig, id).empty(); }));
  const std::string conversation =
      rig.sql.Text("SELECT provider_conversation_id FROM message WHERE message_id = '" + id + "'");
  EXPECT_TRUE(conversation.starts_with("conv-")) << conversation;
}

INSTANTIATE_TEST_SUITE_P(Generations, RepliesTest, ::testing::Values("newer", "older"),
                         [](const auto& test) { return std::string(test.param); });

TEST(PlatformTest, EachOutcomeIsThatOfTheTable) {
  Rig rig(Platform());
  const struct {
    const char* recipient;
    v1::MessageState state;
    const char* provider_code;
    std::size_t posts;
  } cases[] = {
      {"+15550000302", v1::MESSAGE_STATE_REJECTED, "", 1},
      {"+15550000400", v1::MESSAGE_STATE_REJECTED, "invalid.value", 1},
      {"+15550000410", v1::MESSAGE_STATE_REJECTED, "active.conversation", 1},
      {"+15550000503", v1::MESSAGE_STATE_UNKNOWN, "service.unavailable", 1},
  };
  std::vector<std::string> ids;
  for (const auto& c : cases) ids.push_back(rig.Send(RequestTo(c.recipient)));
  for (std::size_t i = 0; i < ids.size(); ++i) {
    SCOPED_TRACE(cases[i].recipient);
    rig.AwaitState(ids[i], cases[i].state);
    const auto status = rig.client().GetStatus(ids[i]);
    ASSERT_TRUE(status.ok()) << status.status();
    EXPECT_EQ(status->message().status().provider_code(), cases[i].provider_code);
    EXPECT_EQ(LedgerPostsTo(rig, cases[i].recipient).size(), cases[i].posts);
    ASSERT_EQ(status->attempts_size(), 1);
    EXPECT_FALSE(status->attempts(0).correlation_id().empty());
    EXPECT_EQ(
        rig.sql.Text("SELECT correlation_id FROM attempt WHERE message_id = '" + ids[i] + "'"),
        status->attempts(0).correlation_id());
  }
  EXPECT_THAT(HistoriesAreWhole(rig.sql), IsEmpty());
}

TEST(PlatformTest, AnAnswerThatIsLostIsOnePostAndIsFoundByReading) {
  Rig rig(Platform());
  const std::string id = rig.Send(RequestTo("+15550000601"));
  rig.AwaitState(id, v1::MESSAGE_STATE_UNKNOWN);
  // Asked for after about ten seconds, by its addresses and its time.
  EXPECT_TRUE(Await([&] {
    const auto status = rig.client().GetStatus(id);
    return status.ok() && status->history_size() > 0 &&
           status->history(status->history_size() - 1).cause() == v1::CAUSE_READ_ANSWERED;
  }));
  EXPECT_EQ(rig.StateOf(id), v1::MESSAGE_STATE_DELIVERED);
  EXPECT_FALSE(ProviderIdOf(rig, id).empty());
  rig.gateway.Stop();
  ASSERT_EQ(LedgerPostsTo(rig, "+15550000601").size(), 1U);
  EXPECT_TRUE(LedgerPostsTo(rig, "+15550000601")[0].processed);
}

TEST(PlatformTest, AnAcceptedMessageIsReadUntilItsStatusIsFinal) {
  Rig rig(Platform({"--quiet-after-s", "1"}));
  const std::string id = rig.Send(RequestTo(kRecipient));
  rig.AwaitState(id, v1::MESSAGE_STATE_DELIVERED);
  const auto status = rig.client().GetStatus(id);
  ASSERT_TRUE(status.ok()) << status.status();
  EXPECT_EQ(status->history(status->history_size() - 1).cause(), v1::CAUSE_READ_ANSWERED);
  EXPECT_TRUE(status->message().status().final());
  EXPECT_TRUE(Await([&] { return rig.sql.Number("SELECT count(*) FROM reconcile_queue") == 0; }));
  EXPECT_EQ(LedgerPostsTo(rig, kRecipient).size(), 1U);
}

TEST(PlatformTest, AMessageIntoAnActiveConversationIsHeldWhenTheTenantSaysSo) {
  Rig rig(Platform({"--genesys-active-conversation", "hold"}));
  const std::string id = rig.Send(RequestTo("+15550000410"));
  EXPECT_TRUE(Await([&] {
    const auto status = rig.client().GetStatus(id);
    return status.ok() && status->message().status().state() == v1::MESSAGE_STATE_QUEUED &&
           status->message().status().hold().reason() == v1::HOLD_REASON_ACTIVE_CONVERSATION;
  }));
  // Others of the tenant go on.
  rig.AwaitState(rig.Send(RequestTo("+15550000202")), v1::MESSAGE_STATE_SUBMITTED);
  // The conversation has ended: the next try gets through. That is in a quarter of an hour.
  ASSERT_EQ(HttpPost(rig.gateway.sandbox_url() + "/sandbox/well-behaved/on", ""), 204);
  rig.sql.Ask("UPDATE dispatch_queue SET due_at = now()");
  EXPECT_TRUE(Await([&] { return !ProviderIdOf(rig, id).empty(); }));
  EXPECT_EQ(LedgerPostsTo(rig, "+15550000410").size(), 2U);
}

TEST(PlatformTest, AMessageJoinsAnActiveConversationWhenTheTenantSaysSo) {
  Rig rig(Platform({"--genesys-active-conversation", "join"}));
  const std::string id = rig.Send(RequestTo("+15550000410"));
  EXPECT_TRUE(Await([&] { return !ProviderIdOf(rig, id).empty(); }));
  EXPECT_EQ(LedgerPostsTo(rig, "+15550000410").size(), 1U);
}

TEST(PlatformTest, A503IsSentAgainWhenItIsKnownToBeRefusedAtTheEdge) {
  Rig rig(Platform({"--genesys-refused-at-edge"}));
  const std::string id = rig.Send(RequestTo("+15550000503"));
  EXPECT_TRUE(Await([&] { return LedgerPostsTo(rig, "+15550000503").size() >= 2; }));
  EXPECT_NE(rig.StateOf(id), v1::MESSAGE_STATE_UNKNOWN);
}

TEST(PlatformTest, WhatTheProviderSaysOfItsLimitIsShown) {
  Rig rig(Platform({"--sandbox-rate-per-minute", "6000"}));
  rig.AwaitState(rig.Send(RequestTo("+15550000202")), v1::MESSAGE_STATE_SUBMITTED);
  std::string text;
  EXPECT_EQ(HttpGet(rig.gateway.ops_url() + "/metrics", &text), 200);
  EXPECT_NE(text.find("postrider_provider_ratelimit_allowed{client_id=\"sandbox\"} 6000\n"),
            text.npos);
}

TEST(PlatformTest, WhatDoesNotGoWithTheProfileIsRefusedByItsName) {
  const TestDir dir;
  const struct {
    std::vector<std::string> flags;
    const char* says;
  } cases[] = {
      {{"--genesys-send-path", "/messages"}, "genesys-send-path: only of profile guide"},
      {{"--genesys-region", "mypurecloud.ie"}, "genesys-region is set together with sandbox"},
  };
  for (const auto& c : cases) {
    std::vector<std::string> arguments = {POSTRIDERD, "serve",     "--state-dir",
                                          dir.path(), "--sandbox", "--genesys-profile",
                                          "platform"};
    arguments.insert(arguments.end(), c.flags.begin(), c.flags.end());
    const CommandResult result = RunCommand(arguments, {});
    EXPECT_EQ(result.exit.status, 78) << result.err;
    EXPECT_THAT(result.err, ::testing::HasSubstr(c.says));
  }
}

}  // namespace
}  // namespace postrider
