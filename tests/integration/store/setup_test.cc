// Tenants' setups and refusals in Postgres.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "server/store/pg_refusals.h"
#include "server/store/pg_setup.h"
#include "tests/integration/store/pg_fixture.h"

namespace postrider {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;

TenantSetup ASetup() {
  Campaign spring{.campaign_id = "spring"};
  spring.campaign_class = CampaignClass::kMarketing;
  spring.active_from = WallTime(std::chrono::hours(24 * 365 * 50));
  spring.active_until = WallTime(std::chrono::hours(24 * 365 * 60));
  spring.daily_cap = 100;
  spring.templates = {"offer"};
  spring.forbidden_words = {"a \"quoted\", word", "back\\slash", "{brace}"};
  spring.links = LinkRule::kListed;
  spring.link_hosts = {"example.com"};
  spring.shorteners = true;
  spring.opt_out_text = "Reply STOP to end";
  TenantSetup setup;
  setup.campaign_required = true;
  setup.plain_punctuation = true;
  setup.senders = {{.address = "+15550001111", .segments_per_s = 2.5, .ten_dlc_campaign = "C1"},
                   {.address = "12345", .active = false}};
  setup.campaigns = {{.campaign_id = "codes"}, spring};
  setup.templates.emplace().push_back({"offer", "Hi {name}. Reply STOP to end"});
  setup.destinations = {{"+1", 7}, {"+44", std::nullopt}};
  setup.compliance_check = ComplianceCheck{.url = "https://check.example/v1",
                                           .verdicts_expire_after = std::chrono::hours(1),
                                           .checks_per_minute = 5,
                                           .when_unavailable = WhenUnavailable::kAllow};
  return setup;
}

struct SetupFixture : PgFixture {
  TenantRow Stored(TenantId tenant) {
    const auto rows = store.LoadTenants();
    EXPECT_TRUE(rows.ok()) << rows.status();
    for (const TenantRow& row : *rows) {
      if (row.tenant_id == tenant) return row;
    }
    ADD_FAILURE() << "no such tenant";
    return {};
  }
  OperatorAction Action() { return {MakeUuidV7(clock.Wall(), random), "ops", "new rules"}; }

  const TenantId tenant = NewTenant("acme");
  PgSetupStore setups{store.pool()};
};

TEST(SetupTest, WhatIsAppliedIsWhatIsRead) {
  SetupFixture pg;
  const TenantId other = pg.NewTenant("other");
  const auto applied = pg.setups.ApplySetup(pg.tenant, ASetup(), pg.Action());
  ASSERT_TRUE(applied.ok()) << applied.status();
  EXPECT_THAT(applied->violations, IsEmpty());
  EXPECT_THAT(applied->changes, Not(IsEmpty()));
  const TenantSetup stored = SetupOf(pg.Stored(pg.tenant));
  EXPECT_EQ(stored.campaign_required, true);
  EXPECT_EQ(stored.plain_punctuation, true);
  EXPECT_EQ(stored.campaigns, ASetup().campaigns);
  EXPECT_EQ(stored.templates, ASetup().templates);
  EXPECT_EQ(stored.destinations, ASetup().destinations);
  EXPECT_EQ(stored.compliance_check, ASetup().compliance_check);
  EXPECT_EQ(pg.Stored(other).compliance_check, ComplianceCheck());
  // The sender that the tenant had stays.
  ASSERT_THAT(*stored.senders, SizeIs(3));
  EXPECT_EQ((*stored.senders)[0], (*ASetup().senders)[0]);
  EXPECT_EQ((*stored.senders)[1].active, false);
  EXPECT_EQ((*stored.senders)[2], (*ASetup().senders)[1]);
  EXPECT_THAT(pg.Stored(other).campaigns, IsEmpty());
  EXPECT_EQ(pg.sql.Value("SELECT string_agg(concat_ws(' ', actor, action, reason), ',') FROM "
                         "operator_action WHERE action = 'APPLY_SETUP'"),
            "ops APPLY_SETUP new rules");
}

TEST(SetupTest, ApplyingItAgainChangesAndRecordsNothing) {
  SetupFixture pg;
  ASSERT_TRUE(pg.setups.ApplySetup(pg.tenant, ASetup(), pg.Action()).ok());
  const std::string versions =
      "SELECT string_agg(xmin::text, ',' ORDER BY campaign_id) FROM campaign";
  const std::string before = pg.sql.Value(versions);
  const auto again = pg.setups.ApplySetup(pg.tenant, ASetup(), pg.Action());
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_THAT(again->changes, IsEmpty());
  EXPECT_EQ(pg.sql.Value(versions), before);
  EXPECT_EQ(pg.sql.Number("SELECT count(*) FROM operator_action WHERE action = 'APPLY_SETUP'"), 1);
}

TEST(SetupTest, ASectionIsTheWholeOfItAndOthersStay) {
  SetupFixture pg;
  ASSERT_TRUE(pg.setups.ApplySetup(pg.tenant, ASetup(), pg.Action()).ok());
  TenantSetup given;
  given.campaigns = {{.campaign_id = "codes", .active = false}};
  const auto shown = pg.setups.ApplySetup(pg.tenant, given, std::nullopt);
  ASSERT_TRUE(shown.ok()) << shown.status();
  EXPECT_EQ(SetupOf(pg.Stored(pg.tenant)).campaigns, ASetup().campaigns) << "it was only shown";
  const auto applied = pg.setups.ApplySetup(pg.tenant, given, pg.Action());
  ASSERT_TRUE(applied.ok()) << applied.status();
  EXPECT_EQ(applied->changes, shown->changes);
  EXPECT_EQ(pg.sql.Value("SELECT concat(before ->> 'campaigns[codes].active', ' ', "
                         "after ->> 'campaigns[codes].active', ' ', "
                         "after ? 'campaigns[spring].daily_cap') FROM operator_action "
                         "WHERE action = 'APPLY_SETUP' ORDER BY action_id DESC LIMIT 1"),
            "true false f");
  const TenantSetup stored = SetupOf(pg.Stored(pg.tenant));
  EXPECT_EQ(stored.campaigns, given.campaigns);
  EXPECT_EQ(stored.templates, ASetup().templates);
  EXPECT_EQ(stored.destinations, ASetup().destinations);
}

TEST(SetupTest, OneSettingLeavesTheOtherAndEpochsStay) {
  SetupFixture pg;
  ASSERT_TRUE(pg.setups.ApplySetup(pg.tenant, ASetup(), pg.Action()).ok());
  pg.sql.Run("UPDATE campaign SET verdict_epoch = 7 WHERE campaign_id = 'spring'");
  TenantSetup given;
  given.plain_punctuation = false;
  given.campaigns = ASetup().campaigns;
  given.campaigns->back().daily_cap = 5;
  ASSERT_TRUE(pg.setups.ApplySetup(pg.tenant, given, pg.Action()).ok());
  const TenantRow stored = pg.Stored(pg.tenant);
  EXPECT_TRUE(stored.campaign_required);
  EXPECT_FALSE(stored.plain_punctuation);
  EXPECT_EQ(FindCampaign(stored, "codes")->verdict_epoch, 0);
  EXPECT_EQ(FindCampaign(stored, "spring")->verdict_epoch, 7);
  EXPECT_EQ(FindCampaign(stored, "spring")->daily_cap, 5);
}

TEST(SetupTest, NothingIsAppliedOfWhatContradictsWhatIsThere) {
  SetupFixture pg;
  ASSERT_TRUE(pg.setups.ApplySetup(pg.tenant, ASetup(), pg.Action()).ok());
  TenantSetup given;
  given.templates = std::vector<MessageTemplate>();
  given.destinations = std::vector<Destination>();
  const auto refused = pg.setups.ApplySetup(pg.tenant, given, pg.Action());
  ASSERT_TRUE(refused.ok()) << refused.status();
  EXPECT_THAT(
      refused->violations,
      ElementsAre(SetupViolation{"campaigns[spring].templates[0]", "there is no template offer"},
                  SetupViolation{"campaigns[spring].opt_out_text",
                                 "none of its templates has it: no conversation could "
                                 "begin"}));
  EXPECT_EQ(SetupOf(pg.Stored(pg.tenant)).destinations, ASetup().destinations);
  EXPECT_TRUE(absl::IsNotFound(
      pg.setups.ApplySetup({MakeUuidV4(pg.random)}, given, std::nullopt).status()));
}

TEST(SetupTest, PutTenantLeavesTheSetup) {
  SetupFixture pg;
  ASSERT_TRUE(pg.setups.ApplySetup(pg.tenant, ASetup(), pg.Action()).ok());
  TenantRow row = pg.Stored(pg.tenant);
  row.rate_per_s = 2;
  ASSERT_TRUE(pg.store.PutTenant(row).ok());
  const TenantSetup stored = SetupOf(pg.Stored(pg.tenant));
  EXPECT_EQ(stored.campaigns, ASetup().campaigns);
  EXPECT_EQ(stored.campaign_required, true);
}

TEST(SetupTest, ACheckWithoutAUrlEndsIt) {
  SetupFixture pg;
  ASSERT_TRUE(pg.setups.ApplySetup(pg.tenant, ASetup(), pg.Action()).ok());
  TenantSetup given;
  given.compliance_check = ComplianceCheck();
  const auto applied = pg.setups.ApplySetup(pg.tenant, given, pg.Action());
  ASSERT_TRUE(applied.ok()) << applied.status();
  EXPECT_THAT(applied->changes, SizeIs(4));
  EXPECT_EQ(pg.Stored(pg.tenant).compliance_check, ComplianceCheck());
  EXPECT_EQ(pg.sql.Number("SELECT count(*) FROM compliance_check"), 0);
}

TEST(SetupTest, ACheckAtTheOwnGenesysNeedsRoomInTheAccountsMinute) {
  SetupFixture pg;
  TenantRow row = pg.Stored(pg.tenant);
  row.base_url = "https://acme.example";
  row.rate_per_s = 4.5;
  row.burst = 5;
  row.requests_per_minute = 300;
  ASSERT_TRUE(pg.store.PutTenant(row).ok());
  TenantSetup given;
  given.compliance_check =
      ComplianceCheck{.url = "https://ACME.example:443/check", .checks_per_minute = 26};
  const auto refused = pg.setups.ApplySetup(pg.tenant, given, pg.Action());
  ASSERT_TRUE(refused.ok()) << refused.status();
  ASSERT_THAT(refused->violations, SizeIs(1));
  EXPECT_EQ(refused->violations[0].path, "compliance_check.checks_per_minute");
  given.compliance_check->checks_per_minute = 25;
  const auto applied = pg.setups.ApplySetup(pg.tenant, given, pg.Action());
  ASSERT_TRUE(applied.ok()) << applied.status();
  EXPECT_THAT(applied->violations, IsEmpty());

  row.rate_per_s = 4.6;
  const auto faster = pg.store.PutTenant(row);
  EXPECT_TRUE(absl::IsFailedPrecondition(faster.status())) << faster.status();
  EXPECT_EQ(pg.Stored(pg.tenant).rate_per_s, 4.5);
  given.compliance_check->url = "https://elsewhere.example/check";
  ASSERT_TRUE(pg.setups.ApplySetup(pg.tenant, given, pg.Action()).ok());
  EXPECT_TRUE(pg.store.PutTenant(row).ok()) << "elsewhere it is no request of the account";
}

TEST(RefusalTest, ARequestIsOneRowForEachReasonAndRecipient) {
  PgFixture pg;
  const TenantId tenant = pg.NewTenant("acme");
  PgRefusalStore refusals(pg.store.pool());
  RefusalRow row{.tenant_id = tenant,
                 .request_id = "order-1",
                 .reason = "CONTENT_NOT_APPROVED",
                 .recipient = "+*********67",
                 .sender = "+15559876543",
                 .campaign_id = "spring",
                 .detail = "link characters 3 to 9"};
  RefusalRow other = row;
  other.reason = "RECIPIENT_OPTED_OUT";
  RefusalRow again = row;
  again.detail = "shortener characters 3 to 9";
  RefusalRow elsewhere = other;
  elsewhere.recipient = "+*********33";
  const std::vector<RefusalRow> batch = {row, other, again, elsewhere};
  ASSERT_TRUE(refusals.RecordRefusals(batch).ok());
  ASSERT_TRUE(refusals.RecordRefusals({&row, 1}).ok());
  const auto rows = pg.sql.Run(
      "SELECT reason, times, detail, recipient, last_at > refused_at "
      "FROM refusal ORDER BY reason, recipient DESC");
  ASSERT_THAT(rows, SizeIs(3));
  EXPECT_THAT(rows[0], ElementsAre("CONTENT_NOT_APPROVED", "3", "link characters 3 to 9",
                                   "+*********67", "t"));
  EXPECT_THAT(rows[1], ElementsAre("RECIPIENT_OPTED_OUT", "1", "link characters 3 to 9",
                                   "+*********67", "f"));
  EXPECT_THAT(rows[2], ElementsAre("RECIPIENT_OPTED_OUT", "1", "link characters 3 to 9",
                                   "+*********33", "f"));
}

}  // namespace
}  // namespace postrider
