#pragma once

#include <span>
#include <string>

#include "absl/status/status.h"

#include "server/model/ids.h"

namespace postrider {

/// A message that was not accepted because of a rule.
struct RefusalRow {
  TenantId tenant_id;
  std::string request_id;
  std::string reason;     ///< As the caller was told.
  std::string recipient;  ///< Masked.
  std::string sender;
  std::string campaign_id;
  std::string detail;  ///< Which rule, and where in the text; nothing of the text.
};

/// The record of refusals. Errors as of Store. Blocks; safe from any thread.
class RefusalStore {
 public:
  virtual ~RefusalStore() = default;

  /// Records them: one row a request, reason, recipient (as it is masked), sender and
  /// campaign, with how often.
  virtual absl::Status RecordRefusals(std::span<const RefusalRow> batch) = 0;
};

}  // namespace postrider
