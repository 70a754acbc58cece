// What compliance checks said, and how often they were asked, in Postgres.
#include <atomic>

#include <gtest/gtest.h>

#include "server/base/strings.h"
#include "server/store/pg_verdicts.h"
#include "tests/integration/store/pg_fixture.h"
#include "tests/support/verdict_contract.h"

namespace postrider {
namespace {

struct PgVerdicts {
  PgFixture pg{8};
  const TenantId tenant = pg.NewTenant("acme");
  PgVerdictStore store{pg.store.pool()};

  std::int64_t Minute() {
    return pg.sql.Number("SELECT floor(extract(epoch FROM now()) / 60)::bigint");
  }
};

VerdictSubject MakePgVerdicts() {
  const auto made = std::make_shared<PgVerdicts>();
  return {
      .store = std::shared_ptr<VerdictStore>(made, &made->store),
      .tenant = made->tenant,
      .advance =
          [made](std::chrono::minutes by) {
            const std::string back = StrCat(" - interval '", by.count(), " minutes'");
            made->pg.sql.Run(StrCat("UPDATE content_approval SET checked_at = checked_at", back,
                                    ", expires_at = expires_at", back));
            made->pg.sql.Run(StrCat("UPDATE compliance_asked SET minute = minute - ", by.count()));
            made->pg.sql.Run(StrCat("UPDATE tenant_pause SET until = until", back));
          },
      .minute = [made] { return made->Minute(); }};
}

INSTANTIATE_TEST_SUITE_P(Postgres, VerdictContract,
                         ::testing::Values(VerdictFactory{"postgres", MakePgVerdicts}),
                         [](const auto& param) { return param.param.name; });

TEST(VerdictRaceTest, HoweverManyAskAtOnceTheMinuteHasSoMany) {
  PgVerdicts verdicts;
  for (int tries = 0; tries < 3; ++tries) {
    const std::int64_t before = verdicts.Minute();
    std::atomic<int> granted = 0;
    InParallel(8, [&](int) {
      for (int i = 0; i < 10; ++i) {
        const auto turn = verdicts.store.TakeAsk(verdicts.tenant, 25, false);
        EXPECT_TRUE(turn.ok()) << turn.status();
        if (turn->granted) ++granted;
      }
    });
    if (verdicts.Minute() == before) {
      EXPECT_EQ(granted, 25);
      return;
    }
    verdicts.pg.sql.Run("DELETE FROM compliance_asked");
  }
  FAIL() << "minutes are too short";
}

TEST(VerdictRaceTest, AClockThatWasSetBackDoesNotStopTheQuestions) {
  PgVerdicts verdicts;
  verdicts.pg.sql.Run(StrCat("INSERT INTO compliance_asked VALUES ('", verdicts.tenant.ToString(),
                             "', ", verdicts.Minute() + 500'000, ", 10)"));
  const auto turn = verdicts.store.TakeAsk(verdicts.tenant, 10, false);
  ASSERT_TRUE(turn.ok()) << turn.status();
  EXPECT_TRUE(turn->granted);
  EXPECT_EQ(verdicts.pg.sql.Number("SELECT asked FROM compliance_asked"), 1);
}

TEST(VerdictUpkeepTest, ExpiredVerdictsGoInSeveralChunksAndOthersStay) {
  PgVerdicts verdicts;
  verdicts.pg.sql.Run(StrCat(
      "INSERT INTO content_approval (tenant_id, campaign_id, campaign_version, fingerprint, "
      "approved, violations, checked_at, expires_at) SELECT '",
      verdicts.tenant.ToString(),
      "', 'spring', sha256('v'), sha256(int4send(n)), true, '{}', now() - interval '2 days', "
      "now() + CASE WHEN n <= 12345 THEN interval '-1 second' ELSE interval '1 hour' END "
      "FROM generate_series(1, 12400) n"));
  int chunks = 0;
  for (bool more = true; more && chunks < 100; ++chunks) {
    const auto some = verdicts.pg.store.ForgetSome();
    ASSERT_TRUE(some.ok()) << some.status();
    more = *some;
  }
  EXPECT_GT(chunks, 2);
  EXPECT_EQ(verdicts.pg.sql.Number("SELECT count(*) FROM content_approval"), 55);
}

}  // namespace
}  // namespace postrider
