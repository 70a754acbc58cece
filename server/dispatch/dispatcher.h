#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <stop_token>
#include <vector>

#include "server/base/clock.h"
#include "server/base/metrics.h"
#include "server/base/random.h"
#include "server/base/worker.h"
#include "server/dispatch/breaker_gate.h"
#include "server/dispatch/chooser.h"
#include "server/dispatch/outcome_recorder.h"
#include "server/dispatch/poster.h"
#include "server/dispatch/poster_scale.h"
#include "server/dispatch/quiet_watch.h"
#include "server/dispatch/reconciler.h"
#include "server/dispatch/slot_owner.h"
#include "server/dispatch/tenant_lanes.h"
#include "server/model/dispatch_limits.h"
#include "server/model/limits.h"
#include "server/store/store.h"

namespace postrider {

/// Sends what is due of the slots that this replica owns: steps 4 to 7 of the life of a message
/// (server/README.md). A chooser records intents ahead of the tokens, posters post them when their
/// tokens come, a recorder brings the outcomes home. No store transaction is open during a POST.
class Dispatcher {
 public:
  struct Options {
    /// POSTs at the same time: as many as are needed (dispatch/poster_scale.h) within these.
    /// 1 .. posters_max .. kMostPosters
    int posters_min = 8;
    int posters_max = 256;
    /// How long messages without news wait.
    DoubtTimes doubt = {};
    SettingsOf settings;
    BreakerRules breakers = {};
    NextAllowedTime next_allowed = {};  ///< By quiet hours; null: always.
  };

  /// All must outlive it. `owner` is started, and drained after this one, by the caller.
  Dispatcher(Store& store, ProviderFactory& providers, const SlotOwner& owner, const Clock& clock,
             Random& random, Metrics& metrics, Options options);

  void Start();

  /// A message of `flow` was accepted by this replica: it need not wait for the next look. Safe
  /// from any thread, never blocks.
  void Wake(const Flow& flow) { chooser_.Wake(flow); }
  /// What was held may go on: looks for flows now. As above.
  void WakeAll() { chooser_.WakeAll(); }

  /// Messages a second that may leave now: 0 while paused, less than configured after a 429; none
  /// when this replica does not dispatch the tenant. Safe from any thread.
  std::optional<double> EffectiveRate(TenantId tenant) { return lanes_.EffectiveRate(tenant); }
  /// For operators: what it knows of each tenant it dispatches. Safe from any thread.
  std::vector<LaneFacts> Look() const { return lanes_.Look(); }
  /// How old what it knows of the breakers is: BreakerGate::JudgedAt. Safe from any thread.
  MonotonicTime BreakersJudgedAt() const { return gate_.JudgedAt(); }

  // --- The workers' steps, for tests; each for one caller at a time (PostStep: one a poster). A
  // stop token that cannot be stopped means: do not wait. Each returns how much it did.
  std::size_t ChooseStep(std::stop_token stop = {});
  std::size_t PostStep(int poster = 0, std::stop_token stop = {});
  std::size_t RecordStep(std::stop_token stop = {});
  /// Looks for news of messages in doubt.
  std::size_t ReconcileStep() { return reconciler_.Step(); }
  /// Finds accepted messages of the owned slots that have become quiet.
  std::size_t CollectStep() { return reconciler_.CollectStep(); }
  /// Ends messages of the owned slots whose receipt window has passed.
  std::size_t CloseStep() { return reconciler_.CloseStep(); }

  /// Intends no more, takes back what has not been posted, lets POSTs on their way end (at most
  /// kSendDeadline) and records all of it. False when outcomes were left after `at_most`: those
  /// messages become UNKNOWN when their slots are taken. Once.
  bool Drain(std::chrono::nanoseconds at_most);

 private:
  /// Brings back what will not be posted.
  void TakeBack(const std::vector<QueuedIntent>& intents, HoldReason hold,
                std::chrono::nanoseconds again_in, const char* why);
  void TakeBackAll();
  void ScalePosters();

  const Clock& clock_;
  const Options options_;
  TenantLanes lanes_;
  OutcomeRecorder recorder_;
  BreakerGate gate_;
  const QuietWatch quiet_;
  Chooser chooser_;
  Reconciler reconciler_;
  PostMetrics post_metrics_;
  PosterScale scale_;
  std::vector<std::unique_ptr<Poster>> posters_;  ///< posters_max; those not needed hold nothing.

  std::unique_ptr<Worker> record_worker_;
  std::unique_ptr<Worker> choose_worker_;
  std::unique_ptr<Worker> reconcile_worker_;
  std::unique_ptr<Worker> close_worker_;
  std::vector<std::unique_ptr<Worker>> post_workers_;  ///< As many as were ever needed.
};

}  // namespace postrider
