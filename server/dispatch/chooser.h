#pragma once

#include <chrono>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <unordered_map>
#include <vector>

#include "absl/base/thread_annotations.h"

#include "server/base/clock.h"
#include "server/base/metrics.h"
#include "server/base/mutex.h"
#include "server/base/random.h"
#include "server/base/repeated_failure.h"
#include "server/dispatch/breaker_gate.h"
#include "server/dispatch/fair_queue.h"
#include "server/dispatch/outcome_recorder.h"
#include "server/dispatch/quiet_watch.h"
#include "server/dispatch/slot_owner.h"
#include "server/dispatch/tenant_lanes.h"
#include "server/store/store.h"

namespace postrider {

/// Steps 4 and 5 of the life of a message (server/README.md): picks due messages of the owned
/// slots, as many as will get a token soon, each flow in its turn (dispatch/fair_queue.h), records
/// the intents, and puts them into the lanes.
///
/// An Intend in doubt is repeated until the store answers, and what the lost one intended is
/// taken back: it is not posted, since nobody could say whether it was on record before. Wake is
/// safe from any thread; Step is for one caller at a time.
class Chooser {
 public:
  /// All must outlive it.
  Chooser(Store& store, const SlotOwner& owner, TenantLanes& lanes, BreakerGate& gate,
          const QuietWatch& quiet, OutcomeRecorder& recorder, SettingsOf settings,
          const Clock& clock, Random& random, Metrics& metrics);

  /// A message of `flow` was accepted here.
  void Wake(const Flow& flow);
  /// Something may be due that was not: looks for flows at the next step.
  void WakeAll();
  /// Waits for a Wake, `stop` or `at_most`.
  void AwaitWake(std::stop_token stop, std::chrono::nanoseconds at_most);

  /// One batch of intents. Returns how many; sets how long the next one can wait when nothing
  /// wakes.
  std::size_t Step(std::chrono::nanoseconds& idle);

  /// For draining: settles an Intend in doubt. True when there is none (any more).
  bool Settle();

 private:
  struct Doubt {
    ReplicaId replica;
    std::vector<Lease> leases;
    std::vector<MessageKey> keys;
  };

  /// Turns of a flow in one step.
  struct Wanted {
    Flow flow;
    std::vector<std::size_t> ranks;  ///< One a turn.
  };

  bool FollowOwnership(const std::shared_ptr<const Ownership>& own);
  bool TakePauses(const Ownership& own, const std::vector<int>& slots,
                  std::chrono::nanoseconds longer);
  void TakeWakes();
  bool FindFlows(const Ownership& own);
  std::vector<Wanted> PickFlows(const Ownership& own);
  std::size_t PickOf(TenantId tenant, FairQueue::Rooms rooms, std::vector<Wanted>& wanted);
  std::vector<MessageKey> Choose(const std::vector<Wanted>& wanted);
  std::size_t Intend(const Ownership& own, std::vector<MessageKey> keys);
  std::size_t Enqueue(const std::vector<Lease>& leases, ReplicaId replica,
                      std::vector<Intent> intents, MonotonicTime intended_at, bool in_doubt);
  void TakeBack(std::vector<QueuedIntent> intents, const char* why);
  void TakeBack(const QueuedIntent& intent, const char* why, HoldReason hold,
                std::chrono::nanoseconds again_in);
  void Failed(RepeatedFailure& repeated, const char* what, const absl::Status& why);

  Store& store_;
  const SlotOwner& owner_;
  TenantLanes& lanes_;
  BreakerGate& gate_;
  const QuietWatch& quiet_;
  OutcomeRecorder& recorder_;
  const SettingsOf settings_;
  const Clock& clock_;
  Random& random_;
  Counter& intents_;
  Counter& ended_;
  Counter& doubts_;

  // Of Step's caller.
  std::shared_ptr<const Ownership> own_;
  std::map<TenantId, FairQueue> queues_;               ///< Of tenants of owned slots.
  std::unordered_map<MessageKey, std::size_t> ranks_;  ///< Of what was chosen last.
  bool again_ = false;         ///< Turns were given to flows that have nothing due any more.
  bool cut_ = false;           ///< A tenant got its share, and may have room for more.
  MonotonicTime look_at_{};    ///< When to ask for flows again ...
  MonotonicTime pauses_at_{};  ///< ... and for pauses.
  MonotonicTime retry_at_{};
  int tries_ = 0;
  RepeatedFailure finding_;
  RepeatedFailure choosing_;
  TenantId last_served_;
  std::optional<Doubt> doubt_;

  Mutex mu_;
  CondVar woken_;
  std::set<Flow> wakes_ ABSL_GUARDED_BY(mu_);
  bool wake_all_ ABSL_GUARDED_BY(mu_) = false;
};

}  // namespace postrider
