#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>

#include "server/model/limits.h"

/// The bounds of how webhooks become durable; the others are in limits.h.
namespace postrider {

/// Then a webhook goes to the spool. Answers are to come within 200 ms.
inline constexpr auto kStoreWithin = 100ms;
inline constexpr std::uint64_t kSpoolBytes = std::uint64_t{1} << 30;      ///< On disk; then 503.
inline constexpr std::uint64_t kSpoolFileBytes = std::uint64_t{8} << 20;  ///< Then the next file.

inline constexpr std::size_t kMostWebhookSecrets = 8;  ///< Of one tenant, while they are changed.
inline constexpr std::size_t kMaxWebhookSecretBytes = 1024;
inline constexpr auto kWebhookSecretsRefresh = 5s;  ///< A file that was changed is known then.

static_assert(kStoreWithin < kWebhookCommitWait);

}  // namespace postrider
