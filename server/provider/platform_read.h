#pragma once

#include "server/provider/api_client.h"
#include "server/provider/provider.h"

namespace postrider {

/// Reads a message's status by profile `platform`, as Provider::Read says. By id: its details, and
/// where those are unknown the message of its conversation. Without an id: the conversations that
/// the analytics query finds for the addresses and the time, in each the messages of that time, and
/// of those the texts by one bulk read; what shows another text is no candidate.
///
/// Blocks; kSendDeadline for all requests together.
/// Source: Genesys' API description, "Conversations" and "Analytics".
ReadAnswer ReadAtPlatform(ApiClient& api, const ReadRequest& request);

}  // namespace postrider
