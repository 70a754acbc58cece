#include "tests/support/fake_store.h"

#include <gtest/gtest.h>

#include "tests/support/consent_contract.h"
#include "tests/support/contacts_contract.h"
#include "tests/support/content_contract.h"
#include "tests/support/fake_clock.h"
#include "tests/support/fake_verdict_store.h"
#include "tests/support/verdict_contract.h"

namespace postrider {
namespace {

StoreSubject MakeFake() {
  const auto clock = std::make_shared<FakeClock>();
  clock->Advance(std::chrono::days(3650));  // So that there can be messages of years ago.
  const auto store = std::make_shared<FakeStore>(*clock);
  // The store goes first: it looks at the clock as long as it lives.
  const std::shared_ptr<Store> both(store.get(), [clock, store](Store*) {});
  return {
      .store = both,
      .now = [clock] { return clock->Wall(); },
      .advance = [clock](std::chrono::nanoseconds by) { clock->Advance(by); },
      .suppress = [store](TenantId tenant, const std::string& to) { store->Suppress(tenant, to); },
      .confirm_opt_outs =
          [store](TenantId tenant, const std::string& text) {
            const std::vector<TenantRow> rows = store->LoadTenants().value();
            for (TenantRow row : rows) {
              if (row.tenant_id != tenant) continue;
              row.opt_out_confirmation = text;
              store->SetSetup(row);
            }
          }};
}

INSTANTIATE_TEST_SUITE_P(Fake, StoreContract, ::testing::Values(StoreFactory{"fake", MakeFake}),
                         [](const auto& param) { return param.param.name; });

INSTANTIATE_TEST_SUITE_P(Fake, ConsentContract, ::testing::Values(StoreFactory{"fake", MakeFake}),
                         [](const auto& param) { return param.param.name; });

INSTANTIATE_TEST_SUITE_P(Fake, AnswerContract, ::testing::Values(StoreFactory{"fake", MakeFake}),
                         [](const auto& param) { return param.param.name; });

VerdictSubject MakeFakeVerdicts() {
  const auto clock = std::make_shared<FakeClock>();
  const auto store = std::make_shared<FakeVerdictStore>(*clock);
  TenantId tenant;
  tenant.uuid.bytes[0] = 1;
  return {.store = std::shared_ptr<VerdictStore>(store.get(), [clock, store](VerdictStore*) {}),
          .tenant = tenant,
          .advance = [clock](std::chrono::minutes by) { clock->Advance(by); },
          .minute = [clock] { return clock->Wall().time_since_epoch() / std::chrono::minutes(1); }};
}

INSTANTIATE_TEST_SUITE_P(Fake, VerdictContract,
                         ::testing::Values(VerdictFactory{"fake", MakeFakeVerdicts}),
                         [](const auto& param) { return param.param.name; });

INSTANTIATE_TEST_SUITE_P(Fake, ContactsContract, ::testing::Values(StoreFactory{"fake", MakeFake}),
                         [](const auto& param) { return param.param.name; });

INSTANTIATE_TEST_SUITE_P(Fake, ContentContract, ::testing::Values(StoreFactory{"fake", MakeFake}),
                         [](const auto& param) { return param.param.name; });

TEST(FakeStoreTest, AFaultBeforeTheEffectLeavesNothingAndOneAfterLeavesAll) {
  FakeClock clock;
  FakeStore store(clock);
  InboxRow row;
  row.body = "{}";
  store.FailNext(1, FakeStore::When::kBefore, "AppendInbox");
  EXPECT_TRUE(absl::IsUnavailable(store.AppendInbox({&row, 1})));
  EXPECT_EQ(store.Inbox().open, 0);
  store.FailNext(1, FakeStore::When::kAfter);
  EXPECT_TRUE(absl::IsUnavailable(store.AppendInbox({&row, 1})));
  EXPECT_EQ(store.Inbox().open, 1);
  EXPECT_TRUE(store.AppendInbox({&row, 1}).ok());
  EXPECT_EQ(store.Calls("AppendInbox"), 3);
}

}  // namespace
}  // namespace postrider
