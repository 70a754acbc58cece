#include <algorithm>

#include "server/model/dispatch_limits.h"
#include "tests/support/fake_store.h"
#include "tests/support/fake_store_late.h"

// What operators do and see.
namespace postrider {

bool FakeStore::InForce(const DispatchPause& pause) const {
  return pause.until == WallTime{} || pause.until > clock_.Wall();
}

std::vector<DispatchPause> FakeStore::PausesOf(const MessageRequest& request) const {
  const PauseTarget targets[] = {
      {request.tenant_id, PauseScope::kTenant, ""},
      {request.tenant_id, PauseScope::kCampaign, request.campaign_id},
      {request.tenant_id, PauseScope::kSender, request.sender_id.ToString()}};
  std::vector<DispatchPause> pauses;
  for (const PauseTarget& target : targets) {
    const auto found = pauses_.find(target);
    if (found != pauses_.end() && InForce(found->second)) pauses.push_back(found->second);
  }
  return pauses;
}

std::vector<fake_store::KeptAction> FakeStore::Actions() const {
  MutexLock lock(mu_);
  return actions_;
}

void FakeStore::KeepAction(TenantId tenant, const OperatorAction& action, std::string what,
                           std::string target) {
  actions_.push_back({tenant, action.actor, std::move(what), std::move(target), action.reason});
}

absl::StatusOr<DispatchPause> FakeStore::PauseDispatch(const PauseTarget& of, WallTime until,
                                                       const OperatorAction& action) {
  Enter("PauseDispatch");
  MutexLock lock(mu_);
  PR_RETURN_IF_ERROR(Begin("PauseDispatch"));
  const DispatchPause pause{of, action.reason, action.actor, clock_.Wall(), until};
  pauses_[of] = pause;
  KeepAction(of.tenant_id, action, "PAUSE", of.target);
  PR_RETURN_IF_ERROR(End("PauseDispatch"));
  return pause;
}

absl::StatusOr<bool> FakeStore::ResumeDispatch(const PauseTarget& of,
                                               const OperatorAction& action) {
  Enter("ResumeDispatch");
  MutexLock lock(mu_);
  PR_RETURN_IF_ERROR(Begin("ResumeDispatch"));
  const auto found = pauses_.find(of);
  const bool ended = found != pauses_.end() && InForce(found->second);
  if (found != pauses_.end()) pauses_.erase(found);
  if (ended) KeepAction(of.tenant_id, action, "RESUME", of.target);
  PR_RETURN_IF_ERROR(End("ResumeDispatch"));
  return ended;
}

absl::StatusOr<ControlFacts> FakeStore::ReadControl(std::span<const TenantId> tenants) {
  Enter("ReadControl");
  MutexLock lock(mu_);
  PR_RETURN_IF_ERROR(Begin("ReadControl"));
  ControlFacts facts;
  facts.at = clock_.Wall();
  std::map<int, int> open;
  for (const auto& [key, kept] : messages_) {
    if (kept.message.status.state == MessageState::kDispatching) ++open[SlotOf(key.tenant_id)];
  }
  for (const TenantId tenant : tenants) {
    TenantFacts& of = facts.tenants.emplace_back();
    of.tenant_id = tenant;
    for (auto at = messages_.lower_bound({tenant, {}});
         at != messages_.end() && at->first.tenant_id == tenant; ++at) {
      if (at->second.message.status.state != MessageState::kQueued) continue;
      ++of.queue_depth;
      const WallTime due = at->second.due_at;
      if (of.oldest_due == WallTime{} || due < of.oldest_due) of.oldest_due = due;
    }
    for (const auto& [target, pause] : pauses_) {
      if (target.tenant_id == tenant && InForce(pause)) facts.pauses.push_back(pause);
    }
    for (const Breaker breaker : kAllBreakers) {
      facts.breakers.push_back(ReadingOf({tenant, breaker}));
    }
  }
  for (int slot = 0; slot < kSlots; ++slot) {
    facts.slots.push_back({slot, slots_[slot].owner, slots_[slot].epoch, open[slot]});
  }
  for (const auto& [id, row] : replicas_) {
    facts.replicas.push_back({.replica_id = id,
                              .name = row.name,
                              .expires_at = row.expires_at,
                              .alive = !row.fenced && row.expires_at >= clock_.Wall()});
  }
  PR_RETURN_IF_ERROR(End("ReadControl"));
  return facts;
}

absl::StatusOr<QueuePlace> FakeStore::FindQueuePlace(const MessageKey& key, int most) {
  Enter("FindQueuePlace");
  MutexLock lock(mu_);
  PR_RETURN_IF_ERROR(Begin("FindQueuePlace"));
  const auto found = messages_.find(key);
  if (found == messages_.end() || found->second.message.status.state != MessageState::kQueued) {
    return absl::NotFoundError("not in the queue");
  }
  const Kept& own = found->second;
  const MessageRequest& request = own.message.request;
  QueuePlace place;
  place.at = clock_.Wall();
  place.due_at = own.due_at;
  place.pauses = PausesOf(request);
  for (const Breaker breaker : kAllBreakers) {
    place.breakers.push_back(ReadingOf({key.tenant_id, breaker}));
  }
  const auto owner = replicas_.find(slots_[SlotOf(key.tenant_id)].owner);
  if (owner != replicas_.end() && !owner->second.fenced &&
      owner->second.expires_at >= clock_.Wall()) {
    place.owner = owner->second.name;
    place.owner_id = owner->first;
  }
  std::map<Flow, int> due;
  int before = 0;
  const Flow flow = FlowOf(request);
  for (auto at = messages_.lower_bound({key.tenant_id, {}});
       at != messages_.end() && at->first.tenant_id == key.tenant_id; ++at) {
    const Kept& other = at->second;
    const MessageRequest& asked = other.message.request;
    if (other.message.status.state != MessageState::kQueued) continue;
    const Flow of = FlowOf(asked);
    if (of == flow) {
      if (std::pair(other.due_at, at->first) < std::pair(own.due_at, key)) ++before;
    } else if (asked.priority <= request.priority &&
               other.due_at <= std::max(own.due_at, clock_.Wall()) && PausesOf(asked).empty()) {
      ++due[of];
    }
  }
  place.ahead_in_flow = before;
  for (const auto& [of, count] : due) {
    const bool more_urgent = of.priority < request.priority;
    (more_urgent ? place.ahead_urgent : place.ahead_elsewhere) +=
        more_urgent ? count : std::min(count, before + 1);
  }
  for (int* count : {&place.ahead_in_flow, &place.ahead_elsewhere, &place.ahead_urgent}) {
    place.capped = place.capped || *count > most;
    *count = std::min(*count, most);
  }
  PR_RETURN_IF_ERROR(End("FindQueuePlace"));
  return place;
}

absl::StatusOr<int> FakeStore::ExpireDue(std::span<const int> slots) {
  Enter("ExpireDue");
  const Late late(*this, "ExpireDue");
  MutexLock lock(mu_);
  PR_RETURN_IF_ERROR(Begin("ExpireDue"));
  int expired = 0;
  for (auto& [key, kept] : messages_) {
    const WallTime expire_at = kept.message.request.expire_at;
    if (kept.message.status.state != MessageState::kQueued || expire_at == WallTime{} ||
        expire_at > clock_.Wall() ||
        std::find(slots.begin(), slots.end(), SlotOf(key.tenant_id)) == slots.end()) {
      continue;
    }
    Change(kept, Advance(kept.message.status, MessageState::kExpired), Cause::kExpiryPassed);
    if (++expired == static_cast<int>(kIntentRows)) break;
  }
  PR_RETURN_IF_ERROR(End("ExpireDue"));
  return expired;
}

}  // namespace postrider
