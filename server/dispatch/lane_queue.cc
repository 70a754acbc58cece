#include "server/dispatch/lane_queue.h"

#include <tuple>
#include <utility>

#include "server/base/check.h"
#include "server/model/dispatch_limits.h"

namespace postrider {

AttemptOutcome TakenBack(const QueuedIntent& intent, const char* why, HoldReason hold,
                         std::chrono::nanoseconds again_in) {
  AttemptOutcome row;
  row.key = intent.key;
  row.attempt = intent.attempt;
  row.outcome.kind = OutcomeKind::kTakenBack;
  row.outcome.hold = hold;
  row.outcome.detail = why;
  row.again_in = again_in;
  return row;
}

void LaneQueue::Push(QueuedIntent intent) {
  PR_CHECK(intent.rank < kPriorities);
  ++of_rank_[intent.rank];
  ++size_;
  Ranks& ranks = senders_[intent.request.sender_id];
  ranks[intent.rank].push_back({++pushed_, std::move(intent)});
}

int LaneQueue::Waiting(std::size_t rank) const {
  int waiting = 0;
  for (std::size_t i = 0; i <= rank; ++i) waiting += of_rank_[i];
  return waiting;
}

int LaneQueue::SegmentsWaiting(SenderId sender, std::size_t rank) const {
  const auto found = senders_.find(sender);
  int segments = 0;
  if (found == senders_.end()) return segments;
  for (std::size_t i = 0; i <= rank; ++i) {
    for (const Entry& entry : found->second[i]) segments += entry.intent.segments;
  }
  return segments;
}

std::vector<SenderId> LaneQueue::Senders() const {
  std::vector<SenderId> senders;
  for (const auto& [sender, ranks] : senders_) senders.push_back(sender);
  return senders;
}

const QueuedIntent* LaneQueue::Next(MonotonicTime now, const Ready& ready) const {
  const Entry* best = nullptr;
  std::pair<std::size_t, std::uint64_t> best_place;
  for (const auto& [sender, ranks] : senders_) {
    if (!ready(sender)) continue;
    for (const std::deque<Entry>& waiting : ranks) {
      if (waiting.empty()) continue;
      const Entry& first = waiting.front();
      const bool aged = now >= first.intent.start_by - kStartBy / 2;
      const std::pair place{aged ? 0 : first.intent.rank, first.number};
      if (best != nullptr && best_place < place) continue;
      best = &first;
      best_place = place;
    }
  }
  return best == nullptr ? nullptr : &best->intent;
}

const QueuedIntent* LaneQueue::Oldest() const {
  const QueuedIntent* oldest = nullptr;
  for (const auto& [sender, ranks] : senders_) {
    for (const std::deque<Entry>& waiting : ranks) {
      if (waiting.empty()) continue;
      const QueuedIntent& first = waiting.front().intent;
      if (oldest == nullptr || first.start_by < oldest->start_by) oldest = &first;
    }
  }
  return oldest;
}

QueuedIntent LaneQueue::Take(const QueuedIntent* intent) {
  const auto sender = senders_.find(intent->request.sender_id);
  PR_CHECK(sender != senders_.end());
  std::deque<Entry>& waiting = sender->second[intent->rank];
  PR_CHECK(!waiting.empty() && &waiting.front().intent == intent);
  QueuedIntent taken = std::move(waiting.front().intent);
  waiting.pop_front();
  --of_rank_[taken.rank];
  --size_;
  bool empty = true;
  for (const auto& rank : sender->second) empty = empty && rank.empty();
  if (empty) senders_.erase(sender);
  return taken;
}

std::vector<QueuedIntent> LaneQueue::TakeAll() {
  std::vector<QueuedIntent> taken;
  while (!Empty()) taken.push_back(Take(Oldest()));
  return taken;
}

}  // namespace postrider
