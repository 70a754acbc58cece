#pragma once

#include <optional>
#include <string_view>

#include "absl/status/statusor.h"

#include "server/base/clock.h"
#include "server/model/state.h"

/// The shapes of status webhooks. ParseReceipt and FailureOfCode, which everyone calls, are in
/// provider/provider.h.
namespace postrider {

/// Metadata that Postrider adds to each message and finds again in its receipts.
inline constexpr std::string_view kMessageIdKey = "postriderMessageId";
inline constexpr std::string_view kAttemptKey = "postriderAttempt";

/// What a status's word means, as the guide, Genesys' own interfaces and carriers spell it; nothing
/// when it is not known. Pure.
std::optional<MessageState> StateOf(std::string_view word);

/// An instant such as "2023-10-27T14:32:15.123Z" or "...+02:00", any number of fraction digits.
/// INVALID_ARGUMENT when it is not one or lies outside the years 2000 to 2199. Pure.
/// Source: RFC 3339.
absl::StatusOr<WallTime> ParseRfc3339(std::string_view text);

}  // namespace postrider
