#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "server/base/clock.h"
#include "server/http/client.h"
#include "server/provider/oauth.h"
#include "server/provider/provider.h"

namespace postrider {

/// Profile `guide`: one POST a message, receipts by webhook, no reads.
///
/// A first 401 is answered by a new token and one repetition, which is safe: what is not
/// authorised was not sent. No POST begins later than kStartBy after Send() was called, so that
/// nothing leaves long after its intent.
///
/// One worker at a time; keeps its connection. Source: the product guide, "Sending proactive
/// outbound messages using the agentless SMS API".
class GuideProfile final : public Provider {
 public:
  /// `client` is for the account's base URL; `send_path` begins with a slash. `clock` must outlive
  /// it.
  GuideProfile(std::unique_ptr<HttpClient> client, std::string send_path,
               std::shared_ptr<TokenSource> tokens, const Clock& clock)
      : send_path_(std::move(send_path)),
        tokens_(std::move(tokens)),
        clock_(clock),
        client_(std::move(client)) {}

  Outcome Send(const SendRequest& request) override;

 private:
  Outcome PostOnce(const std::string& payload, const Secret& token, MonotonicTime deadline);

  const std::string send_path_;
  const std::shared_ptr<TokenSource> tokens_;
  const Clock& clock_;
  const std::unique_ptr<HttpClient> client_;
};

/// The POST's body: the guide's members; `metadata` is the caller's with postriderMessageId,
/// postriderAttempt and, unless the caller set it, campaignId. Pure.
std::string GuidePayload(const SendRequest& request);

/// What a reply's body adds to `outcome`: the provider's ids when it was accepted, else nothing
/// but `contextId` as correlation id when no header gave one. A body that cannot be read adds
/// nothing. Pure.
void ReadGuideReply(std::string_view body, Outcome& outcome);

}  // namespace postrider
