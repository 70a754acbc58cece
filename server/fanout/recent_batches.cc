#include "server/fanout/recent_batches.h"

#include <algorithm>
#include <utility>

namespace postrider {

namespace {

bool Same(const Tick& tick, std::int64_t number, const Uuid& nonce) {
  return tick.number == number && tick.nonce == nonce;
}

}  // namespace

RecentBatches::RecentBatches(std::size_t max_batches, std::size_t max_events)
    : max_batches_(max_batches), max_events_(max_events) {}

void RecentBatches::Add(Batch batch) {
  if (!Same(end_, batch->from.number, batch->from.nonce)) {
    batches_.clear();
    events_ = 0;
  }
  end_ = batch->to;
  if (batch->from.number == batch->to.number) return;
  events_ += batch->events.size();
  batches_.push_back(std::move(batch));
  while (batches_.size() > max_batches_ || events_ > max_events_) {
    events_ -= batches_.front()->events.size();
    batches_.pop_front();
  }
}

std::vector<RecentBatches::Batch> RecentBatches::From(const Tick& at, std::size_t limit) const {
  const auto first = EndingAfter(at.number);
  if (first == batches_.end() || !Same((*first)->from, at.number, at.nonce)) return {};
  const auto left = static_cast<std::size_t>(batches_.end() - first);
  return {first, first + static_cast<std::ptrdiff_t>(std::min(left, limit))};
}

std::optional<Tick> RecentBatches::EntryAfter(std::int64_t number) const {
  const auto next = EndingAfter(number);
  if (next == batches_.end()) return std::nullopt;
  return number < (*next)->from.number ? (*next)->from : (*next)->to;
}

std::optional<Tick> RecentBatches::Find(std::int64_t number, const Uuid& nonce) const {
  if (Same(end_, number, nonce)) return end_;
  const auto next = EndingAfter(number);
  if (next == batches_.end() || !Same((*next)->from, number, nonce)) return std::nullopt;
  return (*next)->from;
}

std::deque<RecentBatches::Batch>::const_iterator RecentBatches::EndingAfter(
    std::int64_t number) const {
  return std::upper_bound(
      batches_.begin(), batches_.end(), number,
      [](std::int64_t at, const Batch& batch) { return at < batch->to.number; });
}

}  // namespace postrider
