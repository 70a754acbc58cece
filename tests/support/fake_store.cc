#include "tests/support/fake_store.h"

#include <algorithm>
#include <tuple>

#include "server/base/strings.h"
#include "tests/support/fake_store_late.h"

// Faults, looks, accepting, look-ups and tenants. The rest: fake_store_dispatch.cc,
// fake_store_receipts.cc.
namespace postrider {

namespace {

/// The empty token: all of the tenant's.
fake_store::QuotaKey QuotaKeyOf(WallTime now, TenantId tenant, const std::string& token) {
  const auto day = std::chrono::floor<std::chrono::days>(now);
  return {tenant, day.time_since_epoch().count(), token};
}

}  // namespace

void FakeStore::FailNext(int count, When when, std::string operation) {
  MutexLock lock(mu_);
  std::erase_if(faults_, [](const Fault& fault) { return fault.left == 0; });
  faults_.push_back({count, when, std::move(operation)});
}

void FakeStore::Disturb(double before, double after, std::uint64_t seed) {
  MutexLock lock(mu_);
  fails_before_ = before;
  fails_after_ = after;
  chance_.Seed(seed);
}

std::vector<MessageRecord> FakeStore::Records(std::size_t changes) const {
  MutexLock lock(mu_);
  std::set<MessageKey> changed;
  for (std::size_t i = changes; i < events_.size(); ++i) {
    changed.insert({events_[i].tenant_id, events_[i].message_id});
  }
  std::vector<MessageRecord> records;
  for (const MessageKey& key : changed) records.push_back(RecordOf(messages_.at(key)));
  return records;
}

void FakeStore::ForEach(
    const std::function<void(const Message&, const std::vector<Attempt>&)>& visit) const {
  MutexLock lock(mu_);
  for (const auto& [key, kept] : messages_) visit(kept.message, kept.attempts);
}

std::size_t FakeStore::Changes() const {
  MutexLock lock(mu_);
  return events_.size();
}

ReplicaId FakeStore::OwnerOf(int slot) const {
  MutexLock lock(mu_);
  const auto found = slots_.find(slot);
  return found == slots_.end() ? ReplicaId{} : found->second.owner;
}

void FakeStore::Poison(std::string marker) {
  MutexLock lock(mu_);
  poison_.push_back(std::move(marker));
}

void FakeStore::Heal() {
  MutexLock lock(mu_);
  poison_.clear();
}

void FakeStore::BeforeEach(std::function<void(const std::string&)> hook) {
  MutexLock lock(mu_);
  hook_ = std::move(hook);
}

void FakeStore::Suppress(TenantId tenant, const std::string& recipient) {
  MutexLock lock(mu_);
  suppressed_[{tenant, recipient, {}}] = clock_.Wall();
}

void FakeStore::ForgetWhenItLeft(const MessageKey& key) {
  MutexLock lock(mu_);
  for (Attempt& attempt : messages_.at(key).attempts) attempt.intended_at = {};
}

int FakeStore::Calls(const std::string& operation) const {
  MutexLock lock(mu_);
  const auto found = calls_.find(operation);
  return found == calls_.end() ? 0 : found->second;
}

FakeStore::InboxCounts FakeStore::Inbox() const {
  MutexLock lock(mu_);
  InboxCounts counts;
  for (const auto& [key, kept] : inbox_) {
    switch (kept.state) {
      case InboxState::kOpen:
        ++counts.open;
        break;
      case InboxState::kApplied:
        ++counts.applied;
        break;
      case InboxState::kDuplicate:
        ++counts.duplicates;
        break;
      case InboxState::kParked:
        ++counts.parked;
        break;
      case InboxState::kDeadLetter:
        ++counts.dead_letters;
        break;
    }
  }
  return counts;
}

void FakeStore::Enter(const std::string& operation) {
  RunHook(operation);
  MutexLock lock(mu_);
  if (late_.empty() || chance_.Fraction() > 0.1) return;
  std::erase_if(late_, [](const auto& late) { return late.second.in_doubt; });
}

void FakeStore::RunHook(const std::string& operation) {
  std::function<void(const std::string&)> hook;
  {
    MutexLock lock(mu_);
    hook = hook_;
  }
  if (hook) hook(operation);
}

absl::Status FakeStore::Fail(const std::string& operation, When when) {
  for (Fault& fault : faults_) {
    const bool meant = fault.operation.empty() || fault.operation == operation;
    if (fault.left == 0 || fault.when != when || !meant) continue;
    --fault.left;
    return absl::UnavailableError("the store is away (injected)");
  }
  const double chance = when == When::kBefore ? fails_before_ : fails_after_;
  if (chance > 0 && chance_.Fraction() < chance) {
    return absl::UnavailableError("the store is away (by chance)");
  }
  return absl::OkStatus();
}

absl::Status FakeStore::Begin(const std::string& operation) {
  ++calls_[operation];
  if (gone_ != nullptr && gone_()) return absl::UnavailableError("whoever called is gone");
  const absl::Status failure = Fail(operation, When::kBefore);
  if (!failure.ok()) ++failures_;
  return failure;
}

absl::Status FakeStore::End(const std::string& operation) {
  const absl::Status failure = Fail(operation, When::kAfter);
  in_doubt_ = !failure.ok();
  if (in_doubt_) ++failures_;
  return failure;
}

bool FakeStore::Poisoned(const std::string& text) const {
  return std::any_of(poison_.begin(), poison_.end(), [&](const std::string& marker) {
    return text.find(marker) != std::string::npos;
  });
}

void FakeStore::Change(Kept& kept, MessageStatus after, Cause cause, bool correction) {
  Lock(kept);
  const MessageRequest& request = kept.message.request;
  StatusEvent event{.tenant_id = request.tenant_id,
                    .message_id = kept.message.message_id,
                    .conversation_id = request.conversation_id,
                    .external_contact_id = request.external_contact_id,
                    .campaign_id = request.campaign_id,
                    .previous = kept.message.status.state,
                    .status = after,
                    .cause = cause,
                    .correction = correction || kept.message.status.final,
                    .at = clock_.Wall()};
  const bool was_queued = event.previous == MessageState::kQueued;
  const bool had_opted_out = kept.message.status.failure == FailureReason::kRecipientOptedOut;
  const bool was_rejected =
      IsRejectedForContent(kept.message.status.state, kept.message.status.failure);
  const bool is_queued = after.state == MessageState::kQueued;
  if (was_queued != is_queued) depths_[request.tenant_id] += is_queued ? 1 : -1;
  kept.message.status = std::move(after);
  if (is_queued && !was_queued) LookForOptOut(request);
  if (kept.message.status.state == MessageState::kUnknown && !kept.doubt) {
    kept.doubt = fake_store::KeptDoubt{.since = event.at, .next = event.at};
  }
  kept.message.updated_at = event.at;
  kept.history.push_back(event);
  KeepDeadSend(kept, event);
  if (!was_rejected) KeepContentRejection(kept, event.at);
  if (kept.message.status.failure == FailureReason::kRecipientOptedOut && !had_opted_out) {
    KeepOptOut(kept, kept.message.status.attempt, kept.message.status.provider_code,
               kept.message.status.provider_at);
  }
  events_.push_back(std::move(event));
}

bool FakeStore::Suppressed(const MessageRequest& request) const {
  return suppressed_.contains({request.tenant_id, request.recipient, request.sender_id}) ||
         suppressed_.contains({request.tenant_id, request.recipient, {}});
}

std::optional<Acceptance> FakeStore::RefuseByBounds(const NewMessage& row, bool opens) const {
  using Kind = Acceptance::Kind;
  const AcceptBounds& bounds = row.bounds;
  const auto used = [&](const std::string& token) ABSL_NO_THREAD_SAFETY_ANALYSIS {
    const auto found = quota_used_.find(QuotaKeyOf(clock_.Wall(), row.request.tenant_id, token));
    return found == quota_used_.end() ? 0 : found->second;
  };
  const auto refusal = [&](Kind kind, std::int64_t count) {
    return Acceptance{.kind = kind, .at = clock_.Wall(), .count = count};
  };
  const auto found = depths_.find(row.request.tenant_id);
  const std::int64_t depth = found == depths_.end() ? 0 : found->second;
  for (std::size_t cap = 0; cap < bounds.caps.size(); ++cap) {
    const std::int64_t count = used(bounds.caps[cap].key);
    if (count < bounds.caps[cap].most) continue;
    Acceptance reached = refusal(Kind::kCapReached, count);
    reached.cap = cap;
    return reached;
  }
  if (!bounds.may_open && opens) return refusal(Kind::kMayNotOpen, 0);
  if (bounds.tenant_quota && used("") >= *bounds.tenant_quota) {
    return refusal(Kind::kTenantQuotaExceeded, used(""));
  }
  if (bounds.token_quota && used(bounds.token_sha256) >= *bounds.token_quota) {
    return refusal(Kind::kTokenQuotaExceeded, used(bounds.token_sha256));
  }
  if (bounds.queue_limit && depth >= *bounds.queue_limit) return refusal(Kind::kQueueFull, depth);
  return std::nullopt;
}

std::optional<Acceptance> FakeStore::RefuseOne(const NewMessage& row,
                                               fake_store::Meeting& meeting) {
  const MessageRequest& request = row.request;
  const auto known = requests_.find({request.tenant_id, request.request_id});
  if (known != requests_.end()) {
    const bool same = known->second.fingerprint == row.fingerprint;
    const MessageId first = known->second.message_id;
    Lock(messages_.at({request.tenant_id, first}));  // The unique key's.
    return Acceptance{same ? Acceptance::Kind::kDuplicate : Acceptance::Kind::kRequestIdReused,
                      first,
                      messages_.at({request.tenant_id, first}).message.request.conversation_id};
  }
  if (Suppressed(request)) return Acceptance{Acceptance::Kind::kOptedOut, {}, {}};
  meeting = MeetingOf(request);
  if (const auto refused = RefuseByName(request, meeting)) return refused;
  return RefuseByBounds(row, meeting.goes_to.IsNil());
}

absl::StatusOr<Acceptance> FakeStore::WouldAccept(const NewMessage& message) {
  Enter("WouldAccept");
  MutexLock lock(mu_);
  PR_RETURN_IF_ERROR(Begin("WouldAccept"));
  fake_store::Meeting meeting;
  const Acceptance verdict =
      RefuseOne(message, meeting).value_or(Acceptance{.message_id = message.message_id});
  PR_RETURN_IF_ERROR(End("WouldAccept"));
  return verdict;
}

Acceptance FakeStore::AcceptOne(const NewMessage& row) {
  const MessageRequest& request = row.request;
  fake_store::Meeting meeting;
  if (const auto refused = RefuseOne(row, meeting)) return *refused;
  const ConversationId named = request.conversation_id;
  const ConversationId conversation =
      Join(request, meeting, named.IsNil() ? row.new_conversation_id : named);

  if (row.bounds.tenant_quota) ++quota_used_[QuotaKeyOf(clock_.Wall(), request.tenant_id, "")];
  if (row.bounds.token_quota) {
    ++quota_used_[QuotaKeyOf(clock_.Wall(), request.tenant_id, row.bounds.token_sha256)];
  }
  for (const DailyCap& cap : row.bounds.caps) {
    ++quota_used_[QuotaKeyOf(clock_.Wall(), request.tenant_id, cap.key)];
  }
  return Keep(row, conversation, std::max({clock_.Wall(), request.not_before, row.quiet_until}));
}

Acceptance FakeStore::Keep(const NewMessage& row, ConversationId conversation, WallTime due_at) {
  const MessageRequest& request = row.request;
  ++depths_[request.tenant_id];
  requests_[{request.tenant_id, request.request_id}] = {row.message_id, row.fingerprint};
  Kept& kept = messages_[{request.tenant_id, row.message_id}];
  kept.message.message_id = row.message_id;
  kept.message.request = request;
  kept.message.request.template_values.clear();
  kept.message.accepted_at = clock_.Wall();
  kept.message.request.conversation_id = conversation;
  kept.due_at = due_at;
  MessageStatus status;
  if (kept.due_at > clock_.Wall()) {
    const bool quiet = row.quiet_until > clock_.Wall();
    status.hold_reason = quiet ? HoldReason::kQuietHours : HoldReason::kSchedule;
    status.hold_until = kept.due_at;
  }
  Change(kept, status, Cause::kAccepted);
  return {Acceptance::Kind::kNew, row.message_id, conversation, kept.message.accepted_at};
}

absl::StatusOr<std::vector<Acceptance>> FakeStore::Accept(std::span<const NewMessage> batch) {
  Enter("Accept");
  const Late late(*this, "Accept");
  MutexLock lock(mu_);
  PR_RETURN_IF_ERROR(Begin("Accept"));
  for (const NewMessage& row : batch) {
    if (Poisoned(row.request.text)) return absl::InvalidArgumentError("poisoned row (injected)");
  }
  std::vector<Acceptance> verdicts;
  verdicts.reserve(batch.size());
  for (const NewMessage& row : batch) verdicts.push_back(AcceptOne(row));
  PR_RETURN_IF_ERROR(End("Accept"));
  return verdicts;
}

MessageRecord FakeStore::RecordOf(const Kept& kept) {
  return {.message = kept.message, .history = kept.history, .attempts = kept.attempts};
}

absl::StatusOr<MessageRecord> FakeStore::GetMessage(const MessageKey& key) {
  Enter("GetMessage");
  MutexLock lock(mu_);
  PR_RETURN_IF_ERROR(Begin("GetMessage"));
  const auto found = messages_.find(key);
  if (found == messages_.end()) return absl::NotFoundError("no such message");
  return RecordOf(found->second);
}

absl::StatusOr<MessageRecord> FakeStore::GetMessageByRequest(TenantId tenant,
                                                             const std::string& request_id) {
  Enter("GetMessageByRequest");
  MutexLock lock(mu_);
  PR_RETURN_IF_ERROR(Begin("GetMessageByRequest"));
  const auto found = requests_.find({tenant, request_id});
  if (found == requests_.end()) return absl::NotFoundError("no such message");
  MessageRecord record = RecordOf(messages_.at({tenant, found->second.message_id}));
  record.fingerprint = found->second.fingerprint;
  return record;
}

absl::StatusOr<Cancellation> FakeStore::Cancel(const MessageKey& key) {
  Enter("Cancel");
  const Late late(*this, "Cancel");
  MutexLock lock(mu_);
  PR_RETURN_IF_ERROR(Begin("Cancel"));
  const auto found = messages_.find(key);
  if (found == messages_.end()) return Cancellation{};
  Kept& kept = found->second;
  Lock(kept);
  if (kept.message.status.state == MessageState::kQueued) {
    Change(kept, Advance(kept.message.status, MessageState::kCancelled), Cause::kCancelRequested);
  }
  const bool cancelled = kept.message.status.state == MessageState::kCancelled;
  PR_RETURN_IF_ERROR(End("Cancel"));
  return Cancellation{
      .kind = cancelled ? Cancellation::Kind::kCancelled : Cancellation::Kind::kTooLate,
      .message = kept.message};
}

absl::Status FakeStore::Maintain() {
  Enter("Maintain");
  MutexLock lock(mu_);
  PR_RETURN_IF_ERROR(Begin("Maintain"));
  return End("Maintain");
}

}  // namespace postrider
