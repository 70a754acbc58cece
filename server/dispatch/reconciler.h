#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <vector>

#include "server/base/clock.h"
#include "server/base/metrics.h"
#include "server/base/random.h"
#include "server/base/repeated_failure.h"
#include "server/dispatch/slot_owner.h"
#include "server/dispatch/tenant_lanes.h"
#include "server/model/dispatch_limits.h"
#include "server/provider/provider.h"
#include "server/store/store.h"

namespace postrider {

/// Step 11 of the life of a message (server/README.md): looks for news of messages that may have
/// been sent, and of those that were accepted and are not heard of any more, until a final status,
/// the duplicate policy or the receipt window ends the doubt.
///
/// Where statuses can be read it reads them, one at a time, UNKNOWN ones first, each when the
/// tenant's budget has the tokens for all its requests, which sends wait for as for messages; where
/// they cannot, receipts alone settle, and only AT_LEAST_ONCE messages are acted on. No transaction
/// is open during a read. Each step is for one caller at a time.
class Reconciler {
 public:
  struct Options {
    DoubtTimes times;
    SettingsOf settings;
    /// Pays for a read of up to so many requests from the tenant's budget; how many it may make, 0:
    /// not now.
    std::function<int(TenantId, const OwnedSlot&, const TenantSettings&, int requests)>
        try_take_read;
    /// The read made so many fewer; below zero: more.
    std::function<void(TenantId, int)> return_reads;
    /// A read was answered 429: nothing of the tenant leaves for so long.
    std::function<void(TenantId, std::chrono::nanoseconds)> on_throttled;
  };

  /// All must outlive it.
  Reconciler(Store& store, ProviderFactory& providers, const SlotOwner& owner, const Clock& clock,
             Random& random, Metrics& metrics, Options options);

  /// Looks for one batch of messages whose time has come. Returns how many.
  std::size_t Step();
  /// Finds accepted messages that have become quiet. Returns how many messages it looked through;
  /// with kQuietRows there may be more.
  std::size_t CollectStep();
  /// Ends what has waited for the whole window. Returns how many messages.
  std::size_t CloseStep();

 private:
  struct Reader {
    std::shared_ptr<const TenantSettings> settings;
    std::unique_ptr<Provider> provider;
  };

  /// Tenants of a batch whose reads have to wait, and how many of them.
  using Refused = std::map<TenantId, int>;

  Look LookFor(const DoubtfulMessage& message, const Ownership& own, Refused& refused);
  ReadAnswer ReadOf(const DoubtfulMessage& message, Provider& provider, int requests);
  Reader* ReaderOf(TenantId tenant);
  std::chrono::nanoseconds Later(int reads);
  std::chrono::nanoseconds UntilToken(const DoubtfulMessage& message, int refused_before);
  void Count(const DoubtEnds& ends);

  Store& store_;
  ProviderFactory& providers_;
  const SlotOwner& owner_;
  const Clock& clock_;
  Random& random_;
  const Options options_;
  Counter& reads_;
  Counter& answered_;
  Counter& sent_again_;
  Counter& undetermined_;
  Counter& closed_;
  RepeatedFailure looking_;
  RepeatedFailure closing_;
  RepeatedFailure collecting_;
  std::map<TenantId, Reader> readers_;  ///< kProvidersPerPoster at most.
};

}  // namespace postrider
