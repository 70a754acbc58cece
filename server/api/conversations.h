#pragma once

#include <string>

#include "postrider/v1/message_service.pb.h"
#include "server/api/api_error.h"
#include "server/store/conversations.h"
#include "server/store/tenant_directory.h"

/// What conversations look like in the contract. All pure.
namespace postrider {

/// What a GetConversation asks for: by id, or (nil id) by contact and sender.
struct ConversationQuery {
  ConversationId conversation_id;
  ContactOfSender contact;
  int page_size = 0;
  std::string page_token;
};
/// Errors: INVALID_FIELD, with every violation at once. `tenant` is the caller's, of `tenants`.
Result<ConversationQuery> Validate(const v1::GetConversationRequest& request, TenantId tenant,
                                   const TenantSnapshot& tenants);

/// What a ListConversations asks for.
struct ConversationListQuery {
  ConversationFilter filter;
  ConversationPlace place;
  int page_size = 0;
};
/// Errors: INVALID_FIELD, PAGE_TOKEN_INVALID.
Result<ConversationListQuery> Validate(const v1::ListConversationsRequest& request, TenantId tenant,
                                       const TenantSnapshot& tenants);

/// Which list a page token is of.
std::string ListOf(ConversationId timeline);
std::string ListOf(const ConversationFilter& filter);

void ToProto(const Conversation& conversation, v1::Conversation& out);
void ToProto(const TimelineEntry& entry, v1::TimelineEntry& out);

}  // namespace postrider
