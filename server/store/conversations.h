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

namespace postrider {

/// What a contact and a sender of the tenant have to say to each other.
struct Conversation {
  ConversationId conversation_id;
  std::string external_contact_id;  ///< Empty: the number is the contact.
  std::string recipient;            ///< That it began with.
  SenderId sender_id;
  std::string sender;
  WallTime created_at{};
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

/// Reads of conversations: a part of Store (store.h), whose errors hold.
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
};

}  // namespace postrider
