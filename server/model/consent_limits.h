#pragma once

#include <chrono>

#include "server/model/limits.h"

/// The bounds of consent; the others are in limits.h.
namespace postrider {

inline constexpr int kConsentBatch = 1000;      ///< Recipients a call of an operator.
inline constexpr int kMaxConsentHistory = 100;  ///< Events of one recipient that are shown.
inline constexpr std::size_t kMaxEvidenceCharacters = 500;

// --- An opt-out reaching the queue.
inline constexpr int kOptOutsAtOnce = 100;      ///< Opt-outs a transaction ...
inline constexpr int kSuppressedAtOnce = 1000;  ///< ... and messages.
/// What was accepted before an opt-out is committed by then.
inline constexpr auto kOptOutSettles = kLongestTransaction + std::chrono::seconds(5);
inline constexpr auto kOptOutSweep = std::chrono::milliseconds(250);  ///< Looks, when idle.

}  // namespace postrider
