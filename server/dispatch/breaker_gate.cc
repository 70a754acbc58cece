#include "server/dispatch/breaker_gate.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "server/base/log.h"
#include "server/base/mutant.h"
#include "server/base/status_macros.h"
#include "server/base/strings.h"
#include "server/model/dispatch_limits.h"

namespace postrider {

namespace {

constexpr auto kRetry = kBreakerEvaluation / 4;

constexpr std::pair<BreakerState, const char*> kReportedStates[] = {
    {BreakerState::kOpen, "open"}, {BreakerState::kHalfOpen, "half_open"}};
constexpr std::pair<BreakerVerdict, const char*> kCanaryVerdicts[] = {
    {BreakerVerdict::kGood, "good"},
    {BreakerVerdict::kFailed, "failed"},
    {BreakerVerdict::kNothing, "inconclusive"}};

const char* LabelOf(Breaker breaker) {
  return breaker == Breaker::kTransport ? "transport" : "carrier";
}

bool SameWave(const BreakerStanding& a, const BreakerStanding& b) {
  return a.state == b.state && a.changed_at == b.changed_at && a.canaries == b.canaries;
}

/// What the end of a canary's POST says to `breaker`; nothing: its receipt will speak.
std::optional<BreakerVerdict> VerdictOf(Breaker breaker, const Outcome& outcome) {
  if (breaker == Breaker::kTransport) return TransportVerdictOf(outcome);
  const bool left = outcome.kind == OutcomeKind::kAccepted || outcome.kind == OutcomeKind::kUnknown;
  return left ? std::nullopt : std::optional(BreakerVerdict::kNothing);
}

/// The same for its state in the store; nothing: still on its way.
std::optional<BreakerVerdict> VerdictOf(const CanaryStatus& status) {
  const BreakerVerdict verdict = CarrierVerdictOf(status.state, status.failure);
  if (verdict != BreakerVerdict::kNothing) return verdict;
  return EndsMessage(status.state) ? std::optional(verdict) : std::nullopt;
}

}  // namespace

int BreakerGate::Guarded::Places() const {
  if (in_force != BreakerState::kHalfOpen) return 0;
  if (Mutated(Mutant::kCanariesUnbounded)) return kBreakerMostCanaries;
  const auto under_way = std::count_if(canaries.begin(), canaries.end(),
                                       [](const Canary& canary) { return !canary.over; });
  return std::max(0, standing.canaries - good - failed - static_cast<int>(under_way));
}

BreakerGate::Canary* BreakerGate::Guarded::Find(const MessageKey& key) {
  const auto found = std::find_if(canaries.begin(), canaries.end(),
                                  [&](const Canary& canary) { return canary.key == key; });
  return found == canaries.end() ? nullptr : &*found;
}

BreakerGate::BreakerGate(Store& store, const SlotOwner& owner, const Clock& clock, Metrics& metrics,
                         BreakerRules rules)
    : store_(store), owner_(owner), clock_(clock), rules_(rules) {
  // By breaker and state, not by tenant: ten thousand tenants would be as many series.
  for (const Breaker breaker : kAllBreakers) {
    for (const auto& [state, label] : kReportedStates) {
      states_[{breaker, state}] = &metrics.GaugeOf(
          "postrider_breaker_state", "Tenants of this replica whose breaker is in that state.",
          {{"breaker", LabelOf(breaker)}, {"state", label}});
    }
    trips_[breaker] = &metrics.CounterOf("postrider_breaker_trips_total", "Breakers that opened.",
                                         {{"breaker", LabelOf(breaker)}});
    for (const auto& [verdict, label] : kCanaryVerdicts) {
      canaries_[{breaker, verdict}] = &metrics.CounterOf(
          "postrider_breaker_canaries_total", "Canaries of half-open breakers by what they said.",
          {{"breaker", LabelOf(breaker)}, {"verdict", label}});
    }
  }
}

std::size_t BreakerGate::Step() {
  const std::shared_ptr<const Ownership> own = owner_.Current();
  const MonotonicTime now = clock_.Now();
  bool all_read = false;
  {
    MutexLock lock(mu_);
    all_read = std::all_of(own->slots.begin(), own->slots.end(),
                           [this](const OwnedSlot& slot)
                               ABSL_NO_THREAD_SAFETY_ANALYSIS { return read_.contains(slot); });
  }
  const bool at_once =
      !all_read && repeated_.count() == 0 && !Mutated(Mutant::kBreakersNotInherited);
  if (now < next_ && !at_once) return 0;
  std::size_t changed = 0;
  const absl::Status evaluated = Evaluate(*own, changed);
  if (evaluated.ok()) {
    LogWorksAgain(repeated_, "circuit breakers are judged again");
  } else {
    LogFailure(repeated_, "circuit breakers were not judged", evaluated);
  }
  next_ = now + (evaluated.ok() ? kBreakerEvaluation : kRetry);
  return changed;
}

absl::Status BreakerGate::Evaluate(const Ownership& own, std::size_t& changed) {
  if (own.slots.empty()) {
    Publish({}, {}, clock_.Now());
    return absl::OkStatus();
  }
  PR_RETURN_IF_ERROR(JudgeCarrierCanaries());
  const MonotonicTime read_at = clock_.Now();
  PR_ASSIGN_OR_RETURN(BreakerReadings readings, store_.ReadBreakers(own.SlotNumbers()));
  const std::vector<BreakerChange> changes = Decide(readings);
  if (!changes.empty()) {
    const std::vector<Lease> leases = own.Leases();
    PR_ASSIGN_OR_RETURN(const std::vector<BreakerKey> stored,
                        store_.StoreBreakers(own.replica, leases, changes));
    for (BreakerReading& reading : readings.breakers) {
      const auto change =
          std::find_if(changes.begin(), changes.end(),
                       [&](const BreakerChange& made) { return made.key == reading.key; });
      if (change == changes.end()) continue;
      // Not stored: the slot has another owner, who decides.
      if (std::find(stored.begin(), stored.end(), reading.key) == stored.end()) continue;
      Report(reading, change->standing);
      reading.standing = change->standing;
      ++changed;
    }
  }
  Publish(own.slots, readings.breakers, read_at);
  return absl::OkStatus();
}

absl::Status BreakerGate::JudgeCarrierCanaries() {
  std::vector<MessageKey> keys;
  {
    MutexLock lock(mu_);
    const MonotonicTime now = clock_.Now();
    for (auto& [key, guarded] : guarded_) {
      for (Canary& canary : guarded.canaries) {
        const bool over = now - canary.since >= kCanaryWait;
        if (over && !canary.over) {
          canaries_.at({key.breaker, BreakerVerdict::kNothing})->Add();
        }
        canary.over = over;
        if (key.breaker == Breaker::kCarrier) keys.push_back(canary.key);
      }
    }
  }
  if (keys.empty()) return absl::OkStatus();
  PR_ASSIGN_OR_RETURN(const std::vector<CanaryStatus> statuses, store_.CanaryStatuses(keys));
  MutexLock lock(mu_);
  for (const CanaryStatus& status : statuses) {
    const auto found = guarded_.find({status.key.tenant_id, Breaker::kCarrier});
    const std::optional<BreakerVerdict> verdict = VerdictOf(status);
    if (found != guarded_.end() && verdict) {
      Settle(Breaker::kCarrier, found->second, status.key, *verdict);
    }
  }
  return absl::OkStatus();
}

std::vector<BreakerChange> BreakerGate::Decide(const BreakerReadings& readings) const {
  std::vector<BreakerChange> changes;
  MutexLock lock(mu_);
  for (const BreakerReading& reading : readings.breakers) {
    // An operator has the word; the breaker goes on from where it stands afterwards.
    if (reading.override_in_force) continue;
    BreakerFacts facts{.now = readings.now, .calls = reading.calls, .failures = reading.failures};
    const auto found = guarded_.find(reading.key);
    if (found != guarded_.end() && SameWave(found->second.standing, reading.standing)) {
      facts.canaries_good = found->second.good;
      facts.canaries_failed = found->second.failed;
    }
    BreakerStanding next = NextStanding(reading.standing, facts, rules_);
    if (next != reading.standing) changes.push_back({reading.key, std::move(next)});
  }
  return changes;
}

void BreakerGate::Publish(const std::vector<OwnedSlot>& slots,
                          const std::vector<BreakerReading>& readings, MonotonicTime read_at) {
  std::map<std::pair<Breaker, BreakerState>, int> counts;
  {
    MutexLock lock(mu_);
    std::map<BreakerKey, Guarded> next;
    for (const BreakerReading& reading : readings) {
      if (reading.InForce() == BreakerState::kClosed) continue;
      if (reading.InForce() == BreakerState::kOpen && Mutated(Mutant::kOpenBreakerIgnored))
        continue;
      ++counts[{reading.key.breaker, reading.InForce()}];
      Guarded& guarded = next[reading.key];
      const auto before = guarded_.find(reading.key);
      if (before != guarded_.end() && SameWave(before->second.standing, reading.standing)) {
        guarded = std::move(before->second);
      }
      guarded.standing = reading.standing;
      guarded.in_force = reading.InForce();
    }
    guarded_ = std::move(next);
    read_ = {slots.begin(), slots.end()};
    read_at_ = read_at;
  }
  for (auto& [key, gauge] : states_) gauge->Set(counts[key]);
}

void BreakerGate::Settle(Breaker breaker, Guarded& guarded, const MessageKey& key,
                         BreakerVerdict verdict) {
  const Canary* const canary = guarded.Find(key);
  if (canary == nullptr) return;
  // One whose wait was over was counted as inconclusive then.
  if (!canary->over || verdict != BreakerVerdict::kNothing) {
    canaries_.at({breaker, verdict})->Add();
  }
  if (verdict == BreakerVerdict::kGood) ++guarded.good;
  if (verdict == BreakerVerdict::kFailed) ++guarded.failed;
  std::erase_if(guarded.canaries, [&](const Canary& other) { return other.key == key; });
}

void BreakerGate::Report(const BreakerReading& before, const BreakerStanding& after) {
  const bool opened = after.state == BreakerState::kOpen;
  if (opened) trips_.at(before.key.breaker)->Add();
  const LogLevel level = opened ? LogLevel::kWarning : LogLevel::kInfo;
  if (!LogEnabled(level)) return;
  WriteLog(level, "circuit breaker changed",
           {{"tenant", before.key.tenant_id.ToString()},
            {"breaker", LabelOf(before.key.breaker)},
            {"from", NameOf(before.standing.state)},
            {"state", NameOf(after.state)},
            {"calls", before.calls},
            {"failures", before.failures},
            {"canaries", after.canaries},
            {"trips", after.trips},
            {"open_s", opened ? (after.open_until - after.changed_at) / 1s : 0},
            {"cause", after.cause}});
}

int BreakerGate::Room(TenantId tenant, const OwnedSlot& slot, int room) const {
  MutexLock lock(mu_);
  if (!read_.contains(slot) && !Mutated(Mutant::kBreakersNotInherited)) return 0;
  for (const Breaker breaker : kAllBreakers) {
    const auto found = guarded_.find({tenant, breaker});
    if (found != guarded_.end()) room = std::min(room, found->second.Places());
  }
  return room;
}

void BreakerGate::Admit(const MessageKey& key) {
  MutexLock lock(mu_);
  for (const Breaker breaker : kAllBreakers) {
    const auto found = guarded_.find({key.tenant_id, breaker});
    if (found == guarded_.end() || found->second.Places() == 0) continue;
    std::vector<Canary>& canaries = found->second.canaries;
    if (canaries.size() >= kCanariesWatched) canaries.erase(canaries.begin());
    canaries.push_back({key, clock_.Now(), false});
  }
}

bool BreakerGate::MayPost(const MessageKey& key) {
  MutexLock lock(mu_);
  for (const Breaker breaker : kAllBreakers) {
    const auto found = guarded_.find({key.tenant_id, breaker});
    if (found == guarded_.end()) continue;
    if (found->second.in_force == BreakerState::kOpen) return false;
    if (found->second.Find(key) == nullptr) return false;
  }
  return true;
}

void BreakerGate::Ended(const MessageKey& key, const Outcome& outcome) {
  MutexLock lock(mu_);
  for (const Breaker breaker : kAllBreakers) {
    const auto found = guarded_.find({key.tenant_id, breaker});
    const std::optional<BreakerVerdict> verdict = VerdictOf(breaker, outcome);
    if (found != guarded_.end() && verdict) Settle(breaker, found->second, key, *verdict);
  }
}

MonotonicTime BreakerGate::JudgedAt() const {
  MutexLock lock(mu_);
  return read_at_;
}

}  // namespace postrider
