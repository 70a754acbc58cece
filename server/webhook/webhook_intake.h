#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <deque>
#include <functional>
#include <memory>
#include <stop_token>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"

#include "server/base/clock.h"
#include "server/base/mutex.h"
#include "server/base/random.h"
#include "server/base/repeated_failure.h"
#include "server/base/worker.h"
#include "server/model/intake_limits.h"
#include "server/store/group_commit.h"
#include "server/store/store.h"
#include "server/webhook/spool.h"

namespace postrider {

/// Makes webhooks durable in time: step 8 of the life of a message (server/README.md). Each goes to
/// the inbox; one that the database has not stored within kStoreWithin, or does not take, goes to
/// this machine's spool, and from there to the inbox when the database is back.
///
/// A row may come to the inbox both ways: it has one id. Safe from any thread.
class WebhookIntake {
 public:
  struct Options {
    /// Gets each row after it came to the inbox; must not block.
    std::function<void(InboxRow)> on_stored = [](const InboxRow&) {};
    std::chrono::nanoseconds store_within = kStoreWithin;
  };
  /// Gets OK when the row is durable, or why it is not; on one of several workers.
  using Done = absl::AnyInvocable<void(absl::Status)>;

  /// All must outlive it; `inbox` is drained before it ends. `spool` may be null: then what the
  /// inbox does not store is refused.
  WebhookIntake(Store& store, InboxCommit& inbox, Spool* spool, const Clock& clock, Random& random,
                Options options);

  /// From now on what the inbox does not store is spooled.
  void Start();
  /// From now on what is spooled goes to the inbox: the store is one that may be written to.
  void StartUnspooling();

  /// Never blocks.
  void Keep(InboxRow row, Done done);

  // --- The workers' steps; each for one caller at a time.
  /// Spools what is overdue; waits for it until `stop`. A token that cannot be stopped means: do
  /// not wait. Returns how many rows it answered.
  std::size_t SpoolStep(std::stop_token stop = {});
  /// Brings one batch from the spool to the inbox. Returns how many rows; 0 also when the database
  /// did not take them.
  std::size_t UnspoolStep();

  /// After the inbox was drained: answers all that wait. What is in the spool stays there.
  void Drain();

 private:
  struct Row {
    InboxRow row;
    Done done;
    MonotonicTime due{};
    std::atomic<bool> answered = false;
  };
  /// Shared with commits that outlive this.
  struct Desk {
    Mutex mu;
    CondVar changed;
    std::deque<std::shared_ptr<Row>> waiting ABSL_GUARDED_BY(mu);  ///< By `due`.
    std::deque<std::shared_ptr<Row>> refused ABSL_GUARDED_BY(mu);  ///< By the inbox: due now.
    bool closed ABSL_GUARDED_BY(mu) = false;
  };

  static void Answer(Row& row, const absl::Status& status);
  /// The inbox's verdict on a row.
  static void Stored(const std::shared_ptr<Desk>& desk, const std::shared_ptr<Row>& row,
                     const absl::Status& verdict);
  std::vector<std::shared_ptr<Row>> TakeOverdue(std::stop_token stop);

  Store& store_;
  InboxCommit& inbox_;
  Spool* const spool_;
  const Clock& clock_;
  Random& random_;
  const Options options_;
  const std::shared_ptr<Desk> desk_ = std::make_shared<Desk>();
  RepeatedFailure spooling_;
  RepeatedFailure unspooling_;

  /// UnspoolStep's batch in hand, under the ids with which it goes to the inbox: tried again after
  /// a commit in doubt, its rows are the same ones.
  std::vector<InboxRow> unspooling_rows_;

  std::unique_ptr<Worker> spool_worker_;
  std::unique_ptr<Worker> unspool_worker_;
};

}  // namespace postrider
