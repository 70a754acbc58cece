#include <algorithm>
#include <set>

#include "server/base/strings.h"
#include "server/model/conversation_limits.h"
#include "server/policy/conversation_key.h"
#include "tests/support/contacts_contract.h"

// Contacts: a number whose contact becomes known, and contacts that are one.
namespace postrider {
namespace {

using Kind = Acceptance::Kind;
using Merge = ContactMerge::Kind;

TEST_P(ContactsContract, TheFirstContactOfANumberGoesOnInTheNumbersConversation) {
  const ConversationId id = Sent("");
  EXPECT_EQ(Sent("mother"), id);
  EXPECT_EQ(ContactOf(id), "mother");
  EXPECT_EQ(Sent("mother"), id);
  EXPECT_EQ(Sent(""), id) << "nobody else has the number";
  EXPECT_EQ(FoundBy("n:+15550000001"), id);
  EXPECT_EQ(FoundBy("x:mother"), id);
}

TEST_P(ContactsContract, ANumberThatOneContactHasIsThatContactWhoeverCameFirst) {
  const ConversationId id = Sent("mother");
  EXPECT_EQ(Sent(""), id);
  EXPECT_EQ(ContactOf(id), "mother");
}

TEST_P(ContactsContract, ContactsWhoShareANumberHaveEachTheirOwnAndSoHasTheNumber) {
  const ConversationId mother = Sent("");
  EXPECT_EQ(Sent("mother"), mother);
  const ConversationId daughter = Sent("daughter");
  EXPECT_NE(daughter, mother);
  const ConversationId number = Sent("");
  EXPECT_NE(number, mother);
  EXPECT_NE(number, daughter);
  EXPECT_EQ(ContactOf(number), "");
  EXPECT_EQ(Sent(""), number);
  const ConversationId son = Sent("son");
  EXPECT_NE(son, number) << "several have the number: nobody takes it over";
  EXPECT_EQ(Sent("mother"), mother);
  EXPECT_EQ(Sent("daughter"), daughter);
}

TEST_P(ContactsContract, WhoHasAConversationWithThatSenderTakesOverNone) {
  const ConversationId own = Sent("mother", "+15550000002");
  const ConversationId number = Sent("");
  EXPECT_EQ(Sent("mother"), own);
  EXPECT_EQ(ContactOf(number), "");
  EXPECT_EQ(Sent(""), number);
}

TEST_P(ContactsContract, EachSendersConversationIsTakenOverWithIt) {
  const ConversationId one = Sent("", kNumber, 0);
  const ConversationId two = Sent("", kNumber, 1);
  EXPECT_EQ(Sent("mother", kNumber, 0), one);
  EXPECT_EQ(ContactOf(two), "") << "nothing was sent to her by that one yet";
  EXPECT_EQ(Sent("mother", kNumber, 1), two);
}

TEST_P(ContactsContract, ANamedConversationIsTakenAtItsWord) {
  const ConversationId number = Sent("");
  NewMessage own = To("mother");
  own.request.conversation_id = {MakeUuidV4(random_)};
  EXPECT_EQ(AcceptOne(own).conversation_id, own.request.conversation_id);
  EXPECT_EQ(ContactOf(number), "");

  NewMessage takes = To("father", "+15550000002");
  takes.request.conversation_id = Sent("", "+15550000002");
  EXPECT_EQ(AcceptOne(takes).kind, Kind::kNew);
  EXPECT_EQ(ContactOf(takes.request.conversation_id), "father");
  NewMessage stranger = To("uncle", "+15550000002");
  stranger.request.conversation_id = takes.request.conversation_id;
  EXPECT_EQ(AcceptOne(stranger).kind, Kind::kContactMismatch);
  NewMessage still = To("", "+15550000002");
  still.request.conversation_id = takes.request.conversation_id;
  EXPECT_EQ(AcceptOne(still).kind, Kind::kNew) << "who knew it by its number goes on";
}

TEST_P(ContactsContract, ABatchMayWriteToANumberWithAndWithoutItsContact) {
  std::vector<NewMessage> batch;
  for (int i = 0; i < 20; ++i) batch.push_back(To(i % 3 == 0 ? "mother" : ""));
  batch.push_back(To("", "+15550000002"));
  batch.push_back(To("aunt", "+15550000003"));
  const auto verdicts = store_.Accept(batch);
  ASSERT_TRUE(verdicts.ok()) << verdicts.status();
  std::set<ConversationId> ids;
  for (int i = 0; i < 20; ++i) ids.insert((*verdicts)[static_cast<std::size_t>(i)].conversation_id);
  EXPECT_EQ(ids.size(), 1U);
  EXPECT_EQ(ContactOf(*ids.begin()), "mother");
  for (const Acceptance& verdict : *verdicts) EXPECT_EQ(verdict.kind, Kind::kNew);
}

TEST_P(ContactsContract, OfABatchesContactsOneTakesTheNumberOverAndTheOthersBegin) {
  const ConversationId number = Sent("");
  const NewMessage batch[] = {To("mother"), To("daughter"), To("son"), To("mother")};
  const auto verdicts = store_.Accept(batch);
  ASSERT_TRUE(verdicts.ok()) << verdicts.status();
  std::set<ConversationId> ids;
  for (const Acceptance& verdict : *verdicts) {
    EXPECT_EQ(verdict.kind, Kind::kNew);
    ids.insert(verdict.conversation_id);
  }
  EXPECT_EQ(ids.size(), 3U);
  EXPECT_TRUE(ids.contains(number));
}

TEST_P(ContactsContract, AContactThatABatchWritesToAtTwoNumbersTakesOneOfThemOver) {
  const ConversationId first = Sent("", "+15550000041");
  const ConversationId second = Sent("", "+15550000042");
  const auto both = store_.Accept(
      std::vector<NewMessage>{To("twice", "+15550000041"), To("twice", "+15550000042")});
  ASSERT_TRUE(both.ok()) << both.status();
  for (const Acceptance& verdict : *both) {
    EXPECT_EQ(verdict.kind, Acceptance::Kind::kNew);
    EXPECT_EQ(verdict.conversation_id, first);
  }
  EXPECT_EQ(ContactOf(second), "") << "nobody's but its number's";
  const ConversationId third = Sent("", "+15550000043");
  const auto one_is_new = store_.Accept(
      std::vector<NewMessage>{To("other", "+15550000043"), To("other", "+15550000044")});
  ASSERT_TRUE(one_is_new.ok()) << one_is_new.status();
  for (const Acceptance& verdict : *one_is_new) EXPECT_EQ(verdict.conversation_id, third);
}

TEST_P(ContactsContract, WhatMayNotOpenAConversationMayGoOnInTheNumbers) {
  const ConversationId number = Sent("");
  NewMessage message = To("mother");
  message.bounds.may_open = false;
  EXPECT_EQ(AcceptOne(message).conversation_id, number);
  message = To("daughter");
  message.bounds.may_open = false;
  EXPECT_EQ(AcceptOne(message).kind, Kind::kMayNotOpen);
}

TEST_P(ContactsContract, ContactsThatAreMergedGoOnInOneConversationASender) {
  const ConversationId home = Sent("home", "+15550000001", 0);
  const ConversationId home_too = Sent("home", "+15550000001", 1);
  const ConversationId work = Sent("work", "+15550000002", 0);
  ASSERT_NE(home, work);
  const auto merge = store_.MergeContacts(tenant_.tenant_id, "x:work", "x:home", Action());
  ASSERT_TRUE(merge.ok()) << merge.status();
  EXPECT_EQ(merge->kind, Merge::kMerged);
  EXPECT_EQ(merge->survivor, "x:home");
  ASSERT_EQ(merge->conversations.size(), 1U);
  EXPECT_EQ(merge->conversations[0].from, work);
  EXPECT_EQ(merge->conversations[0].into, home);

  EXPECT_EQ(Sent("work", "+15550000002", 0), home);
  EXPECT_EQ(Sent("work", "+15550000002", 1), home_too) << "which work had none with";
  EXPECT_EQ(Sent("home", "+15550000001", 0), home);
  EXPECT_EQ(Sent("", "+15550000002", 0), home) << "the number's only contact";
  EXPECT_EQ(FoundBy("x:work"), home);
  EXPECT_EQ(Find(work)->conversation_id, home);
  EXPECT_EQ(Find(work)->external_contact_id, "home");
  for (const ConversationId named : {home, work}) {
    for (const char* contact : {"home", "work"}) {
      for (const char* number : {"+15550000001", "+15550000002"}) {
        NewMessage message = To(contact, number);
        message.request.conversation_id = named;
        const Acceptance verdict = AcceptOne(message);
        EXPECT_EQ(verdict.kind, Kind::kNew) << contact << " at " << number;
        EXPECT_EQ(verdict.conversation_id, home);
      }
    }
  }
  NewMessage elsewhere = To("work", "+15550000003");
  elsewhere.request.conversation_id = home;
  EXPECT_EQ(AcceptOne(elsewhere).kind, Kind::kConversationMismatch);
  NewMessage stranger = To("stranger", "+15550000002");
  stranger.request.conversation_id = work;
  EXPECT_EQ(AcceptOne(stranger).kind, Kind::kContactMismatch);
}

TEST_P(ContactsContract, AMergedTimelineHasBothInTheOrderOfTime) {
  std::vector<Uuid> places;
  const auto say = [&](const char* contact, const char* number) {
    NewMessage message = To(contact, number);
    const auto after = std::chrono::milliseconds(5 * (places.size() + 1));
    message.message_id = {MakeUuidV7(subject_.now() - 1h + after, random_)};
    places.insert(places.begin(), message.message_id.uuid);
    return AcceptOne(message).conversation_id;
  };
  const auto hear = [&](const char* number) {
    NewInbound text = InboundFrom(number, StrCat("in-", places.size()));
    const auto after = std::chrono::milliseconds(5 * (places.size() + 1));
    text.row.inbox_id = {MakeUuidV7(subject_.now() - 1h + after, random_)};
    places.insert(places.begin(), text.row.inbox_id.uuid);
    RecordAll({&text, 1});
  };
  const ConversationId home = say("home", "+15550000001");
  const ConversationId work = say("work", "+15550000002");
  hear("+15550000001");
  hear("+15550000002");
  say("work", "+15550000002");
  ASSERT_EQ(MergeOf("x:work", "x:home"), Merge::kMerged);
  hear("+15550000002");
  hear("+15550000001");
  say("home", "+15550000001");

  std::vector<Uuid> paged;
  Uuid before = LastUuid();
  for (int page = 0; page < 5; ++page) {
    const auto some = store_.ReadTimeline(tenant_.tenant_id, home, before, 3);
    ASSERT_TRUE(some.ok()) << some.status();
    for (const TimelineEntry& entry : *some) paged.push_back(before = PlaceOf(entry));
  }
  EXPECT_EQ(paged, places);
  const auto newest = store_.ReadTimeline(tenant_.tenant_id, home, LastUuid(), 3);
  EXPECT_EQ(std::get<InboundMessage>((*newest)[2]).conversation_id, home)
      << "a text from the merged number joins the one that goes on";
  (void)work;
}

TEST_P(ContactsContract, ANumberThatIsMergedIsItsContactEverywhere) {
  const ConversationId mother = Sent("mother", "+15550000002");
  const ConversationId number = Sent("", "+15550000001");
  Sent("daughter", "+15550000003");
  ASSERT_EQ(MergeOf("n:+15550000001", "x:mother"), Merge::kMerged);
  EXPECT_EQ(Sent("", "+15550000001"), mother);
  EXPECT_EQ(Find(number)->conversation_id, mother);
  EXPECT_NE(Sent("daughter", "+15550000001"), mother) << "an external id of its own";
  EXPECT_EQ(Sent("", "+15550000001"), mother) << "also when others have it, too";
  const ConversationId first = Sent("", "+15550000001", 1);
  EXPECT_EQ(ContactOf(first), "mother") << "by a sender that neither had a word with";
  EXPECT_EQ(Sent("mother", "+15550000002", 1), first);
}

TEST_P(ContactsContract, ATextOfAMergedNumberJoinsItsContactWhereItHadNone) {
  const ConversationId mother = Sent("mother", "+15550000002", 0);
  Sent("", "+15550000001", 1);
  ASSERT_EQ(MergeOf("n:+15550000001", "x:mother"), Merge::kMerged);
  const NewInbound text = InboundFrom("+15550000001", "in-1");
  EXPECT_EQ(RecordAll({&text, 1}), std::vector{InboxVerdict::kApplied});
  const auto entries = store_.ReadTimeline(tenant_.tenant_id, mother, LastUuid(), 10);
  ASSERT_EQ(entries->size(), 2U);
  EXPECT_EQ(PlaceOf((*entries)[0]), text.row.inbox_id.uuid);
}

TEST_P(ContactsContract, AMergeLeadsOnAndMakesNoCycles) {
  const ConversationId a = Sent("a", "+15550000001");
  const ConversationId b = Sent("b", "+15550000002");
  const ConversationId c = Sent("c", "+15550000003");
  Sent("d", "+15550000004");
  ASSERT_EQ(MergeOf("x:a", "x:b"), Merge::kMerged);
  EXPECT_EQ(MergeOf("x:a", "x:b"), Merge::kMergedBefore);
  EXPECT_EQ(MergeOf("x:b", "x:a"), Merge::kCycle);
  EXPECT_EQ(MergeOf("x:a", "x:a"), Merge::kMergedBefore) << "a stands for b";
  EXPECT_EQ(MergeOf("x:d", "x:d"), Merge::kCycle);
  EXPECT_EQ(MergeOf("x:a", "x:c"), Merge::kIsMerged);
  ASSERT_EQ(MergeOf("x:b", "x:c"), Merge::kMerged);
  for (const ConversationId id : {a, b, c}) EXPECT_EQ(Find(id)->conversation_id, c);
  EXPECT_EQ(Sent("a", "+15550000001"), c);
  EXPECT_EQ(MergeOf("x:c", "x:a"), Merge::kCycle);
  ASSERT_EQ(MergeOf("x:d", "x:a"), Merge::kMerged) << "a stands for c";
  EXPECT_EQ(Sent("d", "+15550000004"), c);
  EXPECT_EQ(store_.ReadTimeline(tenant_.tenant_id, c, LastUuid(), 100)->size(), 6U);
}

TEST_P(ContactsContract, WhoWasNeverWrittenToIsNotMerged) {
  Sent("a", "+15550000001");
  const auto nobody = store_.MergeContacts(tenant_.tenant_id, "x:nobody", "x:a", Action());
  EXPECT_EQ(nobody->kind, Merge::kNoContact);
  EXPECT_EQ(nobody->survivor, "x:nobody");
  EXPECT_EQ(MergeOf("x:a", "x:nobody"), Merge::kNoContact);
  const TenantId stranger{MakeUuidV4(random_)};
  EXPECT_EQ(store_.MergeContacts(stranger, "x:a", "x:a2", Action())->kind, Merge::kNoContact);
  EXPECT_EQ(MergeOf("n:+15550000001", "x:a"), Merge::kNoContact);
}

TEST_P(ContactsContract, MoreThanCanBecomeOneIsRefused) {
  Sent("all", "+15550000001");
  for (int i = 0; i < kMostMerged; ++i) {
    const std::string contact = StrCat("c", i);
    Sent(contact, StrCat("+1555", 2'000'000 + i));
    ASSERT_EQ(MergeOf(StrCat("x:", contact), "x:all"), Merge::kMerged) << i;
  }
  Sent("one too many", "+15550000009");
  EXPECT_EQ(MergeOf("x:one too many", "x:all"), Merge::kTooMany);
  EXPECT_EQ(MergeOf("x:all", "x:one too many"), Merge::kTooMany);
  const ConversationId id = Sent("all", "+15550000001");
  EXPECT_EQ(Sent("c7", "+15552000007"), id);
  EXPECT_EQ(store_.ReadTimeline(tenant_.tenant_id, id, LastUuid(), 100)->size(),
            static_cast<std::size_t>(kMostMerged) + 3);
}

TEST_P(ContactsContract, ListsShowWhereAMergedConversationGoesOn) {
  const ConversationId home = Sent("home", "+15550000001");
  const ConversationId work = Sent("work", "+15550000002");
  ASSERT_EQ(MergeOf("x:work", "x:home"), Merge::kMerged);
  const auto page = store_.ListConversations({.tenant_id = tenant_.tenant_id}, {}, 10);
  ASSERT_EQ(page->conversations.size(), 2U);
  for (const Conversation& conversation : page->conversations) {
    const bool merged = conversation.conversation_id == work;
    EXPECT_EQ(conversation.merged_into, merged ? home : ConversationId{});
  }
}

}  // namespace
}  // namespace postrider
