#include "server/webhook/inbox_processor.h"

#include <thread>

#include <gtest/gtest.h>

#include "server/base/digest.h"
#include "server/base/strings.h"
#include "server/base/worker.h"
#include "server/model/limits.h"
#include "tests/support/fake_clock.h"
#include "tests/support/fake_store.h"

namespace postrider {
namespace {

using State = MessageState;

constexpr const char* kSender = "+15559990001";

/// "<message_id> <STATE> ..." or "<provider id> ..."; "?" cannot be read; "> ..." is a text.
absl::StatusOr<WebhookContent> ParseTestWebhook(std::string_view, std::string_view body) {
  if (body.starts_with("?")) return absl::InvalidArgumentError("status: missing");
  if (body.starts_with("> ")) {
    InboundText text;
    text.sender = kSender;
    text.recipient = "+15551234567";
    text.text = body.substr(2);
    return text;
  }
  Receipt receipt;
  const std::size_t space = body.find(' ');
  const std::string_view name = body.substr(0, space);
  const std::string_view rest = body.substr(space + 1);
  const absl::StatusOr<MessageId> id = MessageId::Parse(name);
  if (id.ok()) {
    receipt.message_id = *id;
  } else {
    receipt.provider_message_id = name;
  }
  receipt.status.state = rest.starts_with("SENT") ? State::kSent : State::kDelivered;
  receipt.status.hash = Sha256Bytes(body);
  return receipt;
}

struct Rig {
  FakeClock clock;
  FakeStore store{clock};
  SeededRandom random{5};
  Metrics metrics;
  TenantId tenant{MakeUuidV4(random)};
  ReplicaId replica{MakeUuidV4(random)};
  InboxProcessor processor{
      store,
      clock,
      random,
      metrics,
      {.tenants = [this] { return std::vector{tenant}; }, .parse = ParseTestWebhook}};

  Rig() {
    TenantRow row;
    row.tenant_id = tenant;
    row.name = "acme";
    row.senders = {{{MakeUuidV4(random)}, kSender}};
    EXPECT_TRUE(store.PutTenant(row).ok());
  }

  MessageKey Dispatching() {
    NewMessage message;
    message.request.tenant_id = tenant;
    message.message_id = {MakeUuidV7(clock.Wall(), random)};
    message.request.request_id = message.message_id.ToString();
    message.new_conversation_id = {MakeUuidV4(random)};
    EXPECT_TRUE(store.Accept({&message, 1}).ok());
    EXPECT_TRUE(*store.RenewReplica(replica, "test"));
    const auto leases = store.AcquireSlots(replica);
    const MessageKey key{tenant, message.message_id};
    EXPECT_TRUE(store.Intend(replica, leases->owned, {&key, 1}).ok());
    return key;
  }
  MessageKey Submitted(const std::string& provider_message_id = {}) {
    const MessageKey key = Dispatching();
    Answered(key, provider_message_id);
    return key;
  }
  void Answered(const MessageKey& key, const std::string& provider_message_id) {
    AttemptOutcome row;
    row.key = key;
    row.outcome.kind = OutcomeKind::kAccepted;
    row.outcome.provider_message_id = provider_message_id;
    EXPECT_TRUE(store.RecordOutcomes(replica, {&row, 1}).ok());
  }
  /// Stored, as by another replica that died then.
  InboxRow Stored(const std::string& body) {
    InboxRow row{tenant, {MakeUuidV7(clock.Wall(), random)}, "guide", body};
    EXPECT_TRUE(store.AppendInbox({&row, 1}).ok());
    return row;
  }
  void Received(const std::string& body) { EXPECT_TRUE(processor.Offer(Stored(body))); }
  void WorkFor(std::chrono::nanoseconds time) {
    for (std::chrono::nanoseconds passed{}; passed < time; passed += 100ms) {
      clock.Advance(100ms);
      while (processor.Step() > 0) {
      }
    }
  }
  State StateOf(const MessageKey& key) { return store.GetMessage(key)->message.status.state; }
};

TEST(InboxProcessorTest, AppliesWhatItIsGivenInOneBatch) {
  Rig rig;
  std::vector<MessageKey> keys;
  for (int i = 0; i < 10; ++i) {
    keys.push_back(rig.Submitted());
    rig.Received(StrCat(keys.back().message_id.ToString(), " DELIVERED"));
  }
  EXPECT_EQ(rig.processor.Step(), 10U);
  for (const MessageKey& key : keys) EXPECT_EQ(rig.StateOf(key), State::kDelivered);
  EXPECT_EQ(rig.store.Calls("ApplyReceipts"), 1);
  EXPECT_EQ(rig.processor.Step(), 0U);
}

TEST(InboxProcessorTest, TheFirstAfterAQuietTimeIsAppliedAtOnceAndThoseThatFollowShare) {
  Rig rig;
  const std::stop_source stop;
  rig.Received("? first");
  EXPECT_EQ(rig.processor.Step(stop.get_token()), 1U);
  {
    // It is too early by its clock, which stands still: it waits for a full batch.
    Worker worker("apply", [&](std::stop_token until) { rig.processor.Step(until); });
    for (std::size_t i = 0; i < kApplyRows; ++i) rig.Received(StrCat("? ", i));
    while (rig.store.DeadLetters().size() <= kApplyRows) std::this_thread::yield();
  }
  EXPECT_EQ(rig.store.Calls("ApplyReceipts"), 2);
  rig.Received("? later");
  rig.clock.Advance(kApplySoon);
  EXPECT_EQ(rig.processor.Step(stop.get_token()), 1U);
}

TEST(InboxProcessorTest, WhatCannotBeReadIsADeadLetterAtOnce) {
  Rig rig;
  rig.Received("? not a receipt");
  rig.processor.Step();
  ASSERT_EQ(rig.store.DeadLetters().size(), 1U);
  EXPECT_EQ(rig.store.DeadLetters()[0].body, "? not a receipt");
}

TEST(InboxProcessorTest, TextsAreRecordedBesideReceiptsWithTheirKeywords) {
  Rig rig;
  const MessageKey key = rig.Submitted();
  rig.Received("> Stop.");
  rig.Received(StrCat(key.message_id.ToString(), " DELIVERED"));
  rig.Received("> Thank you!");
  rig.Received("> Thank you!");
  EXPECT_EQ(rig.processor.Step(), 4U);
  EXPECT_EQ(rig.StateOf(key), State::kDelivered);
  const std::vector<NewInbound> texts = rig.store.Inbound();
  ASSERT_EQ(texts.size(), 2U) << "a copy is no second text";
  EXPECT_EQ(texts[0].text.text, "Stop.");
  EXPECT_EQ(texts[0].keyword, Keyword::kOptOut);
  EXPECT_FALSE(texts[0].new_conversation_id.IsNil());
  EXPECT_EQ(texts[1].keyword, Keyword::kNone);
  EXPECT_EQ(rig.store.Inbox().open, 0);
  const std::string metrics = rig.metrics.Expose();
  EXPECT_NE(metrics.find("postrider_inbound_messages_total{keyword=\"OPT_OUT\"} 1"),
            std::string::npos)
      << metrics;
}

TEST(InboxProcessorTest, APoisonousTextIsIsolatedAndPutAsideAfterItsTries) {
  Rig rig;
  rig.store.Poison("poison");
  const MessageKey key = rig.Submitted();
  rig.Received(StrCat(key.message_id.ToString(), " SENT"));
  for (const char* text : {"> one", "> poison", "> two"}) rig.Received(text);
  EXPECT_EQ(rig.processor.Step(), 3U);
  EXPECT_EQ(rig.StateOf(key), State::kSent);
  EXPECT_EQ(rig.store.Inbound().size(), 2U);
  rig.WorkFor(30s);
  ASSERT_EQ(rig.store.DeadLetters().size(), 1U);
  EXPECT_EQ(rig.store.DeadLetters()[0].body, "> poison");
  EXPECT_EQ(rig.store.Inbox().open, 0);
}

TEST(InboxProcessorTest, TextsWaitForAStoreThatIsAway) {
  Rig rig;
  rig.Received("> one");
  rig.store.FailNext(1, FakeStore::When::kBefore, "RecordInbound");
  EXPECT_EQ(rig.processor.Step(), 0U);
  rig.WorkFor(5s);
  EXPECT_EQ(rig.store.Inbound().size(), 1U);
}

TEST(InboxProcessorTest, APoisonousRowIsIsolatedAndPutAsideAfterItsTries) {
  Rig rig;
  rig.store.Poison("poison");
  std::vector<MessageKey> keys;
  for (int i = 0; i < 20; ++i) {
    keys.push_back(rig.Submitted());
    rig.Received(StrCat(keys.back().message_id.ToString(), i == 13 ? " SENT poison" : " SENT"));
  }
  EXPECT_EQ(rig.processor.Step(), 19U) << "its neighbours go through at once";
  for (std::size_t i = 0; i < keys.size(); ++i) {
    EXPECT_EQ(rig.StateOf(keys[i]), i == 13 ? State::kSubmitted : State::kSent);
  }
  EXPECT_TRUE(rig.store.DeadLetters().empty());
  rig.WorkFor(30s);
  ASSERT_EQ(rig.store.DeadLetters().size(), 1U);
  EXPECT_EQ(rig.store.Inbox().open, 0);
  EXPECT_EQ(rig.processor.SweepStep(), 0U);
}

TEST(InboxProcessorTest, ARowThatIsRefusedOnceGoesThroughLater) {
  Rig rig;
  rig.store.Poison("poison");
  const MessageKey key = rig.Submitted();
  rig.Received(StrCat(key.message_id.ToString(), " SENT poison"));
  rig.processor.Step();
  ASSERT_EQ(rig.StateOf(key), State::kSubmitted);
  rig.store.Heal();
  rig.WorkFor(5s);
  EXPECT_EQ(rig.StateOf(key), State::kSent);
  EXPECT_TRUE(rig.store.DeadLetters().empty());
}

TEST(InboxProcessorTest, WhileTheStoreIsAwayRowsAreKeptAndNoneIsPutAside) {
  for (const auto when : {FakeStore::When::kBefore, FakeStore::When::kAfter}) {
    Rig rig;
    const MessageKey key = rig.Submitted();
    rig.Received(StrCat(key.message_id.ToString(), " SENT"));
    rig.Received(StrCat(key.message_id.ToString(), " DELIVERED"));
    rig.store.FailNext(20, when, "ApplyReceipts");
    rig.WorkFor(2min);
    EXPECT_EQ(rig.StateOf(key), State::kDelivered);
    EXPECT_TRUE(rig.store.DeadLetters().empty());
    EXPECT_EQ(rig.store.Inbox().applied, 2);
  }
}

TEST(InboxProcessorTest, TheSweepAppliesWhatAnotherReplicaLeft) {
  Rig rig;
  const MessageKey key = rig.Submitted();
  rig.Stored(StrCat(key.message_id.ToString(), " DELIVERED"));
  EXPECT_EQ(rig.processor.SweepStep(), 0U) << "too young: its own replica may be at it";
  rig.clock.Advance(kSweepAge);
  EXPECT_EQ(rig.processor.SweepStep(), 1U);
  EXPECT_EQ(rig.processor.SweepStep(), 0U) << "it is in memory already";
  rig.processor.Step();
  EXPECT_EQ(rig.StateOf(key), State::kDelivered);
  EXPECT_EQ(rig.processor.SweepStep(), 0U);
}

TEST(InboxProcessorTest, TheSweepOfATenantThatIsNewHereBeginsFarBack) {
  Rig rig;
  const MessageKey key = rig.Submitted();
  rig.Stored(StrCat(key.message_id.ToString(), " DELIVERED"));
  rig.clock.Advance(1h);
  EXPECT_EQ(rig.processor.SweepStep(), 1U);
  rig.processor.Step();
  EXPECT_EQ(rig.StateOf(key), State::kDelivered);
  // A second sweep looks back only so far; a row that committed late is within it.
  rig.Stored(StrCat(key.message_id.ToString(), " SENT"));
  rig.clock.Advance(30s);
  EXPECT_EQ(rig.processor.SweepStep(), 1U);
}

TEST(InboxProcessorTest, TheSweepGoesOnPageByPage) {
  Rig rig;
  const MessageKey key = rig.Submitted();
  for (int i = 0; i < 2500; ++i) rig.Stored(StrCat(key.message_id.ToString(), " SENT ", i));
  rig.clock.Advance(kSweepAge);
  std::size_t swept = 0;
  for (int i = 0; i < 10; ++i) {
    swept += rig.processor.SweepStep();
    while (rig.processor.Step() > 0) {
    }
  }
  EXPECT_EQ(swept, 2500U);
  EXPECT_EQ(rig.store.Inbox().open, 0);
}

TEST(InboxProcessorTest, AParkedReceiptIsAppliedOnceItsMessageIsKnown) {
  Rig rig;
  const MessageKey key = rig.Dispatching();
  rig.Received("msg-77 DELIVERED");
  rig.processor.Step();
  EXPECT_EQ(rig.store.Inbox().parked, 1);
  EXPECT_EQ(rig.processor.ParkedStep(), 1U);
  rig.processor.Step();
  EXPECT_EQ(rig.store.Inbox().parked, 1) << "still nobody's";
  rig.Answered(key, "msg-77");
  EXPECT_EQ(rig.processor.ParkedStep(), 1U);
  rig.processor.Step();
  EXPECT_EQ(rig.StateOf(key), State::kDelivered);
  EXPECT_EQ(rig.processor.ParkedStep(), 0U);
}

TEST(InboxProcessorTest, AParkedReceiptThatStaysNobodysIsADeadLetter) {
  Rig rig;
  rig.Received("msg-of-nobody SENT");
  rig.processor.Step();
  rig.clock.Advance(kParkedFor);
  rig.processor.ParkedStep();
  rig.processor.Step();
  ASSERT_EQ(rig.store.DeadLetters().size(), 1U);
  EXPECT_EQ(rig.processor.ParkedStep(), 0U);
}

TEST(InboxProcessorTest, FullMemoryLeavesRowsToTheSweep) {
  Rig rig;
  InboxRow row{rig.tenant, {}, "guide", "?"};
  for (std::size_t i = 0; i < kApplyQueue; ++i) {
    row.inbox_id = {MakeUuidV4(rig.random)};
    ASSERT_TRUE(rig.processor.Offer(row));
  }
  row.inbox_id = {MakeUuidV4(rig.random)};
  EXPECT_FALSE(rig.processor.Offer(row));
  EXPECT_EQ(rig.processor.Step(), kApplyRows);
  EXPECT_TRUE(rig.processor.Offer(row));
}

TEST(InboxProcessorTest, ADrainAppliesWhatIsInMemory) {
  Rig rig;
  const MessageKey key = rig.Submitted();
  rig.Received(StrCat(key.message_id.ToString(), " DELIVERED"));
  EXPECT_TRUE(rig.processor.Drain(1s));
  EXPECT_EQ(rig.StateOf(key), State::kDelivered);
}

TEST(InboxProcessorTest, WorkersApplyEverythingOnce) {
  Rig rig;
  std::vector<MessageKey> keys;
  for (int i = 0; i < 100; ++i) keys.push_back(rig.Submitted());
  rig.processor.Start();
  for (const char* const state : {"SENT", "DELIVERED", "SENT"}) {
    for (const MessageKey& key : keys) {
      rig.Received(StrCat(key.message_id.ToString(), " ", state));
    }
  }
  EXPECT_TRUE(rig.processor.Drain(10s));
  for (const MessageKey& key : keys) EXPECT_EQ(rig.StateOf(key), State::kDelivered);
  const FakeStore::InboxCounts inbox = rig.store.Inbox();
  EXPECT_EQ(inbox.applied, 200);
  EXPECT_EQ(inbox.duplicates, 100);
}

}  // namespace
}  // namespace postrider
