#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"

#include "server/base/clock.h"
#include "server/base/metrics.h"
#include "server/base/mutex.h"
#include "server/base/random.h"
#include "server/base/repeated_failure.h"
#include "server/base/worker.h"
#include "server/model/dispatch_limits.h"
#include "server/store/store.h"

namespace postrider {

/// A slot of this replica, and since when.
struct OwnedSlot {
  Lease lease;
  MonotonicTime since{};  ///< After it was taken: a tenant's bucket has been filling since then.

  friend auto operator<=>(const OwnedSlot&, const OwnedSlot&) = default;
};

/// What this replica may dispatch. One is true until the next is published.
struct Ownership {
  ReplicaId replica;
  std::vector<OwnedSlot> slots;  ///< By number.
  MonotonicTime until{};         ///< Before this instant it may intend and post.

  const OwnedSlot* Find(int slot) const;
  std::vector<Lease> Leases() const;
  std::vector<int> SlotNumbers() const;
};

/// Step 3 of the life of a message (server/README.md): keeps this replica alive in the store, takes
/// slots, and says for how long it may act on them. What it has above its fair share it lets go: it
/// acts there no more, and gives the slot back when no attempt is open in it.
///
/// The time to act, kLeaseTime less kLeaseMargin, counts from before a renewal was sent, on
/// Clock: however long the answer took, this replica stops before the store lets another one in.
/// A replica that was fenced drops everything and starts anew under a new id.
class SlotOwner {
 public:
  struct Options {
    std::string name;  ///< Shown to operators: host and process.
  };

  /// All must outlive it.
  SlotOwner(Store& store, const Clock& clock, Random& random, Metrics& metrics, Options options);

  void Start();

  /// Renews and acquires when that is due; returns how long nothing is. For one caller at a time:
  /// the worker, or a test.
  std::chrono::nanoseconds Step();

  /// Never null. Safe from any thread.
  std::shared_ptr<const Ownership> Current() const;
  /// True while what was intended by `replica` under `lease` may be posted. Safe from any thread.
  bool MayPost(ReplicaId replica, const Lease& lease) const;

  /// Gives all slots back and ends the replica's row; after the dispatcher has finished. When the
  /// store is away another replica takes over after kLeaseTime.
  absl::Status Drain();

 private:
  /// The renewal and the taking of slots; nothing when both worked.
  std::optional<absl::Status> Renew(MonotonicTime now);
  void Hold(const SlotShare& share);
  void LetGo();
  void Publish(Ownership next);
  void StartAnew();
  std::chrono::nanoseconds Failed(const absl::Status& why);

  Store& store_;
  const Clock& clock_;
  Random& random_;
  const Options options_;
  Gauge& owned_;
  Counter& fenced_;
  Counter& failures_;

  // Of Step's caller.
  ReplicaId replica_;
  MonotonicTime next_{};
  std::vector<Lease> leaving_;  ///< Still held by this replica, which does not act there any more.
  RepeatedFailure repeated_;

  mutable Mutex mu_;
  std::shared_ptr<const Ownership> current_ ABSL_GUARDED_BY(mu_);

  std::optional<Worker> worker_;
};

}  // namespace postrider
