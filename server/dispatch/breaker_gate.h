#pragma once

#include <cstddef>
#include <map>
#include <set>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"

#include "server/base/clock.h"
#include "server/base/metrics.h"
#include "server/base/mutex.h"
#include "server/base/repeated_failure.h"
#include "server/dispatch/circuit_breaker.h"
#include "server/dispatch/slot_owner.h"
#include "server/model/dispatch_limits.h"
#include "server/store/store.h"

namespace postrider {

/// Stands between choosing and posting: nothing leaves for a tenant whose circuit breaker is open,
/// and only canaries while one is half-open. Steps 4 and 6 of the life of a message
/// (server/README.md).
///
/// Judges the breakers of the owned slots each kBreakerEvaluation by what the store counted, and
/// stores what changes before it holds, fenced by the lease; so the next owner goes on where this
/// one ended. Step is for one caller at a time; all else is safe from any thread and never blocks.
class BreakerGate {
 public:
  /// All must outlive it.
  BreakerGate(Store& store, const SlotOwner& owner, const Clock& clock, Metrics& metrics,
              BreakerRules rules);

  /// Evaluates when that is due: at once when slots were taken. Returns how many breakers changed.
  std::size_t Step();

  /// How many messages of the tenant may be intended now, at most `room`: 0 when a breaker is open,
  /// and when those of the slot have not been read since it was taken (taken back, too).
  int Room(TenantId tenant, const OwnedSlot& slot, int room) const;
  /// An intent was recorded: while a breaker is half-open, it is a canary from now on when there is
  /// a place.
  void Admit(const MessageKey& key);
  /// Just before its POST: false when it must be taken back.
  bool MayPost(const MessageKey& key);
  /// How the POST ended, or that there was none.
  void Ended(const MessageKey& key, const Outcome& outcome);

  /// What was committed before this moment is in what it judges by now.
  MonotonicTime JudgedAt() const;

 private:
  struct Canary {
    MessageKey key;
    MonotonicTime since{};
    bool over = false;  ///< Its wait has passed without a verdict: another may go.
  };
  /// A breaker that does not let everything through.
  struct Guarded {
    BreakerStanding standing;
    BreakerState in_force = BreakerState::kOpen;
    std::vector<Canary> canaries;  ///< Of this wave, without a verdict; the oldest first.
    int good = 0;
    int failed = 0;

    int Places() const;
    Canary* Find(const MessageKey& key);
  };

  absl::Status Evaluate(const Ownership& own, std::size_t& changed);
  absl::Status JudgeCarrierCanaries();
  std::vector<BreakerChange> Decide(const BreakerReadings& readings) const;
  void Publish(const std::vector<OwnedSlot>& slots, const std::vector<BreakerReading>& readings,
               MonotonicTime read_at);
  void Settle(Breaker breaker, Guarded& guarded, const MessageKey& key, BreakerVerdict verdict)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Report(const BreakerReading& before, const BreakerStanding& after);

  Store& store_;
  const SlotOwner& owner_;
  const Clock& clock_;
  const BreakerRules rules_;
  std::map<std::pair<Breaker, BreakerState>, Gauge*> states_;
  std::map<Breaker, Counter*> trips_;
  std::map<std::pair<Breaker, BreakerVerdict>, Counter*> canaries_;

  // Of Step's caller.
  MonotonicTime next_{};
  RepeatedFailure repeated_;

  mutable Mutex mu_;
  std::set<OwnedSlot> read_ ABSL_GUARDED_BY(mu_);  ///< Whose breakers were read.
  MonotonicTime read_at_ ABSL_GUARDED_BY(mu_){};
  std::map<BreakerKey, Guarded> guarded_ ABSL_GUARDED_BY(mu_);
};

}  // namespace postrider
