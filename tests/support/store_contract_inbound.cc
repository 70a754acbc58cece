#include "server/base/strings.h"
#include "server/model/limits.h"
#include "tests/support/store_contract.h"

// Step 9: texts that came in.
namespace postrider {
namespace {

TEST_P(StoreContract, ATextThatCameInIsRecordedOnceHoweverOftenItIsTold) {
  const NewInbound first = InboundFrom("+15550000001", "in-1");
  NewInbound copy = InboundFrom("+15550000001", "in-1");
  copy.row.body = "told again at another time";
  const NewInbound batch[] = {first, copy, InboundFrom("+15550000001", "in-2")};
  using Verdict = InboxVerdict;
  EXPECT_EQ(RecordAll(batch),
            (std::vector{Verdict::kApplied, Verdict::kDuplicate, Verdict::kApplied}));
  EXPECT_EQ(RecordAll({&copy, 1}), std::vector{Verdict::kDuplicate});
  EXPECT_EQ(RecordAll({&first, 1}), std::vector{Verdict::kDuplicate}) << "its row, once more";
  if (!subject_.advance) return;
  subject_.advance(kSweepAge + 1s);
  EXPECT_TRUE(store_.SweepInbox({&tenant_.tenant_id, 1}, WallTime{}, 10)->empty());
}

TEST_P(StoreContract, ATextWithoutAnIdIsKnownByItsBody) {
  NewInbound first = InboundFrom("+15550000001", "");
  NewInbound copy = InboundFrom("+15550000001", "");
  copy.row.body = first.row.body;
  const NewInbound batch[] = {first, copy, InboundFrom("+15550000001", "")};
  using Verdict = InboxVerdict;
  EXPECT_EQ(RecordAll(batch),
            (std::vector{Verdict::kApplied, Verdict::kDuplicate, Verdict::kApplied}));
}

TEST_P(StoreContract, ATextThatAnOperatorRecordsIsRecordedOnceToo) {
  NewInbound entry = InboundFrom("+15550000001", "call-7");
  entry.action = OperatorAction{MakeUuidV4(random_), "an operator", "told by phone"};
  EXPECT_EQ(store_.RecordInbound({&entry, 1}).value().at(0), InboxVerdict::kApplied);
  entry.row.inbox_id = {MakeUuidV7(subject_.now(), random_)};
  EXPECT_EQ(store_.RecordInbound({&entry, 1}).value().at(0), InboxVerdict::kDuplicate)
      << "its action is on record already";
}

TEST_P(StoreContract, ATextToNoSenderOfTheTenantIsADeadLetterAndItsNeighboursAreRecorded) {
  NewInbound stray = InboundFrom("+15550000001", "in-1");
  stray.text.sender = "+15559999999";
  NewInbound foreign = InboundFrom("+15550000001", "in-2");
  foreign.row.tenant_id = {MakeUuidV4(random_)};
  const NewInbound batch[] = {stray, InboundFrom("+15550000001", "in-3"), foreign};
  using Verdict = InboxVerdict;
  EXPECT_EQ(RecordAll(batch),
            (std::vector{Verdict::kDeadLetter, Verdict::kApplied, Verdict::kDeadLetter}));
}

}  // namespace
}  // namespace postrider
