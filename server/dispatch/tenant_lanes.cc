#include "server/dispatch/tenant_lanes.h"

#include <algorithm>
#include <cmath>

#include "server/model/dispatch_limits.h"

namespace postrider {

TenantLanes::TenantLanes(const Clock& clock, Metrics& metrics, int posters)
    : clock_(clock),
      posters_(posters),
      waiting_gauge_(metrics.GaugeOf("postrider_intents_waiting",
                                     "Messages intended that wait for a token or a poster.")),
      rate_gauge_(metrics.GaugeOf("postrider_dispatch_rate_limit",
                                  "Messages a second that the buckets allow now: none in a pause, "
                                  "less after one.")),
      paused_gauge_(metrics.GaugeOf("postrider_tenants_paused",
                                    "Tenants that wait because the provider said so.")),
      token_waits_(metrics.CounterOf("postrider_token_waits_total",
                                     "Times that an intent's token was not there yet.")) {}

TenantLanes::Lane& TenantLanes::LaneOf(TenantId tenant, const OwnedSlot& slot,
                                       const TenantSettings& settings) {
  Lane& lane = lanes_[tenant];
  if (lane.buckets == nullptr || lane.lease != slot.lease) {
    lane.buckets = std::make_unique<TenantBuckets>(clock_, settings, slot.since);
    lane.lease = slot.lease;
    const auto told = paused_until_.find(tenant);
    const MonotonicTime now = clock_.Now();
    if (told != paused_until_.end() && told->second > now) {
      lane.buckets->Pause(told->second - now, true);
    }
  } else if (lane.buckets->Follow(settings)) {
    Reschedule(tenant, lane, clock_.Now());
  }
  return lane;
}

FairQueue::Rooms TenantLanes::Room(TenantId tenant, const OwnedSlot& slot,
                                   const TenantSettings& settings) {
  MutexLock lock(mu_);
  Lane& lane = LaneOf(tenant, slot, settings);
  FairQueue::Rooms rooms{};
  if (lane.capped) return rooms;
  // A hair more than the tokens, so that rounding does not cost one.
  const double tokens = lane.buckets->MessagesWithin(kIntentAhead) + 1e-9;
  for (std::size_t rank = 0; rank < kPriorities; ++rank) {
    const double room = std::floor(tokens) - lane.waiting.Waiting(rank);
    rooms[rank] = static_cast<int>(std::clamp(room, 0.0, static_cast<double>(kIntentRows)));
  }
  return rooms;
}

double TenantLanes::SegmentRoom(TenantId tenant, SenderId sender, std::size_t rank) {
  MutexLock lock(mu_);
  Lane& lane = lanes_.at(tenant);
  return lane.buckets->SegmentsWithin(sender, kIntentAhead) + 1e-9 -
         lane.waiting.SegmentsWaiting(sender, rank);
}

std::vector<QueuedIntent> TenantLanes::Push(std::vector<QueuedIntent> intents) {
  std::vector<QueuedIntent> lost;
  if (intents.empty()) return lost;
  MutexLock lock(mu_);
  for (QueuedIntent& intent : intents) {
    const TenantId tenant = intent.key.tenant_id;
    const auto found = lanes_.find(tenant);
    if (found == lanes_.end()) {
      lost.push_back(std::move(intent));
      continue;
    }
    Lane& lane = found->second;
    lane.waiting.Push(std::move(intent));
    ++waiting_;
    if (!lane.capped)
      Reschedule(tenant, lane, clock_.Now());  // It may be another sender's, with tokens.
  }
  ++changes_;
  timekeeper_wake_.NotifyOne();
  return lost;
}

void TenantLanes::Schedule(TenantId tenant, Lane& lane, MonotonicTime at) {
  lane.turn_at = at;
  turns_.insert({at, lane.last_turn, tenant});
}

void TenantLanes::Reschedule(TenantId tenant, Lane& lane, MonotonicTime now) {
  if (lane.waiting.Empty()) return;
  turns_.erase({lane.turn_at, lane.last_turn, tenant});
  Schedule(tenant, lane, now);
  ++changes_;
  timekeeper_wake_.NotifyOne();
}

std::optional<TenantLanes::Turn> TenantLanes::TryLane(TenantId tenant, Lane& lane,
                                                      MonotonicTime now) {
  const QueuedIntent* next = lane.waiting.Oldest();
  const bool stale = now >= next->start_by;
  if (!stale) {
    const MonotonicTime start_by = next->start_by;
    lane.capped = lane.under_way >= std::max(1, posters_ - under_way_);
    if (lane.capped) {
      capped_.insert(tenant);
      Schedule(tenant, lane, start_by);
      return std::nullopt;
    }
    std::chrono::nanoseconds wait = lane.buckets->Wait();
    next = nullptr;
    if (wait == 0ns) {
      std::chrono::nanoseconds soonest = kStartBy;
      next = lane.waiting.Next(now, [&](SenderId sender) {
        const auto of_sender = lane.buckets->WaitOf(sender);
        if (of_sender > 0ns) soonest = std::min(soonest, of_sender);
        return of_sender == 0ns;
      });
      wait = soonest;
    }
    if (next == nullptr) {
      token_waits_.Add();
      Schedule(tenant, lane, std::min(now + wait, start_by));
      return std::nullopt;
    }
    lane.buckets->Take(next->request.sender_id, next->segments);
    ++lane.under_way;
    ++under_way_;
  }
  Turn turn{.intent = lane.waiting.Take(next),
            .stale = stale,
            .wait = stale ? lane.buckets->PauseLeft() : 0ns};
  --waiting_;
  lane.last_turn = ++last_turn_;
  if (!lane.waiting.Empty()) Schedule(tenant, lane, now);
  return turn;
}

std::optional<TenantLanes::Turn> TenantLanes::TryPop(MonotonicTime now) {
  while (!turns_.empty() && std::get<0>(*turns_.begin()) <= now) {
    const TenantId tenant = std::get<TenantId>(*turns_.begin());
    turns_.erase(turns_.begin());
    std::optional<Turn> turn = TryLane(tenant, lanes_.at(tenant), now);
    if (turn.has_value()) return turn;
  }
  return std::nullopt;
}

void TenantLanes::Done(TenantId tenant, int requests) {
  MutexLock lock(mu_);
  under_way_ = std::max(0, under_way_ - 1);
  const auto found = lanes_.find(tenant);
  if (found != lanes_.end()) {
    found->second.under_way = std::max(0, found->second.under_way - 1);
    if (requests > 1) found->second.buckets->SpendRequests(requests - 1);
  }
  // A free poster may be anybody's.
  const MonotonicTime now = clock_.Now();
  for (const TenantId waits : std::exchange(capped_, {})) {
    const auto lane = lanes_.find(waits);
    if (lane == lanes_.end()) continue;
    lane->second.capped = false;
    Reschedule(waits, lane->second, now);
  }
}

void TenantLanes::AllowReads(const std::vector<Lease>& leases) {
  MutexLock lock(mu_);
  reads_allowed_ = {leases.begin(), leases.end()};
}

int TenantLanes::TryTakeRead(TenantId tenant, const OwnedSlot& slot, const TenantSettings& settings,
                             int requests) {
  MutexLock lock(mu_);
  if (!reads_allowed_.contains(slot.lease)) return 0;
  Lane& lane = LaneOf(tenant, slot, settings);
  return lane.buckets->TryTakeRead(requests, !lane.waiting.Empty());
}

void TenantLanes::ReturnReads(TenantId tenant, int count) {
  MutexLock lock(mu_);
  const auto found = lanes_.find(tenant);
  if (found != lanes_.end() && count != 0) found->second.buckets->ReturnReads(count);
}

std::optional<double> TenantLanes::EffectiveRate(TenantId tenant) {
  MutexLock lock(mu_);
  const auto found = lanes_.find(tenant);
  if (found == lanes_.end()) return std::nullopt;
  return found->second.buckets->EffectiveRate();
}

std::chrono::nanoseconds TenantLanes::PauseLeft(TenantId tenant) {
  MutexLock lock(mu_);
  const auto found = lanes_.find(tenant);
  return found == lanes_.end() ? 0ns : found->second.buckets->PauseLeft();
}

bool TenantLanes::AnyDue() {
  MutexLock lock(mu_);
  return !turns_.empty() && std::get<0>(*turns_.begin()) <= clock_.Now();
}

std::optional<TenantLanes::Turn> TenantLanes::Pop(std::stop_token stop) {
  MutexLock lock(mu_);
  while (true) {
    std::optional<Turn> turn = TryPop(clock_.Now());
    if (turn.has_value()) {
      // The next poster looks whether there is more, and keeps the time meanwhile.
      if (!turns_.empty()) others_wake_.NotifyOne();
      return turn;
    }
    if (!stop.stop_possible() || stop.stop_requested()) return std::nullopt;
    if (timekeeper_) {
      const auto is_free = [this]() ABSL_NO_THREAD_SAFETY_ANALYSIS { return !timekeeper_; };
      if (!others_wake_.WaitFor(mu_, stop, 1s, is_free)) return std::nullopt;
      continue;
    }
    timekeeper_ = true;
    std::chrono::nanoseconds wait = 1s;
    if (!turns_.empty()) {
      wait = std::min<std::chrono::nanoseconds>(wait, std::get<0>(*turns_.begin()) - clock_.Now());
    }
    const std::uint64_t seen = changes_;
    timekeeper_wake_.WaitFor(mu_, stop, wait, [this, seen]() ABSL_NO_THREAD_SAFETY_ANALYSIS {
      return changes_ != seen;
    });
    timekeeper_ = false;
    // Whether it goes with a turn or by its stop: somebody else keeps the time from here.
    others_wake_.NotifyOne();
  }
}

void TenantLanes::Empty(TenantId tenant, Lane& lane, std::vector<QueuedIntent>& to) {
  if (lane.waiting.Empty()) return;
  turns_.erase({lane.turn_at, lane.last_turn, tenant});
  waiting_ -= lane.waiting.size();
  std::vector<QueuedIntent> taken = lane.waiting.TakeAll();
  std::move(taken.begin(), taken.end(), std::back_inserter(to));
}

std::vector<QueuedIntent> TenantLanes::Pause(TenantId tenant, std::chrono::nanoseconds pause) {
  std::vector<QueuedIntent> taken;
  MutexLock lock(mu_);
  MonotonicTime& until = paused_until_[tenant];
  until = std::max(until, clock_.Now() + std::chrono::ceil<MonotonicTime::duration>(pause));
  const auto found = lanes_.find(tenant);
  if (found == lanes_.end()) return taken;
  found->second.buckets->Pause(pause, true);
  Empty(tenant, found->second, taken);
  return taken;
}

std::vector<QueuedIntent> TenantLanes::Stop(TenantId tenant, std::chrono::nanoseconds& pause) {
  std::vector<QueuedIntent> taken;
  MutexLock lock(mu_);
  pause = kTenantStopFirst;
  const auto found = lanes_.find(tenant);
  if (found == lanes_.end()) return taken;
  Lane& lane = found->second;
  const MonotonicTime now = clock_.Now();
  // Several POSTs on their way fail together: that is one stop.
  if (now >= lane.stopped_until) {
    lane.stop_pause = std::clamp<std::chrono::nanoseconds>(lane.stop_pause * 2, kTenantStopFirst,
                                                           kTenantStopLongest);
    lane.stopped_until = now + lane.stop_pause;
    lane.buckets->Pause(lane.stop_pause, false);
  }
  pause = lane.stopped_until - now;
  Empty(tenant, lane, taken);
  return taken;
}

void TenantLanes::Accepted(TenantId tenant) {
  MutexLock lock(mu_);
  const auto found = lanes_.find(tenant);
  if (found != lanes_.end()) found->second.stop_pause = {};
}

std::vector<QueuedIntent> TenantLanes::KeepOnly(const Ownership& own) {
  std::vector<QueuedIntent> taken;
  MutexLock lock(mu_);
  reads_allowed_.clear();
  const MonotonicTime now = clock_.Now();
  std::erase_if(paused_until_, [now](const auto& told) { return told.second <= now; });
  for (auto at = lanes_.begin(); at != lanes_.end();) {
    const OwnedSlot* const slot = own.Find(at->second.lease.slot);
    if (slot != nullptr && slot->lease == at->second.lease) {
      ++at;
      continue;
    }
    Empty(at->first, at->second, taken);
    at = lanes_.erase(at);
  }
  return taken;
}

std::vector<QueuedIntent> TenantLanes::TakeAll() {
  std::vector<QueuedIntent> taken;
  MutexLock lock(mu_);
  for (auto& [tenant, lane] : lanes_) Empty(tenant, lane, taken);
  return taken;
}

void TenantLanes::Report() {
  MutexLock lock(mu_);
  double rate = 0;
  int paused = 0;
  for (const auto& [tenant, lane] : lanes_) {
    if (lane.buckets->PauseLeft() > 0ns) ++paused;
    rate += lane.buckets->EffectiveRate();
  }
  waiting_gauge_.Set(static_cast<double>(waiting_));
  rate_gauge_.Set(rate);
  paused_gauge_.Set(paused);
}

std::vector<LaneFacts> TenantLanes::Look() const {
  std::vector<LaneFacts> facts;
  MutexLock lock(mu_);
  for (const auto& [tenant, lane] : lanes_) {
    const std::chrono::nanoseconds pause = lane.buckets->PauseLeft();
    facts.push_back({.tenant_id = tenant,
                     .effective_per_s = lane.buckets->EffectiveRate(),
                     .resumes_per_s = lane.buckets->RateAfterPause(),
                     .tokens = lane.buckets->MessagesWithin(0ns),
                     .waiting = static_cast<int>(lane.waiting.size()),
                     .pause_left = pause,
                     .stopped = clock_.Now() < lane.stopped_until});
  }
  return facts;
}

}  // namespace postrider
