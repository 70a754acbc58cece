// What operators do is on record with what was before and is since, and no secret is.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "server/base/digest.h"
#include "server/base/strings.h"
#include "tests/integration/store/pg_fixture.h"

namespace postrider {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

/// The last action: "PAUSE tenant: {"a": 1} -> {}".
std::string LastAction(PgFixture& pg) {
  return pg.sql.Value(
      "SELECT concat(action, ' ', target, ': ', before, ' -> ', after) FROM operator_action "
      "ORDER BY xid DESC LIMIT 1");
}

class ActionRecordTest : public ::testing::Test {
 protected:
  OperatorAction Action(const std::string& reason) {
    return {
        .action_id = MakeUuidV7(pg_.clock.Wall(), pg_.random), .actor = "ann", .reason = reason};
  }
  std::int64_t Count() { return pg_.sql.Number("SELECT count(*) FROM operator_action"); }

  PgFixture pg_;
  const TenantId tenant_ = pg_.NewTenant("acme");
};

TEST_F(ActionRecordTest, SettingsOfATenant) {
  EXPECT_THAT(
      LastAction(pg_),
      AllOf(HasSubstr("PUT_TENANT tenant:  -> {"), HasSubstr("\"client_id\": \"acme-client\""),
            HasSubstr("\"senders\": {\"+15559990001\": null}"),
            HasSubstr("\"webhook_key\": \"sha256:"), Not(HasSubstr("acme-key"))));
  EXPECT_EQ(pg_.sql.Value("SELECT actor FROM operator_action"), "postgres")
      << "the database user, there is no other name";
  std::vector<TenantRow> tenants = pg_.store.LoadTenants().value();
  ASSERT_TRUE(pg_.store.PutTenant(tenants[0]).ok());
  EXPECT_EQ(Count(), 1) << "nothing was changed";
  tenants[0].rate_per_s = 2.5;
  tenants[0].daily_quota = 100;
  tenants[0].senders[0].segments_per_s = 3;
  ASSERT_TRUE(pg_.store.PutTenant(tenants[0]).ok());
  EXPECT_EQ(LastAction(pg_),
            "PUT_TENANT tenant: {\"senders\": {\"+15559990001\": null}, \"rate_per_s\": 4.9, "
            "\"daily_quota\": null} -> {\"senders\": {\"+15559990001\": 3}, \"rate_per_s\": 2.5, "
            "\"daily_quota\": 100}");
}

TEST_F(ActionRecordTest, AKeyOfWebhooksByItsHash) {
  ASSERT_TRUE(pg_.store.ChangeWebhookKey("acme", "another-key", std::chrono::hours(1)).ok());
  const std::string key = pg_.sql.Value("SELECT left(encode(sha256('acme-key'), 'hex'), 8)");
  const std::string next = pg_.sql.Value("SELECT left(encode(sha256('another-key'), 'hex'), 8)");
  EXPECT_THAT(LastAction(pg_), AllOf(HasSubstr("CHANGE_WEBHOOK_KEY tenant: {"), HasSubstr(key),
                                     HasSubstr(next), Not(HasSubstr("another-key"))));
}

TEST_F(ActionRecordTest, TokensOfCallersAndOperators) {
  ApiTokenRow token;
  token.token_sha256 = Sha256Bytes("a token");
  token.tenant_id = tenant_;
  token.name = "crm";
  token.scopes = {"send", "read"};
  ASSERT_TRUE(pg_.store.AddToken(token).ok());
  EXPECT_EQ(LastAction(pg_),
            "CREATE_TOKEN token crm:  -> {\"name\": \"crm\", \"scopes\": [\"send\", \"read\"], "
            "\"expires_at\": null, \"daily_quota\": null}");
  token.token_sha256 = Sha256Bytes("another");
  token.tenant_id = {};
  token.scopes = {"operator"};
  ASSERT_TRUE(pg_.store.AddToken(token).ok());
  EXPECT_EQ(pg_.sql.Number("SELECT count(*) FROM operator_action WHERE tenant_id = "
                           "'00000000-0000-0000-0000-000000000000'"),
            1);
}

TEST_F(ActionRecordTest, Pauses) {
  const PauseTarget target{tenant_, PauseScope::kTenant, ""};
  ASSERT_TRUE(pg_.store.PauseDispatch(target, {}, Action("an outage")).ok());
  EXPECT_THAT(LastAction(pg_),
              AllOf(HasSubstr("PAUSE tenant:  -> {"), HasSubstr("\"reason\": \"an outage\""),
                    HasSubstr("\"until\": null")));
  ASSERT_TRUE(
      pg_.store
          .PauseDispatch(target, pg_.clock.Wall() + std::chrono::hours(1), Action("a longer one"))
          .ok());
  EXPECT_THAT(LastAction(pg_), AllOf(HasSubstr("\"reason\": \"an outage\""), HasSubstr("} -> {"),
                                     HasSubstr("\"reason\": \"a longer one\"")));
  ASSERT_TRUE(pg_.store.ResumeDispatch(target, Action("over")).value());
  EXPECT_THAT(LastAction(pg_),
              AllOf(HasSubstr("RESUME tenant: {"), HasSubstr("\"reason\": \"a longer one\"")));
  EXPECT_EQ(pg_.sql.Value("SELECT after IS NULL FROM operator_action WHERE action = 'RESUME'"),
            "t");
}

TEST_F(ActionRecordTest, OverridesOfBreakers) {
  const BreakerKey key{tenant_, Breaker::kCarrier};
  const WallTime until = pg_.clock.Wall() + std::chrono::hours(1);
  ASSERT_TRUE(pg_.store.OverrideBreaker(key, BreakerState::kOpen, until, Action("hold")).ok());
  EXPECT_THAT(LastAction(pg_), AllOf(HasSubstr("OVERRIDE_BREAKER CARRIER OPEN:  -> {"),
                                     HasSubstr("\"held\": \"OPEN\"")));
  ASSERT_TRUE(pg_.store.OverrideBreaker(key, BreakerState::kClosed, until, Action("go")).ok());
  EXPECT_THAT(LastAction(pg_), AllOf(HasSubstr("\"held\": \"OPEN\""),
                                     HasSubstr("\"held\": \"CLOSED\""), Not(HasSubstr("ann"))))
      << "what differs";
  ASSERT_TRUE(pg_.store.OverrideBreaker(key, std::nullopt, {}, Action("over")).ok());
  EXPECT_THAT(LastAction(pg_), HasSubstr("OVERRIDE_BREAKER CARRIER NONE: {"));
}

TEST_F(ActionRecordTest, WhatRecordedConsentDid) {
  ConsentEvent event;
  event.tenant_id = tenant_;
  event.consent_id = MakeUuidV7(pg_.clock.Wall(), pg_.random);
  event.recipient = "+15551234567";
  ASSERT_TRUE(pg_.store.RecordConsent({&event, 1}, Action("by letter")).ok());
  EXPECT_EQ(LastAction(pg_),
            "RECORD_CONSENT 1 recipients:  -> {\"opted_in\": 0, \"opted_out\": 1}");
}

}  // namespace
}  // namespace postrider
