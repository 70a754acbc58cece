#pragma once

#include <memory>
#include <string>
#include <variant>

#include "absl/base/thread_annotations.h"

#include "server/base/clock.h"
#include "server/base/metrics.h"
#include "server/base/mutex.h"
#include "server/base/secret.h"
#include "server/http/tls.h"
#include "server/model/message.h"

namespace postrider {

/// The access token of one account: client credentials, fetched when first needed, kept, and
/// fetched again before it ends. However many workers ask, one request is under way at most.
///
/// Safe from any thread. Shared by all Providers of the account.
/// Source: RFC 6749 section 4.4; the provider's API description, "OAuth".
class TokenSource {
 public:
  struct Options {
    std::string token_url;
    std::string client_id;
    Secret client_secret;
    std::string ca_file = {};                    ///< PEM; empty: the system's.
    std::shared_ptr<const TlsContext> tls = {};  ///< Made from `ca_file` when null.
  };

  /// `clock` (which must move by itself) and `metrics` must outlive it. Counts
  /// postrider_oauth_fetches_total{result}.
  TokenSource(Options options, const Clock& clock, Metrics& metrics);
  TokenSource(const TokenSource&) = delete;
  TokenSource& operator=(const TokenSource&) = delete;

  /// A token, or the Outcome of the Send that cannot be for want of one: always kNotSent, with
  /// `stops_tenant` when the credentials are refused. Blocks until `deadline` at most: for its
  /// own request or another worker's. After a failure the same answer is given for a second (or
  /// what Retry-After says), so that many workers do not ask many times.
  std::variant<Secret, Outcome> Get(MonotonicTime deadline);

  /// The API refused `token`: it is not given out again. Nothing happens when another one has
  /// taken its place.
  void Invalidate(const Secret& token);

  /// How long a token of `life` is used before a new one is fetched: 90 % of it, or until 60 s
  /// before its end when that is earlier, but half of it at least.
  static std::chrono::nanoseconds UsedFor(std::chrono::nanoseconds life);

 private:
  struct Fetched {
    Secret token = {};
    std::chrono::nanoseconds life{};
    Outcome failure = {};  ///< When `token` is empty.
  };
  Fetched Fetch(MonotonicTime deadline) const;
  std::variant<Secret, Outcome> Keep(Fetched fetched);

  const Options options_;
  const Clock& clock_;
  Counter& fetched_;
  Counter& failed_;

  Mutex mu_;
  CondVar changed_;
  bool fetching_ ABSL_GUARDED_BY(mu_) = false;
  Secret token_ ABSL_GUARDED_BY(mu_);  ///< Empty: none.
  MonotonicTime refresh_at_ ABSL_GUARDED_BY(mu_){};
  MonotonicTime ends_at_ ABSL_GUARDED_BY(mu_){};
  Outcome failure_ ABSL_GUARDED_BY(mu_);  ///< Given out until failed_until_.
  MonotonicTime failed_until_ ABSL_GUARDED_BY(mu_){};
};

}  // namespace postrider
