// What carriers reject for its content, in Postgres: what is on record of it, two replicas that
// look at once, and what a long queue costs.
#include <future>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "server/base/strings.h"
#include "server/model/content_limits.h"
#include "server/store/pg_setup.h"
#include "tests/integration/store/pg_fixture.h"
#include "tests/support/store_contract.h"

namespace postrider {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

// n messages of campaign spring, the later ones first in the queue's order: FAILED (8) for the
// carrier's reason (3), each sent a minute ago and answered now, and noted.
constexpr const char* kRejected = R"(
INSERT INTO message (tenant_id, message_id, slot, request_id, conversation_id, external_contact_id,
  campaign_id, sender_id, sender, recipient, recipient_key, body, metadata, priority,
  duplicate_policy, time_zone, accepted_at, updated_at, state, revision, attempt, final, failure,
  provider_code, correlation_id, receipt_hash, hold_reason)
SELECT t.tenant_id, (left(audit.least_id(now() - interval '1 minute')::text, 14) || '7000-8000-'
  || lpad(to_hex(n), 12, '0'))::uuid, $S, 'r-' || n, gen_random_uuid(), '', 'spring',
  gen_random_uuid(), '', '+1555', '', 'Buy ' || n || ' now', '{}', 2, 1, '', now(), now(), $STATE, 5,
  1, $STATE = 8, CASE $STATE WHEN 8 THEN 3 ELSE 0 END, 'carrier_rejected', '', '', 0
FROM tenant t, generate_series($FROM, $TO) n WHERE t.name = 'acme';
INSERT INTO attempt (tenant_id, message_id, attempt, slot, epoch, replica_id, intended_at, outcome,
  outcome_at)
SELECT m.tenant_id, m.message_id, 1, m.slot, 1, gen_random_uuid(), now() - interval '1 minute', 1,
  now() FROM message m WHERE m.state = 8 ON CONFLICT DO NOTHING;
INSERT INTO content_rejection (tenant_id, message_id, slot, campaign_id, failure, provider_code)
SELECT m.tenant_id, m.message_id, m.slot, m.campaign_id, 3, m.provider_code FROM message m
WHERE m.state = 8 ON CONFLICT DO NOTHING)";

struct ContentFixture : PgFixture {
  void Fill(int state, int from, int to) {
    std::string text = kRejected;
    const auto put = [&](const std::string& mark, const std::string& value) {
      for (std::size_t at = 0; (at = text.find(mark)) != std::string::npos;) {
        text.replace(at, mark.size(), value);
      }
    };
    put("$STATE", StrCat(state));
    put("$FROM", StrCat(from));
    put("$TO", StrCat(to));
    put("$S", StrCat(SlotOf(tenant)));
    sql.Run(text);
  }

  const TenantId tenant = NewTenant("acme");
};

TEST(ContentTest, AClusterIsOnRecordWithItsPauseAndVoidsVerdicts) {
  ContentFixture pg;
  TenantSetup setup;
  setup.campaigns = {{.campaign_id = "other"}, {.campaign_id = "spring"}};
  ASSERT_TRUE(PgSetupStore(pg.store.pool())
                  .ApplySetup(pg.tenant, setup, OperatorAction{MakeUuidV4(pg.random), "ops", "x"})
                  .ok());
  pg.Fill(8, 1, 6);
  const auto look = pg.store.JudgeContent(AllSlots());
  ASSERT_TRUE(look.ok()) << look.status();
  ASSERT_TRUE(*look && (*look)->paused);
  EXPECT_EQ(pg.sql.Value("SELECT string_agg(campaign_id || verdict_epoch, ' ' ORDER BY "
                         "campaign_id) FROM campaign"),
            "other0 spring1");
  EXPECT_EQ(pg.sql.Value("SELECT concat_ws(' ', c.campaign_id, c.rejections, c.answered, c.paused, "
                         "o.actor, o.action, o.target, o.after ->> 'actor') FROM content_cluster c "
                         "JOIN operator_action o ON o.action_id = c.cluster_id"),
            "spring 6 6 t postrider PAUSE campaign spring postrider");
  EXPECT_THAT(pg.sql.Value("SELECT reason FROM dispatch_pause"),
              StartsWith("carriers rejected 6 of the last 6 messages"));
  EXPECT_EQ(pg.sql.Number("SELECT count(*) FROM content_rejection r JOIN content_cluster c USING "
                          "(tenant_id, cluster_id) WHERE r.judged_at IS NOT NULL"),
            6);
  EXPECT_FALSE(pg.store.JudgeContent(AllSlots())->has_value());
}

TEST(ContentTest, TwoThatLookAtOnceFindOneCluster) {
  for (int round = 0; round < 5; ++round) {
    ContentFixture pg;
    pg.Fill(8, 1, 300);
    PgStore other(pg.clock, pg.random, {.pool = {.conninfo = pg.database.url()}});
    const auto look = [](PgStore& store) {
      int clusters = 0;
      int rejections = 0;
      for (;;) {
        const auto found = store.JudgeContent(AllSlots());
        EXPECT_TRUE(found.ok()) << found.status();
        if (!found.ok() || !*found) return std::pair(clusters, rejections);
        clusters += (*found)->is_cluster ? 1 : 0;
        rejections += (*found)->rejections;
      }
    };
    auto theirs = std::async(std::launch::async, look, std::ref(other));
    const auto ours = look(pg.store);
    const auto both = theirs.get();
    EXPECT_EQ(ours.first + both.first, 1);
    EXPECT_EQ(ours.second + both.second, 300) << "each rejection goes to one of them";
    EXPECT_EQ(pg.sql.Number("SELECT count(*) FROM content_cluster"), 1);
    EXPECT_EQ(pg.sql.Number("SELECT count(*) FROM operator_action WHERE action = 'PAUSE'"), 1);
  }
}

TEST(ContentTest, WhatIsQueuedBehindTheRejectedIsNotLookedAt) {
  ContentFixture pg;
  pg.Fill(8, 1, 5);
  pg.Fill(1, 1000, 1000 + 2 * kClusterLooked);
  const auto look = pg.store.JudgeContent(AllSlots());
  ASSERT_TRUE(look.ok() && *look) << look.status();
  EXPECT_TRUE((*look)->is_cluster);
}

TEST(ContentTest, WhatIsOldIsForgotten) {
  ContentFixture pg;
  pg.Fill(8, 1, 6);
  ASSERT_TRUE(pg.store.JudgeContent(AllSlots()).ok());
  for (const char* table : {"content_rejection", "content_cluster"}) {
    EXPECT_GT(pg.sql.Number(StrCat("SELECT count(*) FROM ", table)), 0);
  }
  KeepTimes keep;
  keep.messages = std::chrono::days(1);
  ASSERT_TRUE(pg.store.ForgetOld(keep).ok());
  EXPECT_EQ(pg.sql.Number("SELECT count(*) FROM content_rejection"), 6);
  keep.messages = std::chrono::days(0);
  ASSERT_TRUE(pg.store.ForgetOld(keep).ok());
  EXPECT_EQ(pg.sql.Number("SELECT count(*) FROM content_rejection"), 0);
  EXPECT_EQ(pg.sql.Number("SELECT count(*) FROM content_cluster"), 0);
}

}  // namespace
}  // namespace postrider
