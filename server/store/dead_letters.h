#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

#include "server/base/clock.h"
#include "server/model/receipt.h"
#include "server/store/operator_action.h"

namespace postrider {

/// Which of a tenant's dead letters are meant: those that match every field that is set.
struct DeadLetterFilter {
  TenantId tenant_id;
  std::string reason = {};   ///< "UNREADABLE" ...; empty: any.
  std::string profile = {};  ///< Of the path that it came to; empty: any.
  WallTime since{};          ///< Given up then or later; epoch: ever.
  WallTime until{};          ///< Given up before then; epoch: ever.
};

/// Those to be changed: these, or without any all that match.
struct DeadLetterChoice {
  DeadLetterFilter filter;
  std::vector<InboxId> ids = {};
};

/// A webhook that was answered 200 and could not be applied.
struct DeadLetter {
  InboxRow row;  ///< The body is empty in lists.
  std::string reason;
  std::string detail;  ///< One line for people.
  WallTime at{};       ///< When it was given up, the last time.
  int replays = 0;
  std::int64_t bytes = 0;  ///< Of the body.
};

/// A place in the list of a tenant's dead letters, newest first; the default is its begin.
struct DeadLetterPlace {
  WallTime at{};
  InboxId inbox_id;
};

struct DeadLetterGroup {
  std::string reason;
  std::string profile;
  std::int64_t count = 0;
  std::int64_t spent = 0;  ///< Of `count`: those that were replayed kMostReplays times.
  WallTime oldest{};
  WallTime newest{};
};

/// What a change did.
struct DeadLetterChange {
  int changed = 0;
  bool has_more = false;  ///< As many as are changed at once: there may be more.
};

/// Webhooks that were given up: a part of Store (store.h), whose rules and errors hold.
class DeadLetterStore {
 public:
  virtual ~DeadLetterStore() = default;

  /// Those after `place`, newest first.
  virtual absl::StatusOr<std::vector<DeadLetter>> ListDeadLetters(const DeadLetterFilter& filter,
                                                                  const DeadLetterPlace& place,
                                                                  int limit) = 0;
  /// By reason and profile, the largest first; kDeadLetterGroups at most.
  virtual absl::StatusOr<std::vector<DeadLetterGroup>> GroupDeadLetters(
      const DeadLetterFilter& filter) = 0;
  /// How many are meant, however many a call changes. `spent`: those that were replayed
  /// kMostReplays times too.
  virtual absl::StatusOr<std::int64_t> CountDeadLetters(const DeadLetterChoice& choice,
                                                        bool spent) = 0;
  /// With its body. NOT_FOUND when it is not one of the tenant's, or not dead any more.
  virtual absl::StatusOr<DeadLetter> FindDeadLetter(TenantId tenant, InboxId id) = 0;

  /// Parks them to be applied again, the oldest first and `apart` from one another, in the
  /// transaction that puts the action on record: nothing is lost between. kDeadLettersChanged at
  /// most; those replayed kMostReplays times only by their ids. What fails again is dead again.
  virtual absl::StatusOr<DeadLetterChange> ReplayDeadLetters(const DeadLetterChoice& choice,
                                                             std::chrono::microseconds apart,
                                                             const OperatorAction& action) = 0;
  /// Takes them off the list for good; their bytes are kept. kDeadLettersChanged at most.
  virtual absl::StatusOr<DeadLetterChange> DiscardDeadLetters(const DeadLetterChoice& choice,
                                                              const OperatorAction& action) = 0;
};

}  // namespace postrider
