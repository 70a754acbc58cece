#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

#include "server/model/dispatch_limits.h"
#include "server/model/events.h"
#include "server/model/ids.h"
#include "server/model/message.h"
#include "server/model/receipt.h"
#include "server/store/breakers.h"
#include "server/store/consent.h"
#include "server/store/content.h"
#include "server/store/control.h"
#include "server/store/conversations.h"
#include "server/store/dead_letters.h"
#include "server/store/doubt.h"
#include "server/store/events.h"
#include "server/store/inbox.h"
#include "server/store/lease.h"
#include "server/store/retention.h"
#include "server/store/tenants.h"

namespace postrider {

/// The verdict on one message of an Accept.
struct Acceptance {
  enum class Kind {
    kNew,
    kDuplicate,        ///< Accepted before with the same request: message_id is the first's.
    kRequestIdReused,  ///< Accepted before with another request.
    kOptedOut,
    kConversationMismatch,  ///< The named conversation, or the contact's, is another one.
    kContactMismatch,       ///< The named conversation belongs to another contact.
    kQueueFull,             ///< NewMessage.bounds: as many wait as may.
    kTenantQuotaExceeded,   ///< The same: the tenant's quota of the day is used up.
    kTokenQuotaExceeded,
    kMayNotOpen,  ///< It would be the first of its conversation.
    kCapReached,  ///< One of its caps: `cap` says which.
  };
  Kind kind = Kind::kNew;
  MessageId message_id = {};
  ConversationId conversation_id =
      {};                  ///< The one it got; on a mismatch, the contact's stored one.
  WallTime at{};           ///< The store's time of the transaction; with kNew, as it is stored.
  std::int64_t count = 0;  ///< With kQueueFull: how many wait. With a quota, a cap: its use today.
  std::size_t cap = 0;     ///< With kCapReached: its place in the bounds' caps.
};

/// A message with all that happened to it.
struct MessageRecord {
  Message message;
  std::vector<StatusEvent> history;  ///< By revision; kMaxHistoryRows at most.
  std::vector<Attempt> attempts;     ///< By number.
  std::string fingerprint = {};      ///< As NewMessage has it; empty unless found by request_id.
};

/// How many messages of a flow the dispatcher has room for.
struct FlowRoom {
  Flow flow;
  int room = 0;
};

/// A queued message whose time has come.
struct DueMessage {
  MessageKey key;
  std::size_t of = 0;  ///< The flow: its place in what was asked.
};

/// A tenant that the provider told to wait.
struct TenantPause {
  TenantId tenant_id;
  std::chrono::nanoseconds left{};
};

/// What became of one message of an Intend.
struct Intent {
  enum class Kind { kPost, kEnded, kGone };  ///< kEnded: expired or opted out; kGone: not QUEUED.
  MessageKey key;
  Kind kind = Kind::kGone;
  int attempt = 0;         ///< With kPost.
  MessageRequest request;  ///< With kPost.
};

/// A POST's end, to be recorded.
struct AttemptOutcome {
  MessageKey key;
  int attempt = 1;
  Outcome outcome;
  /// With kNotSent, kHeld, kTakenBack: due after this. With kAccepted: looked for after this
  /// without a final status, when CollectQuiet may have passed the message already.
  std::chrono::nanoseconds again_in{};
};

/// What a cancel did.
struct Cancellation {
  enum class Kind { kCancelled, kTooLate, kNotFound };
  Kind kind = Kind::kNotFound;
  std::optional<Message> message;  ///< As stored now; set unless kNotFound.
};

/// The gateway's memory: the fourth seam. PgStore keeps it in Postgres; FakeStore in memory for
/// unit tests (tests/support/fake_store.h); one contract suite runs over both.
///
/// Every operation is one transaction. Blocks; safe from any thread. Errors, common to all:
///   UNAVAILABLE       the database is away: nothing happened, or (lost commit) it may have; every
///                     operation can be repeated
///   INVALID_ARGUMENT  the database refused the data (SQLSTATE class 22, 23): nothing happened
///   ABORTED           serialisation failure or deadlock, kMaxTransactionTries times
///   INTERNAL          anything else
class Store : public EventStore,
              public TenantStore,
              public ControlStore,
              public DoubtStore,
              public BreakerStore,
              public InboxStore,
              public DeadLetterStore,
              public ConversationStore,
              public RetentionStore,
              public ConsentStore,
              public ContentStore {
 public:
  // --- Step 2: accept. One verdict a message, in order; all of one transaction. A repeat gets the
  // first's verdict whatever its bounds. Quotas and caps hold exactly (near a cap, one may be told
  // that it is reached for the sake of others of its batch, which are refused for another reason);
  // a queue may exceed its limit by what other transactions accept at the same time: a batch each.
  virtual absl::StatusOr<std::vector<Acceptance>> Accept(std::span<const NewMessage> batch) = 0;
  /// The verdict that Accept would give on it alone; nothing is kept.
  virtual absl::StatusOr<Acceptance> WouldAccept(const NewMessage& message) = 0;

  // --- Look-ups. NOT_FOUND when the tenant has no such message.
  virtual absl::StatusOr<MessageRecord> GetMessage(const MessageKey& key) = 0;
  virtual absl::StatusOr<MessageRecord> GetMessageByRequest(TenantId tenant,
                                                            const std::string& request_id) = 0;
  virtual absl::StatusOr<Cancellation> Cancel(const MessageKey& key) = 0;

  // --- Step 3: own. A replica lives until kLeaseTime after its last renewal, by the database's
  // clock. RenewReplica makes the row at first; false: it was fenced and must not live on.
  virtual absl::StatusOr<bool> RenewReplica(ReplicaId replica, const std::string& name) = 0;
  /// Fences the dead and takes free slots up to this replica's fair share; what the owner before
  /// left DISPATCHING in a slot that is taken becomes UNKNOWN. One that somebody else's transaction
  /// holds is left for the next time. No slots when `replica` is fenced.
  virtual absl::StatusOr<SlotShare> AcquireSlots(ReplicaId replica) = 0;
  /// Gives back `leases`, whatever is still open there (drain).
  virtual absl::Status ReleaseSlots(ReplicaId replica, std::span<const Lease> leases) = 0;
  /// Gives back those of `leases` in which no attempt is open (more than the fair share). Returns
  /// those that it has given back, or did not have any more.
  virtual absl::StatusOr<std::vector<Lease>> ReleaseIdleSlots(ReplicaId replica,
                                                              std::span<const Lease> leases) = 0;
  /// Ends the replica's row; its slots must have been released.
  virtual absl::Status RetireReplica(ReplicaId replica) = 0;

  // --- Step 4: choose. Flows of these slots whose first message is due, but paused ones: the first
  // kFlowsOfPriority of a tenant's priority and kFlowsOfSlot of a slot, by key.
  virtual absl::StatusOr<std::vector<Flow>> FlowsWithWork(std::span<const int> slots) = 0;
  /// Tenants of these slots that the provider told to wait (an outcome held for kRetryAfter was
  /// recorded), and the longest such wait: a new owner keeps the pause of the one before.
  virtual absl::StatusOr<std::vector<TenantPause>> PausesInForce(std::span<const int> slots) = 0;
  /// Due messages of each flow up to its room, those due first before others; nothing that is
  /// paused.
  virtual absl::StatusOr<std::vector<DueMessage>> ChooseDue(std::span<const FlowRoom> rooms) = 0;

  // --- Step 5: intend. Re-checks suppression, expiry, cancel and pauses; writes the attempt row.
  // Messages of slots whose lease is not held any more, and paused ones, are kGone. One Intent a
  // message, in order. Repeated after UNAVAILABLE, it waits for the lost transaction's end; what
  // that one intended is kGone.
  virtual absl::StatusOr<std::vector<Intent>> Intend(ReplicaId replica,
                                                     std::span<const Lease> leases,
                                                     std::span<const MessageKey> batch) = 0;

  // --- Step 7: record. By compare-and-set on the open attempt that `replica` made: repeating
  // changes nothing, and what a new owner of the slot did stays. Attempt 0 stands for whichever
  // attempt of the message this replica left open, if any (an Intend whose commit is in doubt).
  virtual absl::Status RecordOutcomes(ReplicaId replica, std::span<const AttemptOutcome> batch) = 0;

  // --- Upkeep: partitions ahead of time; request keys, ticks and replicas past their time.
  virtual absl::Status Maintain() = 0;
};

}  // namespace postrider
