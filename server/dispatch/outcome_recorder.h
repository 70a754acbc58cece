#pragma once

#include <chrono>
#include <deque>
#include <span>
#include <stop_token>
#include <unordered_set>
#include <vector>

#include "absl/base/thread_annotations.h"

#include "server/base/clock.h"
#include "server/base/metrics.h"
#include "server/base/mutex.h"
#include "server/base/random.h"
#include "server/model/dispatch_limits.h"
#include "server/store/store.h"

namespace postrider {

/// Step 7 of the life of a message (server/README.md): brings outcomes into the store, however long
/// that takes; recording again changes nothing, so it repeats until the store says yes.
///
/// Knows every message that was intended and whose outcome is not stored yet: they bound what may
/// be intended (a store that is away stops dispatch, not memory), and none of them is chosen
/// again. Safe from any thread; Step is for one caller at a time.
class OutcomeRecorder {
 public:
  /// All must outlive it. `quiet`: accepted messages are looked for after this without news.
  OutcomeRecorder(Store& store, const Clock& clock, Random& random, Metrics& metrics,
                  std::chrono::seconds quiet = kQuietAfter);

  /// Before an Intend: `key` is on its way from now on. False when it is already.
  [[nodiscard]] bool Expect(const MessageKey& key);
  /// After it, when there will be no outcome.
  void Forget(const MessageKey& key);
  /// How many more may be expected.
  std::size_t Room() const;
  bool Empty() const { return Room() == kIntentsOutstanding; }

  /// The outcome of an intent that `replica` made. Never blocks.
  void Push(ReplicaId replica, AttemptOutcome row);

  /// Stores one batch; waits for one until `stop`, up to a second. A token that cannot be stopped
  /// means: do not wait, not even after a failure. Returns how many rows are stored now.
  std::size_t Step(std::stop_token stop);

 private:
  struct Waiting {
    ReplicaId replica;
    AttemptOutcome row;
    MonotonicTime at{};  ///< When it was known: `row.again_in` counts from then.
  };

  bool AwaitBatch(std::stop_token stop) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  absl::Status Record(ReplicaId replica, std::span<AttemptOutcome> rows);
  absl::Status RecordLone(ReplicaId replica, AttemptOutcome& row);

  Store& store_;
  const Clock& clock_;
  Random& random_;
  const std::chrono::seconds quiet_;
  Counter& retries_;
  Counter& dropped_;
  Gauge& outstanding_;

  mutable Mutex mu_;
  CondVar pushed_;
  std::deque<Waiting> waiting_ ABSL_GUARDED_BY(mu_);
  std::unordered_set<MessageKey> expected_ ABSL_GUARDED_BY(mu_);
  MonotonicTime retry_at_ ABSL_GUARDED_BY(mu_){};
  int tries_ ABSL_GUARDED_BY(mu_) = 0;
};

}  // namespace postrider
