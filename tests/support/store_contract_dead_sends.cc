#include "server/base/strings.h"
#include "server/model/limits.h"
#include "tests/support/store_contract.h"

// Sends that failed are dead letters: listed, replayed as new attempts, discarded.
namespace postrider {
namespace {

OperatorAction ReplayAction(Random& random) {
  return {MakeUuidV4(random), "an operator", "the carrier takes them now"};
}

DeadLetterId LetterIdOf(const MessageKey& key) { return {key.message_id.uuid}; }

/// Everything that ends messages of one tenant as failures.
class FailingSends {
 public:
  FailingSends(Store& store, Random& random, TenantId tenant)
      : all_{{.tenant_id = tenant, .source = std::string(kSendSource)}, {}},
        store_(store),
        random_(random) {}

  std::vector<DeadLetter> List() const {
    const auto letters = store_.ListDeadLetters(all_.filter, {}, 100);
    EXPECT_TRUE(letters.ok()) << letters.status();
    return letters.value_or(std::vector<DeadLetter>{});
  }
  int ReplayAll(std::chrono::microseconds apart = {}) { return Replay(all_, apart); }
  int ReplayOne(const MessageKey& key) {
    return Replay({{.tenant_id = key.tenant_id}, {LetterIdOf(key)}}, {});
  }
  std::int64_t Count(bool only_by_id) const {
    return store_.CountDeadLetters(all_, only_by_id).value_or(-1);
  }
  DeadLetterGroup Group() const {
    const auto groups = store_.GroupDeadLetters(all_.filter);
    EXPECT_TRUE(groups.ok() && groups->size() == 1);
    return groups.ok() && groups->size() == 1 ? groups->front() : DeadLetterGroup{};
  }
  int Discard(const MessageKey& key) {
    const auto change = store_.DiscardDeadLetters({{.tenant_id = key.tenant_id}, {LetterIdOf(key)}},
                                                  ReplayAction(random_));
    EXPECT_TRUE(change.ok()) << change.status();
    return change.ok() ? change->changed : -1;
  }

 private:
  int Replay(const DeadLetterChoice& choice, std::chrono::microseconds apart) {
    const auto change = store_.ReplayDeadLetters(choice, apart, ReplayAction(random_));
    EXPECT_TRUE(change.ok()) << change.status();
    return change.ok() ? change->changed : -1;
  }

  const DeadLetterChoice all_;
  Store& store_;
  Random& random_;
};

TEST_P(StoreContract, ASendThatFailedIsADeadLetterWithItsReason) {
  const ReplicaId replica = NewReplica();
  FailingSends sends(store_, random_, tenant_.tenant_id);
  const MessageKey failed = Submitted(replica);
  EXPECT_TRUE(sends.List().empty());
  Fail(failed, 1);
  const MessageKey rejected = Accepted();
  Record(replica, rejected, Intended(replica, rejected), OutcomeKind::kRejected);
  Undetermined(replica);
  Apply(ReceiptFor(Submitted(replica), MessageState::kDelivered, "there"));

  std::string told;
  for (const DeadLetter& letter : sends.List()) {
    StrAppend(told, letter.reason, letter.only_by_id ? " by id" : "", "; ");
    EXPECT_EQ(letter.source, kSendSource);
    EXPECT_EQ(letter.bytes, 0);
  }
  EXPECT_EQ(told, "UNDETERMINED by id; REJECTED; FAILED; ");
  const auto letter = store_.FindDeadLetter(tenant_.tenant_id, LetterIdOf(failed));
  ASSERT_TRUE(letter.ok()) << letter.status();
  EXPECT_EQ(letter->detail, "CARRIER_REJECTED, carrier_rejected");
  EXPECT_EQ(letter->replays, 0);
  const DeadLetterFilter webhooks{.tenant_id = tenant_.tenant_id, .source = "guide"};
  EXPECT_TRUE(store_.ListDeadLetters(webhooks, {}, 10)->empty());
}

TEST_P(StoreContract, AReplayOfAllLeavesOutWhatMayHaveArrived) {
  const ReplicaId replica = NewReplica();
  FailingSends sends(store_, random_, tenant_.tenant_id);
  const MessageKey failed = Submitted(replica);
  Fail(failed, 1);
  const MessageKey undetermined = Undetermined(replica);
  EXPECT_EQ(sends.Count(false), 1);
  EXPECT_EQ(sends.Count(true), 2);
  EXPECT_EQ(sends.ReplayAll(), 1);
  EXPECT_EQ(sends.ReplayAll(), 0);
  EXPECT_EQ(sends.Group().reason, "UNDETERMINED");
  EXPECT_EQ(sends.Group().only_by_id, 1);
  EXPECT_EQ(StatusOf(failed).state, MessageState::kQueued);
  EXPECT_EQ(StatusOf(undetermined).state, MessageState::kUndetermined);
  EXPECT_EQ(sends.ReplayOne(undetermined), 1) << "it was named";
  EXPECT_EQ(StatusOf(undetermined).state, MessageState::kQueued);
}

TEST_P(StoreContract, AFailedSendWithAnotherAttemptInDoubtIsReplayedByItsIdOnly) {
  const ReplicaId replica = NewReplica();
  FailingSends sends(store_, random_, tenant_.tenant_id);
  const MessageKey key = Undetermined(replica);
  EXPECT_EQ(sends.ReplayOne(key), 1);
  EXPECT_EQ(Intended(replica, key), 2);
  Record(replica, key, 2, OutcomeKind::kAccepted);
  Fail(key, 2);
  ASSERT_EQ(sends.List().size(), 1U);
  EXPECT_EQ(sends.List().front().reason, "FAILED");
  EXPECT_TRUE(sends.List().front().only_by_id) << "the first attempt may have arrived";
  EXPECT_EQ(sends.ReplayAll(), 0);
}

TEST_P(StoreContract, AReplayedSendIsANewAttemptAndFailsAsOne) {
  const ReplicaId replica = NewReplica();
  FailingSends sends(store_, random_, tenant_.tenant_id);
  const MessageKey key = Submitted(replica);
  Fail(key, 1);
  for (int replay = 1; replay <= kMostReplays; ++replay) {
    EXPECT_EQ(sends.ReplayAll(), 1);
    EXPECT_TRUE(sends.List().empty());
    const StatusEvent last = store_.GetMessage(key)->history.back();
    EXPECT_EQ(last.cause, Cause::kReplayed);
    EXPECT_TRUE(last.status.final) << "once true it stays true";
    EXPECT_EQ(Intended(replica, key), replay + 1);
    Record(replica, key, replay + 1, OutcomeKind::kAccepted);
    Fail(key, replay + 1);
    EXPECT_EQ(StatusOf(key).attempt, replay + 1);
    ASSERT_EQ(sends.List().size(), 1U);
    EXPECT_EQ(sends.List().front().replays, replay);
  }
  EXPECT_EQ(sends.ReplayAll(), 0) << "not for ever";
  EXPECT_EQ(sends.Group().only_by_id, 1);
  EXPECT_EQ(sends.ReplayOne(key), 1);
  EXPECT_EQ(Intended(replica, key), 5);
  Record(replica, key, 5, OutcomeKind::kAccepted);
  Apply(ReceiptFor(key, MessageState::kDelivered, "at last"));
  EXPECT_EQ(StatusOf(key).state, MessageState::kDelivered);
  EXPECT_TRUE(sends.List().empty());
  HistoryOf(key);
}

TEST_P(StoreContract, AReplayThatCouldNotBeSentIsTriedAgain) {
  const ReplicaId replica = NewReplica();
  FailingSends sends(store_, random_, tenant_.tenant_id);
  const MessageKey key = Submitted(replica);
  Fail(key, 1);
  EXPECT_EQ(sends.ReplayAll(), 1);
  Fail(key, 1);  // Told once more, later.
  EXPECT_EQ(StatusOf(key).state, MessageState::kQueued);
  EXPECT_EQ(Intended(replica, key), 2);
  Record(replica, key, 2, OutcomeKind::kNotSent);
  EXPECT_EQ(StatusOf(key).state, MessageState::kQueued);
  EXPECT_EQ(Intended(replica, key), 3);
  HistoryOf(key);
}

TEST_P(StoreContract, ALateDeliveredStopsAReplayThatWaits) {
  const ReplicaId replica = NewReplica();
  FailingSends sends(store_, random_, tenant_.tenant_id);
  const MessageKey key = Undetermined(replica);
  EXPECT_EQ(sends.ReplayOne(key), 1);
  ParsedReceipt delivered = ReceiptFor(key, MessageState::kDelivered, "there since long");
  delivered.receipt->status.attempt = 1;
  Apply(delivered);
  EXPECT_EQ(StatusOf(key).state, MessageState::kDelivered);
  EXPECT_EQ(IntendOne(replica, key).kind, Intent::Kind::kGone) << "nothing more leaves";
  EXPECT_TRUE(sends.List().empty());
  EXPECT_EQ(sends.ReplayOne(key), 0);
}

TEST_P(StoreContract, NewsOfTheAttemptBeforeDoNotEndTheDoubtOfAReplay) {
  const ReplicaId replica = NewReplica();
  FailingSends sends(store_, random_, tenant_.tenant_id);
  const MessageKey key = Undetermined(replica);
  EXPECT_EQ(sends.ReplayOne(key), 1);
  Record(replica, key, Intended(replica, key), OutcomeKind::kUnknown);
  Fail(key, 1);
  EXPECT_EQ(StatusOf(key).state, MessageState::kUnknown);
  if (subject_.advance) subject_.advance(1ms);
  const std::vector<Lease> leases = LeasesOf(replica);
  EXPECT_EQ(store_.CloseWindows(replica, leases, {.window = 0s})->undetermined, 1);
  ASSERT_EQ(sends.List().size(), 1U);
  EXPECT_EQ(sends.List().front().reason, "UNDETERMINED");
}

TEST_P(StoreContract, ALateStatusTakesASendOffTheListAndBringsItBack) {
  const ReplicaId replica = NewReplica();
  FailingSends sends(store_, random_, tenant_.tenant_id);
  const MessageKey key = Undetermined(replica);
  Apply(ReceiptFor(key, MessageState::kSent, "on its way"));
  EXPECT_TRUE(sends.List().empty());
  EXPECT_EQ(sends.ReplayOne(key), 0);
  Fail(key, 1);
  ASSERT_EQ(sends.List().size(), 1U);
  EXPECT_EQ(sends.List().front().reason, "FAILED");
  EXPECT_FALSE(sends.List().front().only_by_id) << "now its end is known";
}

TEST_P(StoreContract, ASendThatWasDeliveredBeforeItFailedIsReplayedOnlyByItsId) {
  const ReplicaId replica = NewReplica();
  FailingSends sends(store_, random_, tenant_.tenant_id);
  const MessageKey key = Submitted(replica);
  Apply(ReceiptFor(key, MessageState::kDelivered, "there"));
  Fail(key, 1);
  ASSERT_EQ(sends.List().size(), 1U);
  EXPECT_EQ(sends.List().front().reason, "FAILED");
  EXPECT_TRUE(sends.List().front().only_by_id);
  EXPECT_EQ(sends.ReplayAll(), 0);
  EXPECT_EQ(sends.ReplayOne(key), 1);
}

TEST_P(StoreContract, ADiscardedSendStaysOffTheListUntilItIsReplayed) {
  const ReplicaId replica = NewReplica();
  FailingSends sends(store_, random_, tenant_.tenant_id);
  const MessageKey key = Undetermined(replica);
  EXPECT_EQ(sends.Discard(key), 1);
  Fail(key, 1);
  EXPECT_TRUE(sends.List().empty()) << "news of the same attempt";
  EXPECT_EQ(sends.ReplayOne(key), 0);
  const auto replay = store_.ReplayMessage(key, ReplayAction(random_));
  ASSERT_TRUE(replay.ok()) << replay.status();
  EXPECT_EQ(replay->kind, Replay::Kind::kReplayed);
  Record(replica, key, Intended(replica, key), OutcomeKind::kAccepted);
  Fail(key, 2);
  ASSERT_EQ(sends.List().size(), 1U);
  EXPECT_EQ(sends.List().front().replays, 1);
}

TEST_P(StoreContract, ReplayedSendsTakeTheirTurnsOldestFirst) {
  if (!subject_.advance) GTEST_SKIP();
  const ReplicaId replica = NewReplica();
  FailingSends sends(store_, random_, tenant_.tenant_id);
  const MessageKey first = Submitted(replica);
  const MessageKey second = Submitted(replica);
  Fail(first, 1);
  subject_.advance(1ms);
  Fail(second, 1);
  EXPECT_EQ(sends.ReplayAll(1h), 2);
  const auto message = store_.GetMessage(first);
  const FlowRoom room{FlowOf(message->message.request), 10};
  auto due = store_.ChooseDue({&room, 1});
  ASSERT_TRUE(due.ok()) << due.status();
  ASSERT_EQ(due->size(), 1U) << "the other's turn is an hour later";
  EXPECT_EQ(due->front().key, first);
  EXPECT_EQ(Intended(replica, first), 2);
  subject_.advance(1h);
  NewReplica();
  due = store_.ChooseDue({&room, 1});
  ASSERT_EQ(due->size(), 1U);
  EXPECT_EQ(due->front().key, second);
}

TEST_P(StoreContract, AReplayedSendIsHeldToWhatBindsEveryMessage) {
  const ReplicaId replica = NewReplica();
  FailingSends sends(store_, random_, tenant_.tenant_id);
  const MessageKey key = Accepted(Fresh("+15550000042"));
  Record(replica, key, Intended(replica, key), OutcomeKind::kRejected);
  subject_.suppress(tenant_.tenant_id, "+15550000042");
  EXPECT_EQ(sends.ReplayAll(), 1);
  EXPECT_EQ(IntendOne(replica, key).kind, Intent::Kind::kEnded);
  EXPECT_EQ(StatusOf(key).state, MessageState::kSuppressed);
  EXPECT_TRUE(sends.List().empty());
}

TEST_P(StoreContract, AReplayedSendThatAnOptOutEndsIsACorrection) {
  const ReplicaId replica = NewReplica();
  FailingSends sends(store_, random_, tenant_.tenant_id);
  const MessageKey replayed = Accepted(Fresh("+15550000042"));
  Record(replica, replayed, Intended(replica, replayed), OutcomeKind::kRejected);
  ASSERT_EQ(sends.ReplayAll(), 1);
  const MessageKey fresh = Accepted(Fresh("+15550000042"));
  ConsentEvent opt_out{.tenant_id = tenant_.tenant_id, .consent_id = MakeUuidV4(random_)};
  opt_out.recipient = "+15550000042";
  ASSERT_EQ(store_.RecordConsent({&opt_out, 1}, std::nullopt)->opted_out, 1);
  EXPECT_EQ(store_.SuppressQueued(AllSlots())->value_or(0), 2);
  for (const MessageKey& key : {replayed, fresh}) {
    const auto message = store_.GetMessage(key);
    ASSERT_TRUE(message.ok()) << message.status();
    EXPECT_EQ(message->history.back().status.state, MessageState::kSuppressed);
    EXPECT_EQ(message->history.back().correction, key == replayed);
  }
}

TEST_P(StoreContract, WebhooksAndSendsAreGroupedAndReplayedTogether) {
  const ReplicaId replica = NewReplica();
  FailingSends sends(store_, random_, tenant_.tenant_id);
  const MessageKey key = Submitted(replica);
  Fail(key, 1);
  Unreadable("a webhook");
  const auto groups = store_.GroupDeadLetters({});
  ASSERT_TRUE(groups.ok()) << groups.status();
  std::string told;
  for (const DeadLetterGroup& group : *groups) {
    EXPECT_EQ(group.tenant_id, tenant_.tenant_id);
    StrAppend(told, group.reason, " ", group.source, " ", group.count, "; ");
  }
  EXPECT_EQ(told, "FAILED send 1; UNREADABLE guide 1; ");
  const DeadLetterChoice all{{.tenant_id = tenant_.tenant_id}, {}};
  EXPECT_EQ(store_.ReplayDeadLetters(all, 0us, ReplayAction(random_))->changed, 2);
  EXPECT_EQ(StatusOf(key).state, MessageState::kQueued);
  EXPECT_EQ(store_.TakeParked(10)->size(), 1U);
}

TEST_P(StoreContract, WhoSeesADeadLetterUnmaskedSeesOneOfTheTenants) {
  const auto id = DeadLetterId{Unreadable("+15551234567").row.inbox_id.uuid};
  const auto letter = store_.UnmaskDeadLetter(tenant_.tenant_id, id, ReplayAction(random_));
  ASSERT_TRUE(letter.ok()) << letter.status();
  EXPECT_EQ(letter->body, "+15551234567");
  const TenantId other{MakeUuidV4(random_)};
  EXPECT_TRUE(absl::IsNotFound(store_.UnmaskDeadLetter(other, id, ReplayAction(random_)).status()));
}

}  // namespace
}  // namespace postrider
