#include "server/provider/account_rules.h"

#include <algorithm>
#include <string>
#include <vector>

#include "server/base/nearest.h"
#include "server/base/status_macros.h"
#include "server/base/strings.h"
#include "server/base/url.h"
#include "server/provider/outcome_table.h"

namespace postrider {

namespace {

constexpr std::string_view kGuide = "guide";
constexpr std::string_view kPlatform = "platform";
// Spelt as in the guide.
constexpr std::string_view kGuideSendPath = "/api/v2/messaging/outbound/agentsless/messages";

constexpr std::string_view kRegions[] = {
    "mypurecloud.com",  "mypurecloud.ie",       "mypurecloud.com.au",     "mypurecloud.jp",
    "mypurecloud.de",   "usw2.pure.cloud",      "cac1.pure.cloud",        "apne2.pure.cloud",
    "euw2.pure.cloud",  "aps1.pure.cloud",      "use2.us-gov-pure.cloud", "sae1.pure.cloud",
    "mec1.pure.cloud",  "apne3.pure.cloud",     "euc2.pure.cloud",        "mxc1.pure.cloud",
    "apse1.pure.cloud", "edee1.eusc-pure.cloud"};

absl::Status Bad(std::string_view field, std::string_view why) {
  return absl::InvalidArgumentError(StrCat(field, ": ", why));
}

absl::Status CheckProfile(std::string_view profile) {
  if (profile == kGuide || profile == kPlatform) return absl::OkStatus();
  return Bad("profile",
             StrCat("unknown, \"", CleanCode(profile), "\"; there are: guide, platform"));
}

absl::Status UnknownRegion(std::string_view region) {
  const std::vector<std::string> known(std::begin(kRegions), std::end(kRegions));
  const std::string nearest = NearestOf(region, known);
  std::string why = StrCat("unknown, \"", CleanCode(region), "\"");
  if (!nearest.empty()) return Bad("region", StrCat(why, "; did you mean ", nearest, "?"));
  StrAppend(why, "; there are:");
  for (const std::string& one : known) StrAppend(why, " ", one);
  return Bad("region", why);
}

absl::Status CompleteGuide(ProviderAccount& account, std::string_view region) {
  if (!region.empty())
    return Bad("region", "only of profile platform; guide's base_url is the organisation's own");
  if (account.active_conversation != ActiveConversation::kFail)
    return Bad("active_conversation", "only of profile platform; guide has no such refusal");
  if (account.send_path.empty()) account.send_path = kGuideSendPath;
  return absl::OkStatus();
}

absl::Status CompletePlatform(ProviderAccount& account, std::string_view region) {
  if (!account.send_path.empty())
    return Bad("send_path", "only of profile guide; platform's path is fixed");
  if (region.empty()) return absl::OkStatus();
  if (!account.base_url.empty()) return Bad("base_url", "follows from region; set one of them");
  if (!account.token_url.empty()) return Bad("token_url", "follows from region; set one of them");
  if (std::find(std::begin(kRegions), std::end(kRegions), region) == std::end(kRegions))
    return UnknownRegion(region);
  account.base_url = StrCat("https://api.", region);
  account.token_url = StrCat("https://login.", region, "/oauth/token");
  return absl::OkStatus();
}

absl::Status CheckUrl(std::string_view field, const std::string& url) {
  if (url.empty()) return Bad(field, "missing");
  if (url.back() == '/') return Bad(field, "must not end with a slash");
  const absl::StatusOr<BaseUrl> parsed = ParseBaseUrl(url);
  return parsed.ok() ? absl::OkStatus() : Bad(field, ToStd(parsed.status().message()));
}

absl::Status CheckSendPath(const ProviderAccount& account) {
  if (account.profile != kGuide) return absl::OkStatus();
  const std::string& path = account.send_path;
  const bool printable =
      std::all_of(path.begin(), path.end(), [](char c) { return c > ' ' && c < 0x7f; });
  if (!path.empty() && path[0] == '/' && printable) return absl::OkStatus();
  return Bad("send_path", "must begin with a slash and have no blanks");
}

}  // namespace

std::span<const std::string_view> RegionDomains() { return kRegions; }

absl::Status CompleteAccount(ProviderAccount& account, std::string_view region) {
  PR_RETURN_IF_ERROR(CheckProfile(account.profile));
  return account.profile == kGuide ? CompleteGuide(account, region)
                                   : CompletePlatform(account, region);
}

absl::Status CheckAccount(const ProviderAccount& account) {
  PR_RETURN_IF_ERROR(CheckProfile(account.profile));
  PR_RETURN_IF_ERROR(CheckUrl("base_url", account.base_url));
  PR_RETURN_IF_ERROR(CheckSendPath(account));
  PR_RETURN_IF_ERROR(CheckUrl("token_url", account.token_url));
  if (account.client_id.empty()) return Bad("client_id", "missing");
  // Basic authentication ends the id at the first colon (RFC 7617 section 2).
  if (account.client_id.find(':') != std::string::npos)
    return Bad("client_id", "must not hold a colon");
  if (account.client_secret.empty()) return Bad("client_secret", "missing");
  return absl::OkStatus();
}

}  // namespace postrider
