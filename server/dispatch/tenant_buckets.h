#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>

#include "server/base/clock.h"
#include "server/dispatch/token_bucket.h"
#include "server/model/ids.h"
#include "server/provider/provider.h"

namespace postrider {

/// What the dispatcher needs to know of a tenant.
struct TenantSettings {
  double rate_per_s = 4.9;    ///< Messages; > 0
  double burst = 5;           ///< >= 1
  double requests_per_s = 0;  ///< All requests of its credential; 0: as rate_per_s and burst.
  double requests_burst = 0;
  std::map<SenderId, double> senders;  ///< Segments a second of each; > 0
  double other_senders_per_s = 0;      ///< Of those not named; 0: no bound.
  ProviderAccount account;
};
/// The settings in force; null when the tenant cannot be dispatched. Asked at each use, so that
/// a change applies without a restart; the same object again means that nothing changed.
using SettingsOf = std::function<std::shared_ptr<const TenantSettings>(TenantId)>;

/// The nested buckets of one tenant: its credential's (every request), its licence's (messages) and
/// each sender's (segments). A message leaves when all three have a token, and then takes all.
///
/// A sender pays all segments of a message whose first it can pay: it runs into debt and waits that
/// off. After a pause that the provider asked for, credential and licence begin at half the share
/// of the rate that they had (never below a tenth), and gain a tenth of the full rate each ten
/// seconds. All begin empty but for what has come since the slot was taken. For one caller at a
/// time.
class TenantBuckets {
 public:
  TenantBuckets(const Clock& clock, const TenantSettings& settings, MonotonicTime since);

  /// Changed settings apply from now on. True when something changed.
  bool Follow(const TenantSettings& settings);

  /// Messages that could leave within `ahead`, whoever sends them; a fraction counts.
  double MessagesWithin(std::chrono::nanoseconds ahead);
  /// Segments that `sender` could send within `ahead`; below zero: in debt.
  double SegmentsWithin(SenderId sender, std::chrono::nanoseconds ahead);

  /// How long until a message may leave, whoever sends it; zero: now.
  std::chrono::nanoseconds Wait();
  std::chrono::nanoseconds WaitOf(SenderId sender);
  /// A message of `segments` leaves.
  void Take(SenderId sender, int segments);
  /// `count` more requests were made than were paid for.
  void SpendRequests(int count);

  /// Pays for a read that takes up to `requests` of them: returns how many it may make, at most the
  /// burst, or 0: not now. Reads get a fifth of the requests at most; of a fiftieth, also while
  /// sends wait, which then leave them the tokens for a while.
  int TryTakeRead(int requests, bool sends_wait);
  /// The last read made `count` fewer requests than it had paid for; below zero: more.
  void ReturnReads(int count);

  /// Nothing leaves before `pause` has passed. With `slower`, the provider's 429: also not at the
  /// full rate afterwards; several of them in one pause are one.
  void Pause(std::chrono::nanoseconds pause, bool slower);
  std::chrono::nanoseconds PauseLeft() const { return tenant_.PauseLeft(); }
  /// Messages a second that may leave now: 0 in a pause, below the configured rate after one.
  double EffectiveRate();
  /// The same, as if there were no pause.
  double RateAfterPause();

 private:
  double Share() const;
  void Recover();
  void SetRates();
  TokenBucket* BucketOf(SenderId sender);

  const Clock& clock_;
  const MonotonicTime since_;
  TenantSettings settings_;
  double share_ = 1;    ///< Of the full rate, when the last pause ends.
  double applied_ = 1;  ///< The share that the buckets have.
  MonotonicTime recovers_from_{};
  MonotonicTime read_waits_until_{};
  int read_waits_for_ = 0;      ///< Tokens.
  bool read_was_kept_ = false;  ///< The last read's share was that of reads while sends wait.
  TokenBucket credential_;
  TokenBucket tenant_;
  TokenBucket reads_;
  TokenBucket kept_reads_;
  std::map<SenderId, std::unique_ptr<TokenBucket>> senders_;
};

}  // namespace postrider
