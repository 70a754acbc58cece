#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <deque>
#include <functional>
#include <list>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"

#include "server/base/check.h"
#include "server/base/clock.h"
#include "server/base/metrics.h"
#include "server/base/mutant.h"
#include "server/base/mutex.h"
#include "server/base/strings.h"
#include "server/base/worker.h"
#include "server/model/limits.h"

namespace postrider {

/// Gathers rows that arrive one by one into one transaction a batch, so that many callers share
/// a commit's fsync.
///
/// A batch leaves at once when no other is on its way; else with `beside_rows`, or when its first
/// row has waited `max_wait`: several small ones at a time cost the database more than they bring.
/// A batch that the database refuses for its data (INVALID_ARGUMENT) is halved until the guilty row
/// stands alone; every other error goes to all rows of the batch. Steps 2 and 8 of the life of a
/// message (server/README.md).
template <typename Row, typename Verdict>
class GroupCommit {
 public:
  struct Options {
    std::string name;  ///< Of metrics and workers; 10 characters at most.
    int writers = 3;   ///< Batches on their way at once: database connections.
    std::size_t max_rows = kGroupCommitRows;
    std::size_t beside_rows = kGroupCommitBeside;
    std::chrono::nanoseconds max_wait = kGroupCommitWait;
    std::size_t max_queue = kGroupCommitQueue;
  };
  /// Commits a batch; one verdict a row, in order. Blocks. Called by several workers at once.
  using Commit = std::function<absl::StatusOr<std::vector<Verdict>>(std::span<const Row>)>;
  /// Gets the verdict after the commit, on a writer's worker: it must not block.
  using Done = absl::AnyInvocable<void(absl::StatusOr<Verdict>)>;

  /// `clock` and `metrics` must outlive it.
  GroupCommit(const Clock& clock, Metrics& metrics, Options options, Commit commit)
      : clock_(clock),
        options_(std::move(options)),
        commit_(std::move(commit)),
        rows_total_(metrics.CounterOf("postrider_group_commit_rows_total", "Rows committed.",
                                      {{"queue", options_.name}})),
        batches_total_(metrics.CounterOf("postrider_group_commit_batches_total",
                                         "Transactions that committed rows.",
                                         {{"queue", options_.name}})) {}

  /// Waits for the batches on their way, however long their commits take, but not for what is
  /// queued: call Drain() before.
  ~GroupCommit() {
    Drain({});
    workers_.clear();
  }

  /// Starts the writers. Tests drive Step() instead.
  void Start() {
    for (int i = 0; i < options_.writers; ++i) {
      workers_.push_back(std::make_unique<Worker>(StrCat(options_.name, "-", i),
                                                  [this](std::stop_token stop) { Step(stop); }));
    }
  }

  /// Queues `row`; false, and `done` is not called, when the queue is full or drained. Never
  /// blocks.
  [[nodiscard]] bool TrySubmit(Row row, Done done) {
    MutexLock lock(mu_);
    if (draining_ || queue_.size() >= options_.max_queue) return false;
    queue_.push_back({std::move(row), std::move(done), clock_.Now()});
    // One waiting writer is enough: the others wait for a fuller batch.
    if (queue_.size() == 1 || queue_.size() == BesideRows()) work_.NotifyOne();
    return true;
  }

  /// Commits one batch; waits for rows, until `stop`. Returns how many rows it took.
  std::size_t Step(std::stop_token stop) {
    std::vector<Row> rows;
    typename std::list<std::vector<Done>>::iterator waiting;
    {
      MutexLock lock(mu_);
      if (!AwaitBatch(stop)) return 0;
      const std::size_t count = std::min(queue_.size(), options_.max_rows);
      rows.reserve(count);
      waiting = on_their_way_.emplace(on_their_way_.end());
      waiting->reserve(count);
      for (std::size_t i = 0; i < count; ++i) {
        rows.push_back(std::move(queue_.front().row));
        waiting->push_back(std::move(queue_.front().done));
        queue_.pop_front();
      }
      if (!queue_.empty()) work_.NotifyOne();
    }
    std::vector<absl::StatusOr<Verdict>> verdicts;
    verdicts.reserve(rows.size());
    CommitRows(rows, verdicts);
    std::vector<Done> dones;
    {
      // Answering takes its time: the next batch need not wait for it.
      MutexLock lock(mu_);
      dones = std::move(*waiting);
      on_their_way_.erase(waiting);
      ++answering_;
      if (!queue_.empty()) work_.NotifyOne();
    }
    // None when a drain could not wait and has answered them.
    for (std::size_t i = 0; i < dones.size(); ++i) dones[i](std::move(verdicts[i]));
    MutexLock lock(mu_);
    if (--answering_ == 0) idle_.NotifyAll();
    return rows.size();
  }

  /// Takes no more rows and waits until all are committed and answered, `at_most` when there are
  /// workers; true when they are. Those that are left are answered UNAVAILABLE here, whether they
  /// are queued or on their way: a commit on its way may succeed afterwards, unheard.
  bool Drain(std::chrono::nanoseconds at_most) {
    bool whole = false;
    std::vector<Done> left;
    {
      MutexLock lock(mu_);
      draining_ = true;
      work_.NotifyAll();
    }
    while (workers_.empty() && Step(std::stop_token()) > 0) {
    }
    {
      MutexLock lock(mu_);
      whole =
          idle_.WaitFor(mu_, std::stop_token(), at_most, [this]() ABSL_NO_THREAD_SAFETY_ANALYSIS {
            return queue_.empty() && on_their_way_.empty() && answering_ == 0;
          });
      for (std::vector<Done>& batch : on_their_way_) {
        for (Done& done : batch) left.push_back(std::move(done));
        batch.clear();
      }
      for (Waiting& waiting : queue_) left.push_back(std::move(waiting.done));
      queue_.clear();
    }
    for (auto& worker : workers_) worker->RequestStop();
    for (Done& done : left) done(absl::UnavailableError("not stored before the drain's deadline"));
    return whole;
  }

 private:
  struct Waiting {
    Row row;
    Done done;
    MonotonicTime since;
  };

  std::size_t BesideRows() const { return std::min(options_.beside_rows, options_.max_rows); }

  /// Waits until a batch should leave; false when there is none (stopped or drained).
  bool AwaitBatch(std::stop_token stop) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    while (true) {
      if (queue_.empty()) {
        if (!stop.stop_possible()) return false;
        if (!work_.Wait(mu_, stop,
                        [this]() ABSL_NO_THREAD_SAFETY_ANALYSIS { return !queue_.empty(); })) {
          return false;
        }
      }
      const auto waited = clock_.Now() - queue_.front().since;
      const bool leave = on_their_way_.empty() || queue_.size() >= BesideRows() ||
                         waited >= options_.max_wait || draining_;
      if (leave) return true;
      work_.WaitFor(mu_, stop, options_.max_wait - waited, [this]() ABSL_NO_THREAD_SAFETY_ANALYSIS {
        return queue_.empty() || queue_.size() >= BesideRows() || on_their_way_.empty() ||
               draining_;
      });
      if (stop.stop_requested()) return !queue_.empty();
    }
  }

  /// Adds a verdict for each of `rows`, in order.
  void CommitRows(std::span<const Row> rows, std::vector<absl::StatusOr<Verdict>>& verdicts) {
    absl::StatusOr<std::vector<Verdict>> committed = commit_(rows);
    if (Mutated(Mutant::kAnsweredWithoutCommit) && !committed.ok())
      committed = std::vector<Verdict>(rows.size());
    if (committed.ok()) {
      PR_CHECK(committed->size() == rows.size());
      rows_total_.Add(static_cast<double>(rows.size()));
      batches_total_.Add();
      for (std::size_t i = 0; i < rows.size(); ++i) {
        verdicts.emplace_back(std::move((*committed)[i]));
      }
      return;
    }
    if (absl::IsInvalidArgument(committed.status()) && rows.size() > 1) {
      const std::size_t half = rows.size() / 2;
      CommitRows(rows.first(half), verdicts);
      CommitRows(rows.subspan(half), verdicts);
      return;
    }
    for (std::size_t i = 0; i < rows.size(); ++i) verdicts.emplace_back(committed.status());
  }

  const Clock& clock_;
  const Options options_;
  const Commit commit_;
  Counter& rows_total_;
  Counter& batches_total_;

  Mutex mu_;
  CondVar work_;
  CondVar idle_;
  std::deque<Waiting> queue_ ABSL_GUARDED_BY(mu_);
  /// A list of who waits for its verdict for each batch; empty once they were answered otherwise.
  std::list<std::vector<Done>> on_their_way_ ABSL_GUARDED_BY(mu_);
  int answering_ ABSL_GUARDED_BY(mu_) = 0;  ///< Batches whose callers are being told.
  bool draining_ ABSL_GUARDED_BY(mu_) = false;

  std::vector<std::unique_ptr<Worker>> workers_;
};

/// SendMessage's, its refusals' and the webhooks' ways into the store.
using RefusalCommit = GroupCommit<struct RefusalRow, bool>;
using AcceptCommit = GroupCommit<struct NewMessage, struct Acceptance>;
using InboxCommit = GroupCommit<struct InboxRow, bool>;

}  // namespace postrider
