#pragma once

#include <cstddef>

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

}  // namespace postrider
