#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>

/// Every bound in Postrider, with what happens at it; those of dispatch are in dispatch_limits.h.
/// Times and rates that an operator may change are options (`postriderd config print-default`);
/// their allowed ranges are here.
namespace postrider {

using namespace std::chrono_literals;

// --- SendMessage (violations are INVALID_FIELD, all at once)
inline constexpr std::size_t kMaxRequestIdBytes = 64;
inline constexpr std::size_t kMaxTextCharacters = 765;  ///< 5 x 153; the platform's limit.
inline constexpr std::size_t kMaxExternalContactIdBytes = 128;
inline constexpr std::size_t kMaxCampaignIdBytes = 64;
inline constexpr std::size_t kMaxMetadataPairs = 20;
inline constexpr std::size_t kMaxMetadataKeyBytes = 64;
inline constexpr std::size_t kMaxMetadataValueBytes = 256;
inline constexpr std::size_t kMaxMessageIdsInFilter = 1000;
inline constexpr auto kMaxScheduleAhead = std::chrono::hours(24 * 30);
inline constexpr auto kRequestKeyKept = std::chrono::hours(24 * 30);

// --- Quiet hours (policy/quiet_hours.h)
inline constexpr auto kQuietSearch = std::chrono::hours(24 * 8);  ///< No hours by then: never.

// --- gRPC (beyond: RESOURCE_EXHAUSTED or a refused connection)
inline constexpr int kMaxGrpcRequestBytes = 256 * 1024;
inline constexpr int kMaxGrpcMetadataBytes = 16 * 1024;
inline constexpr int kMaxStreamsPerConnection = 1000;
inline constexpr std::size_t kMaxViolations = 32;  ///< Told of one call: trailers are bounded.

// --- SendMessages (full: no more is read, and the caller's gRPC waits)
inline constexpr std::size_t kSendWindow = 256;           ///< Messages of a call not answered yet.
inline constexpr std::size_t kSendWindowBytes = 1 << 20;  ///< Of their requests.
inline constexpr std::size_t kMaxSendStreamsPerTenant = 64;  ///< Beyond: TOO_MANY_STREAMS.
static_assert(kSendWindowBytes >= kMaxGrpcRequestBytes);

// --- API tokens and tenants in memory
inline constexpr auto kTokenCached = std::chrono::seconds(30);
inline constexpr auto kUnknownTokenCached = std::chrono::seconds(1);
inline constexpr std::size_t kMaxCachedTokens = 16384;  ///< Beyond: all are forgotten.
inline constexpr std::size_t kMaxApiTokenBytes = 512;
inline constexpr std::size_t kMaxTimeZoneBytes = 64;
inline constexpr std::size_t kMaxSenderBytes = 32;
inline constexpr auto kTenantsRefresh = 2000ms;

// --- Group commit (full: UNAVAILABLE, retry)
inline constexpr std::size_t kGroupCommitRows = 256;   ///< Rows a transaction.
inline constexpr std::size_t kGroupCommitBeside = 64;  ///< So many leave beside another batch.
inline constexpr auto kGroupCommitWait = 20ms;         ///< Fewer wait this long at most.
inline constexpr std::size_t kGroupCommitQueue = 16384;
inline constexpr int kMaxTransactionTries = 5;        ///< Repeats on 40001 and 40P01.
inline constexpr auto kLongestTransaction = 30000ms;  ///< Then its connection is cut.

// --- The queue of a tenant (full: QUEUE_FULL)
inline constexpr double kQueueLimitSeconds = 3600;  ///< Unless set: what its rate drains in these.
inline constexpr std::int64_t kQueueLimitLeast = 1000;  ///< Unless set: not less than this.
inline constexpr std::int64_t kMaxQueueLimit = 1'000'000'000;
inline constexpr auto kQueueRefusedUnasked = 200ms;  ///< A verdict of the store stands this long.
inline constexpr int kQueueProbes = 64;  ///< Calls that ask the store nevertheless, in that time.
inline constexpr auto kQueueRetryShortest = 1000ms;
inline constexpr auto kQueueRetryLongest = 60000ms;

// --- Reads (full: UNAVAILABLE, retry)
inline constexpr std::size_t kReadQueue = 4096;
inline constexpr std::size_t kSnapshotPageRows = 500;
inline constexpr std::size_t kMaxHistoryRows = 1000;

// --- Operators
inline constexpr std::size_t kMaxTenantsShown = 1000;  ///< Beyond: `more_tenants`; name one.
inline constexpr std::size_t kMaxPausesShown = 1000;
inline constexpr std::size_t kMaxReplicasShown = 100;
inline constexpr std::size_t kMaxReasonCharacters = 512;
inline constexpr std::size_t kMaxStateWatches = 64;  ///< WatchGatewayState; then TOO_MANY_STREAMS.
inline constexpr auto kStateLook = 1000ms;           ///< How often it looks for changes.
inline constexpr auto kStateIntervalShortest = std::chrono::seconds(1);
inline constexpr auto kStateIntervalDefault = std::chrono::seconds(5);
inline constexpr auto kStateIntervalLongest = std::chrono::seconds(300);
inline constexpr auto kLongestPause = std::chrono::hours(24 * 366);
inline constexpr auto kLongestOverride = std::chrono::hours(24 * 7);
inline constexpr int kMaxPlaceCounted = 10000;  ///< ExplainMessage counts what is ahead so far.

// --- Dead letters
inline constexpr int kMostReplays = 3;                   ///< Of one; more only by its id.
inline constexpr std::size_t kDeadLettersChanged = 500;  ///< Replayed or discarded by one call.
inline constexpr int kDeadLettersShown = 500;            ///< On one page.
inline constexpr int kDeadLettersPage = 100;             ///< The same, unless asked otherwise.
inline constexpr int kDeadLetterGroups = 100;
inline constexpr int kReplayRate = 50;  ///< A second, unless asked otherwise.
inline constexpr int kReplayRateMost = 1000;
inline constexpr int kMostCounted = 100'000;  ///< Metrics count so many of a tenant.

// --- Provider
inline constexpr auto kSendDeadline = 10000ms;  ///< Of one POST, from connect to last byte.
inline constexpr std::size_t kMaxReplyBytes = 1024 * 1024;
inline constexpr auto kReadWindow = std::chrono::seconds(30);  ///< Two clocks may differ by this.
inline constexpr std::size_t kMaxConversationsRead = 2;  ///< More of a pair: nothing is settled.
inline constexpr std::size_t kMaxCandidatesRead = 100;   ///< The same, of one conversation.
/// One search, and of each conversation its messages and their texts.
inline constexpr int kMostRequestsOfSearch = 1 + 2 * static_cast<int>(kMaxConversationsRead);
inline constexpr double kMaxRatePerSecond = 100000;

// --- Webhooks (beyond: 4xx and a closed connection)
/// An id of the provider; a longer one is none.
inline constexpr std::size_t kMaxProviderIdBytes = 256;
inline constexpr std::size_t kMaxWebhookBytes = 64 * 1024;
inline constexpr std::size_t kInboxQueue = 8192;
inline constexpr std::size_t kApplyRows = 256;
inline constexpr auto kApplySoon = 25ms;           ///< While there are fewer: how often at most.
inline constexpr std::size_t kApplyQueue = 32768;  ///< Full: left to the sweeper.
inline constexpr auto kSweepAge = 5000ms;
inline constexpr auto kParkedFor = std::chrono::minutes(15);
inline constexpr int kMaxApplyTries = 5;
inline constexpr auto kSweepEvery = 3000ms;
inline constexpr auto kSweepOverlap = std::chrono::seconds(60);  ///< For rows that commit late.
inline constexpr auto kParkedEvery = 1000ms;
inline constexpr auto kWebhookCommitWait = 5000ms;  ///< Then 503; the sender comes again.
inline constexpr auto kWebhookRetryAfter = std::chrono::seconds(5);

// --- Streams
inline constexpr std::size_t kStreamBuffer = 1024;  ///< Changes; beyond: served from the store.
inline constexpr std::size_t kMaxStreamsPerTenant = 1000;
inline constexpr auto kRecentAge = std::chrono::seconds(90);  ///< Remembered over restarts.
inline constexpr std::size_t kRecentBatches = 4096;
inline constexpr std::size_t kRecentEvents = 16'384;
inline constexpr auto kMaxTailRange = 1000ms;  ///< A read of the tail: what committed meanwhile.
inline constexpr auto kTickSoon = 25ms;        ///< After an own commit with events.
inline constexpr auto kTickIdle = 1000ms;
inline constexpr auto kTickKept = std::chrono::hours(72);
inline constexpr std::size_t kMaxResumeTokenBytes = 256;
inline constexpr auto kStreamBeat = 1000ms;  ///< How often what is due by time is looked at.
inline constexpr auto kCheckpointShortest = std::chrono::seconds(5);
inline constexpr auto kCheckpointDefault = std::chrono::seconds(15);
inline constexpr auto kCheckpointLongest = std::chrono::seconds(60);
static_assert(kRecentAge > kCheckpointLongest, "an idle stream comes back to what is remembered");
inline constexpr int kReadersAwaitedBeats = static_cast<int>(kRecentAge / kStreamBeat);
inline constexpr auto kTokenRecheck = std::chrono::seconds(30);  ///< Of an open stream's API token.
inline constexpr auto kStreamStall =
    std::chrono::seconds(60);  ///< One Write; then STREAM_TOO_SLOW.

}  // namespace postrider
