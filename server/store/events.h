#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

#include "server/model/message.h"

namespace postrider {

/// A snapshot of the store by number: what tick b shows and tick a < b does not is what happened
/// in between, late commits included. `nonce` tells a number from the same number before a
/// restore. Source: PostgreSQL manual, "Transaction ID and Snapshot Information Functions".
struct Tick {
  std::int64_t number = 0;
  Uuid nonce;
  WallTime at{};
};

/// Where a reader stands: all up to tick `after`, and of (after, upto] all up to (message_id,
/// revision). `upto` 0: exactly at tick `after`.
struct EventPosition {
  Tick after;
  Tick upto;
  MessageId message_id;
  int revision = 0;
  friend bool operator==(const EventPosition& a, const EventPosition& b) {
    return a.after.number == b.after.number && a.upto.number == b.upto.number &&
           a.message_id == b.message_id && a.revision == b.revision;
  }
};

/// What a stream wants to see. Set filters must all hold; of a list, any.
struct EventFilter {
  TenantId tenant_id;
  std::vector<MessageId> message_ids;
  std::vector<ConversationId> conversation_ids;
  std::vector<std::string> external_contact_ids;
  std::string campaign_id;
  std::vector<MessageState> states;
};

/// Reads of what happened: steps 10 of the life of a message. Part of Store; errors as there.
class EventStore {
 public:
  virtual ~EventStore() = default;

  /// Stores a new tick unless the last is younger than 20 ms; returns the last.
  virtual absl::StatusOr<Tick> MakeTick() = 0;
  /// The newest tick at or before `number` whose nonce is `nonce`: OUT_OF_RANGE when it is gone or
  /// was replaced by a restore; the message names the oldest number that still works.
  virtual absl::StatusOr<Tick> FindTick(std::int64_t number, const Uuid& nonce) = 0;
  /// The first tick after `from` that is at least `range` younger, or the newest: the end of a
  /// catch-up step. `from` itself when there is none newer.
  virtual absl::StatusOr<Tick> NextTick(const Tick& from, std::chrono::milliseconds range) = 0;
  /// Every event that tick `b` shows and tick `a` does not, by (message_id, revision); of one
  /// tenant when `tenant` is set.
  virtual absl::StatusOr<std::vector<StatusEvent>> EventsBetween(
      const Tick& a, const Tick& b, std::optional<TenantId> tenant) = 0;
  /// The current state, as its last event, of messages that match `filter` (its `states` too),
  /// with message_id > `after`, by message_id, `limit` at most.
  virtual absl::StatusOr<std::vector<StatusEvent>> CurrentStates(const EventFilter& filter,
                                                                 MessageId after, int limit) = 0;
};

}  // namespace postrider
