#include "server/provider/platform_profile.h"

#include "server/json/json.h"
#include "server/provider/platform_read.h"

namespace postrider {

namespace {
constexpr const char* kSendPath = "/api/v2/conversations/messages/agentless";
}  // namespace

Outcome PlatformProfile::Send(const SendRequest& request) {
  const bool joins = active_conversation_ == ActiveConversation::kJoin;
  return api_->PostMessage(kSendPath, PlatformPayload(request, joins), request);
}

ReadAnswer PlatformProfile::Read(const ReadRequest& request) {
  return ReadAtPlatform(*api_, request);
}

std::string PlatformPayload(const SendRequest& request, bool joins) {
  JsonObject body;
  body.Set("fromAddress", request.sender)
      .Set("toAddress", request.recipient)
      .Set("toAddressMessengerType", "sms")
      .Set("textBody", request.text);
  if (joins) body.Set("useExistingActiveConversation", true);
  return body.Dump();
}

}  // namespace postrider
