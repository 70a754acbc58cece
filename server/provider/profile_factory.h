#pragma once

#include <map>
#include <memory>
#include <string>
#include <utility>

#include "absl/base/thread_annotations.h"

#include "server/base/clock.h"
#include "server/base/metrics.h"
#include "server/base/mutex.h"
#include "server/provider/api_client.h"
#include "server/provider/oauth.h"
#include "server/provider/provider.h"

namespace postrider {

/// Makes Providers for the profiles that there are: `guide` and `platform`. All Providers of one
/// client at one token URL share its token, those of one CA file what it holds. Providers may
/// outlive the factory, not `clock` and `metrics`.
class ProfileFactory final : public ProviderFactory {
 public:
  /// Beyond this many token sources, those that no Provider uses are forgotten.
  static constexpr std::size_t kSources = 20'000;

  /// `clock` must move by itself (HttpClient's deadlines go by it).
  ProfileFactory(const Clock& clock, Metrics& metrics) : clock_(clock), metrics_(metrics) {}

  absl::StatusOr<std::unique_ptr<Provider>> Make(const ProviderAccount& account) override;
  /// A client of what else the account's base URL offers, with its token. Errors as Make's.
  absl::StatusOr<std::unique_ptr<ApiClient>> MakeClient(const ProviderAccount& account);

 private:
  /// What Providers of one account share.
  struct Shared {
    std::shared_ptr<const TlsContext> tls;  ///< Null when everything is plain HTTP.
    std::shared_ptr<TokenSource> tokens;
    std::string settings_hash;  ///< Of what else decides: another secret is another source.
  };
  absl::StatusOr<Shared> SharedOf(const ProviderAccount& account, bool needs_tls);

  const Clock& clock_;
  Metrics& metrics_;

  Mutex mu_;
  /// By token URL and client id.
  std::map<std::pair<std::string, std::string>, Shared> shared_ ABSL_GUARDED_BY(mu_);
  std::map<std::string, std::shared_ptr<const TlsContext>> tls_
      ABSL_GUARDED_BY(mu_);  ///< By CA file.
};

}  // namespace postrider
