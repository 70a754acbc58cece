#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

#include "server/base/clock.h"
#include "server/model/ids.h"
#include "server/store/operator_action.h"

namespace postrider {

/// The source of dead letters that are sends; of webhooks it is the profile of their path.
inline constexpr std::string_view kSendSource = "send";

/// Which of a tenant's dead letters are meant: those that match every field that is set.
struct DeadLetterFilter {
  TenantId tenant_id;       ///< Nil, of all tenants: GroupDeadLetters only.
  std::string reason = {};  ///< "UNREADABLE", "FAILED" ...; empty: any.
  std::string source = {};  ///< "send", "guide", "platform"; empty: any.
  WallTime since{};         ///< Given up then or later; epoch: ever.
  WallTime until{};         ///< Given up before then; epoch: ever.
};

/// Those to be changed: these, or without any all that match.
struct DeadLetterChoice {
  DeadLetterFilter filter;
  std::vector<DeadLetterId> ids = {};
};

/// A webhook that was answered 200 and could not be applied, or a send that ended REJECTED, FAILED
/// or UNDETERMINED.
struct DeadLetter {
  TenantId tenant_id;
  DeadLetterId dead_letter_id;  ///< The webhook's inbox_id; the message's message_id.
  std::string source;
  std::string reason;  ///< Of a send its state.
  std::string detail;  ///< One line for people.
  std::string body;    ///< Of a webhook; empty in lists.
  WallTime at{};       ///< When it was given up, the last time.
  int replays = 0;
  std::int64_t bytes = 0;  ///< Of the body.
  /// A send that may have arrived: no replay takes it unless it names it.
  bool only_by_id = false;
};

/// A place in the list of a tenant's dead letters, newest first; the default is its begin.
struct DeadLetterPlace {
  WallTime at{};
  DeadLetterId dead_letter_id;
};

struct DeadLetterGroup {
  TenantId tenant_id;
  std::string reason;
  std::string source;
  std::int64_t count = 0;
  /// Of `count`: those that a replay takes by their ids only. They were replayed kMostReplays
  /// times, or are sends that may have arrived.
  std::int64_t only_by_id = 0;
  WallTime oldest{};
  WallTime newest{};
};

/// What a change did.
struct DeadLetterChange {
  int changed = 0;
  bool has_more = false;  ///< As many as are changed at once: there may be more.
};

/// Webhooks that were given up and sends that failed: a part of Store (store.h), whose rules and
/// errors hold. A send is one from the transaction on that ends it so, until a late status says
/// that it did not fail.
class DeadLetterStore {
 public:
  virtual ~DeadLetterStore() = default;

  /// Those after `place`, newest first.
  virtual absl::StatusOr<std::vector<DeadLetter>> ListDeadLetters(const DeadLetterFilter& filter,
                                                                  const DeadLetterPlace& place,
                                                                  int limit) = 0;
  /// By tenant, reason and source, the largest first; kDeadLetterGroups at most. Of all tenants:
  /// the kMostCounted newest of each.
  virtual absl::StatusOr<std::vector<DeadLetterGroup>> GroupDeadLetters(
      const DeadLetterFilter& filter) = 0;
  /// How many are meant, however many a call changes. Without ids: those that are only replayed by
  /// them too, when `only_by_id`.
  virtual absl::StatusOr<std::int64_t> CountDeadLetters(const DeadLetterChoice& choice,
                                                        bool only_by_id) = 0;
  /// With its body. NOT_FOUND when it is not one of the tenant's, or not dead any more.
  virtual absl::StatusOr<DeadLetter> FindDeadLetter(TenantId tenant, DeadLetterId id) = 0;
  /// The same, and puts it on record that somebody sees it unmasked.
  virtual absl::StatusOr<DeadLetter> UnmaskDeadLetter(TenantId tenant, DeadLetterId id,
                                                      const OperatorAction& action) = 0;

  /// Takes them up again, the oldest first and `apart` from one another, in the transaction that
  /// puts the action on record: nothing is lost between. Webhooks are parked to be applied again;
  /// sends are QUEUED for a new attempt. kDeadLettersChanged at most; without ids none that are
  /// replayed only by them. What fails again is dead again.
  virtual absl::StatusOr<DeadLetterChange> ReplayDeadLetters(const DeadLetterChoice& choice,
                                                             std::chrono::microseconds apart,
                                                             const OperatorAction& action) = 0;
  /// Takes them off the list for good; their bytes are kept. kDeadLettersChanged at most.
  virtual absl::StatusOr<DeadLetterChange> DiscardDeadLetters(const DeadLetterChoice& choice,
                                                              const OperatorAction& action) = 0;
};

}  // namespace postrider
