#pragma once

#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "absl/status/statusor.h"

#include "server/base/clock.h"
#include "server/model/ids.h"
#include "server/model/message.h"
#include "server/policy/keywords.h"
#include "server/store/operator_action.h"

namespace postrider {

/// What a contact and a sender of the tenant have to say to each other.
struct Conversation {
  ConversationId conversation_id;
  std::string external_contact_id;  ///< Empty: the number is the contact.
  std::string recipient;            ///< That it began with.
  SenderId sender_id;
  std::string sender;
  WallTime created_at{};
  ConversationId merged_into = {};  ///< Its contact was merged: it goes on in that one. Nil: no.
};

/// Contact and sender: the key of a conversation.
struct ContactOfSender {
  TenantId tenant_id;
  SenderId sender_id;
  std::string contact_key;  ///< As ContactKeyOf makes it.
};

/// A text that came in, as it is kept.
struct InboundMessage {
  InboxId inbound_id;
  ConversationId conversation_id;
  std::string sender;
  std::string recipient;  ///< Empty: erased.
  std::string text;       ///< Empty: erased, or a picture or the like.
  bool text_erased = false;
  Keyword keyword = Keyword::kNone;
  std::string provider_message_id;
  std::string provider_conversation_id;
  WallTime provider_at{};  ///< Epoch: not told.
  WallTime received_at{};
};

/// One text of a conversation, in either direction.
using TimelineEntry = std::variant<Message, InboundMessage>;
/// Its place in the timeline: a UUIDv7, of when it reached the gateway.
Uuid PlaceOf(const TimelineEntry& entry);
/// Greater than every other: before it is the whole timeline.
Uuid LastUuid();

/// Which of a tenant's conversations are meant: those that match every field that is set.
struct ConversationFilter {
  TenantId tenant_id = {};
  SenderId sender_id = {};               ///< Nil: of any.
  std::string recipient = {};            ///< The number that it began with; empty: any.
  std::string external_contact_id = {};  ///< Empty: any.
};

/// A place in the list of those that match a filter; the default is its begin.
struct ConversationPlace {
  SenderId sender_id;
  ConversationId conversation_id;
  friend auto operator<=>(const ConversationPlace&, const ConversationPlace&) = default;
};

struct ConversationPage {
  std::vector<Conversation> conversations;
  std::optional<ConversationPlace> next;  ///< Where the next page goes on; none: the last one.
};

/// What a MergeContacts did.
struct ContactMerge {
  enum class Kind {
    kMerged,
    kMergedBefore,  ///< The same, some time ago: nothing more happened.
    kNoContact,     ///< `survivor` is the contact that was never written to.
    kIsMerged,      ///< `from` was merged into another one before: `survivor`.
    kCycle,         ///< `into` was merged into `from` before.
    kTooMany,       ///< More than kMostMerged, or kMostConversationsMerged.
  };
  struct Conversations {
    SenderId sender_id;
    ConversationId from;
    ConversationId into;  ///< Where it goes on: itself, when the other contact had none.
  };
  Kind kind = Kind::kMerged;
  std::string survivor = {};  ///< A contact's key: with kMerged and kMergedBefore who goes on.
  std::vector<Conversations> conversations = {};  ///< With kMerged: those of `from`.
};

/// Conversations: a part of Store (store.h), whose errors hold.
///
/// Whose conversation a message joins: its contact's with that sender. A contact without one goes
/// on in the conversation of its number, when the number has one contact only with that sender and
/// one of the two is the number itself: then the number has become known (adoption), or is known
/// already. Contacts that were merged are one; their conversations lead to the one that goes on,
/// and look-ups find that one by each of their ids and contacts.
class ConversationStore {
 public:
  virtual ~ConversationStore() = default;

  /// NOT_FOUND when the tenant has none.
  virtual absl::StatusOr<Conversation> FindConversation(TenantId tenant, ConversationId id) = 0;
  virtual absl::StatusOr<Conversation> FindConversationOf(const ContactOfSender& contact) = 0;
  /// What was sent and what came in before `before`, the newest first, `limit` at most. None of
  /// what is not kept any more; none when there is no such conversation.
  virtual absl::StatusOr<std::vector<TimelineEntry>> ReadTimeline(TenantId tenant,
                                                                  ConversationId id,
                                                                  const Uuid& before,
                                                                  int limit) = 0;
  /// Those after `place`, `limit` at most: by conversation_id; with a recipient or an external
  /// contact by sender_id and conversation_id. With a sender alone kConversationsScanned are looked
  /// at, and a page may be short or empty before the last.
  virtual absl::StatusOr<ConversationPage> ListConversations(const ConversationFilter& filter,
                                                             const ConversationPlace& place,
                                                             int limit) = 0;
  /// From the commit on `from` and `into` (keys as ContactKeyOf makes them; `into` has an external
  /// id) are one contact: `into`, or the one that it was merged into. What is accepted for either
  /// goes on in the conversations of that one. With the action on record, once.
  virtual absl::StatusOr<ContactMerge> MergeContacts(TenantId tenant, const std::string& from,
                                                     const std::string& into,
                                                     const OperatorAction& action) = 0;
};

}  // namespace postrider
