#pragma once

#include <memory>
#include <string>
#include <utility>

#include "server/provider/api_client.h"
#include "server/provider/provider.h"

namespace postrider {

/// Profile `platform`: the API that Genesys Cloud really has. One POST a message, without metadata
/// and without a conversation of ours; statuses are read.
///
/// One worker at a time; keeps its connection. Source: Genesys' API description, "Conversations",
/// postConversationsMessagesAgentless.
class PlatformProfile final : public Provider {
 public:
  PlatformProfile(std::unique_ptr<ApiClient> api, ActiveConversation active_conversation)
      : active_conversation_(active_conversation), api_(std::move(api)) {}

  Outcome Send(const SendRequest& request) override;
  bool CanRead() const override { return true; }
  ReadAnswer Read(const ReadRequest& request) override;

 private:
  const ActiveConversation active_conversation_;
  const std::unique_ptr<ApiClient> api_;
};

/// The POST's body; `joins`: into a connected conversation of the pair, when there is one. Pure.
std::string PlatformPayload(const SendRequest& request, bool joins);

}  // namespace postrider
