#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

#include "server/base/clock.h"
#include "server/model/dispatch_limits.h"
#include "server/model/ids.h"
#include "server/model/message.h"
#include "server/store/breakers.h"
#include "server/store/operator_action.h"

namespace postrider {

/// What a pause is of. Stored; never renumber.
enum class PauseScope : std::uint8_t { kTenant = 1, kCampaign = 2, kSender = 3 };

/// What is paused: no intent begins for it, on any replica.
struct PauseTarget {
  TenantId tenant_id;
  PauseScope scope = PauseScope::kTenant;
  std::string target;  ///< Empty, the campaign_id, or the sender_id as text.
  friend auto operator<=>(const PauseTarget&, const PauseTarget&) = default;
};

/// A pause as stored.
struct DispatchPause {
  PauseTarget of;
  std::string reason;
  std::string actor;
  WallTime since{};
  WallTime until{};  ///< Ends by itself then; epoch: when it is resumed.
};

/// A tenant's part of the queue.
struct TenantFacts {
  TenantId tenant_id;
  std::int64_t queue_depth = 0;
  WallTime oldest_due{};   ///< Of what is queued, due or not; epoch: nothing is.
  WallTime retry_after{};  ///< The provider told it to wait until then; epoch: it does not wait.
};

struct SlotFacts {
  int slot = 0;
  ReplicaId owner;  ///< Nil: nobody.
  std::int64_t epoch = 0;
  int open_attempts = 0;  ///< Intended, outcome not recorded.
};

struct ReplicaFacts {
  ReplicaId replica_id;
  std::string name;
  WallTime started_at{};
  WallTime expires_at{};
  bool alive = false;  ///< Neither fenced nor expired.
};

/// What all replicas share, at one moment of the store's clock.
struct ControlFacts {
  WallTime at{};
  std::vector<TenantFacts> tenants;  ///< Those asked for, in their order.
  std::vector<DispatchPause> pauses;
  std::vector<BreakerReading> breakers;  ///< Both of each tenant.
  std::vector<SlotFacts> slots;
  std::vector<ReplicaFacts> replicas;  ///< kMaxReplicasShown at most, by expires_at, latest first.
};

/// Where a message stands in the queue, and what holds it there.
struct QueuePlace {
  WallTime at{};
  WallTime due_at{};
  int ahead_in_flow = 0;    ///< Messages before it of its own priority, campaign and sender.
  int ahead_elsewhere = 0;  ///< Of its priority and other flows: those take turns with its own.
  int ahead_urgent = 0;     ///< Of more urgent priorities.
  bool capped = false;      ///< There are more than these, which are as many as were asked for.
  WallTime retry_after{};   ///< As in TenantFacts.
  std::vector<DispatchPause> pauses;     ///< In force for it.
  std::vector<BreakerReading> breakers;  ///< Both of its tenant.
  std::string owner;  ///< Name of the live replica that owns its slot; empty: there is none.
  ReplicaId owner_id;
};

/// What operators do and see. Part of Store; errors as there. Times are the store's.
class ControlStore {
 public:
  virtual ~ControlStore() = default;

  /// Pauses from the commit on: no intent of it begins on any replica, however stale what the
  /// replica knows. Replaces the pause that is there. Returns it as stored.
  virtual absl::StatusOr<DispatchPause> PauseDispatch(const PauseTarget& of, WallTime until,
                                                      const OperatorAction& action) = 0;
  /// Ends a pause. False when none was in force; then nothing is recorded.
  virtual absl::StatusOr<bool> ResumeDispatch(const PauseTarget& of,
                                              const OperatorAction& action) = 0;

  /// One bounded read, in one transaction.
  virtual absl::StatusOr<ControlFacts> ReadControl(std::span<const TenantId> tenants) = 0;
  /// Counts what is ahead up to `most`. NOT_FOUND when the message is not in the queue.
  virtual absl::StatusOr<QueuePlace> FindQueuePlace(const MessageKey& key, int most) = 0;

  /// Ends messages of these slots whose `expire_at` has passed, whatever holds them; kIntentRows at
  /// most. Returns how many.
  virtual absl::StatusOr<int> ExpireDue(std::span<const int> slots) = 0;
};

}  // namespace postrider
