#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>

/// The bounds of the hash chain over what is on record (server/store/audit_chain.h).
namespace postrider {

inline constexpr std::chrono::seconds kSealEvery{5};  ///< And at once while more waits.
/// What a seal is over at most: ten busy seconds, or some minutes of quiet. Half as many after each
/// seal that failed.
inline constexpr std::int64_t kSealTicks = 400;
/// Transactions for each tick, where there are none to go by: between ticks that were forgotten,
/// and of what was recorded before a chain began.
inline constexpr std::int64_t kTransactionsOfTick = 50;
/// How often a chain is tried to begin, while others have open what it is over.
inline constexpr int kBeginTries = 20;
inline constexpr std::chrono::milliseconds kBeginPause{500};
inline constexpr std::int64_t kSealsCheckedAtOnce = 50;  ///< A statement.
inline constexpr std::size_t kMostChainFaults = 100;     ///< That are told.

}  // namespace postrider
