#include <algorithm>

#include "server/base/strings.h"
#include "server/model/consent_limits.h"
#include "tests/support/consent_contract.h"

// Opt-outs and consent.
namespace postrider {
namespace {

using enum ConsentChange;
using std::chrono::minutes;

TEST_P(ConsentContract, WhatWasSaidLastIsInForceInWhateverOrderItBecomesKnown) {
  std::vector<ConsentEvent> events = {Said(kOptOut, minutes(30)), Said(kOptIn, minutes(20)),
                                      Said(kOptOut, minutes(10)), Said(kOptOut, minutes(40))};
  std::vector<int> order = {0, 1, 2, 3};
  do {
    for (std::size_t i = 0; i < events.size(); ++i) {
      events[i].consent_id = MakeUuidV4(random_);
      events[i].recipient = StrCat("+1555010", order[0], order[1], order[2], order[3]);
    }
    for (const int i : order) MustRecord(events[static_cast<std::size_t>(i)]);
    const auto record = store_.FindConsent(tenant_.tenant_id, events[0].recipient);
    ASSERT_TRUE(record.ok()) << record.status();
    EXPECT_EQ(record->suppressions.size(), 1U);
    ASSERT_EQ(record->history.size(), 4U);
    EXPECT_EQ(record->history[0].consent_id, events[2].consent_id) << "the last said first";
    events[3].consent_id = MakeUuidV4(random_);
    events[3].change = kOptIn;
    events[3].said_at = subject_.now() - minutes(5);
    EXPECT_EQ(MustRecord(events[3]).opted_in, 1);
    EXPECT_TRUE(store_.FindConsent(tenant_.tenant_id, events[0].recipient)->suppressions.empty());
    events[3].change = kOptOut;
    events[3].said_at = subject_.now() - minutes(40);
  } while (std::next_permutation(order.begin(), order.end()));
}

TEST_P(ConsentContract, AnEventIsRecordedOnce) {
  const ConsentEvent event = Said(kOptOut, minutes(1));
  const OperatorAction action{MakeUuidV4(random_), "an operator", "told by phone"};
  const auto first = store_.RecordConsent({&event, 1}, action);
  ASSERT_TRUE(first.ok()) << first.status();
  EXPECT_EQ(first->recorded, 1);
  EXPECT_EQ(first->opted_out, 1);
  const auto again = store_.RecordConsent(
      {&event, 1}, OperatorAction{MakeUuidV4(random_), "an operator", "again"});
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(again->recorded, 0);
  EXPECT_EQ(again->opted_out, 0);
}

TEST_P(ConsentContract, OfWhatWasSaidAtTheSameTimeTheOptOutCounts) {
  const ConsentEvent out = Said(kOptOut, minutes(1));
  ConsentEvent in = Said(kOptIn, minutes(1));
  in.said_at = out.said_at;
  MustRecord(out);
  MustRecord(in);
  EXPECT_EQ(KindOf(Sender(0)), Acceptance::Kind::kOptedOut);
}

TEST_P(ConsentContract, WhatIsSaidToBeOfTheFutureIsOfNow) {
  MustRecord(Said(kOptIn, minutes(-600)));
  MustRecord(Said(kOptOut, minutes(-5)));
  EXPECT_EQ(KindOf(Sender(0)), Acceptance::Kind::kOptedOut);
}

TEST_P(ConsentContract, AnOptOutIsOfItsSenderOrOfAllOfTheTenant) {
  ASSERT_GE(tenant_.senders.size(), 2U);
  MustRecord(Said(kOptOut, minutes(10), Sender(0)));
  EXPECT_EQ(KindOf(Sender(0)), Acceptance::Kind::kOptedOut);
  EXPECT_EQ(KindOf(Sender(1)), Acceptance::Kind::kNew);
  MustRecord(Said(kOptOut, minutes(9)));
  EXPECT_EQ(KindOf(Sender(1)), Acceptance::Kind::kOptedOut);
  EXPECT_EQ(MustRecord(Said(kOptIn, minutes(8), Sender(1))).still_opted_out, 1) << "of all";
  EXPECT_EQ(KindOf(Sender(1)), Acceptance::Kind::kOptedOut);
  EXPECT_EQ(MustRecord(Said(kOptIn, minutes(8))).still_opted_out, 1) << "of a sender";
  EXPECT_EQ(KindOf(Sender(1)), Acceptance::Kind::kNew);
  EXPECT_EQ(KindOf(Sender(0)), Acceptance::Kind::kOptedOut) << "of its sender it still is";
  EXPECT_EQ(MustRecord(Said(kOptIn, minutes(7), Sender(0))).still_opted_out, 0);
  EXPECT_EQ(KindOf(Sender(0)), Acceptance::Kind::kNew);
}

TEST_P(ConsentContract, AKeywordThatComesInOptsOutAndInAgain) {
  const NewInbound stop = Text("Stop.", minutes(10));
  RecordAll({&stop, 1});
  EXPECT_EQ(KindOf(Sender(0)), Acceptance::Kind::kOptedOut);
  RecordAll({&stop, 1});
  const NewInbound start = Text("START", minutes(5));
  RecordAll({&start, 1});
  EXPECT_EQ(KindOf(Sender(0)), Acceptance::Kind::kNew);
  const NewInbound late = Text("STOP", minutes(7));
  RecordAll({&late, 1});
  EXPECT_EQ(KindOf(Sender(0)), Acceptance::Kind::kNew) << "START was said after it";
  const auto record = store_.FindConsent(tenant_.tenant_id, kRecipient);
  ASSERT_EQ(record->history.size(), 3U);
  EXPECT_EQ(record->history[0].evidence, "START");
  EXPECT_EQ(record->history[0].source, ConsentSource::kKeyword);
}

TEST_P(ConsentContract, TextsOfOneBatchCountInTheOrderInWhichTheyWereSaid) {
  const NewInbound batch[] = {Text("START", minutes(3)), Text("STOP", minutes(4)),
                              Text("hello", minutes(1))};
  RecordAll(batch);
  EXPECT_EQ(KindOf(Sender(0)), Acceptance::Kind::kNew);
}

TEST_P(ConsentContract, WithTheTenantsScopeAKeywordIsOfAllSenders) {
  TenantRow wide = tenant_;
  wide.opt_out_scope = OptOutScope::kTenant;
  ASSERT_EQ(store_.PutTenant(wide)->opt_out_scope, OptOutScope::kTenant);
  const NewInbound stop = Text("STOP", minutes(10));
  RecordAll({&stop, 1});
  EXPECT_EQ(KindOf(Sender(1)), Acceptance::Kind::kOptedOut);
  const NewInbound start = Text("START", minutes(5));
  RecordAll({&start, 1});
  EXPECT_EQ(KindOf(Sender(1)), Acceptance::Kind::kNew);
}

TEST_P(ConsentContract, AReceiptOfAnOptOutOptsOut) {
  const ReplicaId replica = NewReplica();
  const MessageKey key = Submitted(replica, "provider-1");
  ParsedReceipt receipt = ReceiptFor(key, MessageState::kFailed, "opted out");
  receipt.receipt->status.failure = FailureReason::kRecipientOptedOut;
  receipt.receipt->status.provider_code = "RECIPIENT_OPTED_OUT";
  EXPECT_EQ(Apply(receipt).applied, 1);
  EXPECT_EQ(StateOf(key), MessageState::kFailed);
  EXPECT_EQ(KindOf(Sender(0)), Acceptance::Kind::kOptedOut);
  const auto record = store_.FindConsent(tenant_.tenant_id, kRecipient);
  ASSERT_EQ(record->history.size(), 1U);
  EXPECT_EQ(record->history[0].source, ConsentSource::kReceipt);
  EXPECT_EQ(record->history[0].evidence, "RECIPIENT_OPTED_OUT");
}

TEST_P(ConsentContract, EachAttemptOfAMessageCanMeetAnOptOutOfItsOwn) {
  const ReplicaId replica = NewReplica();
  const MessageKey key = Submitted(replica, "provider-1");
  const auto opt_out = [&](int attempt) {
    ParsedReceipt receipt =
        ReceiptFor(key, MessageState::kFailed, StrCat("opted out of ", attempt));
    receipt.receipt->status.attempt = attempt;
    receipt.receipt->status.failure = FailureReason::kRecipientOptedOut;
    receipt.receipt->status.provider_code = "RECIPIENT_OPTED_OUT";
    receipt.receipt->status.provider_at = {};
    EXPECT_EQ(Apply(receipt).applied, 1);
  };
  opt_out(1);
  EXPECT_EQ(KindOf(Sender(0)), Acceptance::Kind::kOptedOut);
  if (subject_.advance) subject_.advance(1ms);
  ConsentEvent in = Said(kOptIn, minutes(0), Sender(0));
  in.said_at = {};
  MustRecord(in);
  EXPECT_EQ(KindOf(Sender(0)), Acceptance::Kind::kNew);
  ASSERT_TRUE(store_.ReplayMessage(key, {MakeUuidV4(random_), "ops", "again"}).ok());
  if (subject_.advance) subject_.advance(1ms);
  Record(replica, key, Intended(replica, key), OutcomeKind::kAccepted, "provider-2");
  opt_out(2);
  EXPECT_EQ(KindOf(Sender(0)), Acceptance::Kind::kOptedOut);
  EXPECT_EQ(store_.FindConsent(tenant_.tenant_id, kRecipient)->history.size(), 3U);
}

TEST_P(ConsentContract, AnAttemptThatTheMessageDoesNotShowOptsOutToo) {
  const ReplicaId replica = NewReplica();
  const MessageKey key = Undetermined(replica);
  const auto replayed = store_.ReplayMessage(key, {MakeUuidV4(random_), "ops", "again"});
  ASSERT_TRUE(replayed.ok()) << replayed.status();
  ParsedReceipt late = ReceiptFor(key, MessageState::kFailed, "opted out");
  late.receipt->status.attempt = 1;
  late.receipt->status.failure = FailureReason::kRecipientOptedOut;
  late.receipt->status.provider_code = "RECIPIENT_OPTED_OUT";
  Apply(late);
  EXPECT_EQ(KindOf(Sender(0)), Acceptance::Kind::kOptedOut);
  EXPECT_EQ(IntendOne(replica, key).kind, Intent::Kind::kEnded) << "the replay does not leave";
}

TEST_P(ConsentContract, WhatIsQueuedForWhoOptedOutIsEnded) {
  const ReplicaId replica = NewReplica();
  const MessageKey first = Accepted(Fresh(kRecipient));
  const MessageKey other = Accepted(Fresh("+15550000002"));
  NewMessage elsewhere = Fresh(kRecipient);
  elsewhere.request.sender_id = Sender(1);
  const MessageKey by_other_sender = Accepted(elsewhere);
  const auto idle = store_.SuppressQueued(AllSlots());
  ASSERT_TRUE(idle.ok()) << idle.status();
  EXPECT_EQ(*idle, std::nullopt);
  MustRecord(Said(kOptOut, minutes(0), Sender(0)));
  const auto ended = store_.SuppressQueued(AllSlots());
  ASSERT_TRUE(ended.ok()) << ended.status();
  EXPECT_EQ(*ended, 1);
  EXPECT_EQ(store_.SuppressQueued(AllSlots())->value_or(0), 0) << "it has reached all";
  EXPECT_EQ(StateOf(first), MessageState::kSuppressed);
  EXPECT_EQ(StateOf(other), MessageState::kQueued);
  EXPECT_EQ(StateOf(by_other_sender), MessageState::kQueued);
  EXPECT_EQ(IntendOne(replica, other).kind, Intent::Kind::kPost);
}

TEST_P(ConsentContract, WhatComesBackToTheQueueAfterAnOptOutIsEndedToo) {
  const ReplicaId replica = NewReplica();
  const MessageKey key = Accepted(Fresh(kRecipient));
  const int attempt = IntendOne(replica, key).attempt;
  MustRecord(Said(kOptOut, minutes(0)));
  EXPECT_EQ(store_.SuppressQueued(AllSlots())->value_or(0), 0);
  Record(replica, key, attempt, OutcomeKind::kNotSent, "");
  ASSERT_EQ(StateOf(key), MessageState::kQueued);
  EXPECT_EQ(store_.SuppressQueued(AllSlots())->value_or(0), 1);
  EXPECT_EQ(StateOf(key), MessageState::kSuppressed);
}

TEST_P(ConsentContract, WhoComesBackInBetweenLosesNothing) {
  const MessageKey queued = Accepted(Fresh(kRecipient));
  MustRecord(Said(kOptOut, minutes(2)));
  MustRecord(Said(kOptIn, minutes(1)));
  EXPECT_EQ(*store_.SuppressQueued(AllSlots()), std::nullopt);
  EXPECT_EQ(StateOf(queued), MessageState::kQueued);
}

}  // namespace
}  // namespace postrider
