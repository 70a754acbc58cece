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
/// Contacts, and conversations of one sender, that are merged into one. Statements that ask whose a
/// number is look at two more of its conversations (pg_accept.cc).
inline constexpr int kMostMerged = 20;
inline constexpr int kConversationsOfANumber = kMostMerged + 2;
inline constexpr int kMostConversationsMerged = 1000;  ///< Of a contact, one a sender.

static_assert(kTimelinePage <= kTimelineShown && kConversationsPage <= kConversationsShown);
static_assert(kConversationsShown < kConversationsScanned);

}  // namespace postrider
