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
constexpr auto kFirstRetry = 50ms;
constexpr auto kLongestRetry = 500ms;
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
  Publish({.replica = replica_, .slots = {}, .until = {}});
}

std::chrono::nanoseconds SlotOwner::Step() {
  const MonotonicTime sent_at = clock_.Now();
  if (sent_at < next_) return next_ - sent_at;
  const absl::StatusOr<bool> alive = store_.RenewReplica(replica_, options_.name);
  if (!alive.ok()) return Failed(alive.status());
  if (!*alive) {
    fenced_.Add();
    PR_LOG(kWarning, "this replica was fenced; it starts anew", {"replica", replica_.ToString()});
    StartAnew();
    return {};
  }
  Ownership next = *Current();
  const MonotonicTime from = Mutated(Mutant::kLeaseCountsFromAnswer) ? clock_.Now() : sent_at;
  next.until = from + kLeaseTime - kLeaseMargin;
  Publish(next);

  const absl::StatusOr<std::vector<Lease>> leases = store_.AcquireSlots(replica_);
  if (!leases.ok()) return Failed(leases.status());
  std::vector<OwnedSlot> slots;
  for (const Lease& lease : *leases) {
    const OwnedSlot* const had = next.Find(lease.slot);
    const bool same = had != nullptr && had->lease == lease;
    slots.push_back(same ? *had : OwnedSlot{lease, clock_.Now()});
    if (!same) PR_LOG(kInfo, "slot taken", {"slot", lease.slot}, {"epoch", lease.epoch});
  }
  next.slots = std::move(slots);
  Publish(std::move(next));
  LogWorksAgain(repeated_, "lease renewed again");
  next_ = sent_at + kLeaseRenewal;
  return std::max<std::chrono::nanoseconds>(next_ - clock_.Now(), 0ns);
}

std::chrono::nanoseconds SlotOwner::Failed(const absl::Status& why) {
  failures_.Add();
  LogFailure(repeated_, "lease not renewed", why);
  const auto tries = static_cast<int>(repeated_.count());
  const auto wait = Backoff(tries, kFirstRetry, kLongestRetry, random_) + 1ms;
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
  const std::vector<Lease> leases = Current()->Leases();
  const ReplicaId leaving = replica_;
  Publish({.replica = leaving, .slots = {}, .until = {}});
  PR_RETURN_IF_ERROR(store_.ReleaseSlots(leaving, leases));
  return store_.RetireReplica(leaving);
}

}  // namespace postrider
