// Three gateways on one database, whose owner is killed, frozen and stopped while messages leave:
// every promise holds, the licensed rate by the ledger among them.
#include <algorithm>
#include <array>
#include <iostream>
#include <random>
#include <signal.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/e2e/several_gateways.h"

namespace postrider {
namespace {

using ::testing::IsEmpty;

constexpr double kRatePerS = 20;
constexpr double kBurst = 4;

class ThreeGatewaysTest : public SeveralGatewaysTest {
 protected:
  enum class End { kKill, kFreeze, kStop };

  void SetUp() override {
    ASSERT_TRUE(genesys_.Start().ok());
    for (std::size_t i = 0; i < gateways_.size(); ++i) {
      gateways_[i] = NewGateway(kNames[i], {"--rate-per-second", "20", "--burst", "4"});
    }
    ASSERT_TRUE(Await([this] { return Shares() == "5 5 6"; }));
  }

  /// The name of the replica that sends for the tenant; the survivors share the other slots.
  std::string Owner() const {
    return sql_.Text(
        "SELECT coalesce(min(r.name), '') FROM slot_lease l JOIN replica r "
        "ON r.replica_id = l.owner WHERE l.slot = (SELECT min(slot) FROM message)");
  }

  /// Ends the owner so, waits until another one has taken over, and lets it come back.
  void ReplaceOwner(End end) {
    const std::string owner = Owner();
    const auto place = std::find(kNames.begin(), kNames.end(), owner);
    ASSERT_NE(place, kNames.end()) << owner;
    GatewayProcess& gateway = *gateways_[static_cast<std::size_t>(place - kNames.begin())];
    const MonotonicTime began = clock_.Now();
    if (end == End::kKill) gateway.Kill();
    if (end == End::kFreeze) gateway.process()->Signal(SIGSTOP);
    if (end == End::kStop) gateway.Stop();
    ASSERT_TRUE(Await([&] {
      const std::string now = Owner();
      return !now.empty() && now != owner;
    }));
    const std::size_t posts = Posts().size();
    ASSERT_TRUE(Await([&] { return Posts().size() > posts; })) << "the new owner sends";
    std::cout << (end == End::kKill     ? "killed"
                  : end == End::kFreeze ? "frozen"
                                        : "stopped")
              << " " << owner << ": another one sends after " << (clock_.Now() - began) / 1ms
              << " ms\n";
    if (end == End::kFreeze) {
      gateway.process()->Signal(SIGCONT);
    } else {
      ASSERT_TRUE(gateway.Start());
    }
  }

  static constexpr std::array<const char*, 3> kNames = {"first", "second", "third"};
  std::array<std::unique_ptr<GatewayProcess>, 3> gateways_;
};

TEST_F(ThreeGatewaysTest, WhateverHappensToTheOwnerEveryPromiseHolds) {
  ASSERT_TRUE(genesys_.SetWebhook(kClientId, gateways_[1]->webhook_url()).ok());
  const auto caller = ClientOf(*gateways_[1]);
  ASSERT_NE(caller, nullptr);
  const std::uint64_t seed = std::random_device()();
  SCOPED_TRACE(seed);
  SeededRandom chance(seed);
  const Watcher dashboard(*caller, {});
  // Enough that a queue stands until the end, whatever the pauses.
  ASSERT_NO_FATAL_FAILURE(Send(*caller, 300));
  for (int round = 0; round < 3; ++round) {
    const std::size_t posts = Posts().size();
    ASSERT_TRUE(Await([&] { return Posts().size() >= posts + 20; }));
    // The first two for certain, so that each run has them. (One freeze: when it meets a
    // transaction, the new owner waits until Postgres ends that.)
    const End end = round == 0   ? End::kKill
                    : round == 1 ? End::kFreeze
                                 : (chance.Next() % 2 == 0 ? End::kKill : End::kStop);
    ASSERT_NO_FATAL_FAILURE(ReplaceOwner(end));
  }
  EXPECT_GT(sql_.Number("SELECT count(*) FROM message WHERE state = 1"), 0) << "a queue stood";
  AwaitEnds();
  EXPECT_TRUE(Await([&] { return NothingWasMissed(sql_, dashboard.Changes()).empty(); }))
      << (dashboard.End() ? dashboard.End()->ToString() : "the stream is open");
  EXPECT_THAT(Check(dashboard.Changes()), IsEmpty());
  // 5: what a replica that went away was posting.
  const std::int64_t in_flight = sql_.Number("SELECT count(*) FROM attempt WHERE outcome = 5");
  EXPECT_THAT(RateWasKept(Posts(), kRatePerS, kBurst, in_flight), IsEmpty());
}

}  // namespace
}  // namespace postrider
