#include <algorithm>

#include "server/model/dispatch_limits.h"
#include "tests/support/store_contract.h"

// Steps 3 to 7: owning, choosing, intending, recording.
namespace postrider {
namespace {

TEST_P(StoreContract, ALoneReplicaTakesAllSlots) {
  const ReplicaId replica = NewReplica();
  EXPECT_EQ(LeasesOf(replica).size(), static_cast<std::size_t>(kSlots));
  EXPECT_EQ(LeasesOf(replica), LeasesOf(replica)) << "epochs rise only when the owner changes";
}

TEST_P(StoreContract, ReleasedSlotsCanBeTakenByAnother) {
  const ReplicaId first = NewReplica();
  const std::vector<Lease> leases = LeasesOf(first);
  const ReplicaId second = NewReplica();
  EXPECT_TRUE(LeasesOf(second).empty()) << "a live owner keeps its slots";
  ASSERT_TRUE(store_.ReleaseSlots(first, leases).ok());
  ASSERT_TRUE(store_.RetireReplica(first).ok());
  const std::vector<Lease> taken = LeasesOf(second);
  ASSERT_EQ(taken.size(), static_cast<std::size_t>(kSlots));
  EXPECT_GT(taken.front().epoch, leases.front().epoch);
}

TEST_P(StoreContract, ALaterReplicaIsOwedItsShareAndGetsItWhenItIsGivenBack) {
  const ReplicaId first = NewReplica();
  const std::vector<Lease> all = LeasesOf(first);
  ASSERT_EQ(all.size(), static_cast<std::size_t>(kSlots));
  const auto later = [&] {
    if (subject_.advance) subject_.advance(1ms);
    return NewReplica();
  };
  const ReplicaId second = later();
  const ReplicaId third = later();
  EXPECT_EQ(store_.AcquireSlots(first)->fair, 6);
  EXPECT_EQ(store_.AcquireSlots(second)->fair, 5);
  EXPECT_EQ(store_.AcquireSlots(third)->fair, 5);

  const std::span<const Lease> surplus = std::span(all).subspan(6);
  const auto released = store_.ReleaseIdleSlots(first, surplus);
  ASSERT_TRUE(released.ok()) << released.status();
  EXPECT_EQ(*released, std::vector<Lease>(surplus.begin(), surplus.end()));
  EXPECT_EQ(LeasesOf(first).size(), 6U);
  EXPECT_EQ(LeasesOf(second).size(), 5U);
  EXPECT_EQ(LeasesOf(third).size(), 5U);
  EXPECT_EQ(*store_.ReleaseIdleSlots(first, surplus), *released) << "not its own any more";
  EXPECT_EQ(LeasesOf(second).size(), 5U);
}

TEST_P(StoreContract, ASlotWithAnOpenAttemptIsNotGivenBackAsIdle) {
  const ReplicaId replica = NewReplica();
  const MessageKey key = Accepted();
  const int attempt = Intended(replica, key);
  const std::vector<Lease> all = LeasesOf(replica);
  const auto is_of = [&](const Lease& lease) { return lease.slot == SlotOf(key.tenant_id); };
  std::vector<Lease> released = *store_.ReleaseIdleSlots(replica, all);
  EXPECT_EQ(released.size(), all.size() - 1);
  EXPECT_EQ(std::count_if(released.begin(), released.end(), is_of), 0);
  Record(replica, key, attempt, OutcomeKind::kAccepted);
  EXPECT_EQ(store_.ReleaseIdleSlots(replica, all)->size(), all.size());
  EXPECT_EQ(StatusOf(key).state, MessageState::kSubmitted);
}

TEST_P(StoreContract, ADeadOwnerIsFencedAndWhatItWasPostingBecomesUnknown) {
  if (!subject_.advance) GTEST_SKIP();
  const ReplicaId dead = NewReplica();
  const MessageKey posting = Accepted();
  const MessageKey waiting = Accepted();
  const int attempt = Intended(dead, posting);
  const std::vector<Lease> stale = LeasesOf(dead);
  subject_.advance(kLeaseTime + 1ms);
  const ReplicaId heir = NewReplica();
  EXPECT_EQ(LeasesOf(heir).size(), static_cast<std::size_t>(kSlots));
  EXPECT_EQ(StatusOf(posting).state, MessageState::kUnknown);
  EXPECT_EQ(StatusOf(waiting).state, MessageState::kQueued);
  const auto alive = store_.RenewReplica(dead, "test");
  ASSERT_TRUE(alive.ok()) << alive.status();
  EXPECT_FALSE(*alive) << "a fenced replica does not come back";
  EXPECT_TRUE(LeasesOf(dead).empty());

  const auto intents = store_.Intend(dead, stale, {&waiting, 1});
  ASSERT_TRUE(intents.ok()) << intents.status();
  EXPECT_EQ(intents->front().kind, Intent::Kind::kGone) << "a stale lease intends nothing";
  EXPECT_EQ(StatusOf(waiting).state, MessageState::kQueued);
  Record(dead, posting, attempt, OutcomeKind::kNotSent);
  EXPECT_EQ(StatusOf(posting).state, MessageState::kUnknown) << "never QUEUED again";
}

TEST_P(StoreContract, FlowsWithWorkAreThoseWithADueMessage) {
  NewReplica();
  NewMessage normal = Fresh();
  normal.request.campaign_id = "a";
  Accepted(normal);
  normal.request.request_id = "again";
  normal.message_id = {MakeUuidV7(subject_.now(), random_)};
  Accepted(normal);
  NewMessage urgent = Fresh();
  urgent.request.priority = Priority::kUrgent;
  Accepted(urgent);
  NewMessage later = Fresh();
  later.request.priority = Priority::kBulk;
  later.request.not_before = subject_.now() + 1h;
  Accepted(later);

  const auto flows = store_.FlowsWithWork(AllSlots());
  ASSERT_TRUE(flows.ok()) << flows.status();
  EXPECT_EQ(*flows, (std::vector{FlowOf(urgent.request), FlowOf(normal.request)}));
  const int slot = SlotOf(tenant_.tenant_id);
  EXPECT_EQ(store_.FlowsWithWork({&slot, 1})->size(), 2U);
  const int other = (slot + 1) % kSlots;
  EXPECT_TRUE(store_.FlowsWithWork({&other, 1})->empty());
}

TEST_P(StoreContract, ChoosesWhatIsDueOfEachFlowTheOldestFirst) {
  NewReplica();
  std::vector<MessageKey> keys;
  NewMessage message = Fresh();
  for (int i = 0; i < 3; ++i) {
    message = Fresh();
    message.request.campaign_id = "a";
    keys.push_back(Accepted(message));
  }
  NewMessage later = Fresh();
  later.request.campaign_id = "a";
  later.request.not_before = subject_.now() + 1h;
  Accepted(later);
  NewMessage code = Fresh();
  code.request.priority = Priority::kUrgent;
  keys.push_back(Accepted(code));

  struct Case {
    const char* name;
    std::vector<FlowRoom> rooms;
    std::vector<std::pair<MessageKey, std::size_t>> chosen;
  };
  const Flow a = FlowOf(message.request);
  Flow nobodys = a;
  nobodys.campaign_id = "b";
  const Flow urgent = FlowOf(code.request);
  const Case cases[] = {
      {"nothing asked", {}, {}},
      {"up to the room", {{a, 2}}, {{keys[0], 0}, {keys[1], 0}}},
      {"the scheduled one is not due", {{a, 9}}, {{keys[0], 0}, {keys[1], 0}, {keys[2], 0}}},
      {"an empty flow", {{nobodys, 9}}, {}},
      {"in the order asked", {{nobodys, 1}, {urgent, 1}, {a, 1}}, {{keys[3], 1}, {keys[0], 2}}},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    const auto due = store_.ChooseDue(c.rooms);
    ASSERT_TRUE(due.ok()) << due.status();
    std::vector<std::pair<MessageKey, std::size_t>> chosen;
    for (const DueMessage& d : *due) chosen.emplace_back(d.key, d.of);
    EXPECT_EQ(chosen, c.chosen);
  }
}

TEST_P(StoreContract, AnIntentIsOnRecordBeforeThePost) {
  const ReplicaId replica = NewReplica();
  const NewMessage message = Fresh();
  const MessageKey key = Accepted(message);
  const Intent intent = IntendOne(replica, key);
  EXPECT_EQ(intent.kind, Intent::Kind::kPost);
  EXPECT_EQ(intent.attempt, 1);
  EXPECT_EQ(intent.request.text, message.request.text);
  EXPECT_EQ(intent.request.sender, message.request.sender);
  EXPECT_EQ(intent.request.metadata, message.request.metadata);
  EXPECT_EQ(intent.request.conversation_id, message.new_conversation_id);
  const auto record = store_.GetMessage(key);
  ASSERT_EQ(record->attempts.size(), 1U);
  EXPECT_TRUE(record->attempts[0].open);
  EXPECT_EQ(record->message.status.state, MessageState::kDispatching);
  EXPECT_EQ(IntendOne(replica, key).kind, Intent::Kind::kGone) << "not twice";
}

TEST_P(StoreContract, AnExpiredMessageEndsInsteadOfLeaving) {
  if (!subject_.advance) GTEST_SKIP();
  NewMessage message = Fresh();
  message.request.expire_at = subject_.now() + 1min;
  const MessageKey key = Accepted(message);
  subject_.advance(2min);
  const ReplicaId replica = NewReplica();
  EXPECT_EQ(IntendOne(replica, key).kind, Intent::Kind::kEnded);
  EXPECT_EQ(StatusOf(key).state, MessageState::kExpired);
  EXPECT_TRUE(StatusOf(key).final);
}

TEST_P(StoreContract, AnOptOutReachesWhatIsQueued) {
  if (!subject_.suppress) GTEST_SKIP();
  const ReplicaId replica = NewReplica();
  const MessageKey key = Accepted(Fresh("+15550000003"));
  subject_.suppress(tenant_.tenant_id, "+15550000003");
  EXPECT_NE(IntendOne(replica, key).kind, Intent::Kind::kPost);
  EXPECT_EQ(StatusOf(key).state, MessageState::kSuppressed);
}

TEST_P(StoreContract, OutcomeTable) {
  struct Case {
    OutcomeKind kind;
    MessageState state;
    bool final;
  };
  const Case cases[] = {
      {OutcomeKind::kAccepted, MessageState::kSubmitted, false},
      {OutcomeKind::kRejected, MessageState::kRejected, true},
      {OutcomeKind::kUnknown, MessageState::kUnknown, false},
      {OutcomeKind::kNotSent, MessageState::kQueued, false},
      {OutcomeKind::kHeld, MessageState::kQueued, false},
      {OutcomeKind::kTakenBack, MessageState::kQueued, false},
  };
  const ReplicaId replica = NewReplica();
  for (const Case& c : cases) {
    SCOPED_TRACE(std::string(NameOf(c.kind)));
    const MessageKey key = Accepted();
    Record(replica, key, Intended(replica, key), c.kind);
    EXPECT_EQ(StatusOf(key).state, c.state);
    EXPECT_EQ(StatusOf(key).final, c.final);
    const auto record = store_.GetMessage(key);
    ASSERT_EQ(record->attempts.size(), 1U);
    EXPECT_FALSE(record->attempts[0].open);
    EXPECT_EQ(record->attempts[0].outcome.kind, c.kind);
  }
}

TEST_P(StoreContract, ASecondRecordOfAnAttemptChangesNothing) {
  const ReplicaId replica = NewReplica();
  const MessageKey key = Accepted();
  const int attempt = Intended(replica, key);
  Record(replica, key, attempt, OutcomeKind::kAccepted);
  Record(replica, key, attempt, OutcomeKind::kAccepted);
  Record(replica, key, attempt, OutcomeKind::kNotSent);
  Record(replica, key, 0, OutcomeKind::kTakenBack);
  EXPECT_EQ(HistoryOf(key), (std::vector{MessageState::kQueued, MessageState::kDispatching,
                                         MessageState::kSubmitted}));
}

TEST_P(StoreContract, AnIntendInDoubtIsTakenBackByItsMakerOnly) {
  const ReplicaId replica = NewReplica();
  const MessageKey intended = Accepted();
  const MessageKey not_intended = Accepted();
  Intended(replica, intended);
  Record(ReplicaId{MakeUuidV4(random_)}, intended, 0, OutcomeKind::kTakenBack);
  EXPECT_EQ(StatusOf(intended).state, MessageState::kDispatching) << "not another replica's to say";
  Record(replica, intended, 0, OutcomeKind::kTakenBack);
  Record(replica, not_intended, 0, OutcomeKind::kTakenBack);
  EXPECT_EQ(StatusOf(intended).state, MessageState::kQueued);
  EXPECT_EQ(StatusOf(intended).attempt, 2);
  EXPECT_EQ(StatusOf(not_intended).revision, 1);
  EXPECT_EQ(Intended(replica, intended), 2);
}

TEST_P(StoreContract, NotSentWaitsItsTimeAndGoesOutAgain) {
  if (!subject_.advance) GTEST_SKIP();
  const ReplicaId replica = NewReplica();
  const MessageKey key = Accepted();
  AttemptOutcome row;
  row.key = key;
  row.attempt = Intended(replica, key);
  row.outcome.kind = OutcomeKind::kNotSent;
  row.outcome.hold = HoldReason::kRetryAfter;
  row.outcome.http_status = 429;
  row.again_in = 60s;
  ASSERT_TRUE(store_.RecordOutcomes(replica, {&row, 1}).ok());
  const MessageStatus held = StatusOf(key);
  EXPECT_EQ(held.state, MessageState::kQueued);
  EXPECT_EQ(held.attempt, 2);
  EXPECT_EQ(held.hold_reason, HoldReason::kRetryAfter);
  EXPECT_GT(held.hold_until, subject_.now() + 50s);
  const FlowRoom room{FlowOf(store_.GetMessage(key)->message.request), 10};
  EXPECT_TRUE(store_.ChooseDue({&room, 1})->empty());
  subject_.advance(61s);
  const auto due = store_.ChooseDue({&room, 1});
  ASSERT_TRUE(due.ok()) << due.status();
  ASSERT_EQ(due->size(), 1U);
  EXPECT_EQ(Intended(NewReplica(), key), 2);
}

TEST_P(StoreContract, ANewOwnerLearnsHowLongTheProviderSaidToWait) {
  const ReplicaId replica = NewReplica();
  const MessageKey key = Accepted();
  EXPECT_TRUE(store_.PausesInForce(AllSlots())->empty());
  AttemptOutcome row;
  row.key = key;
  row.attempt = Intended(replica, key);
  row.outcome.kind = OutcomeKind::kNotSent;
  row.outcome.hold = HoldReason::kRetryAfter;
  row.again_in = 600s;
  ASSERT_TRUE(store_.RecordOutcomes(replica, {&row, 1}).ok());
  const auto pauses = store_.PausesInForce(AllSlots());
  ASSERT_TRUE(pauses.ok()) << pauses.status();
  ASSERT_EQ(pauses->size(), 1U);
  EXPECT_EQ(pauses->front().tenant_id, tenant_.tenant_id);
  EXPECT_GT(pauses->front().left, 500s);
  EXPECT_LE(pauses->front().left, 600s);
}

}  // namespace
}  // namespace postrider
