#include "server/store/tenant_directory.h"

#include <gtest/gtest.h>

#include "server/base/strings.h"
#include "tests/support/event_log.h"
#include "tests/support/fake_clock.h"
#include "tests/support/fake_store.h"

namespace postrider {
namespace {

TenantRow Tenant(std::uint64_t number, std::vector<std::string> addresses) {
  TenantRow row;
  row.tenant_id = {UuidOf(number)};
  row.name = StrCat("tenant-", number);
  row.client_id = StrCat("client-", number);
  row.webhook_key = StrCat("key-", number);
  for (std::string& address : addresses) {
    row.senders.push_back({{UuidOf(number * 100 + row.senders.size())}, std::move(address)});
  }
  return row;
}

TEST(TenantSnapshotTest, LooksUpByEveryKey) {
  const TenantSnapshot snapshot({Tenant(1, {"+15551", "SHARED"}), Tenant(2, {"+15552", "SHARED"})});
  const TenantId one{UuidOf(1)};
  const TenantId nobody{UuidOf(3)};
  EXPECT_EQ(snapshot.Find(one)->name, "tenant-1");
  EXPECT_EQ(snapshot.Find(nobody), nullptr);
  EXPECT_EQ(snapshot.FindByName("tenant-2")->tenant_id.uuid, UuidOf(2));
  EXPECT_EQ(snapshot.FindByName("tenant-3"), nullptr);
  EXPECT_EQ(snapshot.FindByWebhookKey("key-2", {})->tenant_id.uuid, UuidOf(2));
  EXPECT_EQ(snapshot.FindByWebhookKey("", {}), nullptr);
  EXPECT_EQ(snapshot.FindSender(one, "+15551")->sender_id.uuid, UuidOf(100));
  EXPECT_EQ(snapshot.FindSender(one, "SHARED")->sender_id.uuid, UuidOf(101));
  EXPECT_EQ(snapshot.FindSender(one, "+15552"), nullptr);
  EXPECT_TRUE(snapshot.BelongsToAnother(one, "+15552"));
  EXPECT_TRUE(snapshot.BelongsToAnother(one, "SHARED"));
  EXPECT_FALSE(snapshot.BelongsToAnother(one, "+15551"));
}

TEST(TenantSnapshotTest, TheWebhookKeyBeforeIsTakenUntilItsTime) {
  const WallTime until = WallTime{} + std::chrono::hours(1000);
  TenantRow row = Tenant(1, {});
  row.webhook_key_before = "old-key";
  row.webhook_key_before_until = until;
  const TenantSnapshot snapshot({row});
  EXPECT_NE(snapshot.FindByWebhookKey("old-key", until - std::chrono::seconds(1)), nullptr);
  EXPECT_EQ(snapshot.FindByWebhookKey("old-key", until), nullptr);
  EXPECT_NE(snapshot.FindByWebhookKey("key-1", until), nullptr);
}

TEST(TenantDirectoryTest, FollowsTheStoreAndKeepsWhatItKnowsWhileTheStoreIsAway) {
  FakeClock clock;
  FakeStore store(clock);
  TenantDirectory directory(store);
  EXPECT_TRUE(directory.Current()->tenants().empty());
  ASSERT_TRUE(store.PutTenant(Tenant(1, {"+15551"})).ok());
  directory.RefreshSoon();
  directory.Step(std::stop_token());
  const auto before = directory.Current();
  ASSERT_EQ(before->tenants().size(), 1U);

  ASSERT_TRUE(store.PutTenant(Tenant(2, {})).ok());
  store.FailNext(1, FakeStore::When::kBefore, "LoadTenants");
  EXPECT_TRUE(absl::IsUnavailable(directory.Refresh()));
  EXPECT_EQ(directory.Current(), before);
  ASSERT_TRUE(directory.Refresh().ok());
  EXPECT_EQ(directory.Current()->tenants().size(), 2U);
  EXPECT_EQ(before->tenants().size(), 1U) << "a snapshot never changes";
}

TEST(TenantDirectoryTest, WhatIsAssumedHoldsUntilTheStoreAnswersAndEachAnswerIsPassedOn) {
  FakeClock clock;
  FakeStore store(clock);
  std::vector<std::size_t> read;
  TenantDirectory directory(
      store, [&](const TenantSnapshot& tenants) { read.push_back(tenants.tenants().size()); });
  directory.Assume({Tenant(1, {}), Tenant(2, {})});
  ASSERT_TRUE(store.PutTenant(Tenant(3, {})).ok());
  store.FailNext(1, FakeStore::When::kBefore, "LoadTenants");
  EXPECT_TRUE(absl::IsUnavailable(directory.Refresh()));
  EXPECT_NE(directory.Current()->FindByWebhookKey("key-2", {}), nullptr);
  EXPECT_TRUE(read.empty());
  ASSERT_TRUE(directory.Refresh().ok());
  EXPECT_EQ(directory.Current()->FindByWebhookKey("key-2", {}), nullptr);
  EXPECT_NE(directory.Current()->FindByWebhookKey("key-3", {}), nullptr);
  EXPECT_EQ(read, std::vector<std::size_t>{1});
}

}  // namespace
}  // namespace postrider
