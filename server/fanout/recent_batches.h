#pragma once

#include <cstddef>
#include <deque>
#include <memory>
#include <optional>
#include <vector>

#include "server/model/events.h"

namespace postrider {

/// The last batches, as they were published: a reader that stands among them needs nothing of the
/// store, however many come back at once. They follow one another without a gap; bounded by their
/// number and by their events, the oldest go first. Not thread-safe. Step 10 of the life of a
/// message (server/README.md).
class RecentBatches {
 public:
  using Batch = std::shared_ptr<const EventBatch>;

  RecentBatches(std::size_t max_batches, std::size_t max_events);

  /// Takes the next one; forgets all before it when it does not begin where the last ended.
  void Add(Batch batch);
  /// Those that begin at exactly `at` and after it, in order, `limit` at most.
  std::vector<Batch> From(const Tick& at, std::size_t limit) const;
  /// Where a reader that stands at tick `number`, which is no batch's beginning, gets among them:
  /// the end of the batch that spans it, or the beginning of the first. Empty when it is past them.
  std::optional<Tick> EntryAfter(std::int64_t number) const;
  /// The tick of this number and nonce, if it is the beginning of one or the end of the last.
  std::optional<Tick> Find(std::int64_t number, const Uuid& nonce) const;

 private:
  /// The first one that ends after `number`.
  std::deque<Batch>::const_iterator EndingAfter(std::int64_t number) const;

  const std::size_t max_batches_;
  const std::size_t max_events_;
  std::deque<Batch> batches_;
  std::size_t events_ = 0;  ///< Of all of them.
  Tick end_;                ///< Of the last that was added, also when it was too large to keep.
};

}  // namespace postrider
