#include "server/policy/conversation_key.h"
#include "tests/support/store_contract.h"

// Steps 1 and 2, look-ups, cancelling, tenants.
namespace postrider {
namespace {

using Kind = Acceptance::Kind;

TEST_P(StoreContract, ANewMessageIsKeptAsItWasAskedFor) {
  NewMessage message = Fresh();
  message.request.external_contact_id = "ext-cust-998877";
  message.request.campaign_id = "appt-reminder-q3";
  message.request.priority = Priority::kUrgent;
  message.request.template_name = "visit";
  message.request.content_unchecked = true;
  message.request.template_values = {{"name", "Ann"}};
  const MessageKey key = Accepted(message);
  const auto record = store_.GetMessage(key);
  ASSERT_TRUE(record.ok()) << record.status();
  const MessageRequest& kept = record->message.request;
  EXPECT_EQ(kept.recipient, message.request.recipient);
  EXPECT_EQ(kept.text, message.request.text);
  EXPECT_EQ(kept.metadata, message.request.metadata);
  EXPECT_EQ(kept.external_contact_id, "ext-cust-998877");
  EXPECT_EQ(kept.campaign_id, "appt-reminder-q3");
  EXPECT_EQ(kept.priority, Priority::kUrgent);
  EXPECT_EQ(kept.template_name, "visit");
  EXPECT_TRUE(kept.content_unchecked);
  EXPECT_TRUE(kept.template_values.empty()) << "they are in the text";
  EXPECT_EQ(kept.conversation_id, message.new_conversation_id);
  EXPECT_EQ(record->message.status.state, MessageState::kQueued);
  ASSERT_EQ(record->history.size(), 1U);
  EXPECT_EQ(record->history[0].status.revision, 1);
  EXPECT_EQ(record->history[0].cause, Cause::kAccepted);
  EXPECT_TRUE(record->attempts.empty());
}

TEST_P(StoreContract, ByItsRequestAMessageIsFoundWithItsFingerprint) {
  const NewMessage message = Fresh();
  const MessageKey key = Accepted(message);
  const auto found = store_.GetMessageByRequest(key.tenant_id, message.request.request_id);
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_EQ(found->fingerprint, message.fingerprint);
  EXPECT_EQ(found->message.request.template_name, "") << "it was sent as text";
}

TEST_P(StoreContract, AnAcceptanceTellsTheTimeThatIsStored) {
  const NewMessage message = Fresh();
  const Acceptance verdict = AcceptOne(message);
  const auto record = store_.GetMessage({tenant_.tenant_id, message.message_id});
  ASSERT_TRUE(record.ok()) << record.status();
  EXPECT_NE(verdict.at, WallTime{});
  EXPECT_EQ(verdict.at, record->message.accepted_at);
  EXPECT_EQ(verdict.at, record->history.at(0).at);
}

TEST_P(StoreContract, ARepeatedRequestGivesTheFirstMessage) {
  const NewMessage first = Fresh();
  Accepted(first);
  NewMessage again = first;
  again.message_id = {MakeUuidV7(subject_.now(), random_)};
  const Acceptance verdict = AcceptOne(again);
  EXPECT_EQ(verdict.kind, Kind::kDuplicate);
  EXPECT_EQ(verdict.message_id, first.message_id);
  EXPECT_EQ(verdict.conversation_id, first.new_conversation_id);
  EXPECT_TRUE(absl::IsNotFound(store_.GetMessage({tenant_.tenant_id, again.message_id}).status()));
}

TEST_P(StoreContract, ARequestIdWithAnotherRequestIsReused) {
  const NewMessage first = Fresh();
  Accepted(first);
  NewMessage other = Fresh();
  other.request.request_id = first.request.request_id;
  const Acceptance verdict = AcceptOne(other);
  EXPECT_EQ(verdict.kind, Kind::kRequestIdReused);
  EXPECT_EQ(verdict.message_id, first.message_id);
}

TEST_P(StoreContract, ARequestIdIsOfItsTenantOnly) {
  TenantRow other = tenant_;
  other.tenant_id = {MakeUuidV4(random_)};
  other.name = "other";
  other.client_id = "other-client";
  other.webhook_key = "other-key";
  ASSERT_TRUE(store_.PutTenant(other).ok());
  const NewMessage first = Fresh();
  Accepted(first);
  NewMessage second = FreshOf(other.tenant_id);
  second.request.request_id = first.request.request_id;
  Accepted(second);
  EXPECT_TRUE(absl::IsNotFound(store_.GetMessage({other.tenant_id, first.message_id}).status()));
}

TEST_P(StoreContract, ABatchMayRepeatItself) {
  NewMessage first = Fresh();
  NewMessage copy = first;
  copy.message_id = {MakeUuidV7(subject_.now(), random_)};
  NewMessage changed = Fresh();
  changed.request.request_id = first.request.request_id;
  const NewMessage batch[] = {first, copy, Fresh("+15550000002"), changed};
  const auto verdicts = store_.Accept(batch);
  ASSERT_TRUE(verdicts.ok()) << verdicts.status();
  ASSERT_EQ(verdicts->size(), 4U);
  EXPECT_EQ((*verdicts)[0].kind, Kind::kNew);
  EXPECT_EQ((*verdicts)[1].kind, Kind::kDuplicate);
  EXPECT_EQ((*verdicts)[1].message_id, first.message_id);
  EXPECT_EQ((*verdicts)[2].kind, Kind::kNew);
  EXPECT_EQ((*verdicts)[3].kind, Kind::kRequestIdReused);
}

TEST_P(StoreContract, WhoOptedOutGetsNothingButTheFirstVerdictStays) {
  if (!subject_.suppress) GTEST_SKIP();
  const NewMessage before = Fresh("+15550000009");
  Accepted(before);
  subject_.suppress(tenant_.tenant_id, "+15550000009");
  const NewMessage refused = Fresh("+15550000009");
  EXPECT_EQ(AcceptOne(refused).kind, Kind::kOptedOut);
  EXPECT_TRUE(
      absl::IsNotFound(store_.GetMessage({tenant_.tenant_id, refused.message_id}).status()));
  EXPECT_TRUE(absl::IsNotFound(
      store_.GetMessageByRequest(tenant_.tenant_id, refused.request.request_id).status()));
  EXPECT_EQ(AcceptOne(before).kind, Kind::kDuplicate);
  Accepted(Fresh("+15550000008"));
}

TEST_P(StoreContract, OneContactAndSenderHaveOneConversation) {
  const NewMessage first = Fresh();
  const NewMessage second = Fresh();
  NewMessage by_other_sender = Fresh();
  by_other_sender.request.sender_id = tenant_.senders[1].sender_id;
  by_other_sender.request.sender = tenant_.senders[1].address;
  NewMessage to_a_contact = Fresh("+15550000076");
  to_a_contact.request.external_contact_id = "contact-1";
  NewMessage moved = Fresh("+15550000077");
  moved.request.external_contact_id = "contact-1";
  const NewMessage batch[] = {first, second, by_other_sender, to_a_contact, moved};
  const auto verdicts = store_.Accept(batch);
  ASSERT_TRUE(verdicts.ok()) << verdicts.status();
  EXPECT_EQ((*verdicts)[0].conversation_id, first.new_conversation_id);
  EXPECT_EQ((*verdicts)[1].conversation_id, first.new_conversation_id);
  EXPECT_EQ((*verdicts)[2].conversation_id, by_other_sender.new_conversation_id);
  EXPECT_EQ((*verdicts)[3].conversation_id, to_a_contact.new_conversation_id);
  EXPECT_EQ((*verdicts)[4].conversation_id, to_a_contact.new_conversation_id)
      << "the contact's id decides, whatever its number";
  EXPECT_EQ(AcceptOne(Fresh()).conversation_id, first.new_conversation_id);
}

TEST_P(StoreContract, ANamedConversationIsTakenWhenItIsNewOrTheContacts) {
  NewMessage named = Fresh();
  named.request.conversation_id = {MakeUuidV4(random_)};
  EXPECT_EQ(AcceptOne(named).conversation_id, named.request.conversation_id);
  NewMessage again = Fresh();
  again.request.conversation_id = named.request.conversation_id;
  const Acceptance verdict = AcceptOne(again);
  EXPECT_EQ(verdict.kind, Kind::kNew);
  EXPECT_EQ(verdict.conversation_id, named.request.conversation_id);
}

TEST_P(StoreContract, AnotherConversationThanTheContactsIsAMismatch) {
  const NewMessage first = Fresh();
  Accepted(first);
  NewMessage other = Fresh();
  other.request.conversation_id = {MakeUuidV4(random_)};
  const Acceptance verdict = AcceptOne(other);
  EXPECT_EQ(verdict.kind, Kind::kConversationMismatch);
  EXPECT_EQ(verdict.conversation_id, first.new_conversation_id) << "tells the stored one";
  EXPECT_TRUE(absl::IsNotFound(store_.GetMessage({tenant_.tenant_id, other.message_id}).status()));
  other.request.conversation_id = {};
  EXPECT_EQ(AcceptOne(other).kind, Kind::kNew) << "a refusal does not use up the request_id";
}

TEST_P(StoreContract, AConversationOfAnotherContactIsAContactMismatch) {
  NewMessage first = Fresh();
  first.request.external_contact_id = "somebody";
  Accepted(first);
  NewMessage stranger = Fresh();
  stranger.request.external_contact_id = "somebody-else";
  stranger.request.conversation_id = first.new_conversation_id;
  EXPECT_EQ(AcceptOne(stranger).kind, Kind::kContactMismatch);
}

TEST_P(StoreContract, WhatWouldBeAcceptedIsToldAndNotKept) {
  const auto would = [&](const NewMessage& message) {
    const auto verdict = store_.WouldAccept(message);
    EXPECT_TRUE(verdict.ok()) << verdict.status();
    return verdict.value_or(Acceptance()).kind;
  };
  NewMessage message = Fresh();
  message.bounds.may_open = false;
  EXPECT_EQ(would(message), Kind::kMayNotOpen);
  message.bounds.may_open = true;
  for (int i = 0; i < 2; ++i) EXPECT_EQ(would(message), Kind::kNew) << "it was not kept";
  const MessageKey key{tenant_.tenant_id, message.message_id};
  EXPECT_TRUE(absl::IsNotFound(store_.GetMessage(key).status()));
  const ContactOfSender contact{tenant_.tenant_id, tenant_.senders[0].sender_id,
                                ContactKeyOf(message.request)};
  EXPECT_TRUE(absl::IsNotFound(store_.FindConversationOf(contact).status()));

  Accepted(message);
  EXPECT_EQ(would(message), Kind::kDuplicate);
  NewMessage other = Fresh();
  other.request.conversation_id = {MakeUuidV4(random_)};
  EXPECT_EQ(would(other), Kind::kConversationMismatch);
  other.request.conversation_id = {};
  subject_.suppress(tenant_.tenant_id, other.request.recipient);
  EXPECT_EQ(would(other), Kind::kOptedOut);
}

TEST_P(StoreContract, MessagesAreFoundByIdAndByRequest) {
  const NewMessage message = Fresh();
  const MessageKey key = Accepted(message);
  const auto by_request = store_.GetMessageByRequest(key.tenant_id, message.request.request_id);
  ASSERT_TRUE(by_request.ok()) << by_request.status();
  EXPECT_EQ(by_request->message.message_id, key.message_id);
  const TenantId stranger{MakeUuidV4(random_)};
  EXPECT_TRUE(absl::IsNotFound(store_.GetMessage({stranger, key.message_id}).status()));
  EXPECT_TRUE(
      absl::IsNotFound(store_.GetMessageByRequest(stranger, message.request.request_id).status()));
}

TEST_P(StoreContract, ACancelledMessageIsNeverIntended) {
  const ReplicaId replica = NewReplica();
  const MessageKey key = Accepted();
  const auto cancelled = store_.Cancel(key);
  ASSERT_TRUE(cancelled.ok()) << cancelled.status();
  EXPECT_EQ(cancelled->kind, Cancellation::Kind::kCancelled);
  ASSERT_TRUE(cancelled->message.has_value());
  EXPECT_EQ(cancelled->message->status.state, MessageState::kCancelled);
  EXPECT_TRUE(cancelled->message->status.final);
  EXPECT_EQ(IntendOne(replica, key).kind, Intent::Kind::kGone);
  EXPECT_EQ(store_.Cancel(key)->kind, Cancellation::Kind::kCancelled) << "can be repeated";
  EXPECT_EQ(HistoryOf(key), (std::vector{MessageState::kQueued, MessageState::kCancelled}));
}

TEST_P(StoreContract, AnIntendedMessageIsTooLateToCancel) {
  const ReplicaId replica = NewReplica();
  const MessageKey key = Accepted();
  Intended(replica, key);
  const auto late = store_.Cancel(key);
  ASSERT_TRUE(late.ok()) << late.status();
  EXPECT_EQ(late->kind, Cancellation::Kind::kTooLate);
  EXPECT_EQ(late->message->status.state, MessageState::kDispatching);
  EXPECT_EQ(store_.Cancel({key.tenant_id, {MakeUuidV4(random_)}})->kind,
            Cancellation::Kind::kNotFound);
}

TEST_P(StoreContract, TenantsAndTokensAreKept) {
  TenantRow changed = tenant_;
  changed.rate_per_s = 2.5;
  changed.requests_per_minute = 300;
  changed.webhook_secret_file = "/run/secrets/webhooks";
  changed.webhook_window = std::chrono::seconds(300);
  changed.webhook_key = "another-key";
  changed.senders = {{{MakeUuidV4(random_)}, "POSTRIDER"}};
  changed.tenant_id = {MakeUuidV4(random_)};  // the name decides which tenant it is
  const auto stored = store_.PutTenant(changed);
  ASSERT_TRUE(stored.ok()) << stored.status();
  EXPECT_EQ(stored->rate_per_s, 2.5);
  EXPECT_EQ(stored->requests_per_minute, 300);
  EXPECT_EQ(stored->webhook_secret_file, "/run/secrets/webhooks");
  EXPECT_EQ(stored->webhook_window, std::chrono::seconds(300));
  EXPECT_EQ(stored->webhook_key, "acme-key") << "never changed by a put";
  EXPECT_EQ(stored->senders.size(), 3U);
  const auto all = store_.LoadTenants();
  ASSERT_TRUE(all.ok()) << all.status();
  ASSERT_EQ(all->size(), 1U);
  EXPECT_EQ(all->front().senders.size(), 3U);

  const auto moved = store_.ChangeWebhookKey("acme", "moved-key", std::chrono::hours(1));
  ASSERT_TRUE(moved.ok()) << moved.status();
  EXPECT_EQ(moved->webhook_key, "moved-key");
  EXPECT_EQ(moved->webhook_key_before, "acme-key");
  EXPECT_EQ(moved->senders.size(), 3U);
  EXPECT_GT(moved->webhook_key_before_until, subject_.now() + std::chrono::minutes(59));
  EXPECT_EQ(store_.PutTenant(changed)->webhook_key_before, "acme-key") << "nor by a put";
  EXPECT_TRUE(absl::IsNotFound(store_.ChangeWebhookKey("nobody", "k", {}).status()));

  ApiTokenRow token;
  token.token_sha256 = std::string(32, '\x07');
  token.tenant_id = tenant_.tenant_id;
  token.name = "cli";
  token.scopes = {"send", "read"};
  ASSERT_TRUE(store_.AddToken(token).ok());
  const auto found = store_.FindToken(token.token_sha256);
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_EQ(found->tenant_id, tenant_.tenant_id);
  EXPECT_EQ(found->scopes, token.scopes);
  EXPECT_TRUE(absl::IsNotFound(store_.FindToken(std::string(32, '\x08')).status()));
}

}  // namespace
}  // namespace postrider
