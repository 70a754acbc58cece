#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

#include "server/model/consent.h"
#include "server/model/message.h"
#include "server/store/operator_action.h"

namespace postrider {

/// A recipient's word on texts from a sender, or from all of a tenant's.
struct ConsentEvent {
  TenantId tenant_id;
  Uuid consent_id = {};        ///< Repeated with the same recipient and sender: the first counts.
  std::string recipient = {};  ///< E.164.
  SenderId sender_id = {};     ///< Nil: all senders of the tenant.
  ConsentChange change = ConsentChange::kOptOut;
  ConsentSource source = ConsentSource::kRecorded;
  std::string evidence = {};
  std::string actor = {};   ///< Of one that an operator recorded.
  std::string reason = {};  ///< The same.
  WallTime said_at{};       ///< Epoch: now. Never kept as later than now.
  WallTime recorded_at{};
};

/// What is known of a recipient's consent.
struct ConsentRecord {
  /// An opt-out in force.
  struct Suppression {
    SenderId sender_id;  ///< Nil: all senders of the tenant.
    WallTime since{};
  };
  std::vector<Suppression> suppressions;
  std::vector<ConsentEvent> history;  ///< The last said first; kMaxConsentHistory at most.
};

/// An opt-out in force, with whose it is.
struct ListedSuppression {
  std::string recipient;  ///< E.164.
  SenderId sender_id;     ///< Nil: all senders of the tenant.
  WallTime since{};
  Uuid suppression_id;  ///< Tells those of the same time apart.
};
/// Which of a tenant's opt-outs are meant: those that match every field that is set.
struct SuppressionFilter {
  TenantId tenant_id;
  SenderId sender_id = {};     ///< Of this sender alone, not of all; nil: any.
  std::string recipient = {};  ///< Empty: any.
};
/// A place in the list, which is by since and suppression_id, the latest first; the default is its
/// begin.
struct SuppressionPlace {
  WallTime since = WallTime::max();
  Uuid suppression_id = {};
};
struct SuppressionPage {
  std::vector<ListedSuppression> suppressions;
  std::optional<SuppressionPlace> next;  ///< Where the next page goes on; none: the last one.
};

/// What RecordConsent did.
struct ConsentCounts {
  int recorded = 0;   ///< Events that were new.
  int opted_out = 0;  ///< Suppressions that came in force ...
  int opted_in = 0;   ///< ... and that ended.
  /// Opt-ins whose recipients are opted out still: of a sender where it was of all, or of all where
  /// it was of one.
  int still_opted_out = 0;
};

/// Opt-outs and consent: a part of Store (store.h), whose rules and errors hold. Of a recipient and
/// a sender what was said last is in force, in whatever order it becomes known; of what was said at
/// the same time, the opt-out. Texts by keyword come by RecordInbound, receipts by ApplyReceipts.
class ConsentStore {
 public:
  virtual ~ConsentStore() = default;

  /// Records `batch`, of one tenant; commits alone, and at once. No intent that begins after it
  /// goes to whom it opts out. With an action, that goes on record when an event was new.
  virtual absl::StatusOr<ConsentCounts> RecordConsent(
      std::span<const ConsentEvent> batch, const std::optional<OperatorAction>& action) = 0;
  /// Ends queued messages of tenants in `slots` to recipients who opted out after they were
  /// accepted, or before they came back to the queue: SUPPRESSED. Returns how many,
  /// kSuppressedAtOnce at most, of kOptOutsAtOnce at most; nothing when none is to be looked at
  /// now. Each is looked at at once, and again after kOptOutSettles.
  virtual absl::StatusOr<std::optional<int>> SuppressQueued(std::span<const int> slots) = 0;
  virtual absl::StatusOr<ConsentRecord> FindConsent(TenantId tenant,
                                                    const std::string& recipient) = 0;
  /// Those after `place`, `limit` at most. With a sender kSuppressionsScanned are looked at, and a
  /// page may be short or empty before the last.
  virtual absl::StatusOr<SuppressionPage> ListSuppressions(const SuppressionFilter& filter,
                                                           const SuppressionPlace& place,
                                                           int limit) = 0;
};

}  // namespace postrider
