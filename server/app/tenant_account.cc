#include "server/app/tenant_account.h"

#include <algorithm>
#include <charconv>

#include "server/api/time_zones.h"
#include "server/base/secret.h"
#include "server/base/status_macros.h"
#include "server/base/strings.h"
#include "server/model/campaign_limits.h"
#include "server/model/limits.h"
#include "server/policy/phone_number.h"
#include "server/policy/quiet_hours.h"
#include "server/provider/account_rules.h"

namespace postrider {

namespace {

constexpr std::string_view kPlain = "http://";

absl::Status CheckWebhooks(const AccountSettings& settings) {
  if (settings.webhook_window_s == 0) return absl::OkStatus();
  if (settings.profile != "guide") {
    return absl::InvalidArgumentError(
        "webhook_window_s: only of profile guide: Open Messaging does not say when it signed");
  }
  if (settings.webhook_secret_file.empty()) {
    return absl::InvalidArgumentError(
        "webhook_window_s: needs webhook_secret_file: a time that is not signed proves nothing");
  }
  return absl::OkStatus();
}

absl::StatusOr<ActiveConversation> PolicyOf(std::string_view word) {
  if (word == "fail") return ActiveConversation::kFail;
  if (word == "join") return ActiveConversation::kJoin;
  if (word == "hold") return ActiveConversation::kHold;
  return absl::InvalidArgumentError("active_conversation: must be fail, join or hold");
}

/// Genesys counts in fixed minutes: a burst and a minute's rate can fall into one.
absl::Status CheckRate(const AccountSettings& settings, double rate_per_s, int burst) {
  const double most = rate_per_s * 60 + burst;
  if (most <= settings.requests_per_minute) return absl::OkStatus();
  return absl::InvalidArgumentError(StrCat(
      "rate: ", rate_per_s, "/s with a burst of ", burst, " can be ", most,
      " requests in a minute, and the organisation's limit is ", settings.requests_per_minute,
      "; lower it, or set the requests per minute to what Genesys has granted"));
}

/// A search for what may have been sent begins when there are tokens for all its requests.
absl::Status CheckBurst(const std::string& profile, int burst) {
  if (profile != "platform" || burst >= kMostRequestsOfSearch) return absl::OkStatus();
  return absl::InvalidArgumentError(StrCat("burst: with profile platform ", kMostRequestsOfSearch,
                                           " at least, or lost answers are never looked for"));
}

}  // namespace

absl::Status SetAccount(TenantRow& row, const AccountSettings& settings,
                        const std::vector<std::string>& senders) {
  // The secret itself is read by the gateway, when it sends.
  ProviderAccount account{.profile = settings.profile,
                          .base_url = settings.base_url,
                          .send_path = settings.send_path,
                          .token_url = settings.token_url,
                          .client_id = settings.client_id,
                          .client_secret = Secret("in its file"),
                          .ca_file = settings.ca_file,
                          .refused_at_edge = settings.refused_at_edge};
  PR_ASSIGN_OR_RETURN(account.active_conversation, PolicyOf(settings.active_conversation));
  PR_RETURN_IF_ERROR(CompleteAccount(account, settings.region));
  PR_RETURN_IF_ERROR(CheckAccount(account));
  for (const auto& [field, url] :
       {std::pair("base_url", account.base_url), std::pair("token_url", account.token_url)}) {
    if (!IsSafeUrl(url))
      return absl::InvalidArgumentError(
          StrCat(field, ": must be an https:// URL without query, or http:// to this machine"));
  }
  PR_RETURN_IF_ERROR(CheckBurst(account.profile, row.burst));
  PR_RETURN_IF_ERROR(CheckWebhooks(settings));
  // What is on this machine is no organisation, but a sandbox or a test: as fast as one likes.
  row.requests_per_minute = std::nullopt;
  if (!account.base_url.starts_with(kPlain)) {
    PR_RETURN_IF_ERROR(CheckRate(settings, row.rate_per_s, row.burst));
    row.requests_per_minute = settings.requests_per_minute;
  }

  row.profile = account.profile;
  row.base_url = account.base_url;
  row.send_path = account.send_path;
  row.token_url = account.token_url;
  row.client_id = account.client_id;
  row.client_secret_file = settings.client_secret_file;
  row.ca_file = account.ca_file;
  row.webhook_secret_file = settings.webhook_secret_file;
  row.webhook_window = std::chrono::seconds(settings.webhook_window_s);
  row.active_conversation = static_cast<int>(account.active_conversation);
  row.refused_at_edge = account.refused_at_edge;
  for (const std::string& text : senders) {
    std::optional<SenderRow> sender = SenderOf(text);
    if (!sender)
      return absl::InvalidArgumentError(
          "senders: a number, short code or name, with :SEGMENTS_PER_SECOND or without");
    row.senders.push_back(*std::move(sender));
  }
  return absl::OkStatus();
}

absl::Status SetQuietHours(TenantRow& row, const QuietOptions& options) {
  QuietSetting quiet{.on = options.hours != "off", .own = {}, .default_zone = options.zone};
  if (quiet.on && options.hours != "law") {
    quiet.own = ParseHourSpan(options.hours);
    if (!quiet.own) {
      return absl::InvalidArgumentError(
          "quiet_hours: must be law, off, or local times such as 21:00-08:00");
    }
  }
  if (!options.zone.empty() && !IsTimeZoneName(options.zone)) {
    return absl::InvalidArgumentError(
        "quiet_zone: must be an IANA time zone, such as America/New_York");
  }
  const auto of = ParseCampaignClass(options.default_class);
  if (!of) {
    return absl::InvalidArgumentError(
        "default_class: must be transactional, marketing or one-time-code");
  }
  row.quiet = std::move(quiet);
  row.default_class = *of;
  return absl::OkStatus();
}

std::string QuietTextOf(const TenantRow& row) {
  const QuietSetting& quiet = row.quiet;
  const std::string own = quiet.own ? StrCat(" and ", TextOf(*quiet.own)) : "";
  const std::string hours = quiet.on ? StrCat("the law's", own) : "off";
  return StrCat(hours, ", where nothing is known in ",
                quiet.default_zone.empty() ? "UTC" : quiet.default_zone, "; messages are ",
                WordOf(row.default_class));
}

std::optional<SenderRow> SenderOf(std::string_view text) {
  const std::size_t colon = text.find(':');
  const std::string_view address = text.substr(0, colon);
  if (!IsSenderAddress(address)) return std::nullopt;
  SenderRow sender{.sender_id = {}, .address = std::string(address)};
  if (colon == text.npos) return sender;
  const std::string_view rate = text.substr(colon + 1);
  double number = 0;
  const auto [end, error] = std::from_chars(rate.data(), rate.data() + rate.size(), number);
  const bool whole = error == std::errc() && end == rate.data() + rate.size();
  if (!whole || !(number >= kLeastSenderRate) || number > kMaxRatePerSecond) return std::nullopt;
  sender.segments_per_s = number;
  return sender;
}

bool IsSafeUrl(std::string_view url) {
  constexpr std::string_view kSecure = "https://";
  const bool secure = url.starts_with(kSecure);
  if (!secure && !url.starts_with(kPlain)) return false;
  url.remove_prefix(secure ? kSecure.size() : kPlain.size());
  const std::string_view authority = url.substr(0, url.find('/'));
  const std::string_view host = authority.substr(0, authority.rfind(':'));
  if (host.empty() || url.find_first_of(" ?#@\\\"<>") != url.npos) return false;
  const bool here = host == "localhost" || host == "127.0.0.1" || authority.starts_with("[::1]");
  return secure || here;
}

}  // namespace postrider
