#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>

#include "server/model/limits.h"

/// The bounds of the compliance check (server/api/content_check.h); the others are in limits.h.
namespace postrider {

inline constexpr std::size_t kMaxCheckUrlBytes = 512;
inline constexpr std::chrono::seconds kLeastVerdictLife{60};
inline constexpr std::chrono::seconds kLongestVerdictLife = std::chrono::hours(24 * 30);
inline constexpr std::int64_t kMaxChecksPerMinute = 300;

inline constexpr auto kCheckTimeout = 2000ms;  ///< Of one question, from connect to last byte.
inline constexpr std::size_t kMaxCheckReplyBytes = 64 * 1024;  ///< More is no verdict.
inline constexpr std::size_t kMaxRuleBytes = 64;               ///< Of a rule's name; cut.
inline constexpr std::size_t kMaxRuleWhyCharacters = 200;      ///< The same.

inline constexpr std::size_t kVerdictsInMemory = 65'536;  ///< Beyond: the largest tenant's oldest
                                                          ///< goes; the table still has it.
inline constexpr std::size_t kVerdictsOfTenant = 16'384;  ///< Beyond: its own oldest goes.
inline constexpr int kCheckWorkers = 4;
inline constexpr int kCheckWorkersOfTenant = 2;  ///< A tenant whose check hangs leaves the others.
inline constexpr std::size_t kTextsToCheck = 1024;  ///< Waiting or asked about; beyond: no verdict.
inline constexpr std::size_t kTextsToCheckOfTenant = kTextsToCheck / 4;
inline constexpr std::size_t kWaitersOfText = 4096;   ///< Messages; beyond: no verdict.
inline constexpr std::size_t kCheckWaiters = 16'384;  ///< Of all texts; the same.
inline constexpr std::size_t kCheckWaitersOfTenant = kCheckWaiters / 4;
inline constexpr auto kLongestCheckWait = 10'000ms;  ///< For a worker; then no verdict.
inline constexpr auto kCheckRetry = 5000ms;          ///< Told when it did not answer.
inline constexpr auto kCheckBusyRetry = 1000ms;      ///< Told when one of these bounds is reached.

}  // namespace postrider
