#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>

#include "server/model/limits.h"

/// The bounds of how webhooks become durable; the others are in limits.h.
namespace postrider {

/// Then a webhook goes to the spool. Answers are to come within 200 ms.
inline constexpr auto kStoreWithin = 100ms;
inline constexpr std::uint64_t kSpoolBytes = std::uint64_t{1} << 30;      ///< On disk; then 503.
inline constexpr std::uint64_t kSpoolFileBytes = std::uint64_t{8} << 20;  ///< Then the next file.

inline constexpr std::size_t kMostWebhookSecrets = 8;  ///< Of one tenant, while they are changed.
inline constexpr std::size_t kMaxWebhookSecretBytes = 1024;
inline constexpr std::uint64_t kWebhookKeysBytes = std::uint64_t{64} << 20;  ///< Then not kept.
inline constexpr auto kWebhookSecretsRefresh = 5s;  ///< A file that was changed is known then.

// --- Whether webhooks add up: those without an end, as metrics count them.
inline constexpr auto kAccountAfter = std::chrono::minutes(1);  ///< By then a webhook has an end,
inline constexpr auto kAccountUntil = std::chrono::hours(1);    ///< and later nobody looks.
inline constexpr std::int64_t kAccountRows = 200'000;           ///< A look, each 10 s.
inline constexpr std::int64_t kAccountLeast = 1000;             ///< Of each tenant nevertheless.
inline constexpr std::size_t kMostUnaccounted = 10'000;         ///< Kept; then nothing new.

// --- A start while the database is away: tried again, with growing pauses.
inline constexpr auto kReachFirst = 200ms;
inline constexpr auto kReachLongest = 3000ms;

static_assert(kStoreWithin < kWebhookCommitWait);

}  // namespace postrider
