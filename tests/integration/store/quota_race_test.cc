// Quotas and caps while several sessions accept at once, on the real store.
#include <atomic>

#include <gtest/gtest.h>

#include "server/base/strings.h"
#include "server/model/campaign_limits.h"
#include "tests/integration/store/pg_fixture.h"

namespace postrider {
namespace {

constexpr int kAcceptors = 4;
constexpr int kBatch = 10;

/// Offers `batches` a session, each message under all three kinds of bounds; how many were new.
int AcceptInParallel(PgFixture& pg, TenantId tenant, int batches, std::int64_t most) {
  std::vector<NewMessage> messages;
  for (int i = 0; i < kAcceptors * batches * kBatch; ++i) {
    NewMessage message = pg.Fresh(tenant, StrCat("+1555", 1'000'000 + i));
    message.bounds.tenant_quota = most;
    message.bounds.caps = {{"campaign:spring", most}, {"destination:+1", most + 7}};
    messages.push_back(std::move(message));
  }
  std::atomic<int> accepted = 0;
  InParallel(kAcceptors, [&](int worker) {
    for (int i = 0; i < batches; ++i) {
      const auto first = static_cast<std::size_t>((worker * batches + i) * kBatch);
      const auto verdicts =
          pg.store.Accept(std::span<const NewMessage>(messages).subspan(first, kBatch));
      ASSERT_TRUE(verdicts.ok()) << verdicts.status();
      for (const Acceptance& verdict : *verdicts) {
        accepted += verdict.kind == Acceptance::Kind::kNew ? 1 : 0;
      }
    }
  });
  return accepted;
}

std::int64_t UsedOf(PgFixture& pg, const std::string& subject) {
  return pg.sql.Number(
      StrCat("SELECT coalesce(sum(used), 0) FROM quota_used WHERE subject = '", subject, "'"));
}

TEST(QuotaRaceTest, FarFromItsEndEachSessionCountsForItselfAndNothingIsLost) {
  PgFixture pg(kAcceptors);
  const TenantId tenant = pg.NewTenant("acme");
  // From the middle on it is near: what was counted beside each other must be in the sum then.
  const int all = kAcceptors * 10 * kBatch;
  EXPECT_EQ(AcceptInParallel(pg, tenant, 10, kFarFromQuota + all / 2), all);
  EXPECT_EQ(UsedOf(pg, "campaign:spring"), all);
  EXPECT_EQ(UsedOf(pg, "destination:+1"), all);
  EXPECT_EQ(UsedOf(pg, ""), all);
  EXPECT_GT(pg.sql.Number("SELECT count(*) FROM quota_used WHERE subject = ''"), 1)
      << "they counted in one row";
}

TEST(QuotaRaceTest, ItEndsExactlyAlsoWhenItIsFarForMostOfTheDay) {
  PgFixture pg(kAcceptors);
  const TenantId tenant = pg.NewTenant("acme");
  const std::int64_t most = kFarFromQuota + 1000;
  AcceptInParallel(pg, tenant, 1, most);
  const std::int64_t used = UsedOf(pg, "");
  EXPECT_EQ(used, kAcceptors * kBatch);
  // A day's messages of a session that is gone, until 55 are left.
  pg.sql.Run(StrCat("INSERT INTO quota_used SELECT tenant_id, day, subject, ", most - used - 55,
                    ", 99 FROM quota_used WHERE writer = (SELECT min(writer) FROM quota_used)"));
  EXPECT_EQ(AcceptInParallel(pg, tenant, 5, most), 55);
  EXPECT_EQ(UsedOf(pg, ""), most);
  EXPECT_EQ(UsedOf(pg, "campaign:spring"), most);
}

}  // namespace
}  // namespace postrider
