#pragma once

#include <optional>
#include <vector>

#include "absl/status/statusor.h"

#include "server/model/events.h"

namespace postrider {

/// Reads of what happened: steps 10 of the life of a message. Part of Store; errors as there.
class EventStore {
 public:
  virtual ~EventStore() = default;

  /// Stores a new tick unless the last is younger than 20 ms; returns the last.
  virtual absl::StatusOr<Tick> MakeTick() = 0;
  /// The tick of this number and nonce: OUT_OF_RANGE when it is gone or was replaced by a restore.
  virtual absl::StatusOr<Tick> FindTick(std::int64_t number, const Uuid& nonce) = 0;
  /// The oldest tick that is kept: a reader may begin there. Made by the schema, so there is one.
  virtual absl::StatusOr<Tick> OldestTick() = 0;
  /// The newest tick that is at least `age` old; the oldest when none is.
  virtual absl::StatusOr<Tick> TickOfAge(std::chrono::seconds age) = 0;
  /// The end of a catch-up step: the last tick within `range` of the first one after `from`.
  /// `from` itself when there is none newer.
  virtual absl::StatusOr<Tick> NextTick(const Tick& from, std::chrono::milliseconds range) = 0;
  /// Every event that tick `b` shows and tick `a` does not, by (message_id, revision); of one
  /// tenant when `tenant` is set. OUT_OF_RANGE when one of the ticks is gone.
  virtual absl::StatusOr<std::vector<StatusEvent>> EventsBetween(
      const Tick& a, const Tick& b, std::optional<TenantId> tenant) = 0;
  /// The current state, as its last event, of messages that match `filter` (its `states` too),
  /// with message_id > `after`, by message_id, `limit` at most.
  virtual absl::StatusOr<std::vector<StatusEvent>> CurrentStates(const EventFilter& filter,
                                                                 MessageId after, int limit) = 0;
};

}  // namespace postrider
