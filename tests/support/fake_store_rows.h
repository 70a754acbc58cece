#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "server/store/store.h"

/// What FakeStore keeps: its tables' rows.
namespace postrider::fake_store {

/// Whether a failing operation has had its effect: kAfter is a commit in doubt.
enum class When { kBefore, kAfter };

/// When a message without news is looked for.
struct KeptDoubt {
  WallTime since{};
  WallTime next{};
  int reads = 0;
  int absent = 0;
};
/// What an operator did.
struct KeptAction {
  TenantId tenant_id;
  std::string actor, action, target, reason;
};

struct Kept {
  Message message;
  std::vector<StatusEvent> history;
  std::vector<Attempt> attempts;
  std::vector<ReplicaId> makers;  ///< One an attempt.
  WallTime due_at{};
  std::set<std::string> receipt_hashes;
  std::map<int, AttemptStatus> hidden;  ///< What receipts said of attempts that are not shown.
  std::optional<KeptDoubt> doubt;
  int late = 0;  ///< The last late transaction that changed it; 0: none did.
};
struct KeptRequest {
  MessageId message_id;
  std::string fingerprint;
};
using ContactKey = std::tuple<TenantId, std::string, SenderId>;
struct KeptConversation {
  ConversationId conversation_id;
  std::string recipient;  ///< That it began with.
  WallTime created_at{};
  ConversationId merged_into;  ///< Nil: it goes on in itself.

  ConversationId GoesTo() const { return merged_into.IsNil() ? conversation_id : merged_into; }
};
/// Whose conversation a message joins.
struct Meeting {
  ContactKey key;               ///< The contact's; of one that is met by its number, that one's.
  ConversationId goes_to = {};  ///< Nil: one is to begin.
  bool by_number = false;
  bool adopts = false;  ///< The number becomes known as this contact.
};
/// A text that came in.
struct KeptInbound {
  NewInbound entry;
  ConversationId conversation_id;
  WallTime received_at{};
  bool text_erased = false;
};
using QuotaKey = std::tuple<TenantId, std::int64_t, std::string>;  ///< Day since the epoch, token.
struct Replica {
  std::string name;
  WallTime started_at{};
  WallTime expires_at{};
  bool fenced = false;
};
struct Slot {
  ReplicaId owner;
  std::int64_t epoch = 0;
};
enum class InboxState { kOpen, kApplied, kDuplicate, kParked, kDeadLetter };
struct KeptInbox {
  InboxRow row;
  WallTime received_at{};
  WallTime next_try_at{};  ///< Of a parked one.
  InboxState state = InboxState::kOpen;
};
/// A message that carriers rejected for its content.
struct KeptRejection {
  std::string campaign_id;
  WallTime rejected_at{};
  bool judged = false;
};
enum class KeptLetterState { kDead, kReplayed, kDiscarded, kSettled };
struct KeptLetter {
  DeadLetter letter;
  KeptLetterState state = KeptLetterState::kDead;
};
/// How a breaker stands for those who post, and what it would judge by now.
struct BreakerLook {
  BreakerState in_force = BreakerState::kClosed;
  int canaries = 0;         ///< While half-open: of the present wave.
  WallTime since{};         ///< Without a break as above.
  bool overridden = false;  ///< By an operator.
  std::int64_t calls = 0;
  std::int64_t failures = 0;
};
/// What a breaker has: its standing, an operator's word, and calls and failures by bucket.
struct KeptBreaker {
  BreakerStanding standing;
  std::optional<BreakerOverride> override_set;
  std::map<std::int64_t, std::pair<std::int64_t, std::int64_t>> counts;
  BreakerLook look;  ///< When standing or override were last written.
};
/// Events, by place, of a transaction that is not visible yet.
struct LateCommit {
  std::size_t from = 0, to = 0;
  bool in_doubt = false;  ///< Nobody waits for it any more.
};
/// Who opted out of which sender; nil: all of the tenant's.
struct ConsentKey {
  TenantId tenant_id;
  std::string recipient;
  SenderId sender_id;
  friend auto operator<=>(const ConsentKey&, const ConsentKey&) = default;
};
/// Keywords of a recipient in one batch of texts.
struct KeywordsOfBatch {
  bool was_out = false;              ///< Before the batch.
  std::optional<std::size_t> stop;   ///< The text of the batch that opted out, the last said.
  WallTime said_at{};                ///< When it was said.
  ConversationId conversation_id{};  ///< Of that text.
};
/// An opt-out that may not have reached all yet.
struct OptOutWaits {
  WallTime since{};
  WallTime look_at{};
};
struct KeptTick {
  Tick tick;
  std::size_t events = 0;          ///< How many of `events_` it shows ...
  std::vector<LateCommit> hidden;  ///< ... but for these.

  bool Shows(std::size_t event) const {
    return event < events &&
           std::none_of(
               hidden.begin(), hidden.end(),
               [&](const LateCommit& late) { return late.from <= event && event < late.to; });
  }
};
struct Fault {
  int left = 0;
  When when = When::kBefore;
  std::string operation;
};

}  // namespace postrider::fake_store
