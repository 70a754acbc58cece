#include "server/dispatch/tenant_lanes.h"

#include <algorithm>
#include <cmath>

#include "server/base/check.h"
#include "server/model/limits.h"

namespace postrider {

TenantLanes::TenantLanes(const Clock& clock, Metrics& metrics)
    : clock_(clock),
      waiting_gauge_(metrics.GaugeOf("postrider_intents_waiting",
                                     "Messages intended that wait for a token or a poster.")),
      rate_gauge_(
          metrics.GaugeOf("postrider_dispatch_rate_limit",
                          "Messages a second that the buckets allow; paused tenants' none.")),
      paused_gauge_(metrics.GaugeOf("postrider_tenants_paused",
                                    "Tenants that wait because the provider said so.")),
      token_waits_(metrics.CounterOf("postrider_token_waits_total",
                                     "Times that an intent's token was not there yet.")) {}

FairQueue::Rooms TenantLanes::Room(TenantId tenant, const OwnedSlot& slot,
                                   const TenantSettings& settings) {
  MutexLock lock(mu_);
  Lane& lane = lanes_[tenant];
  if (lane.bucket == nullptr || lane.lease != slot.lease) {
    const auto owned_s = std::chrono::duration<double>(clock_.Now() - slot.since).count();
    lane.bucket = std::make_unique<TokenBucket>(
        clock_, TokenBucket::Options{
                    .rate_per_s = settings.rate_per_s,
                    .burst = settings.burst,
                    .initial = std::clamp(owned_s * settings.rate_per_s, 0.0, settings.burst)});
    lane.lease = slot.lease;
  } else if (lane.rate_per_s != settings.rate_per_s || lane.burst != settings.burst) {
    lane.bucket->SetRate(settings.rate_per_s, settings.burst);
    ++changes_;
    timekeeper_wake_.NotifyOne();
  }
  lane.rate_per_s = settings.rate_per_s;
  lane.burst = settings.burst;
  // A hair more than the tokens, so that rounding does not cost one.
  const double tokens = lane.bucket->TokensWithin(kIntentAhead) + 1e-9;
  FairQueue::Rooms rooms{};
  for (std::size_t rank = 0; rank < kPriorities; ++rank) {
    const double room = std::floor(tokens) - lane.waiting.Waiting(rank);
    rooms[rank] = static_cast<int>(std::clamp(room, 0.0, static_cast<double>(kIntentRows)));
  }
  return rooms;
}

void TenantLanes::Push(std::vector<QueuedIntent> intents) {
  if (intents.empty()) return;
  MutexLock lock(mu_);
  for (QueuedIntent& intent : intents) {
    const TenantId tenant = intent.key.tenant_id;
    const auto found = lanes_.find(tenant);
    PR_CHECK(found != lanes_.end());
    Lane& lane = found->second;
    lane.waiting.Push(std::move(intent));
    ++waiting_;
    if (lane.waiting.size() == 1) Schedule(tenant, lane, clock_.Now());
  }
  ++changes_;
  timekeeper_wake_.NotifyOne();
}

void TenantLanes::Schedule(TenantId tenant, Lane& lane, MonotonicTime at) {
  lane.turn_at = at;
  turns_.insert({at, tenant});
}

std::optional<TenantLanes::Turn> TenantLanes::TryPop(MonotonicTime now) {
  while (!turns_.empty() && turns_.begin()->first <= now) {
    const TenantId tenant = turns_.begin()->second;
    turns_.erase(turns_.begin());
    Lane& lane = lanes_.at(tenant);
    const QueuedIntent* next = lane.waiting.Oldest();
    const bool stale = now >= next->start_by;
    if (!stale) {
      const auto wait = lane.bucket->TryTake();
      if (wait > wait.zero()) {
        token_waits_.Add();
        Schedule(tenant, lane, std::min(now + wait, next->start_by));
        continue;
      }
      next = lane.waiting.Next(now, [](SenderId) { return true; });
    }
    Turn turn{.intent = lane.waiting.Take(next),
              .stale = stale,
              .wait = stale ? lane.bucket->PauseLeft() : 0ns};
    --waiting_;
    if (!lane.waiting.Empty()) Schedule(tenant, lane, now);
    return turn;
  }
  return std::nullopt;
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
      wait = std::min<std::chrono::nanoseconds>(wait, turns_.begin()->first - clock_.Now());
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
  turns_.erase({lane.turn_at, tenant});
  waiting_ -= lane.waiting.size();
  std::vector<QueuedIntent> taken = lane.waiting.TakeAll();
  std::move(taken.begin(), taken.end(), std::back_inserter(to));
}

std::vector<QueuedIntent> TenantLanes::Pause(TenantId tenant, std::chrono::nanoseconds pause) {
  std::vector<QueuedIntent> taken;
  MutexLock lock(mu_);
  const auto found = lanes_.find(tenant);
  if (found == lanes_.end()) return taken;
  found->second.bucket->Pause(pause);
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
    lane.bucket->Pause(lane.stop_pause);
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
    if (lane.bucket->PauseLeft() > 0ns) {
      ++paused;
    } else {
      rate += lane.rate_per_s;
    }
  }
  waiting_gauge_.Set(static_cast<double>(waiting_));
  rate_gauge_.Set(rate);
  paused_gauge_.Set(paused);
}

std::vector<LaneFacts> TenantLanes::Look() const {
  std::vector<LaneFacts> facts;
  MutexLock lock(mu_);
  for (const auto& [tenant, lane] : lanes_) {
    const std::chrono::nanoseconds pause = lane.bucket->PauseLeft();
    facts.push_back({.tenant_id = tenant,
                     .effective_per_s = pause > 0ns ? 0 : lane.rate_per_s,
                     .tokens = lane.bucket->TokensWithin(0ns),
                     .waiting = static_cast<int>(lane.waiting.size()),
                     .pause_left = pause});
  }
  return facts;
}

}  // namespace postrider
