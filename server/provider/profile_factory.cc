#include "server/provider/profile_factory.h"

#include "server/base/digest.h"
#include "server/base/status_macros.h"
#include "server/base/strings.h"
#include "server/base/url.h"
#include "server/http/client.h"
#include "server/model/limits.h"
#include "server/provider/account_rules.h"
#include "server/provider/guide_profile.h"
#include "server/provider/platform_profile.h"

namespace postrider {

namespace {

bool IsTls(const std::string& url) {
  const absl::StatusOr<BaseUrl> parsed = ParseBaseUrl(url);
  return parsed.ok() && parsed->tls;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Provider>> ProfileFactory::Make(const ProviderAccount& account) {
  PR_ASSIGN_OR_RETURN(std::unique_ptr<ApiClient> api, MakeClient(account));
  if (account.profile == "platform")
    return std::make_unique<PlatformProfile>(std::move(api), account.active_conversation);
  return std::make_unique<GuideProfile>(std::move(api), account.send_path);
}

absl::StatusOr<std::unique_ptr<ApiClient>> ProfileFactory::MakeClient(
    const ProviderAccount& account) {
  PR_RETURN_IF_ERROR(CheckAccount(account));
  PR_ASSIGN_OR_RETURN(const Shared shared,
                      SharedOf(account, IsTls(account.base_url) || IsTls(account.token_url)));
  PR_ASSIGN_OR_RETURN(
      std::unique_ptr<HttpClient> client,
      HttpClient::Create(
          {.base_url = account.base_url, .tls = shared.tls, .response_bytes = kMaxReplyBytes},
          clock_));
  return std::make_unique<ApiClient>(std::move(client), shared.tokens, account, clock_, metrics_);
}

absl::StatusOr<ProfileFactory::Shared> ProfileFactory::SharedOf(const ProviderAccount& account,
                                                                bool needs_tls) {
  const std::string hash = Sha256Bytes(StrCat(account.client_secret.Reveal(), "\n", account.ca_file,
                                              needs_tls ? "\ntls" : "\nplain"));
  // Loading certificates under the lock is deliberate: many workers start at once, and each
  // would load the same megabytes.
  MutexLock lock(mu_);
  Shared& shared = shared_[{account.token_url, account.client_id}];
  if (shared.tokens != nullptr && shared.settings_hash == hash) return shared;
  Shared fresh{.tls = nullptr, .tokens = nullptr, .settings_hash = hash};
  if (needs_tls) {
    std::shared_ptr<const TlsContext>& tls = tls_[account.ca_file];
    if (tls == nullptr) {
      absl::StatusOr<std::shared_ptr<const TlsContext>> loaded =
          TlsContext::Create(account.ca_file);
      if (!loaded.ok())
        return absl::InvalidArgumentError(StrCat("ca_file: ", ToStd(loaded.status().message())));
      tls = *std::move(loaded);
    }
    fresh.tls = tls;
  }
  fresh.tokens =
      std::make_shared<TokenSource>(TokenSource::Options{.token_url = account.token_url,
                                                         .client_id = account.client_id,
                                                         .client_secret = account.client_secret,
                                                         .tls = fresh.tls},
                                    clock_, metrics_);
  shared = fresh;
  if (shared_.size() > kSources)
    std::erase_if(shared_, [](const auto& entry) { return entry.second.tokens.use_count() == 1; });
  return fresh;
}

}  // namespace postrider
