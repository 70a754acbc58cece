#include "server/store/group_commit.h"

#include <algorithm>
#include <optional>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/fake_clock.h"

namespace postrider {
namespace {

using ::testing::ElementsAre;
using ::testing::UnorderedElementsAre;

using Commit = GroupCommit<int, int>;

/// A bound that only a failing test reaches.
constexpr auto kLong = std::chrono::minutes(1);

/// Commits numbers and answers each with its negative. Batches with a bad number are refused.
class CommitLedger {
 public:
  absl::StatusOr<std::vector<int>> Take(std::span<const int> rows) {
    MutexLock lock(mu_);
    ++entered_;
    changed_.NotifyAll();
    changed_.Wait(mu_, std::stop_token(), [&]() ABSL_NO_THREAD_SAFETY_ANALYSIS { return open_; });
    if (!fails_.ok()) return fails_;
    if (std::any_of(rows.begin(), rows.end(),
                    [&](int row) ABSL_NO_THREAD_SAFETY_ANALYSIS { return bad_.contains(row); })) {
      return absl::InvalidArgumentError("bad row");
    }
    batches_.emplace_back(rows.begin(), rows.end());
    std::vector<int> verdicts;
    for (const int row : rows) verdicts.push_back(-row);
    return verdicts;
  }

  Commit::Commit AsCommit() {
    return [this](std::span<const int> rows) { return Take(rows); };
  }

  /// A closed gate holds batches on their way.
  void SetOpen(bool open) {
    MutexLock lock(mu_);
    open_ = open;
    changed_.NotifyAll();
  }
  void AwaitEntered(int count) {
    MutexLock lock(mu_);
    changed_.Wait(mu_, std::stop_token(),
                  [&]() ABSL_NO_THREAD_SAFETY_ANALYSIS { return entered_ >= count; });
  }
  void SetBad(std::set<int> rows) {
    MutexLock lock(mu_);
    bad_ = std::move(rows);
  }
  void SetFails(absl::Status status) {
    MutexLock lock(mu_);
    fails_ = std::move(status);
  }
  std::vector<std::vector<int>> batches() const {
    MutexLock lock(mu_);
    return batches_;
  }
  int entered() const {
    MutexLock lock(mu_);
    return entered_;
  }

 private:
  mutable Mutex mu_;
  CondVar changed_;
  bool open_ ABSL_GUARDED_BY(mu_) = true;
  int entered_ ABSL_GUARDED_BY(mu_) = 0;
  std::set<int> bad_ ABSL_GUARDED_BY(mu_);
  absl::Status fails_ ABSL_GUARDED_BY(mu_);
  std::vector<std::vector<int>> batches_ ABSL_GUARDED_BY(mu_);
};

/// What the callers were told.
class Answers {
 public:
  Commit::Done For(int row) {
    return [this, row](absl::StatusOr<int> verdict) {
      MutexLock lock(mu_);
      EXPECT_FALSE(told_.contains(row)) << row << " was answered twice";
      EXPECT_TRUE(!verdict.ok() || *verdict == -row) << "a verdict of another row";
      told_[row] = verdict.status();
      changed_.NotifyAll();
    };
  }
  void Await(std::size_t count) {
    MutexLock lock(mu_);
    changed_.Wait(mu_, std::stop_token(),
                  [&]() ABSL_NO_THREAD_SAFETY_ANALYSIS { return told_.size() >= count; });
  }
  std::map<int, absl::Status> told() const {
    MutexLock lock(mu_);
    return told_;
  }

 private:
  mutable Mutex mu_;
  CondVar changed_;
  std::map<int, absl::Status> told_ ABSL_GUARDED_BY(mu_);
};

struct Subject {
  explicit Subject(Commit::Options options = {.name = "test"})
      : commit(clock, metrics, std::move(options), ledger.AsCommit()) {}

  bool Submit(int row) { return commit.TrySubmit(row, answers.For(row)); }
  void Submit(int from, int to) {
    for (int row = from; row < to; ++row) ASSERT_TRUE(Submit(row)) << row;
  }

  FakeClock clock;
  Metrics metrics;
  CommitLedger ledger;
  Answers answers;
  Commit commit;
};

std::vector<int> Numbers(int from, int to) {
  std::vector<int> rows;
  for (int row = from; row < to; ++row) rows.push_back(row);
  return rows;
}

TEST(GroupCommitTest, ALoneRowLeavesAtOnce) {
  Subject s;
  s.Submit(1, 2);
  EXPECT_EQ(s.commit.Step({}), 1U);
  EXPECT_THAT(s.ledger.batches(), ElementsAre(ElementsAre(1)));
  EXPECT_TRUE(s.answers.told().at(1).ok());
}

TEST(GroupCommitTest, WithoutRowsAStepDoesNothing) {
  Subject s;
  EXPECT_EQ(s.commit.Step({}), 0U);
  std::stop_source stopped;
  stopped.request_stop();
  EXPECT_EQ(s.commit.Step(stopped.get_token()), 0U);
  EXPECT_EQ(s.ledger.entered(), 0);
}

TEST(GroupCommitTest, WhatIsQueuedSharesABatchOfAtMostMaxRows) {
  Subject s({.name = "test", .max_rows = 4});
  s.Submit(1, 11);
  EXPECT_EQ(s.commit.Step({}), 4U);
  EXPECT_EQ(s.commit.Step({}), 4U);
  EXPECT_EQ(s.commit.Step({}), 2U);
  EXPECT_THAT(s.ledger.batches(), ElementsAre(Numbers(1, 5), Numbers(5, 9), Numbers(9, 11)))
      << "in the order of their arrival";
}

TEST(GroupCommitTest, RowsGatherWhileABatchIsOnItsWay) {
  // With one writer nothing but its return lets the next batch go.
  Subject s({.name = "test", .writers = 1});
  s.ledger.SetOpen(false);
  s.commit.Start();
  s.Submit(1, 2);
  s.ledger.AwaitEntered(1);
  s.Submit(2, 12);
  s.ledger.SetOpen(true);
  s.answers.Await(11);
  EXPECT_THAT(s.ledger.batches(), ElementsAre(Numbers(1, 2), Numbers(2, 12)));
}

TEST(GroupCommitTest, AFullBatchLeavesThoughAnotherIsOnItsWay) {
  // Only the number of rows can let it go: the clock stands still and the wait is for ever.
  Subject s({.name = "test", .writers = 2, .max_rows = 4, .max_wait = std::chrono::hours(24)});
  s.ledger.SetOpen(false);
  s.commit.Start();
  s.Submit(1, 2);
  s.ledger.AwaitEntered(1);
  s.Submit(2, 6);
  s.ledger.AwaitEntered(2);
  s.ledger.SetOpen(true);
  s.answers.Await(5);
  EXPECT_EQ(s.ledger.batches().size(), 2U);
}

TEST(GroupCommitTest, EnoughRowsLeaveThoughAnotherBatchIsOnItsWay) {
  Subject s({.name = "test", .writers = 3, .beside_rows = 3, .max_wait = std::chrono::hours(24)});
  s.ledger.SetOpen(false);
  s.commit.Start();
  s.Submit(1, 2);
  s.ledger.AwaitEntered(1);
  s.Submit(2, 5);
  s.ledger.AwaitEntered(2);
  s.Submit(5, 7);  // Too few to leave beside the two, and the clock stands still.
  s.ledger.SetOpen(true);
  s.answers.Await(6);
  EXPECT_THAT(s.ledger.batches(),
              UnorderedElementsAre(Numbers(1, 2), Numbers(2, 5), Numbers(5, 7)));
}

TEST(GroupCommitTest, ABatchLeavesWhenItsFirstRowHasWaitedLongEnough) {
  Subject s({.name = "test", .writers = 1, .max_wait = std::chrono::hours(1)});
  s.ledger.SetOpen(false);
  s.commit.Start();
  s.Submit(1, 2);
  s.ledger.AwaitEntered(1);
  s.Submit(2, 4);
  s.clock.Advance(std::chrono::hours(1));
  {
    Worker second("second", [&](std::stop_token stop) { s.commit.Step(stop); });
    s.ledger.AwaitEntered(2);
    s.ledger.SetOpen(true);
  }
  s.answers.Await(3);
  EXPECT_EQ(s.ledger.batches().size(), 2U);
}

TEST(GroupCommitTest, ExactlyTheGuiltyRowsAreRefused) {
  struct Case {
    const char* name;
    int rows;
    std::set<int> bad;
  };
  const Case cases[] = {
      {"none", 8, {}},
      {"a lone one", 1, {0}},
      {"the first", 8, {0}},
      {"the last", 8, {7}},
      {"in the middle", 9, {4}},
      {"neighbours", 9, {3, 4}},
      {"both ends", 256, {0, 255}},
      {"every other", 7, {0, 2, 4, 6}},
      {"all", 5, {0, 1, 2, 3, 4}},
      {"in a full batch", 256, {1, 100, 101, 254}},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    Subject s;
    s.ledger.SetBad(c.bad);
    s.Submit(0, c.rows);
    while (s.commit.Step({}) > 0) {
    }
    const auto told = s.answers.told();
    ASSERT_EQ(told.size(), static_cast<std::size_t>(c.rows));
    for (const auto& [row, status] : told) {
      EXPECT_EQ(status.code(),
                c.bad.contains(row) ? absl::StatusCode::kInvalidArgument : absl::StatusCode::kOk)
          << row;
    }
    const int halvings = 8;
    EXPECT_LE(s.ledger.entered(),
              1 + 2 * halvings * std::max<int>(1, static_cast<int>(c.bad.size())));
  }
}

TEST(GroupCommitTest, AnyOtherErrorGoesToAllRowsOfTheBatchWithoutBisection) {
  for (const absl::Status& error :
       {absl::UnavailableError("away"), absl::AbortedError("deadlock"), absl::InternalError("?")}) {
    Subject s;
    s.ledger.SetFails(error);
    s.Submit(0, 10);
    s.commit.Step({});
    EXPECT_EQ(s.ledger.entered(), 1);
    ASSERT_EQ(s.answers.told().size(), 10U);
    for (const auto& [row, status] : s.answers.told()) EXPECT_EQ(status, error);
    s.ledger.SetFails(absl::OkStatus());
    s.Submit(10, 12);
    s.commit.Step({});
    EXPECT_TRUE(s.answers.told().at(11).ok()) << "it recovers";
  }
}

TEST(GroupCommitTest, AFullQueueRefusesUntilThereIsRoom) {
  Subject s({.name = "test", .max_rows = 2, .max_queue = 3});
  s.Submit(0, 3);
  EXPECT_FALSE(s.Submit(3));
  s.commit.Step({});
  EXPECT_TRUE(s.Submit(4));
  EXPECT_TRUE(s.Submit(5));
  EXPECT_FALSE(s.Submit(6));
  EXPECT_TRUE(s.commit.Drain(kLong));
  const auto told = s.answers.told();
  EXPECT_EQ(told.size(), 5U);
  EXPECT_FALSE(told.contains(3) || told.contains(6)) << "who was refused hears nothing more";
}

TEST(GroupCommitTest, DrainCommitsWhatIsQueuedAndTakesNoMore) {
  for (const bool started : {false, true}) {
    SCOPED_TRACE(started);
    Subject s({.name = "test", .max_rows = 4});
    if (started) s.commit.Start();
    s.Submit(0, 10);
    EXPECT_TRUE(s.commit.Drain(kLong));
    EXPECT_EQ(s.answers.told().size(), 10U);
    EXPECT_FALSE(s.Submit(10));
    EXPECT_TRUE(s.commit.Drain(kLong));
    EXPECT_EQ(s.answers.told().size(), 10U);
  }
}

TEST(GroupCommitTest, DrainWaitsForWhatIsOnItsWay) {
  Subject s({.name = "test", .writers = 2});
  s.ledger.SetOpen(false);
  s.commit.Start();
  s.Submit(0, 5);
  s.ledger.AwaitEntered(1);
  {
    Worker opener("opener", [&](std::stop_token) { s.ledger.SetOpen(true); });
    EXPECT_TRUE(s.commit.Drain(kLong));
    EXPECT_EQ(s.answers.told().size(), 5U);
  }
}

TEST(GroupCommitTest, ADrainThatCannotWaitAnswersEverybodyUnavailableOnce) {
  std::vector<std::vector<int>> batches;
  {
    Subject s({.name = "test", .writers = 1, .max_rows = 4});
    s.ledger.SetOpen(false);
    s.commit.Start();
    s.Submit(0, 1);
    s.ledger.AwaitEntered(1);
    s.Submit(1, 10);
    EXPECT_FALSE(s.commit.Drain({}));
    const auto told = s.answers.told();
    ASSERT_EQ(told.size(), 10U) << "what is on its way, and what is queued";
    for (const auto& [row, status] : told) EXPECT_TRUE(absl::IsUnavailable(status)) << row;
    EXPECT_FALSE(s.Submit(10));
    EXPECT_TRUE(s.ledger.batches().empty());
    s.ledger.SetOpen(true);
    EXPECT_TRUE(s.commit.Drain(kLong)) << "the commit on its way has ended by itself";
    batches = s.ledger.batches();
  }
  EXPECT_THAT(batches, ElementsAre(ElementsAre(0))) << "what was queued is not stored behind backs";
}

TEST(GroupCommitTest, ADestroyedOneWaitsForTheCommitOnItsWay) {
  CommitLedger ledger;
  FakeClock clock;
  Metrics metrics;
  Answers answers;
  ledger.SetOpen(false);
  auto commit =
      std::make_unique<Commit>(clock, metrics, Commit::Options{.name = "test"}, ledger.AsCommit());
  commit->Start();
  ASSERT_TRUE(commit->TrySubmit(1, answers.For(1)));
  ledger.AwaitEntered(1);
  EXPECT_FALSE(commit->Drain({}));
  {
    Worker opener("opener", [&](std::stop_token) { ledger.SetOpen(true); });
    commit.reset();
  }
  EXPECT_THAT(ledger.batches(), ElementsAre(ElementsAre(1)));
}

TEST(GroupCommitTest, ADestroyedOneHasAnsweredEverybody) {
  Answers answers;
  {
    FakeClock clock;
    Metrics metrics;
    CommitLedger ledger;
    Commit commit(clock, metrics, {.name = "test"}, ledger.AsCommit());
    for (int row = 0; row < 10; ++row) ASSERT_TRUE(commit.TrySubmit(row, answers.For(row)));
  }
  EXPECT_EQ(answers.told().size(), 10U);
}

TEST(GroupCommitTest, ManyCallersAreEachAnsweredOnce) {
  constexpr int kCallers = 4;
  constexpr int kRowsEach = 2000;
  const SystemClock clock;
  Metrics metrics;
  CommitLedger ledger;
  Answers answers;
  ledger.SetBad({7, 1234, 5000, 7999});
  Commit commit(clock, metrics, {.name = "many", .max_queue = kCallers * kRowsEach},
                ledger.AsCommit());
  commit.Start();
  {
    std::vector<std::unique_ptr<Worker>> callers;
    for (int caller = 0; caller < kCallers; ++caller) {
      callers.push_back(std::make_unique<Worker>(
          StrCat("caller-", caller), [&, row = caller * kRowsEach, end = (caller + 1) * kRowsEach](
                                         std::stop_token stop) mutable {
            if (row == end) {
              WaitOrStop(stop, std::chrono::seconds(1));
              return;
            }
            ASSERT_TRUE(commit.TrySubmit(row, answers.For(row)));
            ++row;
          }));
    }
    answers.Await(kCallers * kRowsEach);
  }
  std::size_t committed = 0;
  for (const auto& batch : ledger.batches()) committed += batch.size();
  EXPECT_EQ(committed, static_cast<std::size_t>(kCallers * kRowsEach - 4));
  EXPECT_LT(ledger.batches().size(), committed) << "some shared a batch";
}

TEST(GroupCommitTest, CountsRowsAndBatchesThatWereCommitted) {
  Subject s({.name = "counted", .max_rows = 4});
  s.ledger.SetBad({1});
  s.Submit(0, 8);
  EXPECT_TRUE(s.commit.Drain(kLong));
  const std::string text = s.metrics.Expose();
  EXPECT_THAT(text, ::testing::HasSubstr("postrider_group_commit_rows_total{queue=\"counted\"} 7"));
  EXPECT_THAT(text,
              ::testing::HasSubstr("postrider_group_commit_batches_total{queue=\"counted\"} 3"));
}

}  // namespace
}  // namespace postrider
