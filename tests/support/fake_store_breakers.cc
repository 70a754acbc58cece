#include <algorithm>

#include "server/base/strings.h"
#include "server/model/dispatch_limits.h"
#include "tests/support/fake_store.h"

// Circuit breakers: what they judge by, and how they stand.
namespace postrider {

namespace {

std::int64_t BucketOf(WallTime at) { return at.time_since_epoch() / kBreakerBucket; }

}  // namespace

void FakeStore::CountVerdict(TenantId tenant, Breaker breaker, BreakerVerdict verdict) {
  if (verdict == BreakerVerdict::kNothing) return;
  auto& [calls, failures] = breakers_[{tenant, breaker}].counts[BucketOf(clock_.Wall())];
  ++calls;
  ++breaker_writes_;
  if (verdict == BreakerVerdict::kFailed) ++failures;
}

BreakerReading FakeStore::ReadingOf(const BreakerKey& key) const {
  BreakerReading reading{.key = key, .standing = {}};
  const auto found = breakers_.find(key);
  if (found == breakers_.end()) return reading;
  const fake_store::KeptBreaker& kept = found->second;
  reading.standing = kept.standing;
  if (kept.override_set && kept.override_set->until > clock_.Wall()) {
    reading.override_in_force = kept.override_set;
  }
  std::int64_t after = BucketOf(clock_.Wall()) - kBreakerBuckets;
  if (kept.standing.state == BreakerState::kClosed && kept.standing.changed_at != WallTime{}) {
    after = std::max(after, BucketOf(kept.standing.changed_at));
  }
  for (const auto& [bucket, sums] : kept.counts) {
    if (bucket <= after) continue;
    reading.calls += sums.first;
    reading.failures += sums.second;
  }
  return reading;
}

FakeStore::BreakerLook FakeStore::LookOf(const BreakerKey& key) const {
  const BreakerReading reading = ReadingOf(key);
  const bool overridden = reading.override_in_force.has_value();
  BreakerLook look{.in_force = reading.InForce(),
                   .canaries = overridden ? 0 : reading.standing.canaries,
                   .overridden = overridden,
                   .calls = reading.calls,
                   .failures = reading.failures};
  const auto found = breakers_.find(key);
  if (found == breakers_.end()) return look;
  const BreakerLook& kept = found->second.look;
  const bool same = kept.in_force == look.in_force && kept.canaries == look.canaries;
  // Else an override has ended by itself.
  look.since = same ? kept.since : found->second.override_set->until;
  return look;
}

void FakeStore::KeepLook(const BreakerKey& key, const BreakerLook& before) {
  ++breaker_writes_;
  BreakerLook& kept = breakers_.at(key).look;
  const BreakerReading reading = ReadingOf(key);
  kept.in_force = reading.InForce();
  kept.canaries = reading.override_in_force ? 0 : reading.standing.canaries;
  const bool same = kept.in_force == before.in_force && kept.canaries == before.canaries;
  kept.since = same ? before.since : clock_.Wall();
}

std::uint64_t FakeStore::BreakerWrites() const {
  MutexLock lock(mu_);
  return breaker_writes_;
}

FakeStore::BreakerLook FakeStore::LookAt(const BreakerKey& key) const {
  MutexLock lock(mu_);
  return LookOf(key);
}

absl::StatusOr<BreakerReadings> FakeStore::ReadBreakers(std::span<const int> slots) {
  Enter("ReadBreakers");
  MutexLock lock(mu_);
  PR_RETURN_IF_ERROR(Begin("ReadBreakers"));
  BreakerReadings read;
  for (const auto& [key, kept] : breakers_) {
    if (std::find(slots.begin(), slots.end(), SlotOf(key.tenant_id)) == slots.end()) continue;
    BreakerReading reading = ReadingOf(key);
    if (reading.standing.state == BreakerState::kClosed && !reading.override_in_force &&
        reading.failures == 0) {
      continue;
    }
    read.now = clock_.Wall();
    read.breakers.push_back(std::move(reading));
  }
  PR_RETURN_IF_ERROR(End("ReadBreakers"));
  return read;
}

absl::StatusOr<BreakerReadings> FakeStore::BreakersOf(std::span<const TenantId> tenants) {
  Enter("BreakersOf");
  MutexLock lock(mu_);
  PR_RETURN_IF_ERROR(Begin("BreakersOf"));
  BreakerReadings read;
  const std::set<TenantId> sorted(tenants.begin(), tenants.end());
  for (const TenantId tenant : sorted) {
    for (const Breaker breaker : kAllBreakers) {
      read.breakers.push_back(ReadingOf({tenant, breaker}));
      read.now = clock_.Wall();
    }
  }
  PR_RETURN_IF_ERROR(End("BreakersOf"));
  return read;
}

absl::StatusOr<std::vector<OpenBreaker>> FakeStore::OpenBreakers() {
  Enter("OpenBreakers");
  MutexLock lock(mu_);
  PR_RETURN_IF_ERROR(Begin("OpenBreakers"));
  std::vector<OpenBreaker> open;
  for (const auto& [key, kept] : breakers_) {
    const BreakerReading reading = ReadingOf(key);
    if (reading.InForce() != BreakerState::kOpen) continue;
    const WallTime until =
        reading.override_in_force ? reading.override_in_force->until : reading.standing.open_until;
    if (until > clock_.Wall()) open.push_back({key, until});
  }
  PR_RETURN_IF_ERROR(End("OpenBreakers"));
  return open;
}

absl::StatusOr<std::vector<BreakerKey>> FakeStore::StoreBreakers(
    ReplicaId replica, std::span<const Lease> leases, std::span<const BreakerChange> changes) {
  Enter("StoreBreakers");
  MutexLock lock(mu_);
  PR_RETURN_IF_ERROR(Begin("StoreBreakers"));
  std::vector<BreakerKey> stored;
  for (const BreakerChange& change : changes) {
    const int slot = SlotOf(change.key.tenant_id);
    const Slot& row = slots_[slot];
    const bool held = row.owner == replica && std::find(leases.begin(), leases.end(),
                                                        Lease{slot, row.epoch}) != leases.end();
    if (!held) continue;
    const BreakerLook before = LookOf(change.key);
    breakers_[change.key].standing = change.standing;
    KeepLook(change.key, before);
    stored.push_back(change.key);
  }
  PR_RETURN_IF_ERROR(End("StoreBreakers"));
  return stored;
}

absl::Status FakeStore::OverrideBreaker(const BreakerKey& key, std::optional<BreakerState> state,
                                        WallTime until, const OperatorAction& action) {
  Enter("OverrideBreaker");
  MutexLock lock(mu_);
  PR_RETURN_IF_ERROR(Begin("OverrideBreaker"));
  const BreakerLook before = LookOf(key);
  auto& kept = breakers_[key].override_set;
  kept.reset();
  if (state) {
    kept = BreakerOverride{
        .state = *state, .until = until, .actor = action.actor, .reason = action.reason};
  }
  KeepLook(key, before);
  KeepAction(key.tenant_id, action, "OVERRIDE_BREAKER",
             StrCat(NameOf(key.breaker), " ", state ? NameOf(*state) : "NONE"));
  return End("OverrideBreaker");
}

absl::StatusOr<std::vector<CanaryStatus>> FakeStore::CanaryStatuses(
    std::span<const MessageKey> keys) {
  Enter("CanaryStatuses");
  MutexLock lock(mu_);
  PR_RETURN_IF_ERROR(Begin("CanaryStatuses"));
  std::vector<CanaryStatus> found;
  for (const MessageKey& key : keys) {
    const auto kept = messages_.find(key);
    if (kept == messages_.end()) continue;
    const MessageStatus& status = kept->second.message.status;
    found.push_back({key, status.state, status.failure});
  }
  return found;
}

}  // namespace postrider
