#include <algorithm>

#include "server/model/dispatch_limits.h"
#include "tests/support/fake_store.h"
#include "tests/support/fake_store_late.h"

// Owning, choosing, intending and recording.
namespace postrider {

namespace {

bool Contains(std::span<const int> slots, TenantId tenant) {
  return std::find(slots.begin(), slots.end(), SlotOf(tenant)) != slots.end();
}

}  // namespace

absl::StatusOr<bool> FakeStore::RenewReplica(ReplicaId replica, const std::string& name) {
  Enter("RenewReplica");
  const absl::StatusOr<bool> alive = Renew(replica, name);
  // The answer takes its time, too.
  Enter("RenewReplica, answered");
  return alive;
}

absl::StatusOr<bool> FakeStore::Renew(ReplicaId replica, const std::string& name) {
  MutexLock lock(mu_);
  PR_RETURN_IF_ERROR(Begin("RenewReplica"));
  Replica& row = replicas_[replica];
  if (row.fenced) return false;
  row.name = name;
  if (row.started_at == WallTime{}) row.started_at = clock_.Wall();
  row.expires_at = clock_.Wall() + kLeaseTime;
  PR_RETURN_IF_ERROR(End("RenewReplica"));
  return true;
}

FakeStore::Slot FakeStore::TakeSlot(int slot, ReplicaId replica) {
  Slot& row = slots_[slot];
  row = {.owner = replica, .epoch = row.epoch + 1};
  for (auto& [key, kept] : messages_) {
    if (SlotOf(key.tenant_id) != slot) continue;
    if (kept.attempts.empty() || !kept.attempts.back().open) continue;
    Attempt& open = kept.attempts.back();
    open.open = false;
    open.outcome.kind = OutcomeKind::kUnknown;
    open.outcome_at = clock_.Wall();
    const auto after = AfterOwnerDied(kept.message.status, open.attempt);
    if (after) Change(kept, *after, Cause::kOwnerDied);
    AwaitNews(kept, clock_.Wall());
  }
  return row;
}

absl::StatusOr<SlotShare> FakeStore::AcquireSlots(ReplicaId replica) {
  Enter("AcquireSlots");
  const Late late(*this, "AcquireSlots");
  MutexLock lock(mu_);
  PR_RETURN_IF_ERROR(Begin("AcquireSlots"));
  for (auto& [id, row] : replicas_) {
    if (row.expires_at < clock_.Wall()) row.fenced = true;
  }
  const auto own = replicas_.find(replica);
  if (own == replicas_.end() || own->second.fenced) return SlotShare{};
  int live = 0;
  int before = 0;
  for (const auto& [id, row] : replicas_) {
    if (row.fenced) continue;
    ++live;
    if (std::pair(row.started_at, id) < std::pair(own->second.started_at, replica)) ++before;
  }

  SlotShare share{.owned = {}, .fair = kSlots / live + (before < kSlots % live ? 1 : 0)};
  for (const auto& [id, row] : replicas_) {
    if (row.fenced || id == replica) continue;
    const std::chrono::nanoseconds left = row.expires_at - clock_.Wall();
    share.other_ends_in = std::min(share.other_ends_in.value_or(left), left);
  }
  for (const auto& [slot, row] : slots_) {
    if (row.owner == replica) share.owned.push_back({slot, row.epoch});
  }
  for (int slot = 0; slot < kSlots && std::ssize(share.owned) < share.fair; ++slot) {
    const ReplicaId owner = slots_[slot].owner;
    const auto row = replicas_.find(owner);
    if (row != replicas_.end() && !row->second.fenced) continue;
    share.owned.push_back({slot, TakeSlot(slot, replica).epoch});
  }
  std::sort(share.owned.begin(), share.owned.end());
  PR_RETURN_IF_ERROR(End("AcquireSlots"));
  return share;
}

absl::Status FakeStore::ReleaseSlots(ReplicaId replica, std::span<const Lease> leases) {
  Enter("ReleaseSlots");
  MutexLock lock(mu_);
  PR_RETURN_IF_ERROR(Begin("ReleaseSlots"));
  for (const Lease& lease : leases) {
    Slot& row = slots_[lease.slot];
    if (row.owner == replica && row.epoch == lease.epoch) row = {{}, row.epoch + 1};
  }
  return End("ReleaseSlots");
}

absl::StatusOr<std::vector<Lease>> FakeStore::ReleaseIdleSlots(ReplicaId replica,
                                                               std::span<const Lease> leases) {
  Enter("ReleaseIdleSlots");
  MutexLock lock(mu_);
  PR_RETURN_IF_ERROR(Begin("ReleaseIdleSlots"));
  std::set<int> busy;
  for (const auto& [key, kept] : messages_) {
    if (!kept.attempts.empty() && kept.attempts.back().open) busy.insert(SlotOf(key.tenant_id));
  }
  std::vector<Lease> released;
  for (const Lease& lease : leases) {
    Slot& row = slots_[lease.slot];
    const bool mine = row.owner == replica && row.epoch == lease.epoch;
    if (mine && busy.contains(lease.slot)) continue;
    if (mine) row = {{}, row.epoch + 1};
    released.push_back(lease);
  }
  PR_RETURN_IF_ERROR(End("ReleaseIdleSlots"));
  return released;
}

absl::Status FakeStore::RetireReplica(ReplicaId replica) {
  Enter("RetireReplica");
  MutexLock lock(mu_);
  PR_RETURN_IF_ERROR(Begin("RetireReplica"));
  replicas_.erase(replica);
  return End("RetireReplica");
}

absl::StatusOr<std::vector<Flow>> FakeStore::FlowsWithWork(std::span<const int> slots) {
  Enter("FlowsWithWork");
  MutexLock lock(mu_);
  PR_RETURN_IF_ERROR(Begin("FlowsWithWork"));
  std::set<Flow> flows;
  for (const auto& [key, kept] : messages_) {
    const bool queued = kept.message.status.state == MessageState::kQueued;
    if (!queued || kept.due_at > clock_.Wall() || !Contains(slots, key.tenant_id)) continue;
    if (!PausesOf(kept.message.request).empty()) continue;
    flows.insert(FlowOf(kept.message.request));
  }
  return std::vector<Flow>(flows.begin(), flows.end());
}

absl::StatusOr<std::vector<TenantPause>> FakeStore::PausesInForce(std::span<const int> slots) {
  Enter("PausesInForce");
  MutexLock lock(mu_);
  PR_RETURN_IF_ERROR(Begin("PausesInForce"));
  std::map<TenantId, std::chrono::nanoseconds> left;
  for (const auto& [key, kept] : messages_) {
    const MessageStatus& status = kept.message.status;
    const auto wait = status.hold_until - clock_.Wall();
    if (status.state != MessageState::kQueued || status.hold_reason != HoldReason::kRetryAfter ||
        wait <= wait.zero() || !Contains(slots, key.tenant_id)) {
      continue;
    }
    auto& longest = left[key.tenant_id];
    longest = std::max<std::chrono::nanoseconds>(longest, wait);
  }
  for (const auto& [tenant, until] : throttled_) {
    const auto wait = until - clock_.Wall();
    if (wait <= wait.zero() || !Contains(slots, tenant)) continue;
    auto& longest = left[tenant];
    longest = std::max<std::chrono::nanoseconds>(longest, wait);
  }
  std::vector<TenantPause> pauses;
  for (const auto& [tenant, wait] : left) pauses.push_back({tenant, wait});
  return pauses;
}

absl::StatusOr<std::vector<DueMessage>> FakeStore::ChooseDue(std::span<const FlowRoom> rooms) {
  Enter("ChooseDue");
  MutexLock lock(mu_);
  PR_RETURN_IF_ERROR(Begin("ChooseDue"));
  std::vector<DueMessage> due;
  for (std::size_t of = 0; of < rooms.size(); ++of) {
    std::multimap<WallTime, MessageKey> waiting;
    for (auto at = messages_.lower_bound({rooms[of].flow.tenant_id, {}});
         at != messages_.end() && at->first.tenant_id == rooms[of].flow.tenant_id; ++at) {
      const Kept& kept = at->second;
      if (kept.message.status.state != MessageState::kQueued) continue;
      if (kept.due_at > clock_.Wall() || FlowOf(kept.message.request) != rooms[of].flow) continue;
      if (!PausesOf(kept.message.request).empty()) continue;
      waiting.emplace(kept.due_at, at->first);
    }
    int left = rooms[of].room;
    for (const auto& [due_at, key] : waiting) {
      if (left-- <= 0) break;
      due.push_back({key, of});
    }
  }
  return due;
}

Intent FakeStore::IntendOne(const MessageKey& key, ReplicaId replica) {
  Intent intent;
  intent.key = key;
  const auto found = messages_.find(key);
  if (found == messages_.end()) return intent;
  Kept& kept = found->second;
  Lock(kept);
  const MessageStatus& now = kept.message.status;
  if (now.state != MessageState::kQueued) return intent;
  const MessageRequest& request = kept.message.request;
  if (!PausesOf(request).empty()) return intent;
  if (!request.answers_opt_out && Suppressed(request)) {
    intent.kind = Intent::Kind::kEnded;
    MessageStatus after = Advance(now, MessageState::kSuppressed);
    after.failure = FailureReason::kRecipientOptedOut;
    Change(kept, after, Cause::kOptedOut);
    return intent;
  }
  if (request.expire_at != WallTime{} && request.expire_at <= clock_.Wall()) {
    intent.kind = Intent::Kind::kEnded;
    MessageStatus after = Advance(now, MessageState::kExpired);
    after.failure = FailureReason::kExpired;
    Change(kept, after, Cause::kExpiryPassed);
    return intent;
  }
  intent.kind = Intent::Kind::kPost;
  intent.attempt = now.attempt;
  intent.request = request;
  Attempt attempt;
  attempt.attempt = now.attempt;
  attempt.intended_at = clock_.Wall();
  kept.attempts.push_back(attempt);
  kept.makers.push_back(replica);
  Change(kept, OpenAttempt(now), Cause::kIntended);
  return intent;
}

absl::StatusOr<std::vector<Intent>> FakeStore::Intend(ReplicaId replica,
                                                      std::span<const Lease> leases,
                                                      std::span<const MessageKey> batch) {
  Enter("Intend");
  const Late late(*this, "Intend");
  MutexLock lock(mu_);
  PR_RETURN_IF_ERROR(Begin("Intend"));
  std::vector<Intent> intents;
  for (const MessageKey& key : batch) {
    const int slot = SlotOf(key.tenant_id);
    const Slot& row = slots_[slot];
    const bool held = row.owner == replica && std::find(leases.begin(), leases.end(),
                                                        Lease{slot, row.epoch}) != leases.end();
    if (held) {
      intents.push_back(IntendOne(key, replica));
    } else {
      intents.emplace_back().key = key;
    }
  }
  PR_RETURN_IF_ERROR(End("Intend"));
  return intents;
}

void FakeStore::RecordOne(ReplicaId replica, const AttemptOutcome& row) {
  const auto found = messages_.find(row.key);
  if (found == messages_.end()) return;
  Kept& kept = found->second;
  Lock(kept);
  if (kept.attempts.empty()) return;
  Attempt* const attempt = &kept.attempts.back();  // Earlier ones are never open.
  const bool meant = row.attempt == 0 || row.attempt == attempt->attempt;
  if (!meant || !attempt->open || kept.makers.back() != replica) return;
  attempt->open = false;
  attempt->outcome = row.outcome;
  attempt->outcome_at = clock_.Wall();

  const Outcome& outcome = row.outcome;
  CountVerdict(row.key.tenant_id, Breaker::kTransport, TransportVerdictOf(outcome));
  const MessageStatus& now = kept.message.status;
  if (!outcome.provider_message_id.empty()) {
    kept.message.provider_message_id = outcome.provider_message_id;
    kept.message.provider_conversation_id = outcome.provider_conversation_id;
  }
  std::optional<MessageStatus> after;
  switch (outcome.kind) {
    case OutcomeKind::kAccepted:
      after = AfterPost(now, attempt->attempt, MessageState::kSubmitted, FailureReason::kNone, "");
      break;
    case OutcomeKind::kRejected:
      after = AfterPost(now, attempt->attempt, MessageState::kRejected, outcome.failure,
                        outcome.provider_code, OthersOf(kept));
      break;
    case OutcomeKind::kUnknown:
      after = AfterPost(now, attempt->attempt, MessageState::kUnknown, FailureReason::kNone,
                        outcome.provider_code);
      break;
    case OutcomeKind::kNotSent:
    case OutcomeKind::kHeld:
    case OutcomeKind::kTakenBack:
      after = AfterNotSent(
          now, attempt->attempt, OthersOf(kept), outcome.hold,
          outcome.hold == HoldReason::kNone ? WallTime{} : clock_.Wall() + row.again_in);
      if (!after.has_value()) return;
      kept.due_at = clock_.Wall() + row.again_in;
      Change(kept, *after, Cause::kNotSent);
      AwaitNews(kept, clock_.Wall());
      return;
  }
  if (after.has_value()) {
    after->correlation_id = outcome.correlation_id;
    Change(kept, *after, Cause::kPostAnswered);
  }
  if (MayHavePassed(TimeOfUuidV7(row.key.message_id.uuid), clock_.Wall(), row.again_in)) {
    AwaitNews(kept, clock_.Wall() + row.again_in);
  }
}

absl::Status FakeStore::RecordOutcomes(ReplicaId replica, std::span<const AttemptOutcome> batch) {
  Enter("RecordOutcomes");
  const Late late(*this, "RecordOutcomes");
  MutexLock lock(mu_);
  PR_RETURN_IF_ERROR(Begin("RecordOutcomes"));
  for (const AttemptOutcome& row : batch) {
    if (Poisoned(row.outcome.detail)) return absl::InvalidArgumentError("poisoned row (injected)");
  }
  for (const AttemptOutcome& row : batch) RecordOne(replica, row);
  return End("RecordOutcomes");
}

}  // namespace postrider
