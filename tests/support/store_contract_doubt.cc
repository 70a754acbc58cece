#include <algorithm>

#include "server/base/digest.h"
#include "server/base/strings.h"
#include "server/model/limits.h"
#include "tests/support/store_contract.h"

// Step 11: doubt, attempts that hide one another, windows and replays.
namespace postrider {
namespace {

class DoubtfulWorld {
 public:
  DoubtfulWorld(Store& store, ReplicaId replica, std::vector<Lease> leases)
      : store_(store), replica_(replica), leases_(std::move(leases)) {}

  std::vector<DoubtfulMessage> Take(int limit = 10) {
    auto taken = store_.TakeDoubtful(replica_, leases_, limit);
    EXPECT_TRUE(taken.ok()) << taken.status();
    return taken.ok() ? *std::move(taken) : std::vector<DoubtfulMessage>{};
  }
  int Collect(DoubtTimes times) {
    const auto passed = store_.CollectQuiet(replica_, leases_, times);
    EXPECT_TRUE(passed.ok()) << passed.status();
    return passed.value_or(-1);
  }
  DoubtEnds Record(const Look& look, DoubtTimes times = {}) {
    const auto ends = store_.RecordLooks(replica_, leases_, {&look, 1}, times);
    EXPECT_TRUE(ends.ok()) << ends.status();
    return ends.ok() ? *ends : DoubtEnds{};
  }
  DoubtEnds Close(std::chrono::seconds window) {
    const auto ends = store_.CloseWindows(replica_, leases_, {.window = window});
    EXPECT_TRUE(ends.ok()) << ends.status();
    return ends.ok() ? *ends : DoubtEnds{};
  }

 private:
  Store& store_;
  const ReplicaId replica_;
  const std::vector<Lease> leases_;
};

Look LookOf(const MessageKey& key, LookKind kind, int attempt = 1) {
  return {.key = key, .attempt = attempt, .kind = kind, .candidates = {}, .again_in = 30s};
}

Look FoundFor(const MessageKey& key, const std::string& id, MessageState state) {
  Look look = LookOf(key, LookKind::kFound);
  Receipt& candidate = look.candidates.emplace_back();
  candidate.provider_message_id = id;
  candidate.status.state = state;
  candidate.status.provider_at = WallTime{std::chrono::seconds(1'700'000'000)};
  candidate.status.hash = Sha256Bytes(StrCat(id, static_cast<int>(state)));
  return look;
}

/// The row's message: UNKNOWN, of `policy`.
#define PR_UNKNOWN_MESSAGE(key, wanted_policy)            \
  NewMessage key##_message = Fresh();                     \
  key##_message.request.duplicate_policy = wanted_policy; \
  const MessageKey key = Accepted(key##_message);         \
  Record(replica, key, Intended(replica, key), OutcomeKind::kUnknown)

TEST_P(StoreContract, AMessageInDoubtIsTakenOnceAndThenNotForAWhile) {
  const ReplicaId replica = NewReplica();
  PR_UNKNOWN_MESSAGE(key, DuplicatePolicy::kAtMostOnce);
  Submitted(replica);
  DoubtfulWorld doubt(store_, replica, LeasesOf(replica));
  const std::vector<DoubtfulMessage> taken = doubt.Take();
  ASSERT_EQ(taken.size(), 1U);
  EXPECT_EQ(taken[0].key, key);
  EXPECT_EQ(taken[0].state, MessageState::kUnknown);
  EXPECT_EQ(taken[0].attempt, 1);
  EXPECT_EQ(taken[0].recipient, key_message.request.recipient);
  EXPECT_EQ(taken[0].sender, key_message.request.sender);
  EXPECT_EQ(taken[0].text, key_message.request.text);
  EXPECT_NE(taken[0].intended_at, WallTime{});
  EXPECT_TRUE(doubt.Take().empty());
}

TEST_P(StoreContract, WhatADeadOwnerWasLookingForIsLookedForByItsHeirSoon) {
  if (!subject_.advance) GTEST_SKIP();
  const ReplicaId replica = NewReplica();
  PR_UNKNOWN_MESSAGE(key, DuplicatePolicy::kAtMostOnce);
  ASSERT_EQ(DoubtfulWorld(store_, replica, LeasesOf(replica)).Take().size(), 1U);
  subject_.advance(10s);
  const ReplicaId heir = NewReplica();
  EXPECT_EQ(DoubtfulWorld(store_, heir, LeasesOf(heir)).Take().size(), 1U);
}

TEST_P(StoreContract, WithoutReadsAtMostOnceIsNeverSentAgain) {
  const ReplicaId replica = NewReplica();
  PR_UNKNOWN_MESSAGE(key, DuplicatePolicy::kAtMostOnce);
  DoubtfulWorld doubt(store_, replica, LeasesOf(replica));
  EXPECT_EQ(doubt.Record(LookOf(key, LookKind::kCannotRead), {.again = 0s}).sent_again, 0);
  EXPECT_EQ(doubt.Record(LookOf(key, LookKind::kAbsent), {.again = 0s}).sent_again, 0);
  EXPECT_EQ(doubt.Record(LookOf(key, LookKind::kAbsent), {.again = 0s}).sent_again, 0);
  EXPECT_EQ(StatusOf(key).state, MessageState::kUnknown);
}

TEST_P(StoreContract, WithoutReadsAtLeastOnceIsSentAgainOnceAndFlagged) {
  const ReplicaId replica = NewReplica();
  PR_UNKNOWN_MESSAGE(key, DuplicatePolicy::kAtLeastOnce);
  DoubtfulWorld doubt(store_, replica, LeasesOf(replica));
  EXPECT_EQ(doubt.Record(LookOf(key, LookKind::kCannotRead)).sent_again, 0) << "it waits first";
  EXPECT_EQ(doubt.Record(LookOf(key, LookKind::kCannotRead), {.again = 0s}).sent_again, 1);
  EXPECT_EQ(StatusOf(key).state, MessageState::kQueued);
  EXPECT_EQ(StatusOf(key).attempt, 2);
  EXPECT_EQ(store_.GetMessage(key)->history.back().cause, Cause::kSentAgain);

  Record(replica, key, Intended(replica, key), OutcomeKind::kUnknown);
  EXPECT_EQ(StatusOf(key).state, MessageState::kUnknown);
  EXPECT_EQ(doubt.Record(LookOf(key, LookKind::kCannotRead, 2), {.again = 0s}).sent_again, 0)
      << "once more, and never again";
  EXPECT_EQ(StatusOf(key).state, MessageState::kUnknown);
}

TEST_P(StoreContract, AbsentIsBelievedAfterTwoReads) {
  const ReplicaId replica = NewReplica();
  PR_UNKNOWN_MESSAGE(key, DuplicatePolicy::kAtLeastOnce);
  DoubtfulWorld doubt(store_, replica, LeasesOf(replica));
  EXPECT_EQ(doubt.Record(LookOf(key, LookKind::kAbsent), {.again = 0s}).sent_again, 0);
  EXPECT_EQ(doubt.Record(LookOf(key, LookKind::kNothing), {.again = 0s}).sent_again, 0);
  EXPECT_EQ(doubt.Record(LookOf(key, LookKind::kAbsent)).sent_again, 0) << "too soon";
  EXPECT_EQ(doubt.Record(LookOf(key, LookKind::kAbsent), {.again = 0s}).sent_again, 1);
}

TEST_P(StoreContract, AReadSettlesAsAReceiptDoes) {
  const ReplicaId replica = NewReplica();
  PR_UNKNOWN_MESSAGE(key, DuplicatePolicy::kAtMostOnce);
  DoubtfulWorld doubt(store_, replica, LeasesOf(replica));
  EXPECT_EQ(doubt.Record(FoundFor(key, "gc-1", MessageState::kSent)).answered, 1);
  EXPECT_EQ(StatusOf(key).state, MessageState::kSent);
  EXPECT_EQ(store_.GetMessage(key)->history.back().cause, Cause::kReadAnswered);
  EXPECT_EQ(store_.GetMessage(key)->message.provider_message_id, "gc-1");
  EXPECT_EQ(doubt.Record(FoundFor(key, "gc-1", MessageState::kSent)).answered, 0) << "nothing new";
  EXPECT_EQ(doubt.Record(FoundFor(key, "gc-1", MessageState::kDelivered)).answered, 1);
  EXPECT_TRUE(StatusOf(key).final);
  EXPECT_EQ(doubt.Record(FoundFor(key, "gc-1", MessageState::kFailed)).answered, 0)
      << "not looked for";
}

TEST_P(StoreContract, ACandidateThatAnotherMessageHasDoesNotCount) {
  const ReplicaId replica = NewReplica();
  Submitted(replica, "gc-7");
  PR_UNKNOWN_MESSAGE(key, DuplicatePolicy::kAtMostOnce);
  DoubtfulWorld doubt(store_, replica, LeasesOf(replica));
  EXPECT_EQ(doubt.Record(FoundFor(key, "gc-7", MessageState::kSent)).answered, 0);
  EXPECT_EQ(StatusOf(key).state, MessageState::kUnknown);
  Look two = FoundFor(key, "gc-7", MessageState::kSent);
  two.candidates.push_back(FoundFor(key, "gc-8", MessageState::kSent).candidates[0]);
  EXPECT_EQ(doubt.Record(two).answered, 1) << "one of the two is left";
  EXPECT_EQ(store_.GetMessage(key)->message.provider_message_id, "gc-8");

  PR_UNKNOWN_MESSAGE(other, DuplicatePolicy::kAtMostOnce);
  EXPECT_EQ(doubt.Record(FoundFor(other, "gc-8", MessageState::kSent)).answered, 0)
      << "taken by a read";
  Look several = FoundFor(other, "gc-9", MessageState::kSent);
  several.candidates.push_back(FoundFor(other, "gc-10", MessageState::kSent).candidates[0]);
  EXPECT_EQ(doubt.Record(several).answered, 0) << "several settle nothing";
  EXPECT_EQ(StatusOf(other).state, MessageState::kUnknown);
}

TEST_P(StoreContract, OneCandidateSettlesOneMessageOfABatch) {
  const ReplicaId replica = NewReplica();
  PR_UNKNOWN_MESSAGE(one, DuplicatePolicy::kAtMostOnce);
  PR_UNKNOWN_MESSAGE(other, DuplicatePolicy::kAtMostOnce);
  const Look looks[] = {FoundFor(one, "gc-1", MessageState::kDelivered),
                        FoundFor(other, "gc-1", MessageState::kDelivered)};
  const auto ends = store_.RecordLooks(replica, LeasesOf(replica), looks, {});
  ASSERT_TRUE(ends.ok()) << ends.status();
  EXPECT_EQ(ends->answered, 1);
  EXPECT_NE(StatusOf(one).state, StatusOf(other).state);
  const MessageState left = StatusOf(one).final ? StatusOf(other).state : StatusOf(one).state;
  EXPECT_EQ(left, MessageState::kUnknown) << "one POST arrived: of the other nothing is known";
}

TEST_P(StoreContract, WhatAStaleOwnerLooksForChangesNothing) {
  const ReplicaId replica = NewReplica();
  PR_UNKNOWN_MESSAGE(key, DuplicatePolicy::kAtLeastOnce);
  std::vector<Lease> stale = LeasesOf(replica);
  for (Lease& lease : stale) --lease.epoch;
  DoubtfulWorld doubt(store_, replica, stale);
  EXPECT_TRUE(doubt.Take().empty());
  EXPECT_EQ(doubt.Record(FoundFor(key, "gc-1", MessageState::kSent)).answered, 0);
  EXPECT_EQ(doubt.Record(LookOf(key, LookKind::kCannotRead), {.again = 0s}).sent_again, 0);
  EXPECT_EQ(doubt.Close(0s).undetermined, 0);
  EXPECT_EQ(StatusOf(key).state, MessageState::kUnknown);
}

TEST_P(StoreContract, TheMessageShowsItsBestAttempt) {
  const ReplicaId replica = NewReplica();
  PR_UNKNOWN_MESSAGE(key, DuplicatePolicy::kAtLeastOnce);
  DoubtfulWorld doubt(store_, replica, LeasesOf(replica));
  doubt.Record(LookOf(key, LookKind::kCannotRead), {.again = 0s});
  Record(replica, key, Intended(replica, key), OutcomeKind::kAccepted);
  const auto receipt = [&](int attempt, MessageState state) {
    ParsedReceipt made = ReceiptFor(key, state, StrCat(attempt, NameOf(state)));
    made.receipt->status.attempt = attempt;
    return made;
  };
  Apply(receipt(1, MessageState::kSent));
  EXPECT_EQ(StatusOf(key).state, MessageState::kSubmitted) << "the latest attempt is shown";
  Apply(receipt(2, MessageState::kFailed));
  EXPECT_EQ(StatusOf(key).state, MessageState::kFailed);
  Apply(receipt(1, MessageState::kDelivered));
  EXPECT_EQ(StatusOf(key).state, MessageState::kDelivered) << "one of them arrived";
  EXPECT_EQ(StatusOf(key).attempt, 1);
  EXPECT_TRUE(store_.GetMessage(key)->history.back().correction);
  Apply(receipt(1, MessageState::kFailed));
  EXPECT_EQ(StatusOf(key).state, MessageState::kFailed) << "none of them arrived";
  EXPECT_EQ(StatusOf(key).attempt, 2);
  EXPECT_TRUE(StatusOf(key).final);
  HistoryOf(key);
}

TEST_P(StoreContract, NewsOfTheFirstAttemptStopTheSecondOneThatWaits) {
  const ReplicaId replica = NewReplica();
  PR_UNKNOWN_MESSAGE(key, DuplicatePolicy::kAtLeastOnce);
  DoubtfulWorld doubt(store_, replica, LeasesOf(replica));
  doubt.Record(LookOf(key, LookKind::kCannotRead), {.again = 0s});
  ASSERT_EQ(StatusOf(key).state, MessageState::kQueued);
  ParsedReceipt sent = ReceiptFor(key, MessageState::kSent, "it was sent after all");
  sent.receipt->status.attempt = 1;
  Apply(sent);
  EXPECT_EQ(StatusOf(key).state, MessageState::kSent);
  EXPECT_EQ(StatusOf(key).attempt, 1);
  EXPECT_EQ(IntendOne(replica, key).kind, Intent::Kind::kGone);
  EXPECT_EQ(store_.GetMessage(key)->attempts.size(), 1U);
}

TEST_P(StoreContract, AcceptedMessagesAreLookedForOnceTheyAreQuiet) {
  if (!subject_.advance) GTEST_SKIP();
  const ReplicaId replica = NewReplica();
  const MessageKey quiet = Submitted(replica, "gc-1");
  const MessageKey delivered = Submitted(replica, "gc-2");
  Apply(ReceiptFor(delivered, MessageState::kDelivered, "it is there"));
  const MessageKey sent = Submitted(replica, "gc-3");
  Apply(ReceiptFor(sent, MessageState::kSent, "on its way"));
  const MessageKey queued = Accepted();
  subject_.advance(5ms);
  DoubtfulWorld doubt(store_, replica, LeasesOf(replica));
  EXPECT_EQ(doubt.Collect({.quiet = 60s}), 0) << "none is so old";
  EXPECT_TRUE(doubt.Take().empty());
  EXPECT_EQ(doubt.Collect({.quiet = 0s}), 4);
  EXPECT_EQ(doubt.Collect({.quiet = 0s}), 0) << "each is passed once";

  std::vector<DoubtfulMessage> taken = doubt.Take();
  ASSERT_EQ(taken.size(), 2U);
  EXPECT_EQ(taken[0].key, quiet);
  EXPECT_EQ(taken[0].state, MessageState::kSubmitted);
  EXPECT_EQ(taken[0].provider_message_id, "gc-1");
  EXPECT_EQ(taken[1].key, sent);
  EXPECT_EQ(StatusOf(queued).state, MessageState::kQueued);

  EXPECT_EQ(doubt.Record(FoundFor(quiet, "gc-1", MessageState::kDelivered)).answered, 1);
  EXPECT_EQ(StatusOf(quiet).state, MessageState::kDelivered);
}

TEST_P(StoreContract, WhatIsAcceptedAfterItWasPassedIsLookedForToo) {
  if (!subject_.advance) GTEST_SKIP();
  const ReplicaId replica = NewReplica();
  const MessageKey late = Accepted();
  subject_.advance(5ms);
  DoubtfulWorld doubt(store_, replica, LeasesOf(replica));
  EXPECT_EQ(doubt.Collect({.quiet = 0s}), 1);
  EXPECT_TRUE(doubt.Take().empty()) << "it has not left yet";
  AttemptOutcome accepted;
  accepted.key = late;
  accepted.attempt = Intended(replica, late);
  accepted.outcome.kind = OutcomeKind::kAccepted;
  accepted.again_in = 0s;
  ASSERT_TRUE(store_.RecordOutcomes(replica, {&accepted, 1}).ok());
  const std::vector<DoubtfulMessage> taken = doubt.Take();
  ASSERT_EQ(taken.size(), 1U);
  EXPECT_EQ(taken[0].key, late);
}

TEST_P(StoreContract, WithoutAnyNewsAnAcceptedMessageIsFinalAfterTheWindow) {
  if (!subject_.advance) GTEST_SKIP();
  const ReplicaId first = NewReplica();
  const MessageKey key = Submitted(first);
  subject_.advance(5ms);
  EXPECT_EQ(DoubtfulWorld(store_, first, LeasesOf(first)).Collect({.quiet = 0s}), 1);
  EXPECT_EQ(DoubtfulWorld(store_, first, LeasesOf(first)).Close(1h).closed, 0);
  subject_.advance(2h);
  const ReplicaId replica = NewReplica();
  EXPECT_EQ(DoubtfulWorld(store_, replica, LeasesOf(replica)).Close(1h).closed, 1);
  EXPECT_EQ(StatusOf(key).state, MessageState::kSubmitted);
  EXPECT_TRUE(StatusOf(key).final);
  EXPECT_EQ(store_.GetMessage(key)->history.back().cause, Cause::kWindowClosed);
}

TEST_P(StoreContract, AnUnknownMessageWithoutNewsEndsUndetermined) {
  if (!subject_.advance) GTEST_SKIP();
  const ReplicaId first = NewReplica();
  ReplicaId replica = first;
  PR_UNKNOWN_MESSAGE(key, DuplicatePolicy::kAtMostOnce);
  EXPECT_EQ(DoubtfulWorld(store_, first, LeasesOf(first)).Close(1h).undetermined, 0);
  subject_.advance(2h);
  replica = NewReplica();
  DoubtfulWorld doubt(store_, replica, LeasesOf(replica));
  EXPECT_EQ(doubt.Close(1h).undetermined, 1);
  EXPECT_EQ(StatusOf(key).state, MessageState::kUndetermined);
  EXPECT_TRUE(StatusOf(key).final);
  EXPECT_EQ(StatusOf(key).failure, FailureReason::kUndetermined);
  EXPECT_EQ(doubt.Close(1h).undetermined, 0);
}

TEST_P(StoreContract, WhatAnAttemptOfTheMessageHasIsNoCandidateForAnother) {
  const ReplicaId replica = NewReplica();
  const MessageKey key = Submitted(replica, "out-1");
  Fail(key, 1);
  EXPECT_EQ(store_.ReplayMessage(key, {MakeUuidV4(random_), "ops", "again"})->kind,
            Replay::Kind::kReplayed);
  Record(replica, key, Intended(replica, key), OutcomeKind::kUnknown);
  DoubtfulWorld doubt(store_, replica, LeasesOf(replica));
  Look look = FoundFor(key, "out-1", MessageState::kFailed);
  look.attempt = 2;
  EXPECT_EQ(doubt.Record(look).answered, 0);
  EXPECT_EQ(StatusOf(key).state, MessageState::kUnknown) << "that was the first attempt";
}

TEST_P(StoreContract, AnOperatorReplaysWhatFailedAndNothingElse) {
  const ReplicaId replica = NewReplica();
  PR_UNKNOWN_MESSAGE(key, DuplicatePolicy::kAtMostOnce);
  const auto replay = [&](const MessageKey& which) {
    const auto made = store_.ReplayMessage(
        which, {MakeUuidV4(random_), "ops@desk", "the customer did not get it"});
    EXPECT_TRUE(made.ok()) << made.status();
    return made.ok() ? *made : Replay{};
  };
  EXPECT_EQ(replay({key.tenant_id, {MakeUuidV4(random_)}}).kind, Replay::Kind::kNotFound);
  const Replay refused = replay(key);
  EXPECT_EQ(refused.kind, Replay::Kind::kNotFailed);
  EXPECT_EQ(refused.message->status.state, MessageState::kUnknown) << "it says what the message is";

  DoubtfulWorld doubt(store_, replica, LeasesOf(replica));
  if (subject_.advance) subject_.advance(1ms);
  EXPECT_EQ(doubt.Close(0s).undetermined, 1);
  const Replay done = replay(key);
  EXPECT_EQ(done.kind, Replay::Kind::kReplayed);
  EXPECT_EQ(done.message->status.state, MessageState::kQueued);
  EXPECT_EQ(done.message->status.failure, FailureReason::kNone);
  const StatusEvent last = store_.GetMessage(key)->history.back();
  EXPECT_EQ(last.cause, Cause::kReplayed);
  EXPECT_TRUE(last.status.final) << "once true it stays true";
  EXPECT_TRUE(last.correction);
  EXPECT_EQ(replay(key).kind, Replay::Kind::kNotFailed) << "not twice";

  EXPECT_EQ(Intended(replica, key), 2);
  Record(replica, key, 2, OutcomeKind::kAccepted);
  Apply(ReceiptFor(key, MessageState::kDelivered, "at last"));
  EXPECT_EQ(StatusOf(key).state, MessageState::kDelivered);
  HistoryOf(key);
}

}  // namespace
}  // namespace postrider
