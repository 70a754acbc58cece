// Three gateways on one database, whose owner is killed, frozen and stopped while calls come in and
// messages leave: every promise holds, the licensed rate by the ledger among them. How soon another
// one sends is printed; the bound is SlotOwnerTest's, on a clock that does not hang.
#include <algorithm>
#include <array>
#include <chrono>
#include <iostream>
#include <random>
#include <signal.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "server/base/strings.h"
#include "tests/e2e/several_gateways.h"

namespace postrider {
namespace {

using ::testing::IsEmpty;

/// A caller who sends one message after the other and repeats each until it is answered.
class Caller {
 public:
  /// `client` must outlive it. `number`: of the caller, 1 .. 9.
  Caller(const Client& client, int number)
      : worker_("caller", [this, &client, number](std::stop_token stop) {
          const auto sent = client.Send(RequestTo(StrCat("+15553", number, 1000 + sent_++)));
          EXPECT_TRUE(sent.ok()) << sent.status();
          if (sent.ok()) answers_.push_back(*sent);
          WaitOrStop(stop, std::chrono::milliseconds(300));
        }) {}

  /// After this nothing more is sent. What was answered.
  const std::vector<v1::SendMessageResponse>& End() {
    worker_.Stop();
    return answers_;
  }

 private:
  // Of the worker, until it has stopped.
  int sent_ = 0;
  std::vector<v1::SendMessageResponse> answers_;

  Worker worker_;
};

class ThreeGatewaysTest : public SeveralGatewaysTest {
 protected:
  enum class End { kKill, kFreeze, kStop };
  static constexpr double kRatePerS = 20;
  static constexpr double kBurst = 4;
  /// What 20 POSTs to begin with and a take-over of several seconds leave something of.
  static constexpr int kStanding = 120;
  static constexpr std::array<const char*, 3> kNames = {"first", "second", "third"};

  void StartAll(std::vector<std::string> flags = {}) {
    ASSERT_TRUE(genesys_.Start().ok());
    flags.insert(flags.end(), {"--rate-per-second", "20", "--burst", "4"});
    for (std::size_t i = 0; i < gateways_.size(); ++i) gateways_[i] = NewGateway(kNames[i], flags);
    ASSERT_TRUE(Await([this] { return AreShared(3); }));
    ASSERT_TRUE(genesys_.SetWebhook(kClientId, gateways_[1]->webhook_url()).ok());
  }

  /// When somebody who is not `owner` intended its first message after `began`; nothing while
  /// nobody did.
  std::optional<std::chrono::milliseconds> HeirSentAfter(const std::string& owner_id,
                                                         WallTime began) const {
    const auto from =
        std::chrono::duration_cast<std::chrono::microseconds>(began.time_since_epoch()).count();
    const std::string ms = sql_.Text(
        StrCat("SELECT (extract(epoch FROM min(intended_at)) * 1000)::bigint - ", from / 1000,
               " FROM attempt WHERE replica_id <> '", owner_id,
               "' AND intended_at > timestamptz 'epoch' + ", from, " * interval '1 microsecond'"));
    if (ms.empty()) return std::nullopt;
    return std::chrono::milliseconds(std::stoll(ms));
  }

  /// Ends the owner so, waits until another one sends, says after how long by what is on record,
  /// and lets it come back.
  void ReplaceOwner(End end) {
    const std::string owner = Owner();
    const auto place = std::find(kNames.begin(), kNames.end(), owner);
    ASSERT_NE(place, kNames.end()) << owner;
    GatewayProcess& gateway = *gateways_[static_cast<std::size_t>(place - kNames.begin())];
    const std::string owner_id =
        sql_.Text(StrCat("SELECT replica_id FROM replica WHERE name = '", owner,
                         "' AND NOT fenced ORDER BY expires_at DESC LIMIT 1"));
    const WallTime began = clock_.Wall();
    if (end == End::kKill) gateway.Kill();
    if (end == End::kFreeze) gateway.process()->Signal(SIGSTOP);
    if (end == End::kStop) gateway.Stop();
    std::optional<std::chrono::milliseconds> sent_after;
    ASSERT_TRUE(Await([&] {
      sent_after = HeirSentAfter(owner_id, began);
      return sent_after.has_value();
    }));
    const std::size_t posts = Posts().size();
    ASSERT_TRUE(Await([&] { return Posts().size() > posts; })) << "the new owner sends";
    if (end == End::kFreeze) {
      gateway.process()->Signal(SIGCONT);
    } else {
      ASSERT_TRUE(gateway.Start());
    }
    std::cout << (end == End::kKill     ? "killed "
                  : end == End::kFreeze ? "frozen "
                                        : "stopped ")
              << owner << ": another one sends after " << sent_after->count() << " ms\n";
  }

  std::array<std::unique_ptr<GatewayProcess>, 3> gateways_;
};

TEST_F(ThreeGatewaysTest, WhateverHappensToTheOwnerEveryPromiseHolds) {
  ASSERT_NO_FATAL_FAILURE(StartAll());
  std::vector<std::unique_ptr<Client>> clients;
  for (const auto& gateway : gateways_) {
    clients.push_back(ClientOf(*gateway));
    ASSERT_NE(clients.back(), nullptr);
  }
  const std::uint64_t seed = std::random_device()();
  SCOPED_TRACE(seed);
  SeededRandom chance(seed);
  const Watcher dashboard(*clients[1], {});
  // Whoever is ended, somebody is calling it.
  std::vector<std::unique_ptr<Caller>> callers;
  for (std::size_t i = 0; i < clients.size(); ++i) {
    callers.push_back(std::make_unique<Caller>(*clients[i], static_cast<int>(i) + 1));
  }
  std::vector<End> ends = {End::kKill, End::kFreeze, End::kStop};
  ends.push_back(chance.Next() % 2 == 0 ? End::kKill : End::kStop);
  for (const End end : ends) {
    // However long the last one took to come back, a queue stands.
    const auto queued = sql_.Number("SELECT count(*) FROM message WHERE state = 1");
    ASSERT_NO_FATAL_FAILURE(Send(*clients[1], std::max(0, kStanding - static_cast<int>(queued))));
    const std::size_t posts = Posts().size();
    ASSERT_TRUE(Await([&] { return Posts().size() >= posts + 20; }));
    ASSERT_NO_FATAL_FAILURE(ReplaceOwner(end));
  }
  for (const auto& caller : callers) {
    for (const v1::SendMessageResponse& answer : caller->End()) {
      acknowledged_.push_back(Acknowledged(answer));
    }
  }
  AwaitEnds();
  EXPECT_TRUE(Await([&] { return NothingWasMissed(sql_, dashboard.Changes()).empty(); }))
      << (dashboard.End() ? dashboard.End()->ToString() : "the stream is open");
  EXPECT_THAT(Check(dashboard.Changes()), IsEmpty());
  // 5: what a replica that went away was posting.
  const std::int64_t in_flight = sql_.Number("SELECT count(*) FROM attempt WHERE outcome = 5");
  EXPECT_THAT(RateWasKept(Posts(), kRatePerS, kBurst, in_flight, hangs_.Longest()), IsEmpty());
}

}  // namespace
}  // namespace postrider
