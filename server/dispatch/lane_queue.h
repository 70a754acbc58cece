#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <vector>

#include "server/base/clock.h"
#include "server/model/message.h"
#include "server/store/store.h"

namespace postrider {

/// An intent on its way to its POST.
struct QueuedIntent {
  MessageKey key;
  int attempt = 0;
  MessageRequest request;
  ReplicaId replica;  ///< Who intended it, and under which lease.
  Lease lease;
  MonotonicTime start_by{};  ///< Not posted from here on.
  std::size_t rank = 0;      ///< Below kPriorities; a lower one overtakes.
  int segments = 1;          ///< What it costs its sender.
};

/// How `intent` ends that is not posted: its message is queued again, after `again_in`.
AttemptOutcome TakenBack(const QueuedIntent& intent, const char* why,
                         HoldReason hold = HoldReason::kNone,
                         std::chrono::nanoseconds again_in = std::chrono::nanoseconds(0));

/// A tenant's intents that wait for their tokens, in the order in which they leave: by rank, then
/// as they came; but who has waited for half of its time is overtaken no more. Those whose sender
/// has no token do not hold up the others. Not safe from several threads.
class LaneQueue {
 public:
  using Ready = std::function<bool(SenderId)>;

  void Push(QueuedIntent intent);
  bool Empty() const { return size_ == 0; }
  std::size_t size() const { return size_; }
  /// How many of `rank` and of those before it wait; of one sender, its segments.
  int Waiting(std::size_t rank) const;
  int SegmentsWaiting(SenderId sender, std::size_t rank) const;
  /// Who has intents here.
  std::vector<SenderId> Senders() const;

  /// The next to leave of senders that are `ready`; null when there is none. Valid until a change.
  const QueuedIntent* Next(MonotonicTime now, const Ready& ready) const;
  /// The one that gets too old first; null when empty.
  const QueuedIntent* Oldest() const;
  /// Takes out what Next or Oldest returned.
  QueuedIntent Take(const QueuedIntent* intent);
  std::vector<QueuedIntent> TakeAll();

 private:
  struct Entry {
    std::uint64_t number = 0;  ///< In the order in which they came.
    QueuedIntent intent;
  };
  using Ranks = std::array<std::deque<Entry>, kPriorities>;

  std::map<SenderId, Ranks> senders_;
  std::array<int, kPriorities> of_rank_{};
  std::size_t size_ = 0;
  std::uint64_t pushed_ = 0;
};

}  // namespace postrider
