#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <string>

#include "absl/status/statusor.h"

#include "server/model/ids.h"

namespace postrider {

/// What becomes of a message while the check gives no verdict. Stored; never renumber.
enum class WhenUnavailable : std::uint8_t { kRefuse = 1, kAllow = 2 };

/// Where a tenant has its texts checked before they are accepted.
struct ComplianceCheck {
  std::string url = {};  ///< Empty: there is no check.
  std::chrono::seconds verdicts_expire_after = std::chrono::hours(24);
  std::int64_t checks_per_minute = 10;  ///< Over all replicas, by the UTC minute.
  WhenUnavailable when_unavailable = WhenUnavailable::kRefuse;

  friend bool operator==(const ComplianceCheck&, const ComplianceCheck&) = default;
};

/// What the check is asked about a text. It is not told whom the text is for.
struct ComplianceQuestion {
  TenantId tenant_id;
  std::string url;
  std::string sender;
  std::string text;
  std::string campaign_id = {};    ///< Empty: none.
  std::string template_name = {};  ///< The same.
};

/// What it said.
struct ComplianceVerdict {
  bool approved = false;
  /// When not: the rules that the text breaks, each with why, in the check's words.
  std::map<std::string, std::string> violations = {};

  friend bool operator==(const ComplianceVerdict&, const ComplianceVerdict&) = default;
};

/// What came of a question.
struct ComplianceAnswer {
  /// UNAVAILABLE, with what came instead, when there is none; nothing of the text is in it.
  absl::StatusOr<ComplianceVerdict> verdict;
  /// Above 0: the provider told the tenant's account to wait so long (429).
  std::chrono::nanoseconds account_waits{};
};

}  // namespace postrider
