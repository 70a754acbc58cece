#include "server/fanout/hub.h"

#include <algorithm>
#include <utility>

#include "server/base/strings.h"

namespace postrider {

Hub::Hub(Metrics& metrics) : Hub(metrics, Options()) {}

Hub::Hub(Metrics& metrics, Options options)
    : options_(options),
      behind_total_(
          metrics.CounterOf("postrider_streams_behind_total", "Streams whose buffer overflowed.")),
      beats_left_(options.absent_beats),
      recent_(options.recent_batches, options.recent_events) {}

void Hub::Start() {
  worker_ = std::make_unique<Worker>("hub-beat", [this](std::stop_token stop) { Step(stop); });
}

void Hub::Publish(std::shared_ptr<const EventBatch> batch) {
  std::unordered_map<TenantId, std::vector<SharedEvent>> events;
  for (const StatusEvent& event : batch->events) events[event.tenant_id].push_back({&event, {}});

  std::vector<std::shared_ptr<Subscription>> wake;
  std::vector<std::pair<List, std::vector<SharedEvent>>> work;
  std::set<std::weak_ptr<Subscription>, std::owner_less<>> ahead;
  bool gap = false;
  {
    MutexLock lock(mu_);
    gap = begun_.number != batch->from.number || begun_.nonce != batch->from.nonce;
    // Who joins from here on has this batch already, or reads it.
    begun_ = batch->to;
    recent_.Add(batch);
    ahead.swap(ahead_);
    if (gap) wake = All();
    for (auto& [tenant, tenants_events] : events) {
      const auto found = by_tenant_.find(tenant);
      if (found != by_tenant_.end()) work.emplace_back(found->second, std::move(tenants_events));
    }
  }
  if (gap) {
    for (const auto& subscription : wake) subscription->FallBehind();
  }
  for (auto& [list, tenants_events] : work) {
    for (const auto& subscription : *list) {
      if (subscription->Offer(batch->from, batch->to, tenants_events)) wake.push_back(subscription);
    }
  }
  {
    MutexLock lock(mu_);
    published_ = batch->to;
  }
  for (const auto& subscription : wake) subscription->wake_();
  for (const auto& waiting : ahead) {
    if (const auto subscription = waiting.lock()) subscription->wake_();
  }
}

Tick Hub::Latest() const {
  MutexLock lock(mu_);
  return published_;
}

std::optional<Tick> Hub::Find(std::int64_t number, const Uuid& nonce) const {
  MutexLock lock(mu_);
  return recent_.Find(number, nonce);
}

absl::StatusOr<std::shared_ptr<Subscription>> Hub::Subscribe(EventFilter filter,
                                                             Subscription::Wake wake) {
  auto made = std::make_shared<Subscription>(*this, std::move(filter), std::move(wake));
  MutexLock lock(mu_);
  List& list = by_tenant_[made->filter().tenant_id];
  if (list && list->size() >= options_.streams_per_tenant) {
    return absl::ResourceExhaustedError(
        StrCat("the tenant has ", options_.streams_per_tenant, " streams open, which is the most"));
  }
  auto longer = list ? std::make_shared<std::vector<std::shared_ptr<Subscription>>>(*list)
                     : std::make_shared<std::vector<std::shared_ptr<Subscription>>>();
  longer->push_back(made);
  list = std::move(longer);
  count_.fetch_add(1, std::memory_order_relaxed);
  beats_left_ = options_.absent_beats;
  return made;
}

void Hub::Unsubscribe(const std::shared_ptr<Subscription>& subscription) {
  MutexLock lock(mu_);
  const auto found = by_tenant_.find(subscription->filter().tenant_id);
  if (found == by_tenant_.end()) return;
  auto shorter = std::make_shared<std::vector<std::shared_ptr<Subscription>>>(*found->second);
  const std::size_t removed = std::erase(*shorter, subscription);
  count_.fetch_sub(removed, std::memory_order_relaxed);
  if (shorter->empty()) {
    by_tenant_.erase(found);
  } else {
    found->second = std::move(shorter);
  }
}

void Hub::Step(std::stop_token stop) {
  if (!WaitOrStop(stop, options_.beat)) Beat();
}

void Hub::Beat() {
  if (subscriptions() > 0) {
    beats_left_ = options_.absent_beats;
  } else if (beats_left_ > 0) {
    --beats_left_;
  }
  std::vector<std::shared_ptr<Subscription>> all;
  {
    MutexLock lock(mu_);
    all = All();
  }
  for (const auto& subscription : all) subscription->wake_();
}

std::vector<std::shared_ptr<Subscription>> Hub::All() const {
  std::vector<std::shared_ptr<Subscription>> all;
  all.reserve(subscriptions());
  for (const auto& [tenant, list] : by_tenant_) all.insert(all.end(), list->begin(), list->end());
  return all;
}

Hub::Meeting Hub::Meet(Subscription& subscription, const EventPosition& position) {
  // More than a reader takes at once, and few enough to be copied under the lock.
  constexpr std::size_t kAtOnce = 64;
  const Tick& at = position.after;
  MutexLock lock(mu_);
  Meeting meeting;
  if (position.upto.number != 0) {
    // The place inside is told by this very range.
    meeting.batches = recent_.From(at, 1);
    if (!meeting.batches.empty() && meeting.batches[0]->to.number == position.upto.number) {
      return meeting;
    }
    return {{}, Subscription::CatchUp{at, position.upto, true}};
  }
  if (at.number == begun_.number && at.nonce == begun_.nonce) {
    // Under this lock no batch can begin: the first it is offered is the next one.
    subscription.TurnLive(at);
    return meeting;
  }
  if (at.number >= begun_.number) {
    ahead_.insert(subscription.weak_from_this());
    return meeting;
  }
  meeting.batches = recent_.From(at, kAtOnce);
  if (meeting.batches.empty()) {
    meeting.read = {at, recent_.EntryAfter(at.number).value_or(begun_), false};
  }
  return meeting;
}

}  // namespace postrider
