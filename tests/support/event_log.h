#pragma once

#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <tuple>
#include <vector>

#include "absl/base/thread_annotations.h"

#include "server/base/mutex.h"
#include "server/model/events.h"

namespace postrider {

inline Uuid UuidOf(std::uint64_t number) {
  Uuid id;
  for (std::size_t i = 0; i < 8; ++i) {
    id.bytes[15 - i] = static_cast<std::uint8_t>(number >> (8 * i));
  }
  return id;
}

/// What a store shows of events and ticks: each event becomes visible with one tick. Safe from
/// any thread.
class EventLog {
 public:
  EventLog() { MakeTick(); }

  /// The next revision of a message, to be seen with the next tick.
  StatusEvent Append(TenantId tenant, MessageId message,
                     MessageState state = MessageState::kQueued) {
    MutexLock lock(mu_);
    StatusEvent event;
    event.tenant_id = tenant;
    event.message_id = message;
    event.status.state = state;
    event.status.revision = ++revisions_[message];
    events_.push_back({ticks_.back().number + 1, event});
    return event;
  }

  Tick MakeTick() {
    MutexLock lock(mu_);
    const auto number = static_cast<std::int64_t>(ticks_.size() + 1);
    ticks_.push_back({number, UuidOf(static_cast<std::uint64_t>(number) * 7919), WallTime{}});
    return ticks_.back();
  }

  Tick Latest() const {
    MutexLock lock(mu_);
    return ticks_.back();
  }
  Tick At(std::int64_t number) const {
    MutexLock lock(mu_);
    return ticks_.at(static_cast<std::size_t>(number - 1));
  }

  EventBatch Between(const Tick& a, const Tick& b, std::optional<TenantId> tenant = {}) const {
    MutexLock lock(mu_);
    EventBatch batch{a, b, {}};
    for (const auto& [tick, event] : events_) {
      const bool wanted = !tenant || *tenant == event.tenant_id;
      if (wanted && tick > a.number && tick <= b.number) batch.events.push_back(event);
    }
    std::sort(batch.events.begin(), batch.events.end(), [](const auto& x, const auto& y) {
      return std::tie(x.message_id, x.status.revision) < std::tie(y.message_id, y.status.revision);
    });
    return batch;
  }

 private:
  mutable Mutex mu_;
  std::vector<Tick> ticks_ ABSL_GUARDED_BY(mu_);
  std::vector<std::pair<std::int64_t, StatusEvent>> events_ ABSL_GUARDED_BY(mu_);
  std::map<MessageId, int> revisions_ ABSL_GUARDED_BY(mu_);
};

}  // namespace postrider
