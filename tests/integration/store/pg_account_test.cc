// Webhooks add up, and one that has no end is found: invariant S8 in production.
#include "server/store/pg_account.h"

#include <gtest/gtest.h>

#include "server/base/strings.h"
#include "tests/integration/store/pg_fixture.h"

namespace postrider {
namespace {

using namespace std::chrono_literals;

class InboxAccountTest : public ::testing::Test {
 protected:
  /// A webhook that came `ago`, as it is stored.
  InboxRow Came(std::chrono::seconds ago, TenantId of = {}) {
    InboxRow row{.tenant_id = of.IsNil() ? tenant_ : of,
                 .inbox_id = {MakeUuidV7(pg_.clock.Wall() - ago, pg_.random)},
                 .profile = "guide",
                 .body = "{}"};
    EXPECT_TRUE(pg_.store.AppendInbox({&row, 1}).ok());
    return row;
  }
  void End(const InboxRow& row, int verdict) {
    pg_.sql.Run(StrCat(
        "INSERT INTO receipt_applied (tenant_id, inbox_id, verdict, dedupe_key) "
        "VALUES ('",
        row.tenant_id.ToString(), "', '", row.inbox_id.ToString(), "', ", verdict, ", 'x')"));
  }
  void LoseEnd(const InboxRow& row) {
    pg_.sql.Run(
        StrCat("DELETE FROM receipt_applied WHERE inbox_id = '", row.inbox_id.ToString(), "'"));
  }
  /// Applies them as what cannot be read (a dead letter), or as of a message that nobody knows.
  void Apply(const InboxRow& row, bool readable) {
    Receipt receipt;
    receipt.message_id = {MakeUuidV7(pg_.clock.Wall(), pg_.random)};
    const ParsedReceipt parsed{
        row, readable ? absl::StatusOr<Receipt>(receipt) : absl::InvalidArgumentError("no")};
    EXPECT_TRUE(pg_.store.ApplyReceipts({&parsed, 1}).ok());
  }
  static std::int64_t Count(InboxAccount& account, std::vector<TenantId> tenants) {
    const auto counted = account.Count(tenants);
    EXPECT_TRUE(counted.ok()) << counted.status();
    return counted.value_or(-1);
  }

  PgFixture pg_;
  PgPool pool_{pg_.clock, pg_.random, {.conninfo = pg_.database.url(), .max_sessions = 1}};
  const TenantId tenant_ = pg_.NewTenant("acme");
};

TEST_F(InboxAccountTest, WhatHasOneOfTheFourEndsIsAccountedForAndNothingElse) {
  End(Came(120s), 1);
  End(Came(120s), 2);
  Apply(Came(120s), /*readable=*/true);
  Apply(Came(120s), /*readable=*/false);
  Came(30s);  // not yet
  Came(2h);   // not any more
  InboxAccount before(pool_, pg_.clock, {});
  EXPECT_EQ(Count(before, {tenant_}), 0);

  const InboxRow without = Came(110s);
  const InboxRow lost = Came(100s);
  End(lost, 1);
  LoseEnd(lost);
  InboxAccount account(pool_, pg_.clock, {});
  EXPECT_EQ(Count(account, {tenant_}), 2);
  EXPECT_EQ(Count(account, {tenant_}), 2) << "until it has an end";
  Apply(without, /*readable=*/true);
  EXPECT_EQ(Count(account, {tenant_}), 1);
  End(lost, 1);
  EXPECT_EQ(Count(account, {tenant_}), 0);
  const auto facts = pg_.store.ReadFacts({&tenant_, 1});
  ASSERT_TRUE(facts.ok()) << facts.status();
  EXPECT_EQ(facts->unaccounted, 0);
  EXPECT_EQ(facts->parked, 2);
  EXPECT_EQ(facts->dead_letters, 1);
}

TEST_F(InboxAccountTest, ANewOwnerLooksAnHourBackAndForgetsWhatItDoesNotDispatch) {
  const TenantId other = pg_.NewTenant("other");
  Came(50min);
  Came(120s, other);
  InboxAccount account(pool_, pg_.clock, {});
  EXPECT_EQ(Count(account, {tenant_, other}), 2);
  EXPECT_EQ(Count(account, {tenant_}), 1);
  EXPECT_EQ(Count(account, {}), 0);
  EXPECT_EQ(Count(account, {other}), 1);
  const auto facts = pg_.store.ReadFacts(std::vector{tenant_, other});
  ASSERT_TRUE(facts.ok()) << facts.status();
  EXPECT_EQ(facts->unaccounted, 2);
}

TEST_F(InboxAccountTest, WhatIsRemovedFromTheInboxIsNotCountedForEver) {
  Came(120s);
  InboxAccount account(pool_, pg_.clock, {});
  EXPECT_EQ(Count(account, {tenant_}), 1);
  pg_.sql.Run("DELETE FROM webhook_inbox");
  EXPECT_EQ(Count(account, {tenant_}), 0);
}

TEST_F(InboxAccountTest, ALookIsBoundedAndTheNextGoesOnWhereItEnded) {
  constexpr int kWebhooks = 20;
  const TenantId quiet = pg_.NewTenant("quiet");
  for (int i = 0; i < kWebhooks; ++i) End(Came(1000s - std::chrono::seconds(i)), 1);
  Came(900s);  // behind all of them
  Came(900s, quiet);
  InboxAccount account(pool_, pg_.clock, {.rows = 6, .least = 2, .listed = 100});
  EXPECT_EQ(Count(account, {tenant_, quiet}), 1) << "one that is behind does not hold up others";
  int looks = 1;
  while (Count(account, {tenant_, quiet}) < 2 && looks < kWebhooks) ++looks;
  EXPECT_GE(looks, kWebhooks / 8);
  EXPECT_LE(looks, kWebhooks / 6 + 1);
}

TEST_F(InboxAccountTest, ListsNoMoreThanItMayAndGoesOnOnceThereIsRoom) {
  const TenantId other = pg_.NewTenant("other");
  std::vector<InboxRow> rows;
  for (int i = 0; i < 5; ++i) rows.push_back(Came(1000s - std::chrono::seconds(i)));
  for (int i = 0; i < 5; ++i) rows.push_back(Came(500s - std::chrono::seconds(i), other));
  InboxAccount account(pool_, pg_.clock, {.rows = 100, .least = 2, .listed = 4});
  for (std::size_t done = 0; done < rows.size(); ++done) {
    const auto left = static_cast<std::int64_t>(rows.size() - done);
    EXPECT_EQ(Count(account, {tenant_, other}), std::min<std::int64_t>(left, 4)) << done;
    End(rows[done], 1);
  }
  EXPECT_EQ(Count(account, {tenant_, other}), 0);
}

}  // namespace
}  // namespace postrider
