#include "server/dispatch/chooser.h"

#include <gtest/gtest.h>

#include "server/model/dispatch_limits.h"
#include "tests/support/dispatch_rig.h"

// When the next batch of intents is made.
namespace postrider {
namespace {

class ChooserTest : public ::testing::Test {
 protected:
  ChooserTest() { owner_.Step(); }

  /// One step; how long the next one may wait.
  std::chrono::nanoseconds Step(std::size_t* intended) {
    std::chrono::nanoseconds idle{};
    gate_.Step();
    *intended = chooser_.Step(idle);
    return idle;
  }

  DispatchWorld world_;
  SlotOwner owner_{world_.store, world_.clock, world_.random, world_.metrics, {.name = "test"}};
  TenantLanes lanes_{world_.clock, world_.metrics, 2};
  OutcomeRecorder recorder_{world_.store, world_.clock, world_.random, world_.metrics};
  BreakerGate gate_{world_.store, owner_, world_.clock, world_.metrics, {}};
  QuietWatch quiet_{world_.clock, nullptr};
  Chooser chooser_{world_.store,
                   owner_,
                   lanes_,
                   gate_,
                   quiet_,
                   recorder_,
                   [this](TenantId of) { return world_.settings.at(of); },
                   world_.clock,
                   world_.random,
                   world_.metrics};
};

TEST_F(ChooserTest, TokensAreGatheredForTheNextBatch) {
  world_.SetRate(world_.tenant, 50, 1);
  for (int i = 0; i < 100; ++i) world_.Accept();
  std::size_t intended = 0;
  EXPECT_GT(Step(&intended), 0ns) << "there is room for no more";
  EXPECT_EQ(intended, static_cast<std::size_t>(50 * kIntentAhead / 1s));
  // What leaves meanwhile makes room: a few at once, before the lane is empty.
  std::size_t batches = 0;
  std::size_t all = 0;
  for (std::chrono::nanoseconds passed{}; passed < 1s;) {
    const std::chrono::nanoseconds idle = Step(&intended);
    ASSERT_GT(idle, 0ns);
    ASSERT_LE(idle, kIntentAhead / 2);
    if (intended > 0) ++batches;
    all += intended;
    for (std::chrono::nanoseconds waited{}; waited < idle; waited += 5ms) {
      world_.clock.Advance(5ms);
      while (lanes_.Pop({}).has_value()) lanes_.Done(world_.tenant, 1);
    }
    passed += idle;
  }
  EXPECT_NEAR(static_cast<double>(all), 50, 5);
  EXPECT_LE(batches, 21U);
}

TEST_F(ChooserTest, ATenantThatGotItsShareGoesOnAtOnce) {
  world_.SetRate(world_.tenant, 10'000, 1);
  for (std::size_t i = 0; i <= kIntentRows; ++i) world_.Accept();
  std::size_t intended = 0;
  EXPECT_EQ(Step(&intended), 0ns);
  EXPECT_EQ(intended, kIntentRows);
}

}  // namespace
}  // namespace postrider
