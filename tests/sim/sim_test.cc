#include <cstdlib>
#include <iostream>
#include <string>

#include "absl/base/config.h"
#include <gtest/gtest.h>

#include "server/base/log.h"
#include "tests/sim/sim_world.h"

namespace postrider {
namespace {

constexpr int kShards = 4;
// Of all shards; SIM_SEEDS asks for more. Sanitizers slow each down, and look at the same code.
#if defined(ABSL_HAVE_ADDRESS_SANITIZER) || defined(ABSL_HAVE_THREAD_SANITIZER)
constexpr std::uint64_t kSeeds = 320;
#else
constexpr std::uint64_t kSeeds = 3200;
#endif

std::uint64_t NumberOf(const char* variable, std::uint64_t otherwise) {
  const char* const text = std::getenv(variable);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

/// One run; true when nothing broke.
bool Holds(std::uint64_t seed) {
  SimWorld world(seed);
  const Breaches breaches = world.Run();
  if (breaches.empty()) return true;
  ADD_FAILURE() << "seed " << seed << ": " << breaches.front() << "\nreplay it: SIM_SEED=" << seed
                << " sim_test\n"
                << world.Trace();
  return false;
}

class SimTest : public testing::TestWithParam<int> {};

TEST_P(SimTest, EveryInvariantHoldsForEverySeed) {
  SetUpLog(LogFormat::kConsole, LogLevel::kError);
  if (const std::uint64_t seed = NumberOf("SIM_SEED", 0); seed != 0) {
    EXPECT_TRUE(Holds(seed));
    return;
  }
  const std::uint64_t first = NumberOf("SIM_FIRST_SEED", 1);
  const std::uint64_t seeds = NumberOf("SIM_SEEDS", kSeeds);
  for (std::uint64_t seed = first + static_cast<std::uint64_t>(GetParam()); seed < first + seeds;
       seed += kShards) {
    if (!Holds(seed)) return;
  }
}

INSTANTIATE_TEST_SUITE_P(Shard, SimTest, testing::Range(0, kShards));

TEST(SimReachTest, ARunGetsToWhatItIsFor) {
  SetUpLog(LogFormat::kConsole, LogLevel::kError);
  SimWorld::Reach all;
  for (std::uint64_t seed = 1; seed <= 60; ++seed) {
    SimWorld world(seed);
    EXPECT_EQ(world.Run(), Breaches{});
    const SimWorld::Reach reached = world.Reached();
    all.posts += reached.posts;
    all.kills_at_work += reached.kills_at_work;
    all.trips += reached.trips;
    all.replays += reached.replays;
    all.failures_replayed += reached.failures_replayed;
    all.opt_outs_met += reached.opt_outs_met;
    all.spooled_at_end += reached.spooled_at_end;
  }
  std::cout << all.posts << " POSTs, " << all.kills_at_work << " kills in the midst of work, "
            << all.trips << " trips, " << all.replays << " replays, and " << all.failures_replayed
            << " by a filter, " << all.opt_outs_met << " met an opt-out, " << all.spooled_at_end
            << " ended with webhooks on disk\n";
  EXPECT_GE(all.posts, 400);
  EXPECT_GE(all.kills_at_work, 20);
  EXPECT_GE(all.trips, 20);
  EXPECT_GE(all.replays, 5);
  EXPECT_GE(all.failures_replayed, 5);
  EXPECT_GE(all.opt_outs_met, 1);
  EXPECT_GE(all.spooled_at_end, 10);
}

TEST(SimQuietHoursTest, NothingLeavesInThemAndWhatTheyHoldComesToRest) {
  SetUpLog(LogFormat::kConsole, LogLevel::kError);
  int holds = 0;
  for (std::uint64_t seed = 1; seed <= 100; ++seed) {
    SimWorld world(seed, true);
    EXPECT_EQ(world.Run(), Breaches{}) << "seed " << seed << "\n" << world.Trace();
    holds += world.Reached().quiet_holds;
  }
  EXPECT_GE(holds, 100);
}

TEST(SimReplayTest, TheSameSeedGivesTheSameRun) {
  SetUpLog(LogFormat::kConsole, LogLevel::kError);
  SimWorld first(7);
  SimWorld second(7);
  first.Run();
  second.Run();
  EXPECT_EQ(first.Trace(), second.Trace());
  EXPECT_NE(first.Trace(), "");
}

}  // namespace
}  // namespace postrider
