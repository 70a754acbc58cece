#pragma once

#include <optional>
#include <string>
#include <vector>

#include "server/model/campaign.h"
#include "server/model/compliance.h"

namespace postrider {

/// A sender as its tenant sets it up.
struct SenderSetup {
  std::string address;  ///< A number, a short code or a name.
  std::optional<double> segments_per_s = {};
  std::string ten_dlc_campaign = {};  ///< Its campaign at The Campaign Registry; empty: none.
  bool active = true;                 ///< Not active: nothing is accepted from it.

  friend bool operator==(const SenderSetup&, const SenderSetup&) = default;
};

/// What a tenant may send, in its own words. A section that is not set says nothing: applied, it
/// leaves what is there; as stored, all are set.
struct TenantSetup {
  std::optional<bool> campaign_required;  ///< A message must name a campaign.
  std::optional<std::vector<SenderSetup>> senders;
  std::optional<std::vector<Campaign>> campaigns;
  std::optional<std::vector<MessageTemplate>> templates;
  std::optional<std::vector<Destination>> destinations;  ///< Empty: anywhere.
  std::optional<ComplianceCheck> compliance_check;       ///< Without a URL: none.
  std::optional<bool> plain_punctuation = {};            ///< See policy/plain_punctuation.h.
  /// Answers who opts out by a keyword: one segment. Empty: nothing does.
  std::optional<std::string> opt_out_confirmation;
};

}  // namespace postrider
