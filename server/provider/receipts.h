#pragma once

#include <string_view>

#include "absl/status/statusor.h"

#include "server/base/clock.h"

/// The shapes of status webhooks. ParseReceipt and FailureOfCode, which everyone calls, are in
/// provider/provider.h.
namespace postrider {

/// Metadata that Postrider adds to each message and finds again in its receipts.
inline constexpr std::string_view kMessageIdKey = "postriderMessageId";
inline constexpr std::string_view kAttemptKey = "postriderAttempt";

/// An instant such as "2023-10-27T14:32:15.123Z" or "...+02:00", any number of fraction digits.
/// INVALID_ARGUMENT when it is not one or lies outside the years 2000 to 2199. Pure.
/// Source: RFC 3339.
absl::StatusOr<WallTime> ParseRfc3339(std::string_view text);

}  // namespace postrider
