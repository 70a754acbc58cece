#include <algorithm>

#include "server/base/strings.h"
#include "server/model/dispatch_limits.h"
#include "tests/support/store_contract.h"

// Circuit breakers: what is counted, how they stand, operators' words.
namespace postrider {
namespace {

/// The reading of `breaker` of `tenant` among all; a closed one with nothing when it is not there.
BreakerReading ReadingOf(const absl::StatusOr<BreakerReadings>& all, TenantId tenant,
                         Breaker breaker) {
  EXPECT_TRUE(all.ok()) << all.status();
  if (all.ok()) {
    for (const BreakerReading& reading : all->breakers) {
      if (reading.key == BreakerKey{tenant, breaker}) return reading;
    }
  }
  return {};
}

BreakerReading Read(Store& store, TenantId tenant, Breaker breaker) {
  const int slot = SlotOf(tenant);
  return ReadingOf(store.ReadBreakers({&slot, 1}), tenant, breaker);
}

BreakerStanding OpenFor(WallTime now, std::chrono::seconds wait) {
  const WallTime whole = std::chrono::floor<std::chrono::seconds>(now);
  return {.state = BreakerState::kOpen,
          .trips = 2,
          .canaries = 0,
          .changed_at = whole,
          .open_until = whole + wait,
          .cause = "5 of 20 \"failed\", {said} it"};
}

TEST_P(StoreContract, OutcomesAreCountedOnceEachAndNotWhatSaysNothing) {
  const ReplicaId replica = NewReplica();
  const Breaker breaker = Breaker::kTransport;
  const auto end = [&](OutcomeKind kind, int http_status) {
    const MessageKey key = Accepted();
    AttemptOutcome row;
    row.key = key;
    row.attempt = Intended(replica, key);
    row.outcome.kind = kind;
    row.outcome.http_status = http_status;
    row.again_in = 1h;
    for (int i = 0; i < 2; ++i) EXPECT_TRUE(store_.RecordOutcomes(replica, {&row, 1}).ok());
  };
  end(OutcomeKind::kAccepted, 202);
  EXPECT_EQ(Read(store_, tenant_.tenant_id, breaker).calls, 0)
      << "without a failure there is nothing to judge";
  end(OutcomeKind::kUnknown, 503);
  end(OutcomeKind::kNotSent, 0);
  end(OutcomeKind::kNotSent, 429);
  end(OutcomeKind::kHeld, 409);
  const BreakerReading read = Read(store_, tenant_.tenant_id, breaker);
  EXPECT_EQ(read.calls, 3);
  EXPECT_EQ(read.failures, 2);
  EXPECT_EQ(read.standing, BreakerStanding());
  EXPECT_EQ(Read(store_, tenant_.tenant_id, Breaker::kCarrier).calls, 0);
}

TEST_P(StoreContract, FinalReceiptsAreCountedOncePerMessage) {
  const ReplicaId replica = NewReplica();
  const auto apply = [&](const MessageKey& key, MessageState state, FailureReason failure) {
    ParsedReceipt row = ReceiptFor(key, state, StrCat("{\"n\":", ++made_, "}"));
    row.receipt->status.failure = failure;
    Apply(row);
    Apply(row);
  };
  const MessageKey bad = Submitted(replica, "bad");
  apply(bad, MessageState::kSent, FailureReason::kNone);
  apply(bad, MessageState::kFailed, FailureReason::kCarrierRejected);
  apply(bad, MessageState::kFailed, FailureReason::kCarrierRejected);
  apply(Submitted(replica, "good"), MessageState::kDelivered, FailureReason::kNone);
  apply(Submitted(replica, "landline"), MessageState::kFailed, FailureReason::kInvalidNumber);
  const BreakerReading read = Read(store_, tenant_.tenant_id, Breaker::kCarrier);
  EXPECT_EQ(read.calls, 2);
  EXPECT_EQ(read.failures, 1);
}

TEST_P(StoreContract, CountsLeaveTheWindow) {
  if (!subject_.advance) GTEST_SKIP();
  const ReplicaId replica = NewReplica();
  const MessageKey key = Accepted();
  Record(replica, key, Intended(replica, key), OutcomeKind::kUnknown);
  subject_.advance(kBreakerWindow - 2 * kBreakerBucket);
  EXPECT_EQ(Read(store_, tenant_.tenant_id, Breaker::kTransport).failures, 1);
  subject_.advance(2 * kBreakerBucket);
  EXPECT_EQ(Read(store_, tenant_.tenant_id, Breaker::kTransport).failures, 0);
}

TEST_P(StoreContract, AStandingIsStoredByTheOwnerAndReadByAll) {
  const ReplicaId replica = NewReplica();
  const BreakerKey key{tenant_.tenant_id, Breaker::kCarrier};
  const BreakerChange change{key, OpenFor(subject_.now(), 1h)};
  const std::vector<Lease> leases = LeasesOf(replica);
  const auto stored = store_.StoreBreakers(replica, leases, {&change, 1});
  ASSERT_TRUE(stored.ok()) << stored.status();
  EXPECT_EQ(*stored, std::vector{key});
  EXPECT_EQ(Read(store_, key.tenant_id, key.breaker).standing, change.standing);

  const auto open = store_.OpenBreakers();
  ASSERT_TRUE(open.ok()) << open.status();
  ASSERT_EQ(open->size(), 1U);
  EXPECT_EQ(open->front().key, key);
  EXPECT_EQ(open->front().until, change.standing.open_until);

  const TenantId tenants[] = {tenant_.tenant_id};
  const auto both = store_.BreakersOf(tenants);
  ASSERT_TRUE(both.ok()) << both.status();
  ASSERT_EQ(both->breakers.size(), 2U);
  EXPECT_EQ(ReadingOf(both, key.tenant_id, Breaker::kTransport).standing, BreakerStanding());
  EXPECT_EQ(ReadingOf(both, key.tenant_id, Breaker::kCarrier).standing, change.standing);

  const int another = (SlotOf(tenant_.tenant_id) + 1) % kSlots;
  EXPECT_TRUE(store_.ReadBreakers({&another, 1})->breakers.empty());
}

TEST_P(StoreContract, AStaleOwnerStoresNoStanding) {
  const ReplicaId first = NewReplica();
  const std::vector<Lease> stale = LeasesOf(first);
  ASSERT_TRUE(store_.ReleaseSlots(first, stale).ok());
  ASSERT_TRUE(store_.RetireReplica(first).ok());
  NewReplica();
  const BreakerKey key{tenant_.tenant_id, Breaker::kTransport};
  const BreakerChange change{key, OpenFor(subject_.now(), 1h)};
  const auto stored = store_.StoreBreakers(first, stale, {&change, 1});
  ASSERT_TRUE(stored.ok()) << stored.status();
  EXPECT_TRUE(stored->empty());
  EXPECT_EQ(Read(store_, key.tenant_id, key.breaker).standing, BreakerStanding());
}

TEST_P(StoreContract, AClosedBreakerJudgesByWhatCameAfterwards) {
  const ReplicaId replica = NewReplica();
  const MessageKey message = Accepted();
  Record(replica, message, Intended(replica, message), OutcomeKind::kUnknown);
  ASSERT_EQ(Read(store_, tenant_.tenant_id, Breaker::kTransport).failures, 1);
  const BreakerChange change{{tenant_.tenant_id, Breaker::kTransport},
                             {.state = BreakerState::kClosed, .changed_at = subject_.now() + 11s}};
  const std::vector<Lease> leases = LeasesOf(replica);
  ASSERT_TRUE(store_.StoreBreakers(replica, leases, {&change, 1}).ok());
  const TenantId tenants[] = {tenant_.tenant_id};
  EXPECT_EQ(ReadingOf(store_.BreakersOf(tenants), tenant_.tenant_id, Breaker::kTransport).failures,
            0);
}

TEST_P(StoreContract, AnOperatorsWordGoesBeforeAndStandsBesideTheState) {
  const ReplicaId replica = NewReplica();
  const BreakerKey key{tenant_.tenant_id, Breaker::kTransport};
  const WallTime until = std::chrono::floor<std::chrono::seconds>(subject_.now()) + 1h;
  const auto action = [&](const std::string& reason) {
    return OperatorAction{{MakeUuidV7(subject_.now(), random_)}, "ops", reason};
  };
  ASSERT_TRUE(
      store_.OverrideBreaker(key, BreakerState::kOpen, until, action("Genesys' wish")).ok());
  BreakerReading read = Read(store_, key.tenant_id, key.breaker);
  ASSERT_TRUE(read.override_in_force.has_value());
  EXPECT_EQ(*read.override_in_force,
            (BreakerOverride{BreakerState::kOpen, until, "ops", "Genesys' wish"}));
  EXPECT_EQ(read.InForce(), BreakerState::kOpen);
  EXPECT_EQ(read.standing, BreakerStanding()) << "its own state is another thing";
  ASSERT_EQ(store_.OpenBreakers()->size(), 1U);
  EXPECT_EQ(store_.OpenBreakers()->front().until, until);

  const BreakerChange change{key, OpenFor(subject_.now(), 1h)};
  const std::vector<Lease> leases = LeasesOf(replica);
  ASSERT_TRUE(store_.StoreBreakers(replica, leases, {&change, 1}).ok());
  EXPECT_TRUE(Read(store_, key.tenant_id, key.breaker).override_in_force.has_value());
  ASSERT_TRUE(
      store_.OverrideBreaker(key, BreakerState::kClosed, until, action("known outage")).ok());
  read = Read(store_, key.tenant_id, key.breaker);
  EXPECT_EQ(read.InForce(), BreakerState::kClosed);
  EXPECT_EQ(read.standing, change.standing);
  EXPECT_TRUE(store_.OpenBreakers()->empty());

  ASSERT_TRUE(store_.OverrideBreaker(key, std::nullopt, {}, action("over")).ok());
  EXPECT_EQ(Read(store_, key.tenant_id, key.breaker).InForce(), BreakerState::kOpen);
}

TEST_P(StoreContract, AnOverrideEndsByItself) {
  const BreakerKey key{tenant_.tenant_id, Breaker::kTransport};
  const OperatorAction action{{MakeUuidV7(subject_.now(), random_)}, "ops", "too late"};
  ASSERT_TRUE(store_.OverrideBreaker(key, BreakerState::kOpen, subject_.now() - 1min, action).ok());
  EXPECT_EQ(Read(store_, key.tenant_id, key.breaker).InForce(), BreakerState::kClosed);
  EXPECT_TRUE(store_.OpenBreakers()->empty());
}

TEST_P(StoreContract, CanariesAreReadByKey) {
  const ReplicaId replica = NewReplica();
  const MessageKey submitted = Submitted(replica, "canary");
  const MessageKey keys[] = {submitted, {tenant_.tenant_id, {MakeUuidV4(random_)}}};
  const auto found = store_.CanaryStatuses(keys);
  ASSERT_TRUE(found.ok()) << found.status();
  ASSERT_EQ(found->size(), 1U);
  EXPECT_EQ(found->front().key, submitted);
  EXPECT_EQ(found->front().state, MessageState::kSubmitted);
  EXPECT_EQ(found->front().failure, FailureReason::kNone);
}

}  // namespace
}  // namespace postrider
