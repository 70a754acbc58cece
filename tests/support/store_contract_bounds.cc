#include "server/base/digest.h"
#include "tests/support/store_contract.h"

// What an acceptance is held to: the limit of a tenant's queue, quotas of tenants and of tokens.
namespace postrider {
namespace {

using Kind = Acceptance::Kind;

/// The verdicts of one batch.
std::vector<Acceptance> AcceptAll(Store& store, const std::vector<NewMessage>& batch) {
  const auto verdicts = store.Accept(batch);
  EXPECT_TRUE(verdicts.ok()) << verdicts.status();
  return verdicts.ok() ? *verdicts : std::vector<Acceptance>(batch.size());
}

std::vector<Kind> KindsOf(const std::vector<Acceptance>& verdicts) {
  std::vector<Kind> kinds;
  for (const Acceptance& verdict : verdicts) kinds.push_back(verdict.kind);
  return kinds;
}

/// A copy as a caller makes it that has not heard the answer.
NewMessage Repeated(NewMessage message, Random& random) {
  message.message_id = {MakeUuidV4(random)};
  return message;
}

TEST_P(StoreContract, AFullQueueTakesNoMoreAndTellsHowManyWait) {
  std::vector<NewMessage> batch;
  for (int i = 0; i < 5; ++i) {
    batch.push_back(Fresh());
    batch.back().bounds.queue_limit = 3;
  }
  const std::vector<Acceptance> verdicts = AcceptAll(store_, batch);
  EXPECT_EQ(KindsOf(verdicts),
            (std::vector{Kind::kNew, Kind::kNew, Kind::kNew, Kind::kQueueFull, Kind::kQueueFull}));
  NewMessage later = Fresh();
  later.bounds.queue_limit = 3;
  const Acceptance verdict = AcceptOne(later);
  EXPECT_EQ(verdict.kind, Kind::kQueueFull);
  EXPECT_EQ(verdict.count, 3);
  EXPECT_NE(verdict.at, WallTime{});
  EXPECT_TRUE(absl::IsNotFound(store_.GetMessage({tenant_.tenant_id, later.message_id}).status()));
  EXPECT_TRUE(absl::IsNotFound(
      store_.GetMessageByRequest(tenant_.tenant_id, later.request.request_id).status()));
}

TEST_P(StoreContract, ARefusedMessageIsAcceptedWithItsRequestIdWhenThereIsRoom) {
  NewMessage first = Fresh();
  first.bounds.queue_limit = 1;
  const MessageKey key = Accepted(first);
  NewMessage second = Fresh("+15550000002");
  second.bounds.queue_limit = 1;
  EXPECT_EQ(AcceptOne(second).kind, Kind::kQueueFull);
  ASSERT_TRUE(store_.Cancel(key).ok());
  EXPECT_EQ(AcceptOne(Repeated(second, random_)).kind, Kind::kNew);
}

TEST_P(StoreContract, ARepeatGetsItsFirstMessageAlsoWhenTheQueueIsFull) {
  NewMessage first = Fresh();
  first.bounds.queue_limit = 1;
  Accepted(first);
  const Acceptance again = AcceptOne(Repeated(first, random_));
  EXPECT_EQ(again.kind, Kind::kDuplicate);
  EXPECT_EQ(again.message_id, first.message_id);
  NewMessage other = Repeated(first, random_);
  other.fingerprint = Sha256Bytes("other");
  EXPECT_EQ(AcceptOne(other).kind, Kind::kRequestIdReused);
}

TEST_P(StoreContract, RepeatsTakeNoPlaceInTheQueue) {
  std::vector<NewMessage> batch;
  for (int i = 0; i < 4; ++i) {
    batch.push_back(Fresh());
    batch.back().bounds.queue_limit = 3;
  }
  AcceptAll(store_, {batch[0]});
  EXPECT_EQ(KindsOf(AcceptAll(store_, {Repeated(batch[0], random_), batch[1],
                                       Repeated(batch[1], random_), batch[2], batch[3],
                                       Repeated(batch[3], random_), Repeated(batch[2], random_)})),
            (std::vector{Kind::kDuplicate, Kind::kNew, Kind::kDuplicate, Kind::kNew,
                         Kind::kQueueFull, Kind::kQueueFull, Kind::kDuplicate}));
}

TEST_P(StoreContract, AFullQueueIsItsTenantsMatter) {
  TenantRow other = tenant_;
  other.tenant_id = {MakeUuidV4(random_)};
  other.name = "other";
  other.client_id = "other-client";
  other.webhook_key = "other-key";
  ASSERT_TRUE(store_.PutTenant(other).ok());
  std::vector<NewMessage> batch = {Fresh(), FreshOf(other.tenant_id), Fresh(),
                                   FreshOf(other.tenant_id)};
  batch[0].bounds.queue_limit = batch[2].bounds.queue_limit = 1;
  batch[1].bounds.queue_limit = batch[3].bounds.queue_limit = 2;
  EXPECT_EQ(KindsOf(AcceptAll(store_, batch)),
            (std::vector{Kind::kNew, Kind::kNew, Kind::kQueueFull, Kind::kNew}));
}

TEST_P(StoreContract, WhoLeavesTheQueueMakesRoomAndWhoComesBackTakesIt) {
  const ReplicaId replica = NewReplica();
  NewMessage first = Fresh();
  first.bounds.queue_limit = 1;
  const MessageKey key = Accepted(first);
  const int attempt = Intended(replica, key);
  NewMessage second = Fresh();
  second.bounds.queue_limit = 1;
  Accepted(second);
  Record(replica, key, attempt, OutcomeKind::kNotSent);
  NewMessage third = Fresh();
  third.bounds.queue_limit = 2;
  EXPECT_EQ(AcceptOne(third).kind, Kind::kQueueFull);
  EXPECT_EQ(AcceptOne(third).count, 2);
}

TEST_P(StoreContract, AMessageThatIsRefusedForItselfIsNotToldOfTheQueue) {
  if (!subject_.suppress) GTEST_SKIP();
  NewMessage first = Fresh();
  first.bounds.queue_limit = 1;
  Accepted(first);
  subject_.suppress(tenant_.tenant_id, "+15550000009");
  NewMessage opted_out = Fresh("+15550000009");
  opted_out.bounds.queue_limit = 1;
  EXPECT_EQ(AcceptOne(opted_out).kind, Kind::kOptedOut);
}

TEST_P(StoreContract, ATenantsQuotaIsOfAllItsTokensAndHoldsExactly) {
  std::vector<NewMessage> batch;
  for (int i = 0; i < 5; ++i) {
    batch.push_back(Fresh());
    batch.back().bounds.tenant_quota = 3;
    batch.back().bounds.token_sha256 = Sha256Bytes(i % 2 == 0 ? "even" : "odd");
  }
  EXPECT_EQ(KindsOf(AcceptAll(store_, {batch[0], batch[1]})), (std::vector(2, Kind::kNew)));
  const std::vector<Acceptance> verdicts =
      AcceptAll(store_, {Repeated(batch[0], random_), batch[2], batch[3], batch[4]});
  EXPECT_EQ(KindsOf(verdicts),
            (std::vector{Kind::kDuplicate, Kind::kNew, Kind::kTenantQuotaExceeded,
                         Kind::kTenantQuotaExceeded}));
  EXPECT_EQ(verdicts[2].count, 3);
  EXPECT_EQ(AcceptOne(Repeated(batch[1], random_)).kind, Kind::kDuplicate);
  EXPECT_EQ(AcceptOne(batch[4]).count, 3);
  EXPECT_EQ(AcceptOne(Fresh()).kind, Kind::kNew) << "no quota, no refusal";
}

TEST_P(StoreContract, ATokensQuotaIsItsOwn) {
  const auto by = [&](const std::string& token, std::int64_t quota) {
    NewMessage message = Fresh();
    message.bounds.token_sha256 = Sha256Bytes(token);
    message.bounds.token_quota = quota;
    return message;
  };
  const std::vector<Acceptance> verdicts =
      AcceptAll(store_, {by("one", 1), by("two", 2), by("one", 1), by("two", 2), by("none", 0)});
  EXPECT_EQ(KindsOf(verdicts), (std::vector{Kind::kNew, Kind::kNew, Kind::kTokenQuotaExceeded,
                                            Kind::kNew, Kind::kTokenQuotaExceeded}));
  EXPECT_EQ(verdicts[2].count, 1);
  EXPECT_EQ(verdicts[4].count, 0);
  EXPECT_EQ(AcceptOne(by("two", 3)).kind, Kind::kNew);
}

TEST_P(StoreContract, WhatIsRefusedUsesNoQuota) {
  const auto bounded = [&](std::int64_t queue_limit) {
    NewMessage message = Fresh();
    message.bounds = {.queue_limit = queue_limit,
                      .tenant_quota = 2,
                      .token_quota = 2,
                      .token_sha256 = Sha256Bytes("token")};
    return message;
  };
  EXPECT_EQ(AcceptOne(bounded(1)).kind, Kind::kNew);
  EXPECT_EQ(AcceptOne(bounded(1)).kind, Kind::kQueueFull);
  EXPECT_EQ(AcceptOne(bounded(9)).kind, Kind::kNew);
  EXPECT_EQ(AcceptOne(bounded(9)).kind, Kind::kTenantQuotaExceeded);
}

TEST_P(StoreContract, AQuotaBeginsAnewWithTheDay) {
  if (!subject_.advance) GTEST_SKIP();
  const auto bounded = [&] {
    NewMessage message = Fresh();
    message.bounds.tenant_quota = 1;
    return message;
  };
  EXPECT_EQ(AcceptOne(bounded()).kind, Kind::kNew);
  EXPECT_EQ(AcceptOne(bounded()).kind, Kind::kTenantQuotaExceeded);
  subject_.advance(std::chrono::hours(24));
  EXPECT_EQ(AcceptOne(bounded()).kind, Kind::kNew);
}

}  // namespace
}  // namespace postrider
