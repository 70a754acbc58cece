#pragma once

#include <cstddef>

#include "server/model/limits.h"

/// The bounds of reading conversations; the others are in limits.h.
namespace postrider {

inline constexpr int kTimelineShown = 200;  ///< Entries on one page: 2 MiB at most.
inline constexpr int kTimelinePage = 50;    ///< The same, unless asked otherwise.
inline constexpr int kConversationsShown = 500;
inline constexpr int kConversationsPage = 100;
/// Looked at for a page when no index leads to those that are wanted: then it may be short.
inline constexpr int kConversationsScanned = 5000;
inline constexpr std::size_t kMaxPageTokenBytes = 256;

static_assert(kTimelinePage <= kTimelineShown && kConversationsPage <= kConversationsShown);
static_assert(kConversationsShown < kConversationsScanned);

}  // namespace postrider
