#include "server/dispatch/outcome_recorder.h"

#include <gtest/gtest.h>

#include "tests/support/dispatch_rig.h"

namespace postrider {
namespace {

TEST(OutcomeRecorderTest, AHoldCountsFromTheAnswerHoweverLateItIsRecorded) {
  DispatchWorld world;
  Replica replica(world);
  Outcome busy;
  busy.kind = OutcomeKind::kHeld;
  busy.hold = HoldReason::kRetryAfter;
  busy.retry_after = 60s;
  world.outside.Script("+15550000409", {busy});
  const MessageKey key = world.Accept("+15550000409");
  world.clock.Advance(1s);
  replica.owner.Step();
  replica.dispatcher.ChooseStep();
  replica.Post();
  ASSERT_EQ(world.Sent(), 1U);
  const WallTime answered_at = world.clock.Wall();

  world.store.FailNext(1, FakeStore::When::kBefore, "RecordOutcomes");
  replica.RecordAll();
  world.clock.Advance(20s);
  replica.RecordAll();
  EXPECT_EQ(world.Record(key).message.status.hold_until, answered_at + 60s);
}

}  // namespace
}  // namespace postrider
