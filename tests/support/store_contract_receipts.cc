#include <algorithm>
#include <set>

#include "server/base/strings.h"
#include "server/model/limits.h"
#include "tests/support/store_contract.h"

// Steps 8 to 10: the inbox, receipts, ticks and events.
namespace postrider {
namespace {

TEST_P(StoreContract, ReceiptsInAnyOrderEndInTheSameState) {
  const ReplicaId replica = NewReplica();
  const MessageState ways[][3] = {
      {MessageState::kSubmitted, MessageState::kSent, MessageState::kDelivered},
      {MessageState::kDelivered, MessageState::kSent, MessageState::kSubmitted},
      {MessageState::kSent, MessageState::kDelivered, MessageState::kSent},
      {MessageState::kDelivered, MessageState::kDelivered, MessageState::kSubmitted}};
  int body = 0;
  for (const auto& way : ways) {
    const MessageKey key = Submitted(replica);
    for (const MessageState state : way) Apply(ReceiptFor(key, state, StrCat("body ", ++body)));
    EXPECT_EQ(StatusOf(key).state, MessageState::kDelivered);
    EXPECT_TRUE(StatusOf(key).final);
    const std::vector<MessageState> history = HistoryOf(key);
    EXPECT_TRUE(std::is_sorted(history.begin(), history.end())) << "no rank ever falls";
  }
}

TEST_P(StoreContract, ACopyOfAReceiptIsCountedAndChangesNothing) {
  const MessageKey key = Submitted(NewReplica());
  EXPECT_EQ(Apply(ReceiptFor(key, MessageState::kSent, "the same bytes")).applied, 1);
  const int revision = StatusOf(key).revision;
  const ApplyCounts counts = Apply(ReceiptFor(key, MessageState::kSent, "the same bytes"));
  EXPECT_EQ(counts.applied, 0);
  EXPECT_EQ(counts.duplicates, 1);
  EXPECT_EQ(StatusOf(key).revision, revision);
}

TEST_P(StoreContract, ABatchMayHoldCopiesAndSeveralReceiptsOfAMessage) {
  const MessageKey key = Submitted(NewReplica());
  const ParsedReceipt batch[] = {ReceiptFor(key, MessageState::kDelivered, "delivered"),
                                 ReceiptFor(key, MessageState::kSent, "sent"),
                                 ReceiptFor(key, MessageState::kDelivered, "delivered")};
  for (const ParsedReceipt& receipt : batch) {
    ASSERT_TRUE(store_.AppendInbox({&receipt.row, 1}).ok());
  }
  const auto counts = store_.ApplyReceipts(batch);
  ASSERT_TRUE(counts.ok()) << counts.status();
  EXPECT_EQ(counts->applied, 2);
  EXPECT_EQ(counts->duplicates, 1);
  EXPECT_EQ(StatusOf(key).state, MessageState::kDelivered);
  HistoryOf(key);
}

TEST_P(StoreContract, AnApplyTellsWhatBecameOfEachReceipt) {
  const MessageKey key = Submitted(NewReplica());
  const MessageKey nobody{tenant_.tenant_id, {MakeUuidV4(random_)}};
  ParsedReceipt unreadable = ReceiptFor({tenant_.tenant_id, {}}, MessageState::kSent, "unreadable");
  unreadable.receipt = absl::InvalidArgumentError("status: missing");
  const ParsedReceipt batch[] = {ReceiptFor(key, MessageState::kSent, "sent"), unreadable,
                                 ReceiptFor(nobody, MessageState::kSent, "early"),
                                 ReceiptFor(key, MessageState::kSent, "sent")};
  for (const ParsedReceipt& receipt : batch) {
    ASSERT_TRUE(store_.AppendInbox({&receipt.row, 1}).ok());
  }
  const auto counts = store_.ApplyReceipts(batch);
  ASSERT_TRUE(counts.ok()) << counts.status();
  const ReceiptEnd wants[] = {{InboxVerdict::kApplied, key.message_id},
                              {InboxVerdict::kDeadLetter, {}},
                              {std::nullopt, nobody.message_id},
                              {InboxVerdict::kDuplicate, key.message_id}};
  ASSERT_EQ(counts->ends.size(), std::size(wants));
  for (std::size_t i = 0; i < std::size(wants); ++i) {
    EXPECT_EQ(counts->ends[i].verdict, wants[i].verdict) << i;
    EXPECT_EQ(counts->ends[i].message_id, wants[i].message_id) << i;
  }
}

TEST_P(StoreContract, ApplyingARowAgainChangesNothing) {
  const MessageKey key = Submitted(NewReplica());
  const ParsedReceipt receipt = ReceiptFor(key, MessageState::kSent, "once");
  Apply(receipt);
  const int revision = StatusOf(key).revision;
  EXPECT_EQ(Apply(receipt).applied, 0);
  EXPECT_EQ(StatusOf(key).revision, revision);
}

TEST_P(StoreContract, AReceiptSettlesAnUnknownMessage) {
  const ReplicaId replica = NewReplica();
  const MessageKey key = Accepted();
  Record(replica, key, Intended(replica, key), OutcomeKind::kUnknown);
  Apply(ReceiptFor(key, MessageState::kSent, "it arrived after all"));
  EXPECT_EQ(StatusOf(key).state, MessageState::kSent);
}

TEST_P(StoreContract, AReceiptMayOutrunTheAnswer) {
  const ReplicaId replica = NewReplica();
  const MessageKey key = Accepted();
  const int attempt = Intended(replica, key);
  Apply(ReceiptFor(key, MessageState::kDelivered, "fast"));
  EXPECT_EQ(StatusOf(key).state, MessageState::kDelivered);
  Record(replica, key, attempt, OutcomeKind::kAccepted, "msg-9");
  EXPECT_EQ(StatusOf(key).state, MessageState::kDelivered);
  EXPECT_EQ(store_.GetMessage(key)->message.provider_message_id, "msg-9");
}

TEST_P(StoreContract, AReceiptOfNobodyIsParkedUntilTheIdIsKnown) {
  const ReplicaId replica = NewReplica();
  const MessageKey key = Accepted();
  const int attempt = Intended(replica, key);
  ParsedReceipt early = ReceiptFor(key, MessageState::kSent, "early");
  early.receipt->message_id = {};
  early.receipt->provider_message_id = "msg-7a3b9c2d";
  EXPECT_EQ(Apply(early).parked, 1);
  EXPECT_EQ(StatusOf(key).state, MessageState::kDispatching);
  Record(replica, key, attempt, OutcomeKind::kAccepted, "msg-7a3b9c2d");
  if (subject_.advance) subject_.advance(2s);
  const auto parked = store_.TakeParked(10);
  ASSERT_TRUE(parked.ok()) << parked.status();
  if (!subject_.advance && parked->empty()) GTEST_SKIP() << "not due to be tried again yet";
  ASSERT_EQ(parked->size(), 1U);
  EXPECT_EQ(parked->front().body, "early");
  EXPECT_EQ(store_.ApplyReceipts({&early, 1})->applied, 1);
  EXPECT_EQ(StatusOf(key).state, MessageState::kSent);
  if (subject_.advance) subject_.advance(2s);
  EXPECT_TRUE(store_.TakeParked(10)->empty());
}

TEST_P(StoreContract, AReceiptIsForWhicheverOfItsIdsIsKnown) {
  const ReplicaId replica = NewReplica();
  for (const bool by_channel : {false, true}) {
    SCOPED_TRACE(by_channel);
    const std::string known = StrCat("known-", by_channel);
    const MessageKey key = Submitted(replica, known);
    ParsedReceipt receipt = ReceiptFor(key, MessageState::kSent, StrCat("body ", by_channel));
    receipt.receipt->message_id = {};
    receipt.receipt->provider_message_id = by_channel ? "nobody's" : known;
    receipt.receipt->channel_message_id = by_channel ? known : "nobody's";
    EXPECT_EQ(Apply(receipt).applied, 1);
    EXPECT_EQ(StatusOf(key).state, MessageState::kSent);
    EXPECT_EQ(store_.GetMessage(key)->message.provider_message_id, known) << "it keeps its name";
  }
}

TEST_P(StoreContract, AnotherTenantsReceiptTouchesNothing) {
  const MessageKey key = Submitted(NewReplica());
  ParsedReceipt foreign = ReceiptFor(key, MessageState::kFailed, "not yours");
  foreign.row.tenant_id = {MakeUuidV4(random_)};
  EXPECT_EQ(Apply(foreign).parked, 1);
  EXPECT_EQ(StatusOf(key).state, MessageState::kSubmitted);
}

TEST_P(StoreContract, AParkedReceiptThatNobodyClaimsIsADeadLetter) {
  if (!subject_.advance) GTEST_SKIP();
  ParsedReceipt orphan =
      ReceiptFor({tenant_.tenant_id, {MakeUuidV4(random_)}}, MessageState::kSent, "orphan");
  EXPECT_EQ(Apply(orphan).parked, 1);
  subject_.advance(kParkedFor + 1s);
  const auto counts = store_.ApplyReceipts({&orphan, 1});
  ASSERT_TRUE(counts.ok()) << counts.status();
  EXPECT_EQ(counts->dead_letters, 1);
  EXPECT_TRUE(store_.TakeParked(10)->empty());
}

TEST_P(StoreContract, AnUnreadableWebhookIsADeadLetterAtOnce) {
  ParsedReceipt unreadable = ReceiptFor({tenant_.tenant_id, {}}, MessageState::kSent,
                                        std::string("\xff\x00 not JSON", 11));
  unreadable.receipt = absl::InvalidArgumentError("status: missing");
  EXPECT_EQ(Apply(unreadable).dead_letters, 1);
  if (!subject_.advance) return;
  subject_.advance(kSweepAge + 1s);
  const TenantId tenant = tenant_.tenant_id;
  EXPECT_TRUE(store_.SweepInbox({&tenant, 1}, WallTime{}, 10)->empty());
}

TEST_P(StoreContract, ABuriedReceiptIsDone) {
  const InboxRow row = ReceiptFor({tenant_.tenant_id, {}}, MessageState::kSent, "poison").row;
  ASSERT_TRUE(store_.AppendInbox({&row, 1}).ok());
  ASSERT_TRUE(store_.BuryReceipt(row, "five tries").ok());
  ASSERT_TRUE(store_.BuryReceipt(row, "five tries").ok()) << "can be repeated";
  if (!subject_.advance) return;
  subject_.advance(kSweepAge + 1s);
  EXPECT_TRUE(store_.SweepInbox({&row.tenant_id, 1}, WallTime{}, 10)->empty());
}

TEST_P(StoreContract, TheSweepFindsWhatNobodyApplied) {
  if (!subject_.advance) GTEST_SKIP();
  const MessageKey key = Submitted(NewReplica());
  const ParsedReceipt done = ReceiptFor(key, MessageState::kSent, "applied");
  const ParsedReceipt left = ReceiptFor(key, MessageState::kDelivered, "forgotten");
  Apply(done);
  ASSERT_TRUE(store_.AppendInbox({&left.row, 1}).ok());
  ASSERT_TRUE(store_.AppendInbox({&left.row, 1}).ok()) << "kept once";
  EXPECT_TRUE(store_.SweepInbox({&key.tenant_id, 1}, WallTime{}, 10)->empty()) << "too young";
  subject_.advance(kSweepAge + 1s);
  const auto swept = store_.SweepInbox({&key.tenant_id, 1}, WallTime{}, 10);
  ASSERT_TRUE(swept.ok()) << swept.status();
  ASSERT_EQ(swept->size(), 1U);
  EXPECT_EQ(swept->front().inbox_id, left.row.inbox_id);
  EXPECT_EQ(swept->front().body, "forgotten");
  EXPECT_EQ(swept->front().profile, "guide");
  EXPECT_TRUE(store_.SweepInbox({&key.tenant_id, 1}, subject_.now(), 10)->empty());
  const TenantId other{MakeUuidV4(random_)};
  EXPECT_TRUE(store_.SweepInbox({&other, 1}, WallTime{}, 10)->empty());
}

TEST_P(StoreContract, TicksTellEachEventOnceInOrder) {
  const ReplicaId replica = NewReplica();
  const Tick before = NewTick();
  const MessageKey first = Submitted(replica);
  if (!subject_.advance) GTEST_SKIP();
  const Tick middle = NewTick();
  Apply(ReceiptFor(first, MessageState::kSent, "sent"));
  const MessageKey second = Accepted();
  const Tick after = NewTick();
  ASSERT_LT(before.number, middle.number);
  ASSERT_LT(middle.number, after.number);

  std::vector<StatusEvent> told = store_.EventsBetween(before, middle, std::nullopt).value();
  ASSERT_EQ(told.size(), 3U);
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(told[static_cast<std::size_t>(i)].status.revision, i + 1);
    EXPECT_EQ(told[static_cast<std::size_t>(i)].message_id, first.message_id);
  }
  EXPECT_EQ(told[2].previous, MessageState::kDispatching);
  EXPECT_EQ(told[2].cause, Cause::kPostAnswered);
  told = store_.EventsBetween(middle, after, tenant_.tenant_id).value();
  EXPECT_EQ(told.size(), 2U);
  EXPECT_EQ(store_.EventsBetween(before, after, std::nullopt)->size(), 5U);
  EXPECT_TRUE(store_.EventsBetween(after, after, std::nullopt)->empty());
  EXPECT_TRUE(store_.EventsBetween(before, after, TenantId{MakeUuidV4(random_)})->empty());
  EXPECT_EQ(store_.NextTick(before, 1h)->number, after.number)
      << "the newest, when none is so late";
  EXPECT_EQ(store_.NextTick(before, 10ms)->number, middle.number);
  EXPECT_EQ(store_.NextTick(after, 10ms)->number, after.number);
  EXPECT_EQ(StatusOf(second).revision, 1);
}

TEST_P(StoreContract, ATickIsFoundByNumberAndNonce) {
  const Tick tick = NewTick();
  const auto found = store_.FindTick(tick.number, tick.nonce);
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_EQ(found->number, tick.number);
  EXPECT_TRUE(absl::IsOutOfRange(store_.FindTick(tick.number, MakeUuidV4(random_)).status()))
      << "the number was given again after a restore";
  EXPECT_TRUE(absl::IsOutOfRange(store_.FindTick(tick.number + 1000, tick.nonce).status()));
}

TEST_P(StoreContract, FromTheOldestTickEverythingThatIsKeptCanBeRead) {
  const Tick first = NewTick();
  const MessageKey message = Accepted();
  const Tick last = NewTick();
  const auto oldest = store_.OldestTick();
  ASSERT_TRUE(oldest.ok()) << oldest.status();
  EXPECT_LE(oldest->number, first.number);
  const auto found = store_.FindTick(oldest->number, oldest->nonce);
  ASSERT_TRUE(found.ok()) << found.status();
  const auto events = store_.EventsBetween(*oldest, last, message.tenant_id);
  ASSERT_TRUE(events.ok()) << events.status();
  ASSERT_FALSE(events->empty());
  EXPECT_EQ(store_.OldestTick()->number, oldest->number) << "a new tick replaces none";
}

TEST_P(StoreContract, EventsOfATickThatIsGoneAreOutOfRange) {
  const Tick a = NewTick();
  Accepted();
  const Tick b = NewTick();
  Tick other = a;
  other.nonce = MakeUuidV4(random_);
  EXPECT_TRUE(store_.EventsBetween(a, b, std::nullopt).ok());
  EXPECT_TRUE(absl::IsOutOfRange(store_.EventsBetween(other, b, std::nullopt).status()));
  other.number = b.number + 1000;
  EXPECT_TRUE(absl::IsOutOfRange(store_.EventsBetween(a, other, std::nullopt).status()));
}

TEST_P(StoreContract, ACatchUpGoesInStepsThatLeaveNoTickOut) {
  if (!subject_.advance) GTEST_SKIP();
  const Tick start = NewTick();
  std::vector<Tick> ticks;
  for (const int wait_ms : {100, 100, 3000, 100, 900}) {
    subject_.advance(std::chrono::milliseconds(wait_ms));
    ticks.push_back(NewTick());
  }
  const auto second = std::chrono::seconds(1);
  EXPECT_EQ(store_.NextTick(start, second)->number, ticks[1].number);
  EXPECT_EQ(store_.NextTick(ticks[1], second)->number, ticks[3].number);
  EXPECT_EQ(store_.NextTick(ticks[3], second)->number, ticks[4].number);
  EXPECT_EQ(store_.NextTick(ticks[4], second)->number, ticks[4].number) << "the newest";
  EXPECT_EQ(store_.NextTick(start, std::chrono::seconds(9))->number, ticks[4].number);
}

TEST_P(StoreContract, AYoungTickIsShared) {
  if (!subject_.advance) GTEST_SKIP();
  const Tick tick = NewTick();
  subject_.advance(-std::chrono::hours(1));  // young, however slow this machine is
  EXPECT_EQ(store_.MakeTick()->number, tick.number);
}

TEST_P(StoreContract, CurrentStatesComeInPagesAndByFilter) {
  const ReplicaId replica = NewReplica();
  std::set<MessageId> all;
  for (int i = 0; i < 5; ++i) all.insert(Accepted().message_id);
  const MessageKey submitted = Submitted(replica);
  all.insert(submitted.message_id);

  EventFilter filter;
  filter.tenant_id = tenant_.tenant_id;
  MessageId after;
  std::vector<MessageId> seen;
  while (true) {
    const auto page = store_.CurrentStates(filter, after, 4);
    ASSERT_TRUE(page.ok()) << page.status();
    if (page->empty()) break;
    ASSERT_LE(page->size(), 4U);
    for (const StatusEvent& event : *page) seen.push_back(event.message_id);
    after = seen.back();
  }
  EXPECT_TRUE(std::equal(seen.begin(), seen.end(), all.begin(), all.end()))
      << "each once, in order";

  filter.states = {MessageState::kSubmitted};
  const auto by_state = store_.CurrentStates(filter, {}, 10);
  ASSERT_EQ(by_state->size(), 1U);
  EXPECT_EQ(by_state->front().message_id, submitted.message_id);
  EXPECT_EQ(by_state->front().status.revision, 3) << "the last event";
  filter.states = {};
  filter.message_ids = {submitted.message_id, {MakeUuidV4(random_)}};
  EXPECT_EQ(store_.CurrentStates(filter, {}, 10)->size(), 1U);
  filter.message_ids.push_back(submitted.message_id);
  EXPECT_EQ(store_.CurrentStates(filter, {}, 10)->size(), 1U) << "named twice, shown once";
  filter.tenant_id = {MakeUuidV4(random_)};
  EXPECT_TRUE(store_.CurrentStates(filter, {}, 10)->empty());
}

}  // namespace
}  // namespace postrider
