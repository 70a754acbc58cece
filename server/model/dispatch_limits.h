#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>

#include "server/model/limits.h"

/// The bounds of the way from the queue to Genesys Cloud; the others are in limits.h.
namespace postrider {

// --- Ownership (server/dispatch/slot_owner.h)
inline constexpr int kSlots = 16;           ///< Tenants hash to slots; part of the schema.
inline constexpr auto kLeaseTime = 3000ms;  ///< A replica lives this long by one renewal.
inline constexpr auto kLeaseRenewal = 1000ms;
inline constexpr auto kAfterALifeEnds = 20ms;  ///< Another replica's, and who lives looks again.
inline constexpr auto kSlotRetry = 50ms;       ///< To give a slot back, or take one that is held.
inline constexpr auto kLeaseMargin = 500ms;    ///< Stops intending this long before expiry.

// --- Dispatch
inline constexpr std::size_t kIntentRows = 256;  ///< Intents a transaction.
inline constexpr int kRestoredAtOnce = 500;      ///< What a restore leaves in doubt, a transaction.
inline constexpr auto kIntentAhead = 200ms;      ///< Intends at most this much of the rate.
inline constexpr auto kStartBy = 2000ms;         ///< An older intent is taken back, not posted.
inline constexpr int kFloorEvery = 10;  ///< While a lower priority waits, each tenth turn is its.
inline constexpr int kFlowsOfPriority = 1024;  ///< Found by a look, of one tenant and priority.
inline constexpr int kFlowsOfSlot = 4096;      ///< Found by a look, of one slot.
inline constexpr std::size_t kMaxFlowsOfTenant = 4096;  ///< In memory; beyond: found later.
inline constexpr std::size_t kFlowsPerStep = 1024;      ///< Asked for due messages at once.
inline constexpr auto kMaxRetryAfter = std::chrono::hours(24);
inline constexpr auto kLeastRetryAfter = 1000ms;  ///< Also of a 429 without a readable one.
inline constexpr double kLeastShare = 0.1;        ///< Of the rate, after however many 429s.
inline constexpr double kRecoveryGain = 0.1;      ///< Of the full rate, regained each ...
inline constexpr auto kRecoveryStep = 10000ms;
inline constexpr int kMostPosters = 1024;
inline constexpr auto kPostersKept = std::chrono::seconds(30);  ///< When fewer are needed.
inline constexpr double kReadShare = 0.2;       ///< Of a credential's requests, at most.
inline constexpr double kKeptReadShare = 0.02;  ///< Also while messages wait.
inline constexpr auto kReadTokenKept = 1000ms;  ///< For a read that was told to come again.
inline constexpr auto kBackoffFirst = 1000ms;   ///< Full jitter: uniform in [0, this x 2^n].
inline constexpr auto kBackoffLongest = std::chrono::minutes(5);
inline constexpr auto kExpirySweep = 1000ms;  ///< How often expired messages are looked for.
inline constexpr auto kReceiptWindow = std::chrono::hours(72);
inline constexpr std::size_t kIntentsOutstanding = 4096;  ///< Intended, outcome not stored yet.
inline constexpr auto kDispatchPoll = 200ms;  ///< How often an idle replica looks for work.
inline constexpr auto kPausesRead = 1000ms;   ///< How often an owner looks for others' 429s.
inline constexpr auto kCloseWindowsEvery = 10000ms;
inline constexpr auto kQuotaHold = std::chrono::minutes(15);
inline constexpr auto kTenantStopFirst = std::chrono::minutes(1);  ///< Doubles up to the longest.
inline constexpr auto kTenantStopLongest = std::chrono::minutes(10);
/// Connections kept; beyond: the oldest goes.
inline constexpr std::size_t kProvidersPerPoster = 64;

// --- Doubt (server/dispatch/reconciler.h)
inline constexpr auto kSendAgainAfter = std::chrono::minutes(10);  ///< Under AT_LEAST_ONCE only.
inline constexpr int kReadsToBelieve = 2;     ///< Reads that find nothing, before that is believed.
inline constexpr std::size_t kLookRows = 64;  ///< Messages looked for at a time.
inline constexpr auto kLookFirst = std::chrono::seconds(10);  ///< Then 3, 6, 30 ... times that.
/// A look that is not recorded is taken again so much later: the store failed, or its owner is
/// dead. One that lasts longer is not taken twice: each slot has one owner, and that looks with one
/// worker.
inline constexpr auto kLookClaim = kLookFirst;
inline constexpr auto kLookLongest = std::chrono::hours(1);
inline constexpr auto kLookEvery = 1000ms;
/// Accepted messages without a final status after so long are looked for, as those in doubt.
inline constexpr auto kQuietAfter = std::chrono::seconds(60);
inline constexpr auto kQuietClockSlack = std::chrono::seconds(5);
inline constexpr int kQuietRows = 4096;  ///< Messages looked through at a time.
inline constexpr auto kQuietCursorBehind = std::chrono::hours(1);  ///< Of a tenant without any.
inline constexpr double kWaitForReadShare = 0.05;  ///< Of a message's age, without a token.

// --- Circuit breakers (server/dispatch/circuit_breaker.h)
inline constexpr auto kBreakerBucket = std::chrono::seconds(10);
inline constexpr int kBreakerBuckets = 30;
inline constexpr auto kBreakerWindow = kBreakerBucket * kBreakerBuckets;
inline constexpr double kBreakerFailureShare = 0.15;    ///< Above: it opens ...
inline constexpr std::int64_t kBreakerLeastCalls = 20;  ///< ... when it has seen so many.
inline constexpr auto kBreakerOpenFirst = std::chrono::seconds(30);  ///< Doubles up to the longest.
inline constexpr auto kBreakerOpenLongest = std::chrono::minutes(10);
inline constexpr int kBreakerMostCanaries = 4;  ///< At once, in the last wave before it closes.
inline constexpr auto kBreakerEvaluation = 1000ms;
inline constexpr auto kBreakerMessageAge = std::chrono::hours(24);  ///< Older ones do not count.
inline constexpr auto kCanaryWait = std::chrono::seconds(60);       ///< Then another may go.
inline constexpr std::size_t kCanariesWatched = 64;  ///< Of a breaker; beyond: the oldest is not.
inline constexpr auto kOpenBreakersRefresh = 2000ms;

static_assert(kLeaseRenewal + kLeaseMargin < kLeaseTime, "a live replica must not lose its lease");
static_assert(kSendDeadline > kStartBy);
static_assert(kStartBy < kLeaseTime + kSendDeadline,
              "an intent of a dead owner is stale before a new owner posts");
static_assert(kIntentRows <= kGroupCommitRows);
static_assert(kBreakerEvaluation <= kBreakerBucket, "a breaker opens within one bucket");
static_assert(kCanaryWait > kStartBy + kSendDeadline, "a canary's POST ends before it is given up");

}  // namespace postrider
