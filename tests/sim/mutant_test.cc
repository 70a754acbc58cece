// The simulation is worth what it finds: each deliberate fault is found by it.
#include "server/base/mutant.h"

#include <algorithm>
#include <iostream>
#include <string_view>

#include <gtest/gtest.h>

#include "server/base/log.h"
#include "tests/sim/sim_world.h"

namespace postrider {
namespace {

/// As many as CI runs without a fault.
constexpr std::uint64_t kMostSeeds = 3200;

struct Case {
  Mutant mutant;
  const char* name;
  std::string_view broken;  ///< The invariants that it may break, as breaches begin: "S4,S5".
  bool quiet_hours = false;
};

void PrintTo(const Case& c, std::ostream* out) { *out << c.name; }

bool IsOneOf(std::string_view name, std::string_view names) {
  while (!names.empty()) {
    const std::size_t end = std::min(names.find(','), names.size());
    if (names.substr(0, end) == name) return true;
    names.remove_prefix(std::min(end + 1, names.size()));
  }
  return false;
}

class MutantTest : public ::testing::TestWithParam<Case> {
 protected:
  void SetUp() override { SetUpLog(LogFormat::kConsole, LogLevel::kError); }
  void TearDown() override { SetMutant(Mutant::kNone); }
};

TEST_P(MutantTest, IsKilled) {
  SetMutant(GetParam().mutant);
  for (std::uint64_t seed = 1; seed <= kMostSeeds; ++seed) {
    SimWorld world(seed, GetParam().quiet_hours);
    const Breaches breaches = world.Run();
    if (breaches.empty()) continue;
    std::cout << GetParam().name << " is killed by seed " << seed << ": " << breaches.front()
              << "\n";
    const std::string_view first = breaches.front();
    EXPECT_TRUE(IsOneOf(first.substr(0, first.find(':')), GetParam().broken)) << first << "\n"
                                                                              << world.Trace();
    return;
  }
  FAIL() << GetParam().name << " lives";
}

constexpr Case kCases[] = {
    {Mutant::kRetryOnTimeout, "RetryOnTimeout", "S4,S5"},
    {Mutant::kRequeuedOnTakeOver, "RequeuedOnTakeOver", "S3,S4"},
    {Mutant::kBucketFullAtTakeOver, "BucketFullAtTakeOver", "S13"},
    {Mutant::kRetryAfterForgotten, "RetryAfterForgotten", "S13"},
    {Mutant::kPostedUnderLostLease, "PostedUnderLostLease", "S6,S16"},
    {Mutant::kLeaseCountsFromAnswer, "LeaseCountsFromAnswer", "S6,S16"},
    {Mutant::kAbsenceIsProof, "AbsenceIsProof", "S3,S4"},
    {Mutant::kSentAgainAndAgain, "SentAgainAndAgain", "S3,S5"},
    {Mutant::kLastReceiptWins, "LastReceiptWins", "S10"},
    {Mutant::kFinalGoesBack, "FinalGoesBack", "S10"},
    {Mutant::kOutcomeDropped, "OutcomeDropped", "liveness"},
    {Mutant::kDoubtfulIntentDropped, "DoubtfulIntentDropped", "liveness"},
    {Mutant::kReceiptDropped, "ReceiptDropped", "liveness"},
    {Mutant::kAnsweredWithoutCommit, "AnsweredWithoutCommit", "S2"},
    {Mutant::kSlowReaderSkips, "SlowReaderSkips", "S11,liveness"},
    {Mutant::kTokenAheadOfItsEvents, "TokenAheadOfItsEvents", "S11,liveness"},
    {Mutant::kTailById, "TailById", "S11,liveness"},
    {Mutant::kBreakerNeverOpens, "BreakerNeverOpens", "S14"},
    {Mutant::kOpenBreakerIgnored, "OpenBreakerIgnored", "S14"},
    {Mutant::kCanariesUnbounded, "CanariesUnbounded", "S14"},
    {Mutant::kBreakersNotInherited, "BreakersNotInherited", "S14"},
    {Mutant::kDedupedByIds, "DedupedByIds", "S9,liveness"},
    {Mutant::kQuietForgotten, "QuietForgotten", "liveness"},
    {Mutant::kQuietHoursForgotten, "QuietHoursForgotten", "S19", true},
};

INSTANTIATE_TEST_SUITE_P(Sim, MutantTest, ::testing::ValuesIn(kCases),
                         [](const auto& test) { return std::string(test.param.name); });

}  // namespace
}  // namespace postrider
