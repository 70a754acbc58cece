#include <utility>

#include "server/api/admin_service.h"
#include "server/api/convert.h"
#include "server/api/field_rules.h"
#include "server/base/log.h"
#include "server/base/strings.h"
#include "server/model/limits.h"
#include "server/policy/conversation_key.h"

// AdminService's call about contacts.
namespace postrider {

namespace {

/// The contact's key, as conversations have it.
std::string KeyOf(const v1::Contact& contact, FieldRules& rules) {
  MessageRequest as_sent;
  switch (contact.contact_case()) {
    case v1::Contact::kExternalContactId:
      if (contact.external_contact_id().empty()) {
        rules.Violate("from.external_contact_id", "is required");
      }
      rules.Bytes("from.external_contact_id", contact.external_contact_id(),
                  kMaxExternalContactIdBytes);
      as_sent.external_contact_id = contact.external_contact_id();
      break;
    case v1::Contact::kRecipient:
      rules.Number("from.recipient", contact.recipient());
      as_sent.recipient = contact.recipient();
      break;
    case v1::Contact::CONTACT_NOT_SET:
      rules.Violate("from.contact", "is required: external_contact_id or recipient");
  }
  return ContactKeyOf(as_sent);
}

/// The part of a key that a contact is known by.
std::string IdOf(const std::string& key) { return key.substr(2); }

ApiError NotMerged(const ContactMerge& merge) {
  using Kind = ContactMerge::Kind;
  ApiError error;
  error.code = absl::StatusCode::kFailedPrecondition;
  switch (merge.kind) {
    case Kind::kNoContact:
      error.code = absl::StatusCode::kNotFound;
      error.reason = "CONTACT_NOT_FOUND";
      error.message = merge.survivor.starts_with("n:")
                          ? "from: the tenant has no conversation with that number itself"
                          : "the tenant has no conversation with one of the contacts";
      if (merge.survivor.starts_with("x:")) {
        error.metadata["external_contact_id"] = IdOf(merge.survivor);
      }
      break;
    case Kind::kIsMerged:
      error.reason = "CONTACT_IS_MERGED";
      error.message = "from: it was merged into another contact before: merge that one";
      error.metadata["merged_into"] = IdOf(merge.survivor);
      break;
    case Kind::kCycle:
      error.reason = "MERGE_CYCLE";
      error.message = "into_external_contact_id: it was merged into `from` before, or is the same";
      break;
    case Kind::kTooMany:
      error.reason = "TOO_MANY_MERGED";
      error.message = "more contacts or conversations would become one than can";
      break;
    case Kind::kMerged:
    case Kind::kMergedBefore:
      break;
  }
  return error;
}

void ShowMerge(const ContactMerge& merge, const TenantRow& tenant, v1::MergeContactsResponse& out) {
  out.set_external_contact_id(IdOf(merge.survivor));
  out.set_merged_before(merge.kind == ContactMerge::Kind::kMergedBefore);
  for (const ContactMerge::Conversations& one : merge.conversations) {
    v1::MergedConversation& shown = *out.add_conversations();
    shown.set_sender(AddressOf(tenant, one.sender_id));
    shown.set_conversation_id(one.from.ToString());
    shown.set_into_conversation_id(one.into.ToString());
  }
}

}  // namespace

grpc::ServerUnaryReactor* AdminService::MergeContacts(grpc::CallbackServerContext* context,
                                                      const grpc::ByteBuffer* request,
                                                      grpc::ByteBuffer* response) {
  return BeginCall<v1::MergeContactsRequest, v1::MergeContactsResponse>(
      Desk(), context, request, response, merge_contacts_meter_, Scope::kOperator,
      [this](const UnaryCall& call, const Caller& caller, const auto& asked, auto& answer) {
        FieldRules rules;
        if (asked.tenant().empty()) rules.Violate("tenant", "is required");
        const std::string from = KeyOf(asked.from(), rules);
        MessageRequest survivor;
        survivor.external_contact_id = asked.into_external_contact_id();
        if (survivor.external_contact_id.empty()) {
          rules.Violate("into_external_contact_id", "is required");
        }
        rules.Bytes("into_external_contact_id", survivor.external_contact_id,
                    kMaxExternalContactIdBytes);
        rules.Text("reason", asked.reason(), kMaxReasonCharacters);
        if (!rules.ok()) return call.Fail(InvalidField(rules.Take()));
        const auto snapshot = parts_.tenants.Current();
        const TenantRow* const tenant = snapshot->FindByName(asked.tenant());
        if (tenant == nullptr) return call.Fail(TenantNotFound(asked.tenant()));
        Read(call, [this, call, &answer, snapshot, tenant, from, into = ContactKeyOf(survivor),
                    action = ActionOf(caller, asked.reason())] {
          const auto merge = parts_.store.MergeContacts(tenant->tenant_id, from, into, action);
          if (!merge.ok()) return call.Fail(ErrorOfStore(merge.status()));
          using Kind = ContactMerge::Kind;
          if (merge->kind != Kind::kMerged && merge->kind != Kind::kMergedBefore) {
            return call.Fail(NotMerged(*merge));
          }
          if (merge->kind == Kind::kMerged) {
            PR_LOG(kInfo, "contacts merged", {"tenant", tenant->tenant_id.ToString()},
                   {"conversations", merge->conversations.size()}, {"actor", action.actor},
                   {"reason", action.reason});
          }
          ShowMerge(*merge, *tenant, answer);
          call.Ok();
        });
      });
}

}  // namespace postrider
