#pragma once

#include <memory>
#include <set>
#include <string>
#include <vector>

#include "server/dispatch/dispatcher.h"
#include "server/dispatch/expiry_sweep.h"
#include "server/dispatch/opt_out_sweep.h"
#include "server/dispatch/slot_owner.h"
#include "server/fanout/hub.h"
#include "server/store/event_feed.h"
#include "server/store/group_commit.h"
#include "server/webhook/inbox_processor.h"
#include "server/webhook/spool.h"
#include "server/webhook/webhook_intake.h"
#include "tests/sim/sim_genesys.h"
#include "tests/support/fake_clock.h"
#include "tests/support/fake_store.h"

namespace postrider {

/// A gateway without threads and sockets: all its workers, each driven by its Step().
class SimReplica {
 public:
  enum class Work {
    kOwn,
    kChoose,
    kPost,
    kPostToo,
    kRecord,
    kReconcile,
    kCollect,
    kClose,
    kExpire,
    kAccept,
    kStoreInbox,
    kSpool,
    kUnspool,
    kApply,
    kSweep,
    kParked,
    kFeed,
  };
  static constexpr int kWorks = 17;
  /// Done each second or less often.
  static bool IsSeldom(Work work);
  /// So that breakers open, let canaries through and close within a run.
  static constexpr BreakerRules kBreakers{
      .failure_share = 0.4, .least_calls = 5, .open_first = 3000ms, .open_longest = 10000ms};

  /// The `life`-th at its place, whose spool is in `spool_dir`. All must outlive it.
  SimReplica(int index, int life, const std::string& spool_dir, FakeStore& store, FakeClock& clock,
             Random& random, SimGenesys& genesys, std::vector<TenantId> tenants,
             SettingsOf settings, DoubtTimes doubt, NextAllowedTime next_allowed);
  /// As kill -9 does: what is only in memory is gone.
  ~SimReplica() = default;

  /// One step of one worker. False, and nothing happens, while that worker is in a step already:
  /// a step calls the store and Genesys, and other workers act meanwhile.
  bool Step(Work work);
  bool busy() const { return !busy_.empty(); }

  /// Ends in order, as SIGTERM does. Returns whether all was recorded.
  bool Drain();

  int index() const { return index_; }
  int life() const { return life_; }
  SlotOwner& owner() { return owner_; }
  AcceptCommit& accept() { return accept_; }
  WebhookIntake& intake() { return intake_; }
  /// How many webhooks wait on its disk.
  std::size_t spooled() const { return spool_->size(); }
  Hub& hub() { return hub_; }
  Dispatcher& dispatcher() { return dispatcher_; }

 private:
  std::vector<TenantId> OwnedTenants() const;
  void Do(Work work);

  const int index_;
  const int life_;
  const std::vector<TenantId> tenants_;
  Metrics metrics_;
  std::unique_ptr<ProviderFactory> providers_;
  SlotOwner owner_;
  Dispatcher dispatcher_;
  ExpirySweep expiry_;
  OptOutSweep opt_outs_;
  Hub hub_;
  EventFeed feed_;
  InboxProcessor processor_;
  const std::unique_ptr<Spool> spool_;
  InboxCommit inbox_commit_;
  WebhookIntake intake_;
  AcceptCommit accept_;
  std::set<Work> busy_;
};

}  // namespace postrider
