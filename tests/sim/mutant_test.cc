// The simulation is worth what it finds: each deliberate fault is found by it.
#include "server/base/mutant.h"

#include <iostream>

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
  const char* broken;  ///< The invariant, as a breach begins.
};

void PrintTo(const Case& c, std::ostream* out) { *out << c.name; }

class MutantTest : public ::testing::TestWithParam<Case> {
 protected:
  void SetUp() override { SetUpLog(LogFormat::kConsole, LogLevel::kError); }
  void TearDown() override { SetMutant(Mutant::kNone); }
};

TEST_P(MutantTest, IsKilled) {
  SetMutant(GetParam().mutant);
  for (std::uint64_t seed = 1; seed <= kMostSeeds; ++seed) {
    SimWorld world(seed);
    const Breaches breaches = world.Run();
    if (breaches.empty()) continue;
    std::cout << GetParam().name << " is killed by seed " << seed << ": " << breaches.front()
              << "\n";
    EXPECT_TRUE(breaches.front().starts_with(GetParam().broken)) << breaches.front() << "\n"
                                                                 << world.Trace();
    return;
  }
  FAIL() << GetParam().name << " lives";
}

constexpr Case kCases[] = {
    {Mutant::kRetryOnTimeout, "RetryOnTimeout", "S"},
    {Mutant::kRequeuedOnTakeOver, "RequeuedOnTakeOver", "S"},
    {Mutant::kBucketFullAtTakeOver, "BucketFullAtTakeOver", "S13"},
    {Mutant::kRetryAfterForgotten, "RetryAfterForgotten", "S13"},
    {Mutant::kPostedUnderLostLease, "PostedUnderLostLease", "S"},
    {Mutant::kLeaseCountsFromAnswer, "LeaseCountsFromAnswer", "S"},
    {Mutant::kAbsenceIsProof, "AbsenceIsProof", "S"},
    {Mutant::kSentAgainAndAgain, "SentAgainAndAgain", "S"},
    {Mutant::kLastReceiptWins, "LastReceiptWins", "S"},
    {Mutant::kFinalGoesBack, "FinalGoesBack", "S10"},
    {Mutant::kOutcomeDropped, "OutcomeDropped", ""},
    {Mutant::kDoubtfulIntentDropped, "DoubtfulIntentDropped", ""},
    {Mutant::kReceiptDropped, "ReceiptDropped", ""},
    {Mutant::kAnsweredWithoutCommit, "AnsweredWithoutCommit", "S"},
    {Mutant::kSlowReaderSkips, "SlowReaderSkips", ""},
    {Mutant::kTokenAheadOfItsEvents, "TokenAheadOfItsEvents", ""},
    {Mutant::kTailById, "TailById", ""},
    {Mutant::kBreakerNeverOpens, "BreakerNeverOpens", "S14"},
    {Mutant::kOpenBreakerIgnored, "OpenBreakerIgnored", "S14"},
    {Mutant::kCanariesUnbounded, "CanariesUnbounded", "S14"},
    {Mutant::kBreakersNotInherited, "BreakersNotInherited", "S14"},
    {Mutant::kQuietForgotten, "QuietForgotten", ""},
};

INSTANTIATE_TEST_SUITE_P(Sim, MutantTest, ::testing::ValuesIn(kCases),
                         [](const auto& test) { return std::string(test.param.name); });

}  // namespace
}  // namespace postrider
