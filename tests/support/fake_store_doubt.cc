#include <algorithm>

#include "server/model/dispatch_limits.h"
#include "tests/support/fake_store.h"
#include "tests/support/fake_store_late.h"

// Doubt: several attempts, looks and windows.
namespace postrider {

std::vector<AttemptStatus> FakeStore::OthersOf(const Kept& kept) {
  std::vector<AttemptStatus> others;
  if (!HasOthers(kept.message.status)) return others;
  for (const Attempt& attempt : kept.attempts) {
    if (attempt.attempt == kept.message.status.attempt) continue;
    const auto known = kept.hidden.find(attempt.attempt);
    if (known != kept.hidden.end()) {
      others.push_back(known->second);
      continue;
    }
    AttemptStatus other;
    other.attempt = attempt.attempt;
    other.state = StateOfAttempt(attempt.open ? std::nullopt : std::optional(attempt.outcome.kind));
    others.push_back(other);
  }
  return others;
}

void FakeStore::Merge(Kept& kept, const Receipt& receipt, Cause cause) {
  Lock(kept);
  if (kept.message.provider_message_id.empty()) {
    kept.message.provider_message_id = receipt.provider_message_id;
    kept.message.provider_conversation_id = receipt.provider_conversation_id;
  }
  for (Attempt& attempt : kept.attempts) {
    const bool meant = attempt.attempt == receipt.status.attempt;
    if (meant && attempt.outcome.provider_message_id.empty()) {
      attempt.outcome.provider_message_id = receipt.provider_message_id;
    }
  }
  const postrider::Merge merge = MergeReceipt(kept.message.status, receipt.status, OthersOf(kept));
  for (const AttemptStatus& hidden : merge.hidden) {
    if (hidden.state >= MessageState::kSubmitted) kept.hidden[hidden.attempt] = hidden;
    if (hidden.failure == FailureReason::kRecipientOptedOut) {
      KeepOptOut(kept, hidden.attempt, hidden.provider_code, hidden.provider_at);
    }
  }
  if (merge.visible) {
    Change(kept, merge.status, cause, merge.correction);
  } else if (merge.stored) {
    kept.message.status = merge.status;
  }
  const MessageStatus& now = kept.message.status;
  if (now.final && now.state != MessageState::kUnknown) kept.doubt.reset();
}

bool FakeStore::Holds(ReplicaId replica, std::span<const Lease> leases, TenantId tenant) {
  const int slot = SlotOf(tenant);
  const Slot& row = slots_[slot];
  return row.owner == replica &&
         std::find(leases.begin(), leases.end(), Lease{slot, row.epoch}) != leases.end();
}

int FakeStore::Assigned(const Look& look, const std::string& provider_message_id) const {
  int count = 0;
  for (const auto& [other, kept] : messages_) {
    if (other.tenant_id != look.key.tenant_id) continue;
    for (const Attempt& attempt : kept.attempts) {
      if (other == look.key && attempt.attempt == look.attempt) continue;
      if (attempt.outcome.provider_message_id == provider_message_id) ++count;
    }
  }
  return count;
}

void FakeStore::AwaitNews(Kept& kept, WallTime look_at) {
  if (kept.doubt || !AwaitsFinalStatus(kept.message.status)) return;
  kept.doubt = fake_store::KeptDoubt{.since = clock_.Wall(), .next = look_at};
}

absl::StatusOr<int> FakeStore::CollectQuiet(ReplicaId replica, std::span<const Lease> leases,
                                            const DoubtTimes& times) {
  Enter("CollectQuiet");
  MutexLock lock(mu_);
  PR_RETURN_IF_ERROR(Begin("CollectQuiet"));
  const MessageId before{LeastUuidV7(clock_.Wall() - times.QuietAfter())};
  int passed = 0;
  for (auto& [key, kept] : messages_) {
    if (!Holds(replica, leases, key.tenant_id)) continue;
    MessageId& cursor = quiet_passed_[key.tenant_id];
    if (key.message_id <= cursor || key.message_id >= before || passed == kQuietRows) continue;
    cursor = key.message_id;
    ++passed;
    AwaitNews(kept, clock_.Wall());
  }
  PR_RETURN_IF_ERROR(End("CollectQuiet"));
  return passed;
}

absl::StatusOr<std::vector<DoubtfulMessage>> FakeStore::TakeDoubtful(ReplicaId replica,
                                                                     std::span<const Lease> leases,
                                                                     int limit) {
  Enter("TakeDoubtful");
  MutexLock lock(mu_);
  PR_RETURN_IF_ERROR(Begin("TakeDoubtful"));
  std::vector<Kept*> due;
  for (auto& [key, kept] : messages_) {
    const bool mine = kept.doubt && Holds(replica, leases, key.tenant_id);
    if (mine && kept.doubt->next <= clock_.Wall()) due.push_back(&kept);
  }
  std::stable_sort(due.begin(), due.end(), [](const Kept* a, const Kept* b) {
    return a->message.status.state < b->message.status.state;
  });
  if (due.size() > static_cast<std::size_t>(limit)) due.resize(static_cast<std::size_t>(limit));
  std::vector<DoubtfulMessage> found;
  for (Kept* kept : due) {
    kept->doubt->next = clock_.Wall() + kLookClaim;
    const Message& message = kept->message;
    DoubtfulMessage& row = found.emplace_back();
    row.key = {message.request.tenant_id, message.message_id};
    row.state = message.status.state;
    row.attempt = message.status.attempt;
    row.reads = kept->doubt->reads;
    row.waited =
        std::chrono::duration_cast<std::chrono::microseconds>(clock_.Wall() - kept->doubt->since);
    row.provider_message_id = message.provider_message_id;
    row.provider_conversation_id = message.provider_conversation_id;
    row.recipient = message.request.recipient;
    row.sender = message.request.sender;
    row.text = message.request.text;
    for (const Attempt& attempt : kept->attempts) {
      if (attempt.attempt == row.attempt) row.intended_at = attempt.intended_at;
    }
  }
  PR_RETURN_IF_ERROR(End("TakeDoubtful"));
  return found;
}

void FakeStore::RecordLook(Kept& kept, const Look& look, const DoubtTimes& times, DoubtEnds& ends) {
  Lock(kept);
  const MessageKey key = look.key;
  std::vector<Receipt> candidates = look.candidates;
  std::erase_if(candidates, [&](const Receipt& c) ABSL_NO_THREAD_SAFETY_ANALYSIS {
    return Assigned(look, c.provider_message_id) > 0;
  });
  LookKind kind = look.kind;
  if (kind == LookKind::kFound && candidates.size() != 1) {
    kind = candidates.empty() ? LookKind::kAbsent : LookKind::kNothing;
  }
  const MessageRequest& request = kept.message.request;
  const std::vector<AttemptStatus> others = OthersOf(kept);
  fake_store::KeptDoubt& doubt = *kept.doubt;
  if (look.asked) ++doubt.reads;
  if (look.tenant_waits > look.tenant_waits.zero()) {
    WallTime& until = throttled_[key.tenant_id];
    until = std::max(
        until, clock_.Wall() + std::chrono::duration_cast<WallTime::duration>(look.tenant_waits));
  }
  doubt.absent = kind == LookKind::kAbsent  ? doubt.absent + 1
                 : kind == LookKind::kFound ? 0
                                            : doubt.absent;
  const MessageStatus now = kept.message.status;
  const LookVerdict verdict =
      JudgeLook({.status = now,
                 .others = others,
                 .policy = request.duplicate_policy,
                 .waited = clock_.Wall() - kept.message.updated_at,
                 .expired = request.expire_at != WallTime{} && request.expire_at <= clock_.Wall(),
                 .absent = doubt.absent},
                kind, times);
  doubt.next = verdict == LookVerdict::kLookWhenItMay
                   ? kept.message.updated_at + times.again
                   : clock_.Wall() + std::chrono::duration_cast<WallTime::duration>(look.again_in);
  if (verdict == LookVerdict::kNeedsNoLooking) {
    kept.doubt.reset();
  } else if (verdict == LookVerdict::kSendAgain) {
    kept.doubt.reset();
    kept.due_at = clock_.Wall();
    Change(kept, Requeue(now, HoldReason::kNone, {}), Cause::kSentAgain);
    ++ends.sent_again;
  } else if (kind == LookKind::kFound) {
    const int revision = now.revision;
    Receipt found = candidates.front();
    found.status.attempt = look.attempt;
    Merge(kept, found, Cause::kReadAnswered);
    if (kept.message.status.revision != revision) ++ends.answered;
    CountVerdict(
        key.tenant_id, Breaker::kCarrier,
        CarrierVerdictOf(now, kept.message.status, kept.message.accepted_at, clock_.Wall()));
  }
}

absl::StatusOr<DoubtEnds> FakeStore::RecordLooks(ReplicaId replica, std::span<const Lease> leases,
                                                 std::span<const Look> looks,
                                                 const DoubtTimes& times) {
  Enter("RecordLooks");
  const Late late(*this, "RecordLooks");
  MutexLock lock(mu_);
  PR_RETURN_IF_ERROR(Begin("RecordLooks"));
  DoubtEnds ends;
  for (const Look& look : looks) {
    const auto found = messages_.find(look.key);
    if (found == messages_.end() || !found->second.doubt) continue;
    if (!Holds(replica, leases, look.key.tenant_id)) continue;
    RecordLook(found->second, look, times, ends);
  }
  PR_RETURN_IF_ERROR(End("RecordLooks"));
  return ends;
}

absl::StatusOr<DoubtEnds> FakeStore::CloseWindows(ReplicaId replica, std::span<const Lease> leases,
                                                  const DoubtTimes& times) {
  Enter("CloseWindows");
  const Late late(*this, "CloseWindows");
  MutexLock lock(mu_);
  PR_RETURN_IF_ERROR(Begin("CloseWindows"));
  DoubtEnds ends;
  for (auto& [key, kept] : messages_) {
    if (!kept.doubt || !Holds(replica, leases, key.tenant_id)) continue;
    if (kept.message.updated_at + times.window > clock_.Wall()) continue;
    const MessageStatus now = kept.message.status;
    const std::optional<MessageStatus> after = AfterWindow(now);
    if (!after) continue;
    kept.doubt.reset();
    ++(now.state == MessageState::kUnknown ? ends.undetermined : ends.closed);
    Change(kept, *after, Cause::kWindowClosed);
  }
  PR_RETURN_IF_ERROR(End("CloseWindows"));
  return ends;
}

}  // namespace postrider
