#pragma once

#include <chrono>
#include <cstddef>

#include "server/model/limits.h"

/// Bounds of how long things are kept (server/store/pg_retention.cc, pg_erasure.cc).
namespace postrider {

inline constexpr std::chrono::days kKeepMessages{400};
inline constexpr std::chrono::days kKeepWebhooks{90};
inline constexpr std::chrono::days kKeepMessagesLeast{40};
inline constexpr std::chrono::days kKeepWebhooksLeast{7};
inline constexpr std::chrono::days kKeepTextsLeast{
    31};  ///< Of a tenant's texts, and of its numbers.
inline constexpr std::chrono::days kKeepLongest{3650};
inline constexpr std::size_t kDropsAtOnce = 32;  ///< Partitions tried a round, of each table.
inline constexpr auto kDropLockWait = 500ms;     ///< Traffic queues up behind it no longer.
inline constexpr auto kDropLongest = 2000ms;     ///< A statement while a parent is locked.
inline constexpr int kWalkedAtOnce = 5000;       ///< Webhooks of a detached day, a transaction.
inline constexpr int kErasedAtOnce = 2000;       ///< Rows of a kind, a transaction.
inline constexpr std::chrono::days kErasureCursorBehind{
    1};  ///< Of a tenant without anything to erase.
inline constexpr std::chrono::days kEventSlack{
    1};  ///< An event's time and its message's id are two clocks'.
static_assert(kKeepTextsLeast > kRequestKeyKept, "a repeated request is compared with the first");
static_assert(kKeepMessagesLeast > kMaxScheduleAhead + std::chrono::hours(72) + kEventSlack,
              "a message is kept until its last news");

}  // namespace postrider
