#pragma once

#include <chrono>

#include "server/model/limits.h"

/// The bounds of consent; the others are in limits.h.
namespace postrider {

inline constexpr int kConsentBatch = 1000;      ///< Recipients a call of an operator.
inline constexpr int kMaxConsentHistory = 100;  ///< Events of one recipient that are shown.
inline constexpr std::size_t kMaxEvidenceCharacters = 500;
inline constexpr int kSuppressionsShown = 500;  ///< On one page.
inline constexpr int kSuppressionsPage = 100;   ///< The same, unless asked otherwise.
/// Looked at for a page of one sender's: it may be short.
inline constexpr int kSuppressionsScanned = 5000;
/// A keyword that comes later than this (Genesys or this gateway was away) opts out and is not
/// answered: it may be night by now, and whoever wrote does not wait for it any more. By the
/// provider's clock, so with room for its error.
inline constexpr auto kOptOutAnsweredWithin = std::chrono::hours(1);
/// The answer to an opt-out leaves within this time, or not at all.
inline constexpr auto kOptOutAnswerLasts = std::chrono::minutes(5);

// --- An opt-out reaching the queue.
inline constexpr int kOptOutsAtOnce = 100;      ///< Opt-outs a transaction, one of a recipient ...
inline constexpr int kSuppressedAtOnce = 4000;  ///< ... and messages.
/// What was accepted before an opt-out is committed by then.
inline constexpr auto kOptOutSettles = kLongestTransaction + std::chrono::seconds(5);
inline constexpr auto kOptOutSweep = std::chrono::milliseconds(250);  ///< Looks, when idle.

}  // namespace postrider
