#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "server/json/json.h"
#include "server/provider/provider.h"

namespace postrider {

/// A message as a read of profile `platform` shows it.
struct MessageData {
  ProviderMessage message;
  std::string text;  ///< Empty when it is not shown.
};

/// Reads what Genesys calls MessageData. The status is the furthest of `status` and the final ones
/// of `normalizedReceipts`; why it failed comes from their reasons. Nothing when it has no id or
/// no status that is known, or is a text from the recipient. Pure.
/// Source: Genesys' API description, "Conversations", MessageData.
std::optional<MessageData> ReadMessageData(const Json& json);

/// Sets `message.status.hash` by what the status says, not by when it was read: the same read
/// twice is no news. Pure.
void HashStatus(ProviderMessage& message);

/// Whether `a` and `b` are the same text but for blanks. Pure.
bool SameText(std::string_view a, std::string_view b);

}  // namespace postrider
