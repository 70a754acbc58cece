#pragma once

#include <cstddef>
#include <cstdint>

#include "server/model/limits.h"

/// The bounds of campaigns and templates; the others are in limits.h.
namespace postrider {

inline constexpr std::size_t kMaxCampaigns = 1000;  ///< Of a tenant; templates the same.
inline constexpr std::size_t kMaxTemplatesOfCampaign = 100;
inline constexpr std::size_t kMaxSenders = 1000;   ///< Active ones.
inline constexpr double kLeastSenderRate = 0.001;  ///< Segments a second.
inline constexpr std::size_t kMaxDestinations = 500;
inline constexpr std::size_t kMaxPrefixBytes = 12;  ///< "+" and digits.
inline constexpr std::size_t kMaxHostBytes = 253;
inline constexpr std::size_t kMaxOptOutTextCharacters = 160;
inline constexpr std::size_t kMaxTemplateNameBytes = 64;
inline constexpr std::size_t kMaxPlaces = 20;  ///< Of a template.
inline constexpr std::size_t kMaxPlaceNameBytes = 32;
inline constexpr std::size_t kMaxTemplateValueCharacters = 200;
inline constexpr std::size_t kMaxForbiddenWords = 200;  ///< Of a campaign; hosts the same.
inline constexpr std::size_t kMaxWordCharacters = 64;
inline constexpr std::size_t kMaxFindings = 20;  ///< That a refusal names.

// --- Quotas and caps. What is farther from its end is counted beside others, each session for
// itself: exact as long as 256 sessions accept at most, by transactions of kGroupCommitRows.
inline constexpr std::int64_t kFarFromQuota = 65'536;
static_assert(kFarFromQuota >= 256 * std::int64_t{kGroupCommitRows});

}  // namespace postrider
