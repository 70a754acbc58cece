#include "server/provider/guide_profile.h"

#include "server/base/strings.h"
#include "server/json/json.h"
#include "server/provider/receipts.h"

namespace postrider {

Outcome GuideProfile::Send(const SendRequest& request) {
  return api_->PostMessage(send_path_, GuidePayload(request), request);
}

std::string GuidePayload(const SendRequest& request) {
  Metadata metadata = request.metadata;
  if (!request.campaign_id.empty()) metadata.emplace("campaignId", request.campaign_id);
  metadata[std::string(kMessageIdKey)] = request.message_id.ToString();
  metadata[std::string(kAttemptKey)] = StrCat(request.attempt);
  JsonObject body;
  body.Set("to", request.recipient).Set("from", request.sender).Set("message", request.text);
  if (!request.conversation_id.IsNil())
    body.Set("conversationId", request.conversation_id.ToString());
  if (!request.external_contact_id.empty())
    body.Set("externalContactId", request.external_contact_id);
  body.Set("type", "sms").Set("metadata", metadata);
  return body.Dump();
}

}  // namespace postrider
