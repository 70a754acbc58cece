#pragma once

#include <optional>
#include <string_view>

#include "absl/status/statusor.h"

#include "server/base/clock.h"
#include "server/json/json.h"
#include "server/model/receipt.h"
#include "server/model/state.h"

/// The words of statuses, and the guide's status webhook. ParseWebhook and FailureOfCode, which
/// everyone calls, are in provider/provider.h.
namespace postrider {

/// Metadata that Postrider adds to each message and finds again in its receipts.
inline constexpr std::string_view kMessageIdKey = "postriderMessageId";
inline constexpr std::string_view kAttemptKey = "postriderAttempt";

/// What a status's word means, as the guide, Genesys' own interfaces and carriers spell it; nothing
/// when it is not known. Pure.
std::optional<MessageState> StateOf(std::string_view word);

/// "status: unknown". Repeats `word` only when it is a word: what strangers send may hold a number.
/// Pure.
absl::Status UnknownStatus(std::string_view word);

/// Why a receipt of Genesys' interfaces says that a message failed.
struct ReceiptReason {
  FailureReason failure = FailureReason::kOther;
  std::string code;  ///< As it came; with a carrier's within its sentence: "<code>: <carrier's>".
};
/// The best known of `receipt`'s `reasons`. Pure.
ReceiptReason ReasonOf(const Json& receipt);

/// The guide's status webhook but for its hash. INVALID_ARGUMENT, naming the field. Pure.
absl::StatusOr<Receipt> ReadGuideReceipt(const Json& body);

/// An instant such as "2023-10-27T14:32:15.123Z" or "...+02:00", any number of fraction digits.
/// INVALID_ARGUMENT when it is not one or lies outside the years 2000 to 2199. Pure.
/// Source: RFC 3339.
absl::StatusOr<WallTime> ParseRfc3339(std::string_view text);

/// The instant that `json`'s `key` holds; the epoch without one. INVALID_ARGUMENT, naming the key,
/// when it is none. Pure.
absl::StatusOr<WallTime> TimeIn(const Json& json, std::string_view key);

}  // namespace postrider
