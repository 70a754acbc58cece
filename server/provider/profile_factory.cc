#include "server/provider/profile_factory.h"

#include "server/base/digest.h"
#include "server/base/status_macros.h"
#include "server/base/strings.h"
#include "server/http/client.h"
#include "server/http/url.h"
#include "server/model/limits.h"
#include "server/provider/guide_profile.h"
#include "server/provider/outcome_table.h"

namespace postrider {

namespace {

absl::StatusOr<BaseUrl> ReadUrl(std::string_view setting, const std::string& url) {
  if (url.empty()) return absl::InvalidArgumentError(StrCat(setting, ": missing"));
  if (url.back() == '/')
    return absl::InvalidArgumentError(StrCat(setting, ": must not end with a slash"));
  absl::StatusOr<BaseUrl> parsed = ParseBaseUrl(url);
  if (!parsed.ok())
    return absl::InvalidArgumentError(StrCat(setting, ": ", ToStd(parsed.status().message())));
  return parsed;
}

absl::Status CheckPath(std::string_view setting, const std::string& path) {
  bool printable = true;
  for (const char c : path) printable = printable && c > ' ' && c < 0x7f;
  if (path.empty() || path[0] != '/' || !printable)
    return absl::InvalidArgumentError(
        StrCat(setting, ": must begin with a slash and have no blanks"));
  return absl::OkStatus();
}

absl::Status CheckCredentials(const ProviderAccount& account) {
  if (account.client_id.empty()) return absl::InvalidArgumentError("client_id: missing");
  // Basic authentication ends the id at the first colon (RFC 7617 section 2).
  if (account.client_id.find(':') != std::string::npos)
    return absl::InvalidArgumentError("client_id: must not hold a colon");
  if (account.client_secret.empty()) return absl::InvalidArgumentError("client_secret: missing");
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<Provider>> ProfileFactory::Make(const ProviderAccount& account) {
  if (account.profile != "guide")
    return absl::InvalidArgumentError(
        StrCat("profile: unknown, \"", CleanCode(account.profile), "\"; there is: guide"));
  PR_ASSIGN_OR_RETURN(const BaseUrl base, ReadUrl("base_url", account.base_url));
  PR_RETURN_IF_ERROR(CheckPath("send_path", account.send_path));
  PR_ASSIGN_OR_RETURN(const BaseUrl token, ReadUrl("token_url", account.token_url));
  PR_RETURN_IF_ERROR(CheckCredentials(account));
  PR_ASSIGN_OR_RETURN(const Shared shared, SharedOf(account, base.tls || token.tls));
  PR_ASSIGN_OR_RETURN(
      std::unique_ptr<HttpClient> client,
      HttpClient::Create(
          {.base_url = account.base_url, .tls = shared.tls, .response_bytes = kMaxReplyBytes},
          clock_));
  return std::make_unique<GuideProfile>(std::move(client), account.send_path, shared.tokens,
                                        clock_);
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
