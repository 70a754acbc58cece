#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "server/base/clock.h"

namespace postrider {

/// What a campaign's messages are for. Stored; never renumber.
enum class CampaignClass : std::uint8_t { kTransactional = 1, kMarketing = 2, kOneTimeCode = 3 };

/// Which links its texts may have. Stored; never renumber.
enum class LinkRule : std::uint8_t { kAny = 1, kNone = 2, kListed = 3 };

/// A campaign as it is registered: what its messages are, and what they may say.
struct Campaign {
  std::string campaign_id;
  CampaignClass campaign_class = CampaignClass::kTransactional;
  bool active = true;
  WallTime active_from{};                      ///< Epoch: from ever.
  WallTime active_until{};                     ///< Epoch: for ever.
  std::optional<std::int64_t> daily_cap = {};  ///< Messages accepted a UTC day; none: no cap.
  std::vector<std::string> templates = {};     ///< Of these only; empty: any text.
  std::vector<std::string> forbidden_words = {};
  LinkRule links = LinkRule::kAny;
  std::vector<std::string> link_hosts = {};  ///< With kListed: those, and what is below them.
  bool shorteners = false;                   ///< Links by public shorteners may be in it.
  std::string opt_out_text = {};             ///< The first message of a conversation must have it.
  int verdict_epoch =
      0;  ///< Verdicts on its texts hold for one; no setup sets it (store/content.h).

  friend bool operator==(const Campaign&, const Campaign&) = default;
  /// Whether its messages may be accepted at `now`.
  bool IsActive(WallTime now) const {
    return active && now >= active_from && (active_until == WallTime{} || now < active_until);
  }
};

/// A text with places for values: "{name}".
struct MessageTemplate {
  std::string name;
  std::string text;

  friend bool operator==(const MessageTemplate&, const MessageTemplate&) = default;
};

/// Where a tenant's messages may go: numbers that begin so.
struct Destination {
  std::string prefix;                          ///< "+1", "+4420"
  std::optional<std::int64_t> daily_cap = {};  ///< As Campaign's.

  friend bool operator==(const Destination&, const Destination&) = default;
};

}  // namespace postrider
