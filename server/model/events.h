#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

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
/// revision). `upto` 0: exactly at tick `after`. `in_snapshot`: what was before tick `after` is
/// being told as current states, of messages up to `message_id` so far (nil: of none).
struct EventPosition {
  Tick after;
  Tick upto;
  MessageId message_id;
  int revision = 0;
  bool in_snapshot = false;
  friend bool operator==(const EventPosition& a, const EventPosition& b) {
    return a.after.number == b.after.number && a.upto.number == b.upto.number &&
           a.message_id == b.message_id && a.revision == b.revision &&
           a.in_snapshot == b.in_snapshot;
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

/// What happened from one tick to the next: every event that `to` shows and `from` does not, by
/// (message_id, revision). Batches follow one another without a gap: `from` is the last `to`.
struct EventBatch {
  Tick from;
  Tick to;
  std::vector<StatusEvent> events;
};

/// Where committed events go: the fifth seam. The hub is one; tests pass their own.
class EventSink {
 public:
  virtual ~EventSink() = default;
  /// Takes the next batch; must not block. Called by one worker, in order.
  virtual void Publish(std::shared_ptr<const EventBatch> batch) = 0;
  /// Whether anyone looks at events now. If not, the next batch may be empty and begin after a
  /// gap: who comes later reads from the store what happened meanwhile.
  virtual bool HasReaders() const { return true; }
};

/// True when `event` passes every set filter; the tenant always must match.
bool Matches(const EventFilter& filter, const StatusEvent& event);

}  // namespace postrider
