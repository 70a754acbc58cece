#include "server/dispatch/slot_owner.h"

#include <algorithm>
#include <utility>

#include "server/base/backoff.h"
#include "server/base/log.h"
#include "server/base/mutant.h"
#include "server/base/status_macros.h"
#include "server/model/dispatch_limits.h"

namespace postrider {

namespace {
constexpr auto kFirstRenewalRetry = 50ms;
constexpr auto kLongestRenewalRetry = 500ms;
}  // namespace

const OwnedSlot* Ownership::Find(int slot) const {
  const auto found = std::find_if(slots.begin(), slots.end(),
                                  [&](const OwnedSlot& own) { return own.lease.slot == slot; });
  return found == slots.end() ? nullptr : &*found;
}

std::vector<Lease> Ownership::Leases() const {
  std::vector<Lease> leases;
  for (const OwnedSlot& own : slots) leases.push_back(own.lease);
  return leases;
}

std::vector<int> Ownership::SlotNumbers() const {
  std::vector<int> numbers;
  for (const OwnedSlot& own : slots) numbers.push_back(own.lease.slot);
  return numbers;
}

SlotOwner::SlotOwner(Store& store, const Clock& clock, Random& random, Metrics& metrics,
                     Options options)
    : store_(store),
      clock_(clock),
      random_(random),
      options_(std::move(options)),
      owned_(metrics.GaugeOf("postrider_slots_owned", "Slots that this replica dispatches.")),
      fenced_(metrics.CounterOf("postrider_replica_fenced_total",
                                "Times that this replica lost its life to another.")),
      failures_(metrics.CounterOf("postrider_lease_failures_total",
                                  "Renewals and takings that the store did not answer.")),
      next_(clock.Now()) {
  StartAnew();
}

void SlotOwner::Start() {
  worker_.emplace("own", [this](std::stop_token stop) { WaitOrStop(stop, Step()); });
}

void SlotOwner::StartAnew() {
  replica_ = {MakeUuidV4(random_)};
  leaving_.clear();
  Publish({.replica = replica_, .slots = {}, .until = {}});
}

std::chrono::nanoseconds SlotOwner::Step() {
  const MonotonicTime now = clock_.Now();
  if (now >= next_) {
    if (const std::optional<absl::Status> failed = Renew(now)) return Failed(*failed);
  }
  if (!leaving_.empty()) LetGo();
  const std::chrono::nanoseconds wait =
      std::max<std::chrono::nanoseconds>(next_ - clock_.Now(), 0ns);
  return leaving_.empty() ? wait : std::min<std::chrono::nanoseconds>(wait, kSlotRetry);
}

std::optional<absl::Status> SlotOwner::Renew(MonotonicTime now) {
  const absl::StatusOr<bool> alive = store_.RenewReplica(replica_, options_.name);
  if (!alive.ok()) return alive.status();
  if (!*alive) {
    fenced_.Add();
    PR_LOG(kWarning, "this replica was fenced; it starts anew", {"replica", replica_.ToString()});
    StartAnew();
    next_ = now;
    return std::nullopt;
  }
  Ownership next = *Current();
  const MonotonicTime from = Mutated(Mutant::kLeaseCountsFromAnswer) ? clock_.Now() : now;
  next.until = from + kLeaseTime - kLeaseMargin;
  Publish(next);

  const absl::StatusOr<SlotShare> share = store_.AcquireSlots(replica_);
  if (!share.ok()) return share.status();
  Hold(*share);
  LogWorksAgain(repeated_, "lease renewed again");
  next_ = now + (share->contended ? kSlotRetry : kLeaseRenewal);
  // Looks again right when somebody's life has ended: what it sent for waits no longer.
  if (share->other_ends_in) next_ = std::min(next_, now + *share->other_ends_in + kAfterALifeEnds);
  return std::nullopt;
}

void SlotOwner::Hold(const SlotShare& share) {
  std::erase_if(leaving_, [&](const Lease& lease) {
    return std::find(share.owned.begin(), share.owned.end(), lease) == share.owned.end();
  });
  const auto fair = static_cast<std::size_t>(share.fair);
  while (!leaving_.empty() && share.owned.size() - leaving_.size() < fair) leaving_.pop_back();
  Ownership next = *Current();
  std::vector<OwnedSlot> slots;
  for (auto lease = share.owned.rbegin(); lease != share.owned.rend(); ++lease) {
    if (std::find(leaving_.begin(), leaving_.end(), *lease) != leaving_.end()) continue;
    if (share.owned.size() - leaving_.size() > fair) {
      PR_LOG(kInfo, "slot let go: others have too few", {"slot", lease->slot});
      leaving_.push_back(*lease);
      continue;
    }
    const OwnedSlot* const had = next.Find(lease->slot);
    const bool same = had != nullptr && had->lease == *lease;
    slots.push_back(same ? *had : OwnedSlot{*lease, clock_.Now()});
    if (!same) PR_LOG(kInfo, "slot taken", {"slot", lease->slot}, {"epoch", lease->epoch});
  }
  std::reverse(slots.begin(), slots.end());
  next.slots = std::move(slots);
  Publish(std::move(next));
}

void SlotOwner::LetGo() {
  const absl::StatusOr<std::vector<Lease>> released = store_.ReleaseIdleSlots(replica_, leaving_);
  if (!released.ok()) {
    LogFailure(repeated_, "slots not given back", released.status());
    return;
  }
  std::erase_if(leaving_, [&](const Lease& lease) {
    return std::find(released->begin(), released->end(), lease) != released->end();
  });
}

std::chrono::nanoseconds SlotOwner::Failed(const absl::Status& why) {
  failures_.Add();
  LogFailure(repeated_, "lease not renewed", why);
  const auto tries = static_cast<int>(repeated_.count());
  const auto wait = Backoff(tries, kFirstRenewalRetry, kLongestRenewalRetry, random_) + 1ms;
  next_ = clock_.Now() + wait;
  return wait;
}

void SlotOwner::Publish(Ownership next) {
  owned_.Set(static_cast<double>(next.slots.size()));
  auto shared = std::make_shared<const Ownership>(std::move(next));
  MutexLock lock(mu_);
  current_ = std::move(shared);
}

std::shared_ptr<const Ownership> SlotOwner::Current() const {
  MutexLock lock(mu_);
  return current_;
}

bool SlotOwner::MayPost(ReplicaId replica, const Lease& lease) const {
  const std::shared_ptr<const Ownership> own = Current();
  if (own->replica != replica || clock_.Now() >= own->until) return false;
  const OwnedSlot* const slot = own->Find(lease.slot);
  return slot != nullptr && slot->lease == lease;
}

absl::Status SlotOwner::Drain() {
  worker_.reset();
  std::vector<Lease> leases = Current()->Leases();
  leases.insert(leases.end(), leaving_.begin(), leaving_.end());
  Publish({.replica = replica_, .slots = {}, .until = {}});
  PR_RETURN_IF_ERROR(store_.ReleaseSlots(replica_, leases));
  return store_.RetireReplica(replica_);
}

}  // namespace postrider
