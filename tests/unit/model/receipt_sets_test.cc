// The final state is a function of the set of receipts: invariant S9, over every order. Orders that
// begin alike share their beginning: each node of the tree of all orders is one merge.
#include <algorithm>
#include <map>
#include <string>
#include <tuple>
#include <vector>

#include <gtest/gtest.h>

#include "server/base/random.h"
#include "server/base/strings.h"
#include "server/model/transitions.h"

namespace postrider {
namespace {

using State = MessageState;

ReceiptStatus ReceiptOf(State state, int second, int attempt, std::string code = "") {
  ReceiptStatus receipt{.state = state,
                        .failure = code.empty() ? FailureReason::kNone : FailureReason::kOther,
                        .provider_code = code,
                        .provider_at = WallTime{std::chrono::seconds(second)},
                        .hash = "",
                        .attempt = attempt};
  // As a payload's: by all that it says, in an order that has nothing to do with it.
  const auto mixed = static_cast<std::size_t>(state) * 7919 +
                     static_cast<std::size_t>(second) * 31 +
                     static_cast<std::size_t>(attempt) * 104729 + code.size() * 17;
  receipt.hash = StrCat(mixed * 2654435761U % 1000003, "-", NameOf(state), second, attempt, code);
  return receipt;
}

/// Everything that receipts decide, of the message and of the attempts that it does not show.
/// Without `revision`, which counts what was seen on the way, and `final`, which stays true.
using Known = std::tuple<State, int, FailureReason, std::string, WallTime, std::string>;
using End = std::vector<Known>;

struct World {
  MessageStatus status;
  std::vector<AttemptStatus> others = {};

  End Ended() const {
    End end = {{status.state, status.attempt, status.failure, status.provider_code,
                status.provider_at, status.receipt_hash}};
    std::vector<AttemptStatus> hidden = others;
    std::sort(hidden.begin(), hidden.end(),
              [](const auto& a, const auto& b) { return a.attempt < b.attempt; });
    for (const AttemptStatus& other : hidden) {
      end.emplace_back(other.state, other.attempt, other.failure, other.provider_code,
                       other.provider_at, other.receipt_hash);
    }
    return end;
  }

  World After(const ReceiptStatus& receipt) const {
    Merge merge = MergeReceipt(status, receipt, others);
    EXPECT_TRUE(merge.status.final || !status.final) << "final goes back";
    EXPECT_TRUE(merge.status.final || !EndsMessage(merge.status.state));
    EXPECT_EQ(merge.status.revision, status.revision + (merge.visible ? 1 : 0));
    if (merge.status.attempt == status.attempt) {
      EXPECT_GE(merge.status.state, status.state) << "the rank falls within an attempt";
    }
    return merge.stored ? World{merge.status, std::move(merge.hidden)} : *this;
  }
};

/// Goes through every order of up to `most` receipts out of `kinds`, each up to `copies` times, and
/// wants one end for each set.
class EveryOrder {
 public:
  EveryOrder(std::vector<ReceiptStatus> kinds, std::size_t most, int copies)
      : kinds_(std::move(kinds)), most_(most), copies_(copies), used_(kinds_.size()) {}

  /// The end of each set, as a mask of kinds.
  const std::map<unsigned, End>& From(const World& world) {
    ends_.clear();
    ends_[0] = world.Ended();
    Go(world, 0);
    return ends_;
  }
  int merges() const { return merges_; }

 private:
  void Go(const World& world, unsigned set) {
    if (order_.size() == most_ || ::testing::Test::HasFailure()) return;
    for (std::size_t i = 0; i < kinds_.size(); ++i) {
      if (used_[i] == copies_) continue;
      const World after = world.After(kinds_[i]);
      const unsigned with = set | 1U << i;
      ++merges_;
      ++used_[i];
      order_.push_back(kinds_[i].hash);
      const End end = after.Ended();
      const auto [known, is_new] = ends_.emplace(with, end);
      EXPECT_TRUE(is_new || known->second == end) << "another end by the order " << Order();
      Go(after, with);
      order_.pop_back();
      --used_[i];
    }
  }
  std::string Order() const {
    std::string order;
    for (const std::string& receipt : order_) StrAppend(order, " ", receipt);
    return order;
  }

  const std::vector<ReceiptStatus> kinds_;
  const std::size_t most_;
  const int copies_;
  std::vector<int> used_;
  std::vector<std::string> order_;
  std::map<unsigned, End> ends_;
  int merges_ = 0;
};

/// What Genesys tells of one attempt: each state, failures with two codes, at two times.
std::vector<ReceiptStatus> KindsOf(int attempt) {
  std::vector<ReceiptStatus> kinds;
  for (const int second : {1, 2}) {
    for (const State state : {State::kSubmitted, State::kSent, State::kDelivered}) {
      kinds.push_back(ReceiptOf(state, second, attempt));
    }
    kinds.push_back(ReceiptOf(State::kFailed, second, attempt, "carrier"));
    kinds.push_back(ReceiptOf(State::kFailed, second, attempt, "number"));
  }
  return kinds;
}

MessageStatus StatusOf(State state, int attempt, int opened) {
  MessageStatus status;
  status.state = state;
  status.attempt = attempt;
  status.opened = opened;
  status.final = EndsMessage(state);
  return status;
}

TEST(ReceiptSetsTest, EveryOrderOfEverySetOfSixOrFewerEndsAlikeAndInItsGreatest) {
  const std::vector<ReceiptStatus> kinds = KindsOf(1);
  EveryOrder every(kinds, 6, 1);
  const auto& ends = every.From({StatusOf(State::kSubmitted, 1, 1)});
  EXPECT_EQ(every.merges(), 10 + 90 + 720 + 5040 + 30240 + 151200);
  for (const auto& [set, end] : ends) {
    Known greatest{State::kSubmitted, 1, FailureReason::kNone, "", WallTime{}, ""};
    for (std::size_t i = 0; i < kinds.size(); ++i) {
      const ReceiptStatus& r = kinds[i];
      const auto in_force =
          std::tie(std::get<0>(greatest), std::get<4>(greatest), std::get<5>(greatest));
      if ((set >> i & 1U) != 0 && std::tie(r.state, r.provider_at, r.hash) > in_force) {
        greatest = {r.state, 1, r.failure, r.provider_code, r.provider_at, r.hash};
      }
    }
    ASSERT_EQ(end, End{greatest}) << set;
  }
}

TEST(ReceiptSetsTest, CopiesChangeNothingInWhateverOrderTheyCome) {
  const std::vector<ReceiptStatus> all = KindsOf(1);
  const World begin{StatusOf(State::kDispatching, 1, 1)};
  // Every pair with up to three copies of each, every three with up to two.
  for (std::size_t a = 0; a < all.size(); ++a) {
    for (std::size_t b = a + 1; b < all.size(); ++b) {
      EXPECT_EQ(EveryOrder({all[a], all[b]}, 6, 3).From(begin).size(), 4U);
      for (std::size_t c = b + 1; c < all.size(); ++c) {
        EXPECT_EQ(EveryOrder({all[a], all[b], all[c]}, 6, 2).From(begin).size(), 8U);
      }
    }
  }
}

/// A message with two attempts: what it shows, and what it does not.
struct Situation {
  const char* name;
  World world;
};

std::vector<Situation> TwoAttempts() {
  std::vector<Situation> all;
  for (const auto& [name, second] :
       {std::pair("on its way", State::kDispatching), std::pair("unknown", State::kUnknown),
        std::pair("undetermined", State::kUndetermined),
        std::pair("accepted", State::kSubmitted)}) {
    for (const State first : {State::kUnknown, State::kQueued}) {
      all.push_back({name, {StatusOf(second, 2, 2), {{.attempt = 1, .state = first}}}});
    }
  }
  for (const auto& [name, plan] :
       {std::pair("a third is planned", State::kQueued), std::pair("cancelled", State::kCancelled),
        std::pair("expired", State::kExpired)}) {
    all.push_back(
        {name,
         {StatusOf(plan, 3, 2),
          {{.attempt = 1, .state = State::kUnknown}, {.attempt = 2, .state = State::kQueued}}}});
  }
  all.push_back({"the repeat was rejected",
                 {StatusOf(State::kUnknown, 1, 2), {{.attempt = 2, .state = State::kRejected}}}});
  all.push_back({"both were rejected",
                 {StatusOf(State::kRejected, 2, 2), {{.attempt = 1, .state = State::kRejected}}}});
  return all;
}

TEST(ReceiptSetsTest, ReceiptsOfTwoAttemptsEndAlikeInEveryOrder) {
  std::vector<ReceiptStatus> kinds;
  for (const int attempt : {1, 2}) {
    for (const State state : {State::kSubmitted, State::kSent, State::kDelivered}) {
      kinds.push_back(ReceiptOf(state, 1, attempt));
    }
    kinds.push_back(ReceiptOf(State::kFailed, 1, attempt, "carrier"));
  }
  kinds.push_back(ReceiptOf(State::kFailed, 1, 0, "names no attempt"));
  for (const Situation& situation : TwoAttempts()) {
    SCOPED_TRACE(situation.name);
    EveryOrder(kinds, 5, 1).From(situation.world);
  }
}

TEST(ReceiptSetsTest, ManyCopiesOfManyReceiptsEndAlikeInAnyOrder) {
  std::vector<ReceiptStatus> kinds = KindsOf(1);
  for (const ReceiptStatus& kind : KindsOf(2)) kinds.push_back(kind);
  std::vector<Situation> situations = TwoAttempts();
  for (std::uint64_t seed = 0; seed < 300; ++seed) {
    SCOPED_TRACE(StrCat("seed ", seed));
    SeededRandom random(seed);
    const auto below = [&](std::size_t bound) {
      return static_cast<std::size_t>(random.Next() % bound);
    };
    const World& begin = situations[below(situations.size())].world;
    std::vector<ReceiptStatus> come;
    for (int kind = 0; kind < 6; ++kind) {
      come.insert(come.end(), 1 + below(3), kinds[below(kinds.size())]);
    }
    End wanted;
    for (int shuffle = 0; shuffle < 30; ++shuffle) {
      World world = begin;
      for (const ReceiptStatus& receipt : come) world = world.After(receipt);
      if (shuffle == 0) wanted = world.Ended();
      ASSERT_EQ(world.Ended(), wanted) << "shuffle " << shuffle;
      for (std::size_t i = come.size(); i > 1; --i) std::swap(come[i - 1], come[below(i)]);
    }
  }
}

}  // namespace
}  // namespace postrider
