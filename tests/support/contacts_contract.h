#pragma once

#include <string>

#include "tests/support/store_contract.h"

namespace postrider {

/// What every Store must do about contacts; instantiated as StoreContract is.
class ContactsContract : public StoreContract {
 protected:
  NewMessage To(const std::string& contact, const std::string& number = kNumber,
                std::size_t sender = 0) {
    NewMessage message = Fresh(number);
    message.request.external_contact_id = contact;
    message.request.sender_id = tenant_.senders[sender].sender_id;
    message.request.sender = tenant_.senders[sender].address;
    return message;
  }
  /// Accepts one to it; the conversation that it joined.
  ConversationId Sent(const std::string& contact, const std::string& number = kNumber,
                      std::size_t sender = 0) {
    const Acceptance verdict = AcceptOne(To(contact, number, sender));
    EXPECT_EQ(verdict.kind, Acceptance::Kind::kNew) << contact << " at " << number;
    return verdict.conversation_id;
  }
  absl::StatusOr<Conversation> Find(ConversationId id) {
    const auto found = store_.FindConversation(tenant_.tenant_id, id);
    EXPECT_TRUE(found.ok()) << found.status();
    return found;
  }
  std::string ContactOf(ConversationId id) {
    const auto found = Find(id);
    return found.ok() ? found->external_contact_id : "(none)";
  }
  ConversationId FoundBy(const std::string& contact_key) {
    const auto found =
        store_.FindConversationOf({tenant_.tenant_id, tenant_.senders[0].sender_id, contact_key});
    EXPECT_TRUE(found.ok()) << found.status();
    return found.ok() ? found->conversation_id : ConversationId{};
  }
  OperatorAction Action() { return {MakeUuidV7(subject_.now(), random_), "ops", "they are one"}; }
  ContactMerge::Kind MergeOf(const std::string& from, const std::string& into) {
    const auto merge = store_.MergeContacts(tenant_.tenant_id, from, into, Action());
    EXPECT_TRUE(merge.ok()) << merge.status();
    return merge.ok() ? merge->kind : ContactMerge::Kind::kNoContact;
  }

  static constexpr char kNumber[] = "+15550000001";
};

}  // namespace postrider
