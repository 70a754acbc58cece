#include <algorithm>

#include "server/base/strings.h"
#include "server/model/conversation_limits.h"
#include "server/policy/conversation_key.h"
#include "tests/support/fake_store.h"

// Conversations and their timelines.
namespace postrider {
namespace {

constexpr std::string_view kExternalContact = "x:";

InboundMessage InboundOf(const fake_store::KeptInbound& kept) {
  const InboundText& text = kept.entry.text;
  InboundMessage inbound;
  inbound.inbound_id = kept.entry.row.inbox_id;
  inbound.conversation_id = kept.conversation_id;
  inbound.sender = text.sender;
  inbound.recipient = text.recipient;
  inbound.text = text.text;
  inbound.text_erased = kept.text_erased;
  inbound.keyword = kept.entry.keyword;
  inbound.provider_message_id = text.provider_message_id;
  inbound.provider_conversation_id = text.provider_conversation_id;
  inbound.provider_at = text.provider_at;
  inbound.received_at = kept.received_at;
  return inbound;
}

bool MatchesFilter(const ConversationFilter& filter, const Conversation& conversation) {
  return (filter.sender_id.IsNil() || filter.sender_id == conversation.sender_id) &&
         (filter.recipient.empty() || filter.recipient == conversation.recipient) &&
         (filter.external_contact_id.empty() ||
          filter.external_contact_id == conversation.external_contact_id);
}

}  // namespace

MessageId FakeStore::LastSentIn(ConversationId id, TenantId tenant) const {
  MessageId last;
  for (const auto& [key, kept] : messages_) {
    if (key.tenant_id != tenant || kept.message.request.conversation_id != id) continue;
    last = std::max(last, key.message_id);
  }
  return last;
}

ConversationId FakeStore::ConversationFor(const NewInbound& entry, SenderId sender) {
  const TenantId tenant = entry.row.tenant_id;
  std::optional<std::tuple<MessageId, WallTime, ConversationId>> latest;
  for (const auto& [key, kept] : conversations_) {
    if (std::get<0>(key) != tenant || std::get<2>(key) != sender) continue;
    if (kept.recipient != entry.text.recipient) continue;
    const std::tuple one(LastSentIn(kept.GoesTo(), tenant), kept.created_at, kept.GoesTo());
    if (!latest || one > *latest) latest = one;
  }
  if (latest) return std::get<2>(*latest);
  MessageRequest contact;
  contact.tenant_id = tenant;
  contact.recipient = entry.text.recipient;
  contact.sender_id = sender;
  return Join(contact, MeetingOf(contact), entry.new_conversation_id);
}

Conversation FakeStore::ConversationOf(const ContactKey& key,
                                       const fake_store::KeptConversation& kept) const {
  Conversation out;
  out.conversation_id = kept.conversation_id;
  const std::string& contact = std::get<1>(key);
  if (contact.starts_with(kExternalContact)) {
    out.external_contact_id = contact.substr(kExternalContact.size());
  }
  out.recipient = kept.recipient;
  out.sender_id = std::get<2>(key);
  out.created_at = kept.created_at;
  out.merged_into = kept.merged_into;
  const auto tenant = tenants_.find(std::get<0>(key));
  if (tenant == tenants_.end()) return out;
  for (const SenderRow& sender : tenant->second.senders) {
    if (sender.sender_id == out.sender_id) out.sender = sender.address;
  }
  return out;
}

absl::StatusOr<Conversation> FakeStore::FindConversation(TenantId tenant, ConversationId id) {
  Enter("FindConversation");
  MutexLock lock(mu_);
  PR_RETURN_IF_ERROR(Begin("FindConversation"));
  for (const auto& [key, kept] : conversations_) {
    if (std::get<0>(key) == tenant && kept.conversation_id == id) id = kept.GoesTo();
  }
  for (const auto& [key, kept] : conversations_) {
    if (std::get<0>(key) == tenant && kept.conversation_id == id) return ConversationOf(key, kept);
  }
  return absl::NotFoundError("no such conversation");
}

absl::StatusOr<Conversation> FakeStore::FindConversationOf(const ContactOfSender& contact) {
  Enter("FindConversationOf");
  MutexLock lock(mu_);
  PR_RETURN_IF_ERROR(Begin("FindConversationOf"));
  MessageRequest as_sent;
  as_sent.tenant_id = contact.tenant_id;
  as_sent.sender_id = contact.sender_id;
  const bool number = contact.contact_key.starts_with("n:");
  (number ? as_sent.recipient : as_sent.external_contact_id) = contact.contact_key.substr(2);
  const ConversationId id = MeetingOf(as_sent).goes_to;
  for (const auto& [key, kept] : conversations_) {
    if (std::get<0>(key) == contact.tenant_id && kept.conversation_id == id && !id.IsNil()) {
      return ConversationOf(key, kept);
    }
  }
  return absl::NotFoundError("no such conversation");
}

absl::StatusOr<std::vector<TimelineEntry>> FakeStore::ReadTimeline(TenantId tenant,
                                                                   ConversationId id,
                                                                   const Uuid& before, int limit) {
  Enter("ReadTimeline");
  MutexLock lock(mu_);
  PR_RETURN_IF_ERROR(Begin("ReadTimeline"));
  std::set<ConversationId> all = {id};
  for (const auto& [key, kept] : conversations_) {
    if (std::get<0>(key) == tenant && kept.merged_into == id) all.insert(kept.conversation_id);
  }
  std::vector<TimelineEntry> entries;
  for (const auto& [key, kept] : messages_) {
    if (key.tenant_id != tenant || !all.contains(kept.message.request.conversation_id)) continue;
    if (key.message_id.uuid < before) entries.emplace_back(kept.message);
  }
  for (const fake_store::KeptInbound& kept : inbound_) {
    const InboxRow& row = kept.entry.row;
    if (row.tenant_id != tenant || !all.contains(kept.conversation_id)) continue;
    if (row.inbox_id.uuid < before) entries.emplace_back(InboundOf(kept));
  }
  std::sort(entries.begin(), entries.end(),
            [](const auto& a, const auto& b) { return PlaceOf(a) > PlaceOf(b); });
  if (entries.size() > static_cast<std::size_t>(limit)) {
    entries.resize(static_cast<std::size_t>(limit));
  }
  return entries;
}

absl::StatusOr<ConversationPage> FakeStore::ListConversations(const ConversationFilter& filter,
                                                              const ConversationPlace& place,
                                                              int limit) {
  Enter("ListConversations");
  MutexLock lock(mu_);
  PR_RETURN_IF_ERROR(Begin("ListConversations"));
  const bool by_sender = !filter.recipient.empty() || !filter.external_contact_id.empty();
  const auto place_of = [&](const Conversation& c) {
    return ConversationPlace{by_sender ? c.sender_id : SenderId{}, c.conversation_id};
  };
  const ConversationPlace after{by_sender ? place.sender_id : SenderId{}, place.conversation_id};
  std::vector<Conversation> all;
  for (const auto& [key, kept] : conversations_) {
    if (std::get<0>(key) != filter.tenant_id) continue;
    Conversation conversation = ConversationOf(key, kept);
    if (place_of(conversation) > after) all.push_back(std::move(conversation));
  }
  std::sort(all.begin(), all.end(),
            [&](const auto& a, const auto& b) { return place_of(a) < place_of(b); });
  ConversationPage page;
  int looked_at = 0;
  for (Conversation& conversation : all) {
    const ConversationPlace here{conversation.sender_id, conversation.conversation_id};
    if (MatchesFilter(filter, conversation)) {
      if (static_cast<int>(page.conversations.size()) == limit) {
        const Conversation& last = page.conversations.back();
        page.next = ConversationPlace{last.sender_id, last.conversation_id};
        break;
      }
      page.conversations.push_back(std::move(conversation));
    }
    if (++looked_at == kConversationsScanned && !by_sender && !filter.sender_id.IsNil()) {
      page.next = here;
      break;
    }
  }
  return page;
}

}  // namespace postrider
