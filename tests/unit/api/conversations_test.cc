// GetConversation and ListConversations, over the wire.
#include <functional>

#include <gmock/gmock.h>

#include "server/base/log.h"
#include "tests/unit/api/message_service_fixture.h"

namespace postrider {
namespace {

using testing::ElementsAre;
using testing::UnorderedElementsAre;

class ConversationsTest : public MessageServiceTest {
 protected:
  ConversationsTest() {
    TenantRow other;
    other.tenant_id = {UuidOf(2)};
    other.name = "two";
    other.client_id = "client-2";
    other.senders = {{{UuidOf(102)}, "+15550002222"}};
    EXPECT_TRUE(store_.PutTenant(other).ok());
    EXPECT_TRUE(tenants_.Refresh().ok());
    ApiTokenRow row;
    row.token_sha256 = Sha256Bytes("other");
    row.tenant_id = other.tenant_id;
    row.scopes = {"send", "read"};
    EXPECT_TRUE(store_.AddToken(row).ok());
  }

  /// Sends to it; the id of its conversation.
  std::string Begin(const std::string& contact, const std::string& recipient = "+15551234567") {
    v1::SendMessageRequest request = Good(StrCat("r-", ++requests_));
    request.set_external_contact_id(contact);
    request.set_recipient(recipient);
    v1::SendMessageResponse response;
    EXPECT_TRUE(Send(request, response).ok());
    clock_.Advance(std::chrono::milliseconds(5));
    return response.message().conversation_id();
  }
  /// The recipient writes.
  void TakeIn(const std::string& recipient, const std::string& text) {
    NewInbound entry;
    entry.row = {kTenant, {MakeUuidV7(clock_.Wall(), random_)}, "platform", text};
    entry.text.sender = "+15559876543";
    entry.text.recipient = recipient;
    entry.text.text = text;
    entry.text.provider_message_id = StrCat("in-", text);
    entry.text.provider_conversation_id = "conv-9";
    entry.keyword = KeywordOf(text);
    entry.new_conversation_id = {MakeUuidV4(random_)};
    EXPECT_TRUE(store_.RecordInbound({&entry, 1}).ok());
    clock_.Advance(std::chrono::milliseconds(5));
  }
  grpc::Status Get(const v1::GetConversationRequest& request, const std::string& token = "good") {
    context_ = Context(token);
    got_.Clear();
    return stub_->GetConversation(context_.get(), request, &got_);
  }
  grpc::Status GetById(const std::string& id, const std::string& token = "good") {
    v1::GetConversationRequest request;
    request.set_conversation_id(id);
    return Get(request, token);
  }
  grpc::Status List(const v1::ListConversationsRequest& request,
                    const std::string& token = "good") {
    context_ = Context(token);
    listed_.Clear();
    return stub_->ListConversations(context_.get(), request, &listed_);
  }
  std::vector<std::string> ListedIds() const {
    std::vector<std::string> ids;
    for (const v1::Conversation& c : listed_.conversations()) ids.push_back(c.conversation_id());
    return ids;
  }

  v1::GetConversationResponse got_;
  v1::ListConversationsResponse listed_;
  int requests_ = 0;
};

/// "sent hello", "received Help": each entry, the newest first.
std::vector<std::string> TextsOf(const v1::GetConversationResponse& response) {
  std::vector<std::string> texts;
  for (const v1::TimelineEntry& entry : response.entries()) {
    texts.push_back(entry.has_sent() ? StrCat("sent ", entry.sent().text())
                                     : StrCat("received ", entry.received().text()));
  }
  return texts;
}

TEST_F(ConversationsTest, ATimelineTellsBothDirectionsTheNewestFirst) {
  const std::string id = Begin("mother");
  TakeIn("+15551234567", "Thanks");
  TakeIn("+15551234567", "HELP");
  EXPECT_EQ(Begin("mother"), id);
  ASSERT_TRUE(GetById(id).ok());
  EXPECT_THAT(TextsOf(got_),
              ElementsAre("sent hello", "received HELP", "received Thanks", "sent hello"));
  EXPECT_EQ(got_.next_page_token(), "");
  EXPECT_EQ(got_.conversation().conversation_id(), id);
  EXPECT_EQ(got_.conversation().external_contact_id(), "mother");
  EXPECT_EQ(got_.conversation().recipient(), "+15551234567");
  EXPECT_EQ(got_.conversation().sender(), "+15559876543");
  EXPECT_GT(got_.conversation().created_at().seconds(), 0);
  EXPECT_EQ(got_.entries(0).sent().status().state(), v1::MESSAGE_STATE_QUEUED);
  const v1::InboundMessage& stop = got_.entries(1).received();
  EXPECT_EQ(stop.keyword(), v1::KEYWORD_HELP);
  EXPECT_EQ(stop.conversation_id(), id);
  EXPECT_EQ(stop.provider_message_id(), "in-HELP");
  EXPECT_EQ(stop.provider_conversation_id(), "conv-9");
  EXPECT_FALSE(stop.has_provider_at()) << "it was not told";
  EXPECT_FALSE(stop.text_erased());
  EXPECT_FALSE(stop.recipient_erased());
}

TEST_F(ConversationsTest, PagesFollowOneAnotherAlsoWhileMoreIsSaid) {
  const std::string id = Begin("");
  for (const char* text : {"1", "2", "3", "4"}) TakeIn("+15551234567", text);
  v1::GetConversationRequest request;
  request.mutable_contact()->set_sender("+15559876543");
  request.mutable_contact()->set_recipient("+15551234567");
  request.set_page_size(2);
  ASSERT_TRUE(Get(request).ok());
  EXPECT_EQ(got_.conversation().conversation_id(), id);
  EXPECT_THAT(TextsOf(got_), ElementsAre("received 4", "received 3"));
  TakeIn("+15551234567", "5");
  request.set_page_token(got_.next_page_token());
  ASSERT_TRUE(Get(request).ok());
  EXPECT_THAT(TextsOf(got_), ElementsAre("received 2", "received 1"));
  request.set_page_token(got_.next_page_token());
  ASSERT_TRUE(Get(request).ok());
  EXPECT_THAT(TextsOf(got_), ElementsAre("sent hello"));
  EXPECT_EQ(got_.next_page_token(), "");
}

TEST_F(ConversationsTest, AnUnknownConversationAndAnotherTenantsLookTheSame) {
  const std::string id = Begin("mother");
  const grpc::Status unknown = GetById(UuidOf(99).ToString());
  const grpc::Status others = GetById(id, "other");
  EXPECT_EQ(unknown.error_code(), grpc::StatusCode::NOT_FOUND);
  EXPECT_EQ(Decoded(unknown).info.reason(), "CONVERSATION_NOT_FOUND");
  EXPECT_EQ(others.error_code(), unknown.error_code());
  EXPECT_EQ(others.error_message(), unknown.error_message());
  EXPECT_EQ(others.error_details(), unknown.error_details());
  v1::GetConversationRequest by_contact;
  by_contact.mutable_contact()->set_sender("+15559876543");
  by_contact.mutable_contact()->set_external_contact_id("daughter");
  EXPECT_EQ(Get(by_contact).error_details(), unknown.error_details());
  EXPECT_EQ(Decoded(GetById(id, "sender")).info.reason(), "SCOPE_MISSING");
}

TEST_F(ConversationsTest, WhatIsWrongWithARequestIsNamedTable) {
  const std::string id = Begin("mother");
  Begin("mother");
  using Asked = v1::GetConversationRequest;
  const struct {
    const char* name;
    std::function<void(Asked&)> edit;
    std::vector<std::string> fields;
    const char* reason = "INVALID_FIELD";
  } gets[] = {
      {"nothing", [](Asked&) {}, {"key"}},
      {"no UUID", [](Asked& r) { r.set_conversation_id("x"); }, {"conversation_id"}},
      {"nil", [](Asked& r) { r.set_conversation_id(Uuid{}.ToString()); }, {"conversation_id"}},
      {"no contact", [](Asked& r) { r.mutable_contact(); }, {"contact.sender", "contact.contact"}},
      {"nobody's sender, no number",
       [](Asked& r) {
         r.mutable_contact()->set_sender("+15550009999");
         r.mutable_contact()->set_recipient("12");
       },
       {"contact.sender", "contact.recipient"}},
      {"another tenant's sender",
       [](Asked& r) {
         r.mutable_contact()->set_sender("+15550002222");
         r.mutable_contact()->set_recipient("+15551234567");
       },
       {"contact.sender"}},
      {"a contact that is empty",
       [](Asked& r) {
         r.mutable_contact()->set_sender("+15559876543");
         r.mutable_contact()->set_external_contact_id("");
       },
       {"contact.external_contact_id"}},
      {"too many",
       [&](Asked& r) {
         r.set_conversation_id(id);
         r.set_page_size(201);
       },
       {"page_size"}},
      {"a token of nothing",
       [&](Asked& r) {
         r.set_conversation_id(id);
         r.set_page_token("nonsense");
       },
       {"page_token"},
       "PAGE_TOKEN_INVALID"},
  };
  const auto fields_of = [](const Decoded& error) {
    std::vector<std::string> fields;
    for (const auto& violation : error.bad_request.field_violations()) {
      fields.push_back(violation.field());
    }
    return fields;
  };
  for (const auto& c : gets) {
    SCOPED_TRACE(c.name);
    Asked request;
    c.edit(request);
    const Decoded error(Get(request));
    EXPECT_EQ(error.code, grpc::StatusCode::INVALID_ARGUMENT);
    EXPECT_EQ(error.info.reason(), c.reason);
    EXPECT_EQ(fields_of(error), c.fields);
  }
  v1::ListConversationsRequest list;
  list.set_sender("+15550002222");
  list.set_recipient("12");
  list.set_external_contact_id(std::string(129, 'x'));
  list.set_page_size(-1);
  EXPECT_THAT(fields_of(Decoded(List(list))),
              ElementsAre("sender", "recipient", "external_contact_id", "page_size"));
}

TEST_F(ConversationsTest, APageTokenIsOfItsTenantAndItsListOnly) {
  const std::string id = Begin("mother");
  Begin("mother");
  const std::string another = Begin("daughter");
  Begin("daughter");
  v1::GetConversationRequest request;
  request.set_conversation_id(id);
  request.set_page_size(1);
  ASSERT_TRUE(Get(request).ok());
  const std::string timeline = got_.next_page_token();
  request.set_page_token(timeline);
  EXPECT_TRUE(Get(request).ok());
  request.set_conversation_id(another);
  EXPECT_EQ(Decoded(Get(request)).info.reason(), "PAGE_TOKEN_INVALID");

  v1::ListConversationsRequest list;
  list.set_page_size(1);
  ASSERT_TRUE(List(list).ok());
  ASSERT_NE(listed_.next_page_token(), "");
  list.set_page_token(listed_.next_page_token());
  EXPECT_EQ(Decoded(List(list, "other")).info.reason(), "PAGE_TOKEN_INVALID");
  v1::ListConversationsRequest narrowed = list;
  narrowed.set_recipient("+15551234567");
  EXPECT_EQ(Decoded(List(narrowed)).info.reason(), "PAGE_TOKEN_INVALID");
  list.set_page_token(timeline);
  EXPECT_EQ(Decoded(List(list)).info.reason(), "PAGE_TOKEN_INVALID");
}

TEST_F(ConversationsTest, AListHasWhatMatchesAndIsItsTenantsOnly) {
  const std::string mother = Begin("mother");
  const std::string daughter = Begin("daughter");
  const std::string number = Begin("", "+15550000001");
  ASSERT_TRUE(List({}).ok());
  EXPECT_THAT(ListedIds(), UnorderedElementsAre(mother, daughter, number));
  v1::ListConversationsRequest request;
  request.set_recipient("+15551234567");
  request.set_sender("+15559876543");
  request.set_page_size(1);
  std::vector<std::string> all;
  do {
    ASSERT_TRUE(List(request).ok());
    for (const std::string& id : ListedIds()) all.push_back(id);
    request.set_page_token(listed_.next_page_token());
  } while (!request.page_token().empty());
  EXPECT_THAT(all, UnorderedElementsAre(mother, daughter));
  request.Clear();
  request.set_external_contact_id("daughter");
  ASSERT_TRUE(List(request).ok());
  EXPECT_THAT(ListedIds(), ElementsAre(daughter));
  ASSERT_TRUE(List({}, "other").ok());
  EXPECT_THAT(ListedIds(), ElementsAre());
}

TEST_F(ConversationsTest, AMismatchSaysWhatIsStored) {
  const std::string mother = Begin("mother");
  const std::string daughter = Begin("daughter");
  v1::SendMessageRequest request = Good("mismatch");
  v1::SendMessageResponse response;
  request.set_external_contact_id("daughter");
  request.set_conversation_id(mother);
  const Decoded contact(Send(request, response));
  EXPECT_EQ(contact.info.reason(), "CONTACT_MISMATCH");
  EXPECT_EQ(contact.info.metadata().at("conversation_id"), daughter);
  EXPECT_EQ(contact.info.metadata().at("stored_external_contact_id"), "mother");
  EXPECT_EQ(contact.info.metadata().at("stored_sender"), "+15559876543");

  request.set_recipient("+15550000002");
  request.set_external_contact_id("mother");
  const Decoded moved(Send(request, response));
  EXPECT_EQ(moved.info.reason(), "CONVERSATION_MISMATCH");
  EXPECT_EQ(moved.info.metadata().at("conversation_id"), mother);
  EXPECT_EQ(moved.info.metadata().at("stored_recipient"), MaskedNumber("+15551234567"));
  EXPECT_NE(moved.info.metadata().at("stored_recipient"), "+15551234567");

  request.set_conversation_id(UuidOf(77).ToString());
  const Decoded unknown(Send(request, response));
  EXPECT_EQ(unknown.info.reason(), "CONVERSATION_MISMATCH");
  EXPECT_EQ(unknown.info.metadata().at("conversation_id"), mother);
  EXPECT_FALSE(unknown.info.metadata().contains("stored_sender"));

  store_.FailNext(1, FakeStore::When::kBefore, "FindConversation");
  EXPECT_EQ(Decoded(Send(request, response)).info.reason(), "STORE_UNAVAILABLE");
  request.set_conversation_id(mother);
  request.set_recipient("+15551234567");
  EXPECT_TRUE(Send(request, response).ok()) << "a refusal does not use up the request_id";
}

TEST_F(ConversationsTest, AStoreThatIsAwayIsUnavailable) {
  const std::string id = Begin("mother");
  for (const char* operation : {"FindConversation", "ReadTimeline"}) {
    store_.FailNext(1, FakeStore::When::kBefore, operation);
    EXPECT_EQ(Decoded(GetById(id)).info.reason(), "STORE_UNAVAILABLE") << operation;
  }
  store_.FailNext(1, FakeStore::When::kBefore, "ListConversations");
  EXPECT_EQ(Decoded(List({})).info.reason(), "STORE_UNAVAILABLE");
}

}  // namespace
}  // namespace postrider
