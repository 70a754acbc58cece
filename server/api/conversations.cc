#include "server/api/conversations.h"

#include <utility>

#include "server/api/convert.h"
#include "server/api/field_rules.h"
#include "server/api/page_token.h"
#include "server/base/strings.h"
#include "server/model/conversation_limits.h"
#include "server/policy/conversation_key.h"

namespace postrider {

namespace {

int PageSizeOf(int asked, int usual, int most, FieldRules& rules) {
  if (asked < 0 || asked > most) rules.Violate("page_size", StrCat("must be 0 to ", most));
  return asked == 0 ? usual : asked;
}

SenderId SenderOf(std::string_view field, const std::string& address, TenantId tenant,
                  const TenantSnapshot& tenants, FieldRules& rules) {
  const SenderRow* const sender = tenants.FindSender(tenant, address);
  if (sender != nullptr) return sender->sender_id;
  rules.Violate(field, "must be one of the tenant's senders, as registered");
  return {};
}

void CheckContactId(std::string_view field, const std::string& value, FieldRules& rules) {
  rules.Bytes(field, value, kMaxExternalContactIdBytes);
}

void CheckContact(const v1::ConversationContact& asked, const TenantSnapshot& tenants,
                  ContactOfSender& out, FieldRules& rules) {
  if (asked.sender().empty()) {
    rules.Violate("contact.sender", "is required");
  } else {
    out.sender_id = SenderOf("contact.sender", asked.sender(), out.tenant_id, tenants, rules);
  }
  MessageRequest contact;
  switch (asked.contact_case()) {
    case v1::ConversationContact::kExternalContactId:
      if (asked.external_contact_id().empty()) {
        rules.Violate("contact.external_contact_id", "is required");
      }
      CheckContactId("contact.external_contact_id", asked.external_contact_id(), rules);
      contact.external_contact_id = asked.external_contact_id();
      break;
    case v1::ConversationContact::kRecipient:
      rules.Number("contact.recipient", asked.recipient());
      contact.recipient = asked.recipient();
      break;
    case v1::ConversationContact::CONTACT_NOT_SET:
      rules.Violate("contact.contact", "is required: external_contact_id or recipient");
  }
  out.contact_key = ContactKeyOf(contact);
}

}  // namespace

Result<ConversationQuery> Validate(const v1::GetConversationRequest& request, TenantId tenant,
                                   const TenantSnapshot& tenants) {
  FieldRules rules;
  ConversationQuery query;
  query.contact.tenant_id = tenant;
  query.page_token = request.page_token();
  switch (request.key_case()) {
    case v1::GetConversationRequest::kConversationId: {
      const auto id = ConversationId::Parse(request.conversation_id());
      if (!id.ok() || id->IsNil()) rules.Violate("conversation_id", "is required, a UUID");
      if (id.ok()) query.conversation_id = *id;
      break;
    }
    case v1::GetConversationRequest::kContact:
      CheckContact(request.contact(), tenants, query.contact, rules);
      break;
    case v1::GetConversationRequest::KEY_NOT_SET:
      rules.Violate("key", "is required: conversation_id or contact");
  }
  query.page_size = PageSizeOf(request.page_size(), kTimelinePage, kTimelineShown, rules);
  if (!rules.ok()) return InvalidField(rules.Take());
  return query;
}

Result<ConversationListQuery> Validate(const v1::ListConversationsRequest& request, TenantId tenant,
                                       const TenantSnapshot& tenants) {
  FieldRules rules;
  ConversationListQuery query;
  query.filter.tenant_id = tenant;
  if (!request.sender().empty()) {
    query.filter.sender_id = SenderOf("sender", request.sender(), tenant, tenants, rules);
  }
  if (!request.recipient().empty()) rules.Number("recipient", request.recipient());
  query.filter.recipient = request.recipient();
  CheckContactId("external_contact_id", request.external_contact_id(), rules);
  query.filter.external_contact_id = request.external_contact_id();
  query.page_size = PageSizeOf(request.page_size(), kConversationsPage, kConversationsShown, rules);
  if (!rules.ok()) return InvalidField(rules.Take());
  if (request.page_token().empty()) return query;
  const auto place = ParsePageToken(tenant, ListOf(query.filter), request.page_token());
  if (!place) return PageTokenInvalid();
  query.place = {{place->first}, {place->second}};
  return query;
}

std::string ListOf(ConversationId timeline) { return StrCat("timeline ", timeline.ToString()); }

std::string ListOf(const ConversationFilter& filter) {
  // The number has no blank, so no two filters give the same.
  return StrCat("conversations ", filter.sender_id.ToString(), " ", filter.recipient, " ",
                filter.external_contact_id);
}

void ToProto(const Conversation& conversation, v1::Conversation& out) {
  out.set_conversation_id(conversation.conversation_id.ToString());
  out.set_external_contact_id(conversation.external_contact_id);
  out.set_recipient(conversation.recipient);
  out.set_sender(conversation.sender);
  ToProto(conversation.created_at, *out.mutable_created_at());
  if (!conversation.merged_into.IsNil()) {
    out.set_merged_into(conversation.merged_into.ToString());
  }
}

void ToProto(const TimelineEntry& entry, v1::TimelineEntry& out) {
  if (const auto* sent = std::get_if<Message>(&entry)) {
    return ToProto(*sent, *out.mutable_sent());
  }
  const InboundMessage& inbound = std::get<InboundMessage>(entry);
  v1::InboundMessage& received = *out.mutable_received();
  received.set_inbound_id(inbound.inbound_id.ToString());
  received.set_conversation_id(inbound.conversation_id.ToString());
  received.set_recipient(inbound.recipient);
  received.set_sender(inbound.sender);
  received.set_text(inbound.text);
  received.set_keyword(static_cast<v1::Keyword>(inbound.keyword));
  ToProto(inbound.received_at, *received.mutable_received_at());
  if (inbound.provider_at != WallTime{}) {
    ToProto(inbound.provider_at, *received.mutable_provider_at());
  }
  received.set_provider_message_id(inbound.provider_message_id);
  received.set_provider_conversation_id(inbound.provider_conversation_id);
  received.set_text_erased(inbound.text_erased);
  received.set_recipient_erased(inbound.recipient.empty());
}

}  // namespace postrider
