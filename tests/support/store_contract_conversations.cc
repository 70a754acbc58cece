#include <algorithm>
#include <set>

#include "server/base/strings.h"
#include "server/model/conversation_limits.h"
#include "server/policy/conversation_key.h"
#include "tests/support/store_contract.h"

// Conversations: what a contact is, what was said, and lists of them.
namespace postrider {
namespace {

using namespace std::chrono_literals;

using Kind = Acceptance::Kind;

/// The ids of a timeline's entries.
std::vector<Uuid> PlacesOf(const std::vector<TimelineEntry>& entries) {
  std::vector<Uuid> places;
  for (const TimelineEntry& entry : entries) places.push_back(PlaceOf(entry));
  return places;
}

/// All pages of a list, each of `limit` at most.
std::vector<Conversation> AllPages(Store& store, const ConversationFilter& filter, int limit,
                                   int* pages = nullptr) {
  std::vector<Conversation> all;
  ConversationPlace place;
  for (bool more = true; more;) {
    const auto page = store.ListConversations(filter, place, limit);
    EXPECT_TRUE(page.ok()) << page.status();
    if (!page.ok()) break;
    EXPECT_LE(page->conversations.size(), static_cast<std::size_t>(limit));
    all.insert(all.end(), page->conversations.begin(), page->conversations.end());
    more = page->next.has_value();
    if (more) place = *page->next;
    if (pages != nullptr) ++*pages;
  }
  return all;
}

std::set<ConversationId> IdsOf(const std::vector<Conversation>& conversations) {
  std::set<ConversationId> ids;
  for (const Conversation& conversation : conversations) {
    EXPECT_TRUE(ids.insert(conversation.conversation_id).second) << "told twice";
  }
  return ids;
}

TEST_P(StoreContract, AConversationIsFoundByItsIdAndByItsContactAndOnlyByItsTenant) {
  NewMessage message = Fresh();
  message.request.external_contact_id = "contact-1";
  Accepted(message);
  const ConversationId id = message.new_conversation_id;
  const auto by_id = store_.FindConversation(tenant_.tenant_id, id);
  ASSERT_TRUE(by_id.ok()) << by_id.status();
  EXPECT_EQ(by_id->conversation_id, id);
  EXPECT_EQ(by_id->external_contact_id, "contact-1");
  EXPECT_EQ(by_id->recipient, "+15550000001");
  EXPECT_EQ(by_id->sender, tenant_.senders[0].address);
  EXPECT_EQ(by_id->sender_id, tenant_.senders[0].sender_id);
  EXPECT_LE(by_id->created_at, subject_.now());
  EXPECT_GT(by_id->created_at, subject_.now() - 1h);
  const ContactOfSender contact{tenant_.tenant_id, tenant_.senders[0].sender_id,
                                ContactKeyOf(message.request)};
  EXPECT_EQ(store_.FindConversationOf(contact)->conversation_id, id);

  const TenantId stranger{MakeUuidV4(random_)};
  EXPECT_TRUE(absl::IsNotFound(store_.FindConversation(stranger, id).status()));
  EXPECT_TRUE(
      absl::IsNotFound(store_.FindConversation(tenant_.tenant_id, {MakeUuidV4(random_)}).status()));
  ContactOfSender other = contact;
  other.tenant_id = stranger;
  EXPECT_TRUE(absl::IsNotFound(store_.FindConversationOf(other).status()));
  other = contact;
  other.sender_id = tenant_.senders[1].sender_id;
  EXPECT_TRUE(absl::IsNotFound(store_.FindConversationOf(other).status()));
  other = contact;
  other.contact_key = "n:+15550000001";
  EXPECT_EQ(store_.FindConversationOf(other)->conversation_id, id) << "nobody else has the number";
  other.contact_key = "n:+15550000002";
  EXPECT_TRUE(absl::IsNotFound(store_.FindConversationOf(other).status()));
}

TEST_P(StoreContract, AGivenConversationOfAnotherSenderNumberOrContactIsAMismatch) {
  NewMessage known = Fresh();
  known.request.external_contact_id = "contact-1";
  Accepted(known);
  const auto given = [&](const std::string& contact, std::size_t sender, const char* recipient) {
    NewMessage message = Fresh(recipient);
    message.request.external_contact_id = contact;
    message.request.sender_id = tenant_.senders[sender].sender_id;
    message.request.sender = tenant_.senders[sender].address;
    message.request.conversation_id = known.new_conversation_id;
    return AcceptOne(message);
  };
  EXPECT_EQ(given("contact-2", 0, "+15550000001").kind, Kind::kContactMismatch);
  EXPECT_EQ(given("", 0, "+15550000001").kind, Kind::kNew) << "nobody else has the number";
  NewMessage shares = Fresh();
  shares.request.external_contact_id = "contact-3";
  Accepted(shares);
  EXPECT_EQ(given("", 0, "+15550000001").kind, Kind::kConversationMismatch)
      << "who names no contact is not told that it is another's";
  EXPECT_EQ(given("contact-1", 1, "+15550000001").kind, Kind::kConversationMismatch);
  const Acceptance moved = given("contact-1", 0, "+15550000002");
  EXPECT_EQ(moved.kind, Kind::kConversationMismatch);
  EXPECT_EQ(moved.conversation_id, known.new_conversation_id) << "which is the contact's";
  EXPECT_EQ(given("contact-1", 0, "+15550000001").kind, Kind::kNew);
}

TEST_P(StoreContract, ATimelineHasBothDirectionsTheNewestFirstInPages) {
  const ReplicaId replica = NewReplica();
  std::vector<Uuid> places;
  const auto next = [&] {
    const auto after = std::chrono::milliseconds(5 * (places.size() + 1));
    return places.emplace_back(MakeUuidV7(subject_.now() - 1h + after, random_));
  };
  NewMessage first = Fresh();
  first.message_id = {next()};
  const MessageKey sent = Accepted(first);
  Record(replica, sent, Intended(replica, sent), OutcomeKind::kAccepted, "provider-1");
  NewInbound answer = InboundFrom("+15550000001", "in-1");
  answer.row.inbox_id = {next()};
  answer.text.provider_conversation_id = "conv-1";
  RecordAll({&answer, 1});
  NewMessage second = Fresh();
  second.message_id = {next()};
  Accepted(second);
  NewInbound last = InboundFrom("+15550000001", "in-2");
  last.row.inbox_id = {next()};
  RecordAll({&last, 1});
  const NewInbound elsewhere = InboundFrom("+15550000009", "in-3");
  RecordAll({&elsewhere, 1});
  Accepted(Fresh("+15550000008"));
  std::reverse(places.begin(), places.end());

  const TenantId tenant = tenant_.tenant_id;
  const ConversationId id = first.new_conversation_id;
  const auto all = store_.ReadTimeline(tenant, id, LastUuid(), 100);
  ASSERT_TRUE(all.ok()) << all.status();
  EXPECT_EQ(PlacesOf(*all), places);
  std::vector<Uuid> paged;
  Uuid before = LastUuid();
  for (int page = 0; page < 3; ++page) {
    const auto some = store_.ReadTimeline(tenant, id, before, 2);
    ASSERT_TRUE(some.ok()) << some.status();
    EXPECT_EQ(some->size(), page < 2 ? 2U : 0U);
    for (const Uuid& place : PlacesOf(*some)) paged.push_back(before = place);
  }
  EXPECT_EQ(paged, places);

  const auto& message = std::get<Message>(all->back());
  EXPECT_EQ(message.status.state, MessageState::kSubmitted);
  EXPECT_EQ(message.provider_message_id, "provider-1");
  EXPECT_EQ(message.request.text, first.request.text);
  const auto& inbound = std::get<InboundMessage>((*all)[2]);
  EXPECT_EQ(inbound.conversation_id, id);
  EXPECT_EQ(inbound.sender, tenant_.senders[0].address);
  EXPECT_EQ(inbound.recipient, "+15550000001");
  EXPECT_EQ(inbound.text, "Help");
  EXPECT_FALSE(inbound.text_erased);
  EXPECT_EQ(inbound.keyword, Keyword::kHelp);
  EXPECT_EQ(inbound.provider_message_id, "in-1");
  EXPECT_EQ(inbound.provider_conversation_id, "conv-1");
  EXPECT_EQ(inbound.provider_at, answer.text.provider_at);
  EXPECT_GT(inbound.received_at, subject_.now() - 1h);

  EXPECT_TRUE(store_.ReadTimeline({MakeUuidV4(random_)}, id, LastUuid(), 100)->empty());
  EXPECT_TRUE(store_.ReadTimeline(tenant, {MakeUuidV4(random_)}, LastUuid(), 100)->empty());
}

TEST_P(StoreContract, ATextOfWhoWasNeverWrittenToBeginsAConversation) {
  NewInbound text = InboundFrom("+15550000007", "in-1");
  RecordAll({&text, 1});
  const ContactOfSender contact{tenant_.tenant_id, tenant_.senders[0].sender_id, "n:+15550000007"};
  const auto found = store_.FindConversationOf(contact);
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_EQ(found->conversation_id, text.new_conversation_id);
  EXPECT_EQ(found->recipient, "+15550000007");
  EXPECT_EQ(AcceptOne(Fresh("+15550000007")).conversation_id, text.new_conversation_id);
}

TEST_P(StoreContract, AnErasedTextThatCameInSaysSoAndAPictureDoesNot) {
  const NewMessage message = Fresh();
  Accepted(message);
  NewInbound old = InboundFrom("+15550000001", "in-1");
  old.row.inbox_id = {MakeUuidV7(subject_.now() - 40 * 24h, random_)};
  NewInbound picture = InboundFrom("+15550000001", "in-2");
  picture.text.text = "";
  const NewInbound batch[] = {old, picture};
  RecordAll(batch);
  const auto inbound = [&](const NewInbound& entry) {
    const auto entries =
        store_.ReadTimeline(tenant_.tenant_id, message.new_conversation_id, LastUuid(), 10);
    for (const TimelineEntry& found : *entries) {
      if (PlaceOf(found) == entry.row.inbox_id.uuid) return std::get<InboundMessage>(found);
    }
    ADD_FAILURE() << "not in the timeline";
    return InboundMessage{};
  };
  EXPECT_FALSE(inbound(old).text_erased);
  tenant_.keep_texts_days = 31;
  tenant_.keep_numbers_days = 31;
  ASSERT_TRUE(store_.PutTenant(tenant_).ok());
  EXPECT_FALSE(inbound(old).text_erased) << "not yet";
  ASSERT_TRUE(store_.EraseSome().ok());
  EXPECT_TRUE(inbound(old).text_erased);
  EXPECT_EQ(inbound(old).text, "");
  EXPECT_EQ(inbound(old).recipient, "");
  EXPECT_FALSE(inbound(picture).text_erased);
  EXPECT_EQ(inbound(picture).recipient, "+15550000001");
  EXPECT_EQ(store_.FindConversation(tenant_.tenant_id, message.new_conversation_id)->recipient,
            "+15550000001")
      << "one contact keeps one conversation";
}

TEST_P(StoreContract, ConversationsAreListedByEveryFilterInPagesEachOnce) {
  // Six contacts: a number with three, one of them by both senders.
  const auto begin = [&](const std::string& contact, const char* recipient, std::size_t sender) {
    NewMessage message = Fresh(recipient);
    message.request.external_contact_id = contact;
    message.request.sender_id = tenant_.senders[sender].sender_id;
    message.request.sender = tenant_.senders[sender].address;
    return AcceptOne(message).conversation_id;
  };
  const ConversationId mother = begin("mother", "+15550000001", 0);
  const ConversationId mother_too = begin("mother", "+15550000001", 1);
  const ConversationId daughter = begin("daughter", "+15550000001", 0);
  const ConversationId number = begin("", "+15550000001", 0);
  const ConversationId other = begin("other", "+15550000002", 1);
  const ConversationId last = begin("", "+15550000003", 1);
  NewMessage strangers = FreshOf({MakeUuidV4(random_)});
  AcceptOne(strangers);

  const SenderId one = tenant_.senders[0].sender_id;
  const SenderId two = tenant_.senders[1].sender_id;
  const struct {
    const char* name;
    ConversationFilter filter;
    std::set<ConversationId> wanted;
  } cases[] = {
      {"all", {}, {number, mother, mother_too, daughter, other, last}},
      {"sender", {.sender_id = two}, {mother_too, other, last}},
      {"recipient", {.recipient = "+15550000001"}, {number, mother, mother_too, daughter}},
      {"recipient and sender",
       {.sender_id = one, .recipient = "+15550000001"},
       {number, mother, daughter}},
      {"contact", {.external_contact_id = "mother"}, {mother, mother_too}},
      {"contact and sender", {.sender_id = two, .external_contact_id = "mother"}, {mother_too}},
      {"contact and recipient",
       {.recipient = "+15550000002", .external_contact_id = "other"},
       {other}},
      {"contact and another recipient",
       {.recipient = "+15550000003", .external_contact_id = "other"},
       {}},
      {"nobody", {.external_contact_id = "nobody"}, {}},
      {"another sender", {.sender_id = {MakeUuidV4(random_)}}, {}},
  };
  for (const auto& c : cases) {
    ConversationFilter filter = c.filter;
    filter.tenant_id = tenant_.tenant_id;
    for (const int limit : {1, 2, 3, 100}) {
      SCOPED_TRACE(StrCat(c.name, ", pages of ", limit));
      EXPECT_EQ(IdsOf(AllPages(store_, filter, limit)), c.wanted);
    }
  }
  int pages = 0;
  AllPages(store_, {.tenant_id = tenant_.tenant_id}, 3, &pages);
  EXPECT_EQ(pages, 2) << "the last page says that it is";
  const auto by_id = AllPages(store_, {.tenant_id = tenant_.tenant_id}, 2);
  EXPECT_TRUE(std::is_sorted(by_id.begin(), by_id.end(), [](const auto& a, const auto& b) {
    return a.conversation_id < b.conversation_id;
  }));
}

TEST_P(StoreContract, ASparseSendersListGoesOnOverPagesThatAreShort) {
  std::set<ConversationId> wanted;
  std::vector<NewMessage> batch;
  for (int i = 0; i <= kConversationsScanned; ++i) {
    NewMessage message = Fresh(StrCat("+1555", 1'000'000 + i));
    if (i % 2000 == 0) {
      message.request.sender_id = tenant_.senders[1].sender_id;
      wanted.insert(message.new_conversation_id);
    }
    batch.push_back(std::move(message));
    if (batch.size() < 500 && i < kConversationsScanned) continue;
    ASSERT_TRUE(store_.Accept(batch).ok());
    batch.clear();
  }
  int pages = 0;
  const ConversationFilter filter{.tenant_id = tenant_.tenant_id,
                                  .sender_id = tenant_.senders[1].sender_id};
  EXPECT_EQ(IdsOf(AllPages(store_, filter, 100, &pages)), wanted);
  EXPECT_EQ(pages, 2);
  EXPECT_EQ(IdsOf(AllPages(store_, filter, 1)), wanted);
}

}  // namespace
}  // namespace postrider
