#include "tests/support/store_contract.h"

// Texts and numbers that go before their messages.
namespace postrider {
namespace {

using namespace std::chrono_literals;

constexpr std::chrono::days kOld{40};

/// What all EraseSome until there is no more did.
ErasedRows EraseAll(Store& store) {
  constexpr int kEndless = 100;
  ErasedRows all;
  all.has_more = true;
  for (int i = 0; all.has_more && i < kEndless; ++i) {
    const auto some = store.EraseSome();
    EXPECT_TRUE(some.ok()) << some.status();
    if (!some.ok()) break;
    all.texts += some->texts;
    all.numbers += some->numbers;
    all.webhooks += some->webhooks;
    all.has_more = some->has_more;
  }
  return all;
}

/// Sets what `tenant` wants kept for how many days.
void Keep(Store& store, TenantRow& tenant, std::optional<std::int64_t> texts,
          std::optional<std::int64_t> numbers) {
  tenant.keep_texts_days = texts;
  tenant.keep_numbers_days = numbers;
  const auto put = store.PutTenant(tenant);
  ASSERT_TRUE(put.ok()) << put.status();
  EXPECT_EQ(put->keep_texts_days, texts);
  EXPECT_EQ(put->keep_numbers_days, numbers);
}

/// `message`, as if it had been accepted `ago`.
NewMessage From(NewMessage message, WallTime now, std::chrono::nanoseconds ago) {
  static SeededRandom random(31);
  message.message_id = {MakeUuidV7(now - ago, random)};
  return message;
}

MessageRequest RequestOf(Store& store, const MessageKey& key) {
  const auto record = store.GetMessage(key);
  EXPECT_TRUE(record.ok()) << record.status();
  return record.ok() ? record->message.request : MessageRequest{};
}

TEST_P(StoreContract, TextsAreErasedWhenTheirTenantWantsThemKeptNoLonger) {
  Keep(store_, tenant_, 31, std::nullopt);
  const MessageKey old = Accepted(From(Fresh(), subject_.now(), kOld));
  const MessageKey young = Accepted(From(Fresh(), subject_.now(), 30 * 24h));
  for (const MessageKey& key : {old, young}) ASSERT_TRUE(store_.Cancel(key).ok());

  const ErasedRows erased = EraseAll(store_);
  EXPECT_EQ(erased.texts, 1);
  EXPECT_EQ(erased.numbers, 0);
  const MessageRequest after = RequestOf(store_, old);
  EXPECT_EQ(after.text, "");
  EXPECT_TRUE(after.metadata.empty());
  EXPECT_EQ(after.recipient, "+15550000001");
  EXPECT_EQ(StatusOf(old).state, MessageState::kCancelled);
  EXPECT_EQ(HistoryOf(old).size(), 2U);
  EXPECT_EQ(RequestOf(store_, young).text, Fresh().request.text);
  EXPECT_EQ(RequestOf(store_, young).metadata, Fresh().request.metadata);
  EXPECT_EQ(EraseAll(store_).texts, 0) << "each once";
}

TEST_P(StoreContract, NumbersAreErasedByATimeOfTheirOwn) {
  Keep(store_, tenant_, 60, 31);
  const MessageKey older = Accepted(From(Fresh(), subject_.now(), 70 * 24h));
  const MessageKey old = Accepted(From(Fresh(), subject_.now(), kOld));
  for (const MessageKey& key : {older, old}) ASSERT_TRUE(store_.Cancel(key).ok());
  const ErasedRows erased = EraseAll(store_);
  EXPECT_EQ(erased.texts, 1);
  EXPECT_EQ(erased.numbers, 2);
  EXPECT_EQ(RequestOf(store_, older).text, "");
  EXPECT_EQ(RequestOf(store_, older).recipient, "");
  EXPECT_EQ(RequestOf(store_, old).text, Fresh().request.text);
  EXPECT_EQ(RequestOf(store_, old).recipient, "");

  const NewMessage next = Fresh();
  EXPECT_EQ(AcceptOne(next).conversation_id, RequestOf(store_, old).conversation_id)
      << "the conversation keeps the number that it is found by";
}

TEST_P(StoreContract, WithoutASettingNothingIsErased) {
  const MessageKey old = Accepted(From(Fresh(), subject_.now(), 1000 * 24h));
  ASSERT_TRUE(store_.Cancel(old).ok());
  TenantRow other;
  other.tenant_id = {MakeUuidV4(random_)};
  other.name = "other";
  other.client_id = other.webhook_key = "of the other";
  Keep(store_, other, 31, 31);
  const ErasedRows erased = EraseAll(store_);
  EXPECT_EQ(erased.texts + erased.numbers + erased.webhooks, 0);
  EXPECT_EQ(RequestOf(store_, old).text, Fresh().request.text);
}

TEST_P(StoreContract, WhatMayStillBeSentKeepsItsTextUntilItHasEnded) {
  if (!subject_.advance) GTEST_SKIP();
  Keep(store_, tenant_, 31, 31);
  const MessageKey key = Accepted(From(Fresh(), subject_.now(), kOld));
  const ErasedRows before = EraseAll(store_);
  EXPECT_EQ(before.texts + before.numbers, 0);
  EXPECT_EQ(RequestOf(store_, key).text, Fresh().request.text);
  const Intent intent = IntendOne(NewReplica(), key);
  EXPECT_EQ(intent.request.text, Fresh().request.text);
  EXPECT_EQ(intent.request.recipient, Fresh().request.recipient);
  Apply(ReceiptFor(key, MessageState::kDelivered, "there"));
  subject_.advance(2h);
  const ErasedRows after = EraseAll(store_);
  EXPECT_EQ(after.texts, 1);
  EXPECT_EQ(after.numbers, 1);
  EXPECT_EQ(RequestOf(store_, key).text, "");
}

TEST_P(StoreContract, ALateReceiptStillCorrectsWhatWasErased) {
  Keep(store_, tenant_, 31, 31);
  const MessageKey key = Accepted(From(Fresh(), subject_.now(), kOld));
  const ReplicaId replica = NewReplica();
  Record(replica, key, Intended(replica, key), OutcomeKind::kAccepted);
  Apply(ReceiptFor(key, MessageState::kDelivered, "delivered"));
  EXPECT_EQ(EraseAll(store_).texts, 1);
  Apply(ReceiptFor(key, MessageState::kFailed, "failed after all"));
  EXPECT_EQ(StatusOf(key).state, MessageState::kFailed);
  EXPECT_EQ(RequestOf(store_, key).text, "");
}

TEST_P(StoreContract, WhatWasErasedIsNotReplayed) {
  Keep(store_, tenant_, 31, std::nullopt);
  const ReplicaId replica = NewReplica();
  const MessageKey key = Accepted(From(Fresh(), subject_.now(), kOld));
  Record(replica, key, Intended(replica, key), OutcomeKind::kUnknown);
  EXPECT_EQ(EraseAll(store_).texts, 0) << "it may be sent once more";
  if (!subject_.advance) GTEST_SKIP();
  subject_.advance(1ms);
  ASSERT_EQ(store_.CloseWindows(replica, LeasesOf(replica), {.window = 0s})->undetermined, 1);
  subject_.advance(2h);
  EXPECT_EQ(EraseAll(store_).texts, 1);
  const auto replay = store_.ReplayMessage(key, {MakeUuidV4(random_), "ops@desk", "once more"});
  ASSERT_TRUE(replay.ok()) << replay.status();
  EXPECT_EQ(replay->kind, Replay::Kind::kErased);
  EXPECT_EQ(StatusOf(key).state, MessageState::kUndetermined);
}

TEST_P(StoreContract, WebhooksLoseTheirBytesByTheShorterTimeAndNotBeforeTheirEnd) {
  if (!subject_.advance) GTEST_SKIP();
  Keep(store_, tenant_, 300, 31);
  const auto row = [&](const char* body, std::chrono::nanoseconds ago) {
    const InboxRow made{
        tenant_.tenant_id, {MakeUuidV7(subject_.now() - ago, random_)}, "guide", body};
    EXPECT_TRUE(store_.AppendInbox({&made, 1}).ok());
    return made;
  };
  const InboxRow waiting = row("of a gateway that was away", kOld);
  const InboxRow old = row("cannot be read", kOld);
  const InboxRow young = row("cannot be read either", 24h);
  for (const InboxRow& dead : {old, young}) {
    ASSERT_TRUE(store_.BuryReceipt(dead, "refused").ok());
  }
  EXPECT_EQ(EraseAll(store_).webhooks, 2) << "the old one and its dead letter";
  EXPECT_TRUE(
      absl::IsNotFound(store_.FindDeadLetter(tenant_.tenant_id, {old.inbox_id.uuid}).status()));
  const auto kept = store_.FindDeadLetter(tenant_.tenant_id, {young.inbox_id.uuid});
  ASSERT_TRUE(kept.ok()) << kept.status();
  EXPECT_EQ(kept->body, young.body);

  subject_.advance(2h);
  const std::vector<TenantId> tenants = {tenant_.tenant_id};
  const auto swept = store_.SweepInbox(tenants, WallTime{}, 10);
  ASSERT_TRUE(swept.ok()) << swept.status();
  ASSERT_EQ(swept->size(), 1U);
  EXPECT_EQ(swept->front().body, waiting.body);
  ASSERT_TRUE(store_.BuryReceipt(waiting, "refused").ok());
  EXPECT_GE(EraseAll(store_).webhooks, 1);
  const DeadLetterFilter all{.tenant_id = tenant_.tenant_id};
  EXPECT_EQ(store_.ListDeadLetters(all, {}, 10)->size(), 1U);
}

}  // namespace
}  // namespace postrider
