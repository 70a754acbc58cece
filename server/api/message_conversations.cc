#include <utility>

#include "server/api/begin_call.h"
#include "server/api/conversations.h"
#include "server/api/message_service.h"
#include "server/api/page_token.h"

// MessageService's calls about conversations.
namespace postrider {

namespace {

absl::StatusOr<Conversation> FindAsked(Store& store, const ConversationQuery& wanted) {
  return wanted.conversation_id.IsNil()
             ? store.FindConversationOf(wanted.contact)
             : store.FindConversation(wanted.contact.tenant_id, wanted.conversation_id);
}

/// The conversation and a page of its timeline; what to tell instead when it cannot be told.
std::optional<ApiError> ReadConversationPage(Store& store, const ConversationQuery& wanted,
                                             v1::GetConversationResponse& out) {
  const absl::StatusOr<Conversation> found = FindAsked(store, wanted);
  if (absl::IsNotFound(found.status())) return ConversationNotFound();
  if (!found.ok()) return ErrorOfStore(found.status());
  const TenantId tenant = wanted.contact.tenant_id;
  const std::string list = ListOf(found->conversation_id);
  PagePlace before{LastUuid(), {}};
  if (!wanted.page_token.empty()) {
    const auto place = ParsePageToken(tenant, list, wanted.page_token);
    if (!place) return PageTokenInvalid();
    before = *place;
  }
  const auto entries =
      store.ReadTimeline(tenant, found->conversation_id, before.first, wanted.page_size + 1);
  if (!entries.ok()) return ErrorOfStore(entries.status());
  ToProto(*found, *out.mutable_conversation());
  for (const TimelineEntry& entry : *entries) {
    if (out.entries_size() == wanted.page_size) {
      out.set_next_page_token(EncodePageToken(tenant, list, before));
      break;
    }
    before.first = PlaceOf(entry);
    ToProto(entry, *out.add_entries());
  }
  return std::nullopt;
}

}  // namespace

grpc::ServerUnaryReactor* MessageService::GetConversation(grpc::CallbackServerContext* context,
                                                          const grpc::ByteBuffer* request,
                                                          grpc::ByteBuffer* response) {
  return BeginCall<v1::GetConversationRequest, v1::GetConversationResponse>(
      {parts_.clock, parts_.random, parts_.guard, refusing_}, context, request, response,
      conversation_meter_, Scope::kRead,
      [this](const UnaryCall& call, const Caller& caller, const auto& asked, auto& answer) {
        Result<ConversationQuery> query =
            Validate(asked, caller.tenant_id, *parts_.tenants.Current());
        if (const auto* error = std::get_if<ApiError>(&query)) return call.Fail(*error);
        Read(call, [this, call, &answer, wanted = std::get<ConversationQuery>(std::move(query))] {
          if (const auto error = ReadConversationPage(parts_.store, wanted, answer)) {
            return call.Fail(*error);
          }
          call.Ok();
        });
      });
}

grpc::ServerUnaryReactor* MessageService::ListConversations(grpc::CallbackServerContext* context,
                                                            const grpc::ByteBuffer* request,
                                                            grpc::ByteBuffer* response) {
  return BeginCall<v1::ListConversationsRequest, v1::ListConversationsResponse>(
      {parts_.clock, parts_.random, parts_.guard, refusing_}, context, request, response,
      conversations_meter_, Scope::kRead,
      [this](const UnaryCall& call, const Caller& caller, const auto& asked, auto& answer) {
        Result<ConversationListQuery> query =
            Validate(asked, caller.tenant_id, *parts_.tenants.Current());
        if (const auto* error = std::get_if<ApiError>(&query)) return call.Fail(*error);
        Read(call,
             [this, call, &answer, wanted = std::get<ConversationListQuery>(std::move(query))] {
               const auto page =
                   parts_.store.ListConversations(wanted.filter, wanted.place, wanted.page_size);
               if (!page.ok()) return call.Fail(ErrorOfStore(page.status()));
               for (const Conversation& conversation : page->conversations) {
                 ToProto(conversation, *answer.add_conversations());
               }
               if (page->next) {
                 answer.set_next_page_token(EncodePageToken(
                     wanted.filter.tenant_id, ListOf(wanted.filter),
                     {page->next->sender_id.uuid, page->next->conversation_id.uuid}));
               }
               call.Ok();
             });
      });
}

}  // namespace postrider
