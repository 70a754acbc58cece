#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

#include "server/model/receipt.h"
#include "server/policy/keywords.h"
#include "server/store/operator_action.h"

namespace postrider {

/// A receipt to be applied: the inbox row and what it says, or why it cannot be read.
struct ParsedReceipt {
  InboxRow row;
  absl::StatusOr<Receipt> receipt;
};

/// What copies of `receipt` share: SHA-256 of the body. The guide's own rule, by the ids of message
/// and conversation, would take `delivered` for a copy of `sent`. Pure.
std::string DedupeKeyOf(const ParsedReceipt& receipt);

/// What became of one receipt of an Apply.
struct ReceiptEnd {
  std::optional<InboxVerdict> verdict;  ///< None: parked.
  MessageId message_id;                 ///< The one it is about; nil when that is not known.
};

/// What an Apply did: by count, and of each receipt in order.
struct ApplyCounts {
  int applied = 0;
  int duplicates = 0;
  int parked = 0;
  int dead_letters = 0;
  std::vector<ReceiptEnd> ends;
};

/// A text from a recipient, with the inbox row that brought it.
struct NewInbound {
  InboxRow row;
  InboundText text;
  Keyword keyword = Keyword::kNone;
  ConversationId new_conversation_id;         ///< Used when its number has none with this sender.
  MessageId new_message_id = {};              ///< Of the answer, when it opts out and is answered.
  std::optional<OperatorAction> action = {};  ///< Of one that an operator recorded.
};

/// What copies of `entry` share: SHA-256 of the provider's id, else of the body. Pure.
std::string DedupeKeyOf(const NewInbound& entry);

/// What became of one text of a RecordInbound.
struct InboundEnd {
  InboxVerdict verdict = InboxVerdict::kDuplicate;
  bool answered = false;  ///< A message that answers its opt-out was accepted with it.
  friend bool operator==(const InboundEnd& end, InboxVerdict verdict) {
    return end.verdict == verdict;
  }
};

/// Webhooks from their arrival to their end: a part of Store (store.h), whose rules and errors
/// hold.
class InboxStore {
 public:
  virtual ~InboxStore() = default;

  /// Step 8: receive. A row that is there already stays as it is.
  virtual absl::Status AppendInbox(std::span<const InboxRow> batch) = 0;

  /// Step 9: apply. Parks what names a message nobody knows; unreadable ones and parked ones past
  /// kParkedFor become dead letters.
  virtual absl::StatusOr<ApplyCounts> ApplyReceipts(std::span<const ParsedReceipt> batch) = 0;
  /// Puts a row that cannot be applied aside.
  virtual absl::Status BuryReceipt(const InboxRow& row, const std::string& reason) = 0;
  /// Inbox rows of `tenants` older than kSweepAge and newer than `since` that nobody applied.
  virtual absl::StatusOr<std::vector<InboxRow>> SweepInbox(std::span<const TenantId> tenants,
                                                           WallTime since, int limit) = 0;
  /// Parked receipts, to be tried again.
  virtual absl::StatusOr<std::vector<InboxRow>> TakeParked(int limit) = 0;

  /// Step 9, of texts: each becomes part of the conversation that its number was last written to in
  /// by that sender, and its inbox row is done. One verdict a text, in order: a copy (the same
  /// provider_message_id, else the same body) is kDuplicate; one to an address that is no sender of
  /// the tenant kDeadLetter. With an action the row is kept here, too, and the action goes on
  /// record when the text is new. A keyword that opts out who was not opted out of that sender is
  /// answered, when the tenant has an opt_out_confirmation and the sender is active: with it, one
  /// URGENT message is accepted that expires kOptOutAnswerLasts later and that no opt-out stops.
  virtual absl::StatusOr<std::vector<InboundEnd>> RecordInbound(
      std::span<const NewInbound> batch) = 0;
};

}  // namespace postrider
