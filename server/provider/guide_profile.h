#pragma once

#include <memory>
#include <string>
#include <utility>

#include "server/provider/api_client.h"
#include "server/provider/provider.h"

namespace postrider {

/// Profile `guide`: one POST a message, receipts by webhook, no reads.
///
/// One worker at a time; keeps its connection. Source: the product guide, "Sending proactive
/// outbound messages using the agentless SMS API".
class GuideProfile final : public Provider {
 public:
  /// `send_path` begins with a slash.
  GuideProfile(std::unique_ptr<ApiClient> api, std::string send_path)
      : send_path_(std::move(send_path)), api_(std::move(api)) {}

  Outcome Send(const SendRequest& request) override;

 private:
  const std::string send_path_;
  const std::unique_ptr<ApiClient> api_;
};

/// The POST's body: the guide's members; `metadata` is the caller's with postriderMessageId,
/// postriderAttempt and, unless the caller set it, campaignId. Pure.
std::string GuidePayload(const SendRequest& request);

}  // namespace postrider
