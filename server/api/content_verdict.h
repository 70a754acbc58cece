#pragma once

#include <chrono>
#include <map>
#include <string>

#include "server/model/compliance.h"
#include "server/policy/content_fingerprint.h"
#include "server/store/verdicts.h"

namespace postrider {

/// A text whose verdict is wanted.
struct ContentQuestion {
  VerdictKey key;
  ContentFingerprint fingerprint;
  ComplianceCheck check;
  ComplianceQuestion asked;
  std::string account_base_url = {};  ///< Of the tenant's Genesys: is the check there?
};

/// What is known of it.
struct ContentVerdict {
  enum class Kind {
    kApproved,
    kRefused,      ///< `violations` says why.
    kUnavailable,  ///< The check gives no verdict now; perhaps after `retry_after`.
    kStoreAway,
    kDraining,
  };
  Kind kind = Kind::kUnavailable;
  std::map<std::string, std::string> violations = {};
  std::chrono::nanoseconds retry_after{};
};

}  // namespace postrider
