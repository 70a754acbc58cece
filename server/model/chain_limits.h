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
inline constexpr std::int64_t kSealsCheckedAtOnce = 50;  ///< A statement.
inline constexpr std::size_t kMostChainFaults = 100;     ///< That are told.

}  // namespace postrider
