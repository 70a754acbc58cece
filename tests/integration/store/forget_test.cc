// What is past its time goes, in as many chunks as it takes, and nothing else.
#include <gtest/gtest.h>

#include "server/base/strings.h"
#include "tests/integration/store/pg_fixture.h"

namespace postrider {
namespace {

/// Forgets until nothing is left to forget; how many chunks that took.
int ForgetAll(PgStore& store) {
  constexpr int kEndless = 100;
  int chunks = 0;
  while (++chunks < kEndless) {
    const auto more = store.ForgetSome();
    EXPECT_TRUE(more.ok()) << more.status();
    if (!more.ok() || !*more) break;
  }
  return chunks;
}

std::string AddRequestKeys(TenantId tenant, const char* prefix, int count, const char* age) {
  return StrCat(
      "INSERT INTO request_key (tenant_id, request_id, message_id, fingerprint, created_at) "
      "SELECT '",
      tenant.ToString(), "', '", prefix,
      "-' || n, gen_random_uuid(), sha256('x'), now() - interval '", age,
      "' FROM generate_series(1, ", count, ") n");
}

TEST(ForgetTest, OldRequestKeysGoInSeveralChunksAndYoungOnesStay) {
  PgFixture pg;
  const TenantId tenant = pg.NewTenant("one");
  pg.sql.Run(AddRequestKeys(tenant, "old", 12'345, "31 days"));
  pg.sql.Run(AddRequestKeys(tenant, "young", 300, "29 days"));
  EXPECT_GT(ForgetAll(pg.store), 2);
  EXPECT_EQ(pg.sql.Number("SELECT count(*) FROM request_key WHERE request_id LIKE 'old-%'"), 0);
  EXPECT_EQ(pg.sql.Number("SELECT count(*) FROM request_key WHERE request_id LIKE 'young-%'"), 300);
}

TEST(ForgetTest, OldTicksGoInSeveralChunksAndYoungOnesStay) {
  PgFixture pg;
  pg.sql.Run(
      "INSERT INTO tick (tick_no, snap, nonce, at) "
      "SELECT 1000 + n, pg_current_snapshot(), gen_random_uuid(), "
      "now() - CASE WHEN n <= 12345 THEN interval '73 hours' ELSE interval '71 hours' END "
      "FROM generate_series(1, 12400) n");
  EXPECT_GT(ForgetAll(pg.store), 2);
  EXPECT_EQ(pg.sql.Number("SELECT count(*) FROM tick WHERE at < now() - interval '72 hours'"), 0);
  EXPECT_EQ(pg.sql.Number("SELECT count(*) FROM tick WHERE tick_no > 1000 + 12345"), 55);
}

TEST(ForgetTest, TheNewestTickStaysHoweverOldItIs) {
  PgFixture pg;
  pg.sql.Run("UPDATE tick SET at = now() - interval '1 year'");
  const std::int64_t newest = pg.sql.Number("SELECT max(tick_no) FROM tick");
  EXPECT_EQ(ForgetAll(pg.store), 1);
  EXPECT_EQ(pg.sql.Number("SELECT max(tick_no) FROM tick"), newest);
}

TEST(ForgetTest, ReplicasOfLongAgoGo) {
  PgFixture pg;
  pg.sql.Run(
      "INSERT INTO replica (replica_id, name, expires_at) VALUES "
      "(gen_random_uuid(), 'long gone', now() - interval '31 days'), "
      "(gen_random_uuid(), 'gone', now() - interval '29 days')");
  EXPECT_EQ(ForgetAll(pg.store), 1);
  EXPECT_EQ(pg.sql.Number("SELECT count(*) FROM replica WHERE name = 'long gone'"), 0);
  EXPECT_EQ(pg.sql.Number("SELECT count(*) FROM replica WHERE name = 'gone'"), 1);
}

TEST(ForgetTest, QuotasOfLongAgoGoInSeveralChunksAndThoseOfTheLastFiveWeeksStay) {
  PgFixture pg;
  const TenantId tenant = pg.NewTenant("one");
  pg.sql.Run(
      StrCat("INSERT INTO quota_used (tenant_id, day, subject, used) SELECT '", tenant.ToString(),
             "', current_date - CASE WHEN n <= 12345 THEN 37 ELSE 33 END, sha256(int4send(n)), 1 "
             "FROM generate_series(1, 12400) n"));
  EXPECT_GT(ForgetAll(pg.store), 2);
  EXPECT_EQ(pg.sql.Number("SELECT count(*) FROM quota_used"), 55);
}

TEST(ForgetTest, CountsOfBreakersThatNobodyReadsGo) {
  PgFixture pg;
  const TenantId tenant = pg.NewTenant("one");
  pg.sql.Run(StrCat(
      "INSERT INTO breaker_count (tenant_id, breaker, bucket, writer, slot, calls, failures) "
      "SELECT '",
      tenant.ToString(),
      "', 1 + n % 2, floor(extract(epoch FROM now()) / 10) - n / 2, 0, 0, 1, 0 "
      "FROM generate_series(0, 199) n"));
  ASSERT_TRUE(pg.store.Maintain().ok());
  const std::int64_t left = pg.sql.Number("SELECT count(*) FROM breaker_count");
  EXPECT_GE(left, 2 * 60) << "ten minutes of both stay";
  EXPECT_LE(left, 2 * 62);
}

TEST(ForgetTest, UpkeepForgetsAChunkByItself) {
  PgFixture pg;
  const TenantId tenant = pg.NewTenant("one");
  pg.sql.Run(AddRequestKeys(tenant, "old", 10, "31 days"));
  ASSERT_TRUE(pg.store.Maintain().ok());
  EXPECT_EQ(pg.sql.Number("SELECT count(*) FROM request_key"), 0);
}

}  // namespace
}  // namespace postrider
