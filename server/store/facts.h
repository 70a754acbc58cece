#pragma once

#include <chrono>
#include <cstdint>

namespace postrider {

/// What waits in the database, for metrics.
struct StoreFacts {
  std::int64_t parked = 0;                         ///< Webhooks whose turn comes later.
  std::int64_t dead_letters = 0;                   ///< Webhooks, neither replayed nor discarded.
  std::int64_t dead_sends = 0;                     ///< Sends, the same and not settled.
  std::int64_t unaccounted = 0;                    ///< Webhooks without an end (pg_account.h).
  std::chrono::nanoseconds foreign_transaction{};  ///< Age of the oldest that is no gateway's.
};

}  // namespace postrider
