#pragma once

#include <chrono>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <stop_token>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "absl/base/thread_annotations.h"

#include "server/base/clock.h"
#include "server/base/metrics.h"
#include "server/base/mutex.h"
#include "server/base/random.h"
#include "server/base/repeated_failure.h"
#include "server/base/worker.h"
#include "server/provider/provider.h"
#include "server/store/store.h"

namespace postrider {

/// Step 9 of the life of a message (server/README.md): applies the inbox: receipts to the messages,
/// texts that came in to their conversations.
///
/// Rows come from memory right after their commit; a sweep finds what no replica applied, and
/// receipts that nobody knew are tried again. A row that the store refuses is found by halving,
/// tried kMaxApplyTries times, and put aside as a dead letter; its neighbours go through. While the
/// store is away nothing is lost: a row is durable before it is here. Safe from any thread.
class InboxProcessor {
 public:
  struct Options {
    /// Whose rows to sweep: the tenants of the slots that this replica owns.
    std::function<std::vector<TenantId>()> tenants;
    std::function<absl::StatusOr<WebhookContent>(std::string_view profile, std::string_view body)>
        parse = ParseWebhook;
  };

  /// All must outlive it.
  InboxProcessor(Store& store, const Clock& clock, Random& random, Metrics& metrics,
                 Options options);

  void Start();

  /// A committed row. False when kApplyQueue rows wait already: the sweep will find it. Never
  /// blocks.
  bool Offer(InboxRow row);

  // --- The workers' steps; each for one caller at a time. Each returns how many rows it moved.
  /// Applies one batch; waits for one until `stop`, up to a second. A token that cannot be
  /// stopped means: do not wait.
  std::size_t Step(std::stop_token stop = {});
  /// Takes up rows that nobody applied.
  std::size_t SweepStep();
  /// Tries parked receipts again.
  std::size_t ParkedStep();

  /// Applies what is in memory. False when rows were left after `at_most`: another replica's
  /// sweep finds them. Once.
  bool Drain(std::chrono::nanoseconds at_most);

 private:
  struct Waiting {
    InboxRow row;
    absl::StatusOr<WebhookContent> content;  ///< Once it is in a batch.
    MonotonicTime since{};                   ///< It is in memory.
    int tries = 0;
    bool refused = false;  ///< Alone, just now: to be tried again at `not_before`.
    MonotonicTime not_before{};
  };

  bool Add(InboxRow row) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  std::vector<Waiting> TakeBatch(std::stop_token stop);
  /// The first row after a quiet time is applied at once; those that follow share a transaction.
  void AwaitCompany(std::stop_token stop) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void ShowOldest(const std::vector<Waiting>& batch);
  /// Applies rows of one kind, receipts (and what cannot be read) or texts.
  absl::Status Apply(std::span<Waiting> rows);
  absl::Status ApplyReceipts(std::span<const Waiting> rows);
  absl::Status RecordTexts(std::span<const Waiting> rows);
  absl::Status ApplyPoison(Waiting& row);
  void Keep(std::span<Waiting> rows);

  Store& store_;
  const Clock& clock_;
  Random& random_;
  const Options options_;
  Counter& applied_;
  Counter& duplicates_;
  Counter& parked_;
  Counter& dead_letters_;
  Counter& swept_;
  Counter& left_to_sweep_;
  std::map<Keyword, Counter*> texts_;
  Counter& answered_;
  Gauge& queue_;
  Gauge& oldest_seconds_;

  /// Of SweepStep's caller: up to when each tenant's inbox has been looked through.
  std::map<TenantId, WallTime> swept_upto_;
  RepeatedFailure sweep_failures_;
  /// Of ParkedStep's caller.
  RepeatedFailure parked_failures_;
  /// Of Step's caller.
  int failures_ = 0;

  Mutex mu_;
  CondVar offered_;
  std::deque<Waiting> waiting_ ABSL_GUARDED_BY(mu_);
  std::deque<Waiting> put_off_ ABSL_GUARDED_BY(mu_);  ///< Failed alone; each has its own time.
  std::unordered_set<InboxId> known_ ABSL_GUARDED_BY(mu_);  ///< Of both, and of the batch in hand.
  MonotonicTime retry_at_ ABSL_GUARDED_BY(mu_){};
  MonotonicTime took_at_ ABSL_GUARDED_BY(mu_){};  ///< The last batch.

  std::unique_ptr<Worker> apply_worker_;
  std::unique_ptr<Worker> sweep_worker_;
  std::unique_ptr<Worker> parked_worker_;
};

}  // namespace postrider
