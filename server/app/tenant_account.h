#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"

#include "server/store/tenants.h"

namespace postrider {

/// What an operator sets of a tenant's account and rates: in postriderd's configuration for the
/// default tenant, by `postriderd tenant put` for any.
struct AccountSettings {
  std::string profile = "guide";
  std::string region;  ///< Its domain, instead of both URLs.
  std::string base_url;
  std::string token_url;
  std::string send_path;
  std::string client_id;
  std::string client_secret_file;
  std::string ca_file;
  std::string active_conversation = "fail";  ///< fail, join or hold
  bool refused_at_edge = false;
  int requests_per_minute = 300;  ///< The organisation's limit at Genesys.
  std::string webhook_secret_file;
  int webhook_window_s = 0;
};

/// Sets `row`'s account by `settings` and adds `senders`, as SenderOf reads them and without ids.
/// Everything else of it is the caller's to set, its rate and burst before this.
///
/// INVALID_ARGUMENT "FIELD: why", with the field as AccountSettings calls it, or "rate", "burst" or
/// "senders": an unknown profile or region, what does not go with the profile, a URL that cannot
/// be used, a rate above the organisation's limit. Rates to this machine have no limit.
absl::Status SetAccount(TenantRow& row, const AccountSettings& settings,
                        const std::vector<std::string>& senders);

/// When a tenant's marketing may leave, as an operator writes it.
struct QuietOptions {
  std::string hours = "law";  ///< law, off, or the tenant's own besides the law's: 21:00-08:00
  std::string zone;           ///< IANA name, where nothing is known; empty: UTC.
  std::string default_class = "transactional";  ///< transactional, marketing or one-time-code
};

/// Sets `row`'s quiet hours and default class. INVALID_ARGUMENT "FIELD: why", with "quiet_hours",
/// "quiet_zone" or "default_class".
absl::Status SetQuietHours(TenantRow& row, const QuietOptions& options);
/// How they are set, in a line for people.
std::string QuietTextOf(const TenantRow& row);

/// A sender without its id, from "ADDRESS" or "ADDRESS:SEGMENTS_PER_SECOND": E.164, a short code,
/// or a name of 16 characters at most. Nothing when `text` is not such.
std::optional<SenderRow> SenderOf(std::string_view text);

/// Whether `url` is https://..., or http:// to this machine: plain HTTP carries the client's
/// secret in clear. Without query, user and blanks.
bool IsSafeUrl(std::string_view url);

}  // namespace postrider
