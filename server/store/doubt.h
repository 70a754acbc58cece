#pragma once

#include <chrono>
#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "server/model/dispatch_limits.h"
#include "server/model/doubt.h"
#include "server/model/ids.h"
#include "server/model/message.h"
#include "server/model/receipt.h"
#include "server/store/lease.h"
#include "server/store/operator_action.h"

namespace postrider {

/// A message whose state somebody should ask for: UNKNOWN, or accepted without a final receipt.
struct DoubtfulMessage {
  MessageKey key;
  MessageState state = MessageState::kUnknown;
  int attempt = 1;
  int reads = 0;                       ///< So far.
  std::chrono::microseconds waited{};  ///< Since it began to wait for news.
  /// What a read asks by; the ids are empty until known.
  std::string provider_message_id;
  std::string provider_conversation_id;
  std::string recipient;
  std::string sender;
  std::string text;
  WallTime intended_at{};  ///< Of the attempt; epoch: nobody knows (after_restore.h).
};

/// What came of looking for news of a message.
struct Look {
  MessageKey key;
  int attempt = 1;
  LookKind kind = LookKind::kNothing;
  /// With kFound: what Genesys knows. One that another message has already, or another attempt of
  /// this one, does not count; then it is kAbsent when none is left, and kNothing when several are.
  std::vector<Receipt> candidates = {};
  bool asked = false;                   ///< The provider was asked, whatever it answered.
  std::chrono::nanoseconds again_in{};  ///< When to look again, if that is needed.
  /// Its read was answered 429: nothing of the tenant leaves for so long, whoever owns its slot.
  std::chrono::nanoseconds tenant_waits{};
};

/// What ended doubts, by count.
struct DoubtEnds {
  int answered = 0;      ///< By what was read.
  int sent_again = 0;    ///< AT_LEAST_ONCE.
  int undetermined = 0;  ///< UNKNOWN to the end of the window.
  int closed = 0;        ///< SUBMITTED or SENT to the end of the window.
};

/// An operator's word that a message is to be sent once more.
struct Replay {
  enum class Kind {
    kReplayed,
    kNotFailed,
    kErased,  ///< Its text or its recipient's number: there is nothing to send.
    kNotFound,
  };
  Kind kind = Kind::kNotFound;
  std::optional<Message> message;  ///< As stored now; set unless kNotFound.
};

/// Messages that nobody knows enough of: step 11 of the life of a message. Part of Store; errors as
/// there. What is asked for slots whose lease is not held any more does not happen.
class DoubtStore {
 public:
  virtual ~DoubtStore() = default;

  /// Looks through messages of these slots that have become `times.QuietAfter()` old, each once,
  /// and puts accepted ones without a final status among those whose next look is due. Returns how
  /// many it went through: kQuietRows at most, and then there may be more.
  virtual absl::StatusOr<int> CollectQuiet(ReplicaId replica, std::span<const Lease> leases,
                                           const DoubtTimes& times) = 0;
  /// Messages whose next look is due, UNKNOWN ones first, `limit` at most; they are not due again
  /// before kLookClaim.
  virtual absl::StatusOr<std::vector<DoubtfulMessage>> TakeDoubtful(ReplicaId replica,
                                                                    std::span<const Lease> leases,
                                                                    int limit) = 0;
  /// Applies what was found as receipts are applied, and sends again what may and must be.
  virtual absl::StatusOr<DoubtEnds> RecordLooks(ReplicaId replica, std::span<const Lease> leases,
                                                std::span<const Look> looks,
                                                const DoubtTimes& times) = 0;
  /// Ends what waits in doubt without news for `times.window`; kIntentRows at most a call.
  virtual absl::StatusOr<DoubtEnds> CloseWindows(ReplicaId replica, std::span<const Lease> leases,
                                                 const DoubtTimes& times) = 0;
  /// Sends a REJECTED, FAILED or UNDETERMINED message once more: QUEUED for a new attempt, with a
  /// row of operator_action. It was final and stays so; what follows are corrections. A dead letter
  /// of it is replayed.
  virtual absl::StatusOr<Replay> ReplayMessage(const MessageKey& key,
                                               const OperatorAction& action) = 0;
};

}  // namespace postrider
