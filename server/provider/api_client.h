#pragma once

#include <chrono>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

#include "server/base/clock.h"
#include "server/base/metrics.h"
#include "server/base/repeated_failure.h"
#include "server/http/client.h"
#include "server/json/json.h"
#include "server/model/dispatch_limits.h"
#include "server/provider/oauth.h"
#include "server/provider/outcome_table.h"
#include "server/provider/provider.h"

namespace postrider {

/// A reply of the provider's API, as far as it can be read.
struct ApiReply {
  ReplyFacts facts;
  int requests = 1;            ///< What it took: two after a 401.
  std::string correlation_id;  ///< Of a header, else of the body; empty when neither has one.
  std::optional<Json> body;    ///< A JSON object that came whole; nothing otherwise.
};

/// What both profiles share: calls of the provider's API with the account's token.
///
/// A first 401 is answered by a new token and one repetition, which is safe: what is not
/// authorised was not done. Redirects are not followed. Replies that are odd (a page, cut off, too
/// long, of another message) are counted in postrider_odd_replies_total{reason} and logged without
/// their contents; what the reply says of the provider's rate limit is shown in
/// postrider_provider_ratelimit_*.
///
/// One worker at a time; keeps its connection.
class ApiClient {
 public:
  /// `client` is for the account's base URL. `clock` and `metrics` must outlive it.
  ApiClient(std::unique_ptr<HttpClient> client, std::shared_ptr<TokenSource> tokens,
            const ProviderAccount& account, const Clock& clock, Metrics& metrics);

  /// Calls, at latest until `deadline`; no request begins after `begin_by`. The Outcome says why
  /// there is no reply: kNotSent for certain, or kUnknown. So many requests at most: another one
  /// follows a 401 only, with a new token.
  std::variant<ApiReply, Outcome> Call(HttpCall call, MonotonicTime begin_by,
                                       MonotonicTime deadline, int requests = 2);

  /// Posts a message's `payload`, and says by the outcome table what became of `request`. Begins
  /// within kStartBy, so that nothing leaves long after its intent; ends within kSendDeadline.
  Outcome PostMessage(const std::string& path, const std::string& payload,
                      const SendRequest& request);

  /// Counts a reply that is not as it should be, and logs it now and then.
  void CountOdd(const char* reason, const ApiReply& reply);

  const Clock& clock() const { return clock_; }

 private:
  HttpResult CallOnce(HttpCall call, const Secret& token, MonotonicTime deadline);
  ApiReply ReplyOf(const HttpResult& result);
  void ShowRateLimit(const HttpHeaders& headers);

  const std::unique_ptr<HttpClient> client_;
  const std::shared_ptr<TokenSource> tokens_;
  const ActiveConversation active_conversation_;
  const bool refused_at_edge_;
  const std::string client_id_;
  const Clock& clock_;
  Metrics& metrics_;
  RepeatedFailure odd_;
};

/// Reads the ids from the body of an accepting reply into `outcome`, of either generation: at the
/// top, or within `message`. False when the reply names another recipient than `request`: then it
/// is of another message, and nothing of it is taken. Pure.
bool ReadAcceptance(const Json& body, const SendRequest& request, Outcome& outcome);

/// Whether two spellings may be of one number: Genesys may leave out the plus or the country, or
/// write "tel:+1...". Pure.
bool MayBeSameNumber(std::string_view a, std::string_view b);

/// `json`'s string `key`, when it is fit for an id: 256 bytes at most; else empty. Pure.
std::string IdOf(const Json& json, std::string_view key);

}  // namespace postrider
