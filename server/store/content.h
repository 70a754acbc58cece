#pragma once

#include <optional>
#include <span>
#include <string>

#include "absl/status/statusor.h"

#include "server/model/ids.h"

namespace postrider {

/// What a look at a campaign's rejections came to.
struct ContentLook {
  TenantId tenant_id;
  std::string campaign_id;  ///< Empty: of messages without one.
  int rejections = 0;       ///< That nobody had looked at yet.
  bool is_cluster = false;  ///< Carriers reject one text in numbers (policy/content_cluster.h) ...
  int rejected = 0;         ///< ... of this many messages ...
  int answered = 0;         ///< ... among so many with that text.
  bool paused = false;      ///< And so its campaign was paused.
};

/// What carriers reject for its content. Part of Store; errors as there. What is rejected is noted
/// by the transaction that learns of it.
class ContentStore {
 public:
  virtual ~ContentStore() = default;

  /// Looks at the campaign of these slots whose rejections have waited longest; nothing when none
  /// wait. When there is a cluster: verdicts on the campaign's texts are void (its verdict_epoch
  /// grows; of one that is not registered the tenant's, which is of all such), it is paused until
  /// an operator resumes it (one that an operator has paused without an end stays as it is), and
  /// what was sent until now counts no more; all of one transaction, with an operator_action.
  /// Messages without a campaign are not paused. Of two that look at once each rejection goes to
  /// one, and a cluster is found once.
  virtual absl::StatusOr<std::optional<ContentLook>> JudgeContent(std::span<const int> slots) = 0;
};

}  // namespace postrider
