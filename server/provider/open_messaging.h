#pragma once

#include "absl/status/statusor.h"

#include "server/json/json.h"
#include "server/model/receipt.h"

namespace postrider {

/// Whether a webhook's body says by its `type` that it is of Open Messaging's shape. Pure.
bool IsOpenMessaging(const Json& body);

/// A receipt of a text that went out, or a text that came in. A failure that is not the last word
/// (`isFinalReceipt`: false) is one try of the carrier's and says only that the message was
/// accepted. INVALID_ARGUMENT, naming the field, when it is neither. Pure; leaves a receipt's hash
/// empty. Source: Genesys' Open Messaging, "Receive".
absl::StatusOr<WebhookContent> ReadOpenMessaging(const Json& body);

}  // namespace postrider
