#include "server/fanout/subscription.h"

#include <algorithm>
#include <cstdint>
#include <tuple>
#include <utility>

#include "server/base/check.h"
#include "server/base/mutant.h"
#include "server/fanout/hub.h"

namespace postrider {

Subscription::Subscription(Hub& hub, EventFilter filter, Wake wake)
    : hub_(hub),
      filter_(std::move(filter)),
      message_ids_(filter_.message_ids.begin(), filter_.message_ids.end()),
      wake_(std::move(wake)) {}

void Subscription::Begin(const EventPosition& position) {
  MutexLock lock(mu_);
  PR_CHECK(mode_ == Mode::kWaiting && position.after.number > 0 && !position.in_snapshot);
  mode_ = Mode::kBehind;
  position_ = position;
}

std::optional<Subscription::Change> Subscription::Next() {
  MutexLock lock(mu_);
  if (buffer_.empty()) return std::nullopt;
  Change change = std::move(buffer_.front());
  buffer_.pop_front();
  position_ = change.position;
  return change;
}

bool Subscription::HasChanges() {
  MutexLock lock(mu_);
  return !buffer_.empty();
}

std::optional<Subscription::CatchUp> Subscription::Behind() {
  while (true) {
    EventPosition at;
    {
      MutexLock lock(mu_);
      if (mode_ != Mode::kBehind || !buffer_.empty()) return std::nullopt;
      Advance();
      at = position_;
    }
    const Hub::Meeting meeting = hub_.Meet(*this, at);
    if (meeting.batches.empty()) return meeting.read;
    for (const RecentBatches::Batch& batch : meeting.batches) {
      Take(*batch, hub_.options_.buffer);
      MutexLock lock(mu_);
      if (!buffer_.empty()) return std::nullopt;
    }
  }
}

void Subscription::Feed(const EventBatch& batch) { Take(batch, SIZE_MAX); }

void Subscription::Take(const EventBatch& batch, std::size_t most) {
  MutexLock lock(mu_);
  PR_CHECK(mode_ == Mode::kBehind && buffer_.empty());
  Advance();
  PR_CHECK(batch.from.number == position_.after.number);
  const bool resumes_inside = position_.upto.number != 0;
  PR_CHECK(!resumes_inside || batch.to.number == position_.upto.number);
  for (const StatusEvent& event : batch.events) {
    const auto key = std::tie(event.message_id, event.status.revision);
    if (resumes_inside && key <= std::tie(position_.message_id, position_.revision)) continue;
    if (!Wants(event)) continue;
    // The rest later: then the position is inside of the batch.
    if (buffer_.size() >= most) return;
    const EventPosition position{batch.from, batch.to, event.message_id, event.status.revision,
                                 false};
    buffer_.push_back({std::make_shared<const StatusEvent>(event), position});
  }
  complete_ = batch.to;
  Advance();
}

EventPosition Subscription::Position() {
  // Read before the buffer is: what is published is in the buffer already.
  const Tick published = hub_.Latest();
  MutexLock lock(mu_);
  if (mode_ == Mode::kLive && published.number > complete_.number) complete_ = published;
  if (Mutated(Mutant::kTokenAheadOfItsEvents) && published.number > 0) {
    EventPosition ahead;
    ahead.after = published;
    return ahead;
  }
  Advance();
  return position_;
}

bool Subscription::Wants(const StatusEvent& event) const {
  if (!message_ids_.empty() && !message_ids_.contains(event.message_id)) return false;
  return Matches(filter_, event);
}

bool Subscription::Offer(const Tick& from, const Tick& to, std::vector<SharedEvent>& events) {
  MutexLock lock(mu_);
  if (mode_ != Mode::kLive || to.number <= complete_.number) return false;
  const bool was_empty = buffer_.empty();
  // A batch without events of this tenant was not offered: `from` may lie ahead of `complete_`.
  complete_ = from;
  Advance();
  for (SharedEvent& event : events) {
    if (!Wants(*event.in_batch)) continue;
    if (buffer_.size() >= hub_.options_.buffer) {
      if (Mutated(Mutant::kSlowReaderSkips)) continue;
      DropBuffer();
      hub_.behind_total_.Add();
      return was_empty;
    }
    if (!event.shared) event.shared = std::make_shared<const StatusEvent>(*event.in_batch);
    const StatusEvent& kept = *event.shared;
    buffer_.push_back({event.shared, {from, to, kept.message_id, kept.status.revision, false}});
  }
  complete_ = to;
  return was_empty && !buffer_.empty();
}

void Subscription::FallBehind() {
  MutexLock lock(mu_);
  if (mode_ != Mode::kLive) return;
  Advance();
  DropBuffer();
}

void Subscription::TurnLive(const Tick& at) {
  MutexLock lock(mu_);
  mode_ = Mode::kLive;
  complete_ = at;
}

void Subscription::DropBuffer() {
  mode_ = Mode::kBehind;
  buffer_.clear();
  complete_ = {};
}

void Subscription::Advance() {
  if (!buffer_.empty()) return;
  const auto reached = std::max(position_.after.number, position_.upto.number);
  if (complete_.number < reached) return;
  position_ = {};
  position_.after = complete_;
}

}  // namespace postrider
