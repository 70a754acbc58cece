#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <stop_token>
#include <vector>

#include "server/base/clock.h"
#include "server/base/metrics.h"
#include "server/base/random.h"
#include "server/dispatch/breaker_gate.h"
#include "server/dispatch/outcome_recorder.h"
#include "server/dispatch/poster_scale.h"
#include "server/dispatch/quiet_watch.h"
#include "server/dispatch/slot_owner.h"
#include "server/dispatch/tenant_lanes.h"
#include "server/provider/provider.h"

namespace postrider {

/// The metrics that all posters share. Safe from any thread.
class PostMetrics {
 public:
  explicit PostMetrics(Metrics& metrics);

  void Began() { in_flight_.Set(static_cast<double>(++under_way_)); }
  void Ended(OutcomeKind kind, double seconds);
  void TakenBack() { taken_back_.Add(); }
  void Retry() { retries_.Add(); }
  void Throttled() { throttled_.Add(); }
  void Stopped() { stopped_.Add(); }

 private:
  std::map<OutcomeKind, Counter*> posts_;
  Gauge& in_flight_;
  Histogram& seconds_;
  Counter& taken_back_;
  Counter& retries_;
  Counter& throttled_;
  Counter& stopped_;
  std::atomic<int> under_way_ = 0;
};

/// Step 6 of the life of a message (server/README.md): takes an intent whose turn it is, posts it
/// unless it came too late for that or hours are quiet, and decides what its outcome means for the
/// message and for its tenant. For one caller at a time: it holds a connection for each tenant
/// account.
class Poster {
 public:
  /// All must outlive it.
  Poster(ProviderFactory& providers, const SlotOwner& owner, TenantLanes& lanes, BreakerGate& gate,
         const QuietWatch& quiet, OutcomeRecorder& recorder, const SettingsOf& settings,
         const Clock& clock, Random& random, PostMetrics& metrics, PosterScale& scale);

  /// One intent, posted or taken back; waits for its turn until `stop`, up to a second. Returns
  /// how many (0 or 1).
  std::size_t Step(std::stop_token stop);
  /// Closes its connections: it is not needed for a while.
  void Forget() { connections_.clear(); }

 private:
  struct Connection {
    std::shared_ptr<const TenantSettings> settings;
    std::unique_ptr<Provider> provider;
    std::uint64_t used = 0;
  };

  Outcome Post(const QueuedIntent& intent);
  Provider* ProviderOf(TenantId tenant, Outcome& failure);
  void Decide(const QueuedIntent& intent, Outcome outcome);
  void HoldTenant(const QueuedIntent& intent, AttemptOutcome& row);
  void TakeBack(const QueuedIntent& intent, HoldReason hold, std::chrono::nanoseconds again_in,
                const char* why);

  ProviderFactory& providers_;
  const SlotOwner& owner_;
  TenantLanes& lanes_;
  BreakerGate& gate_;
  const QuietWatch& quiet_;
  OutcomeRecorder& recorder_;
  const SettingsOf& settings_;
  const Clock& clock_;
  Random& random_;
  PostMetrics& metrics_;
  PosterScale& scale_;

  // Of Step's caller.
  std::map<TenantId, Connection> connections_;
  std::uint64_t posts_ = 0;
};

}  // namespace postrider
