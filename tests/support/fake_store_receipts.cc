#include <algorithm>

#include "server/base/mutant.h"
#include "server/base/strings.h"
#include "server/model/limits.h"
#include "tests/support/fake_store.h"
#include "tests/support/fake_store_late.h"

// Webhooks and their applying; ticks and events.
namespace postrider {

absl::Status FakeStore::AppendInbox(std::span<const InboxRow> batch) {
  Enter("AppendInbox");
  MutexLock lock(mu_);
  PR_RETURN_IF_ERROR(Begin("AppendInbox"));
  for (const InboxRow& row : batch) InboxOf(row);
  return End("AppendInbox");
}

FakeStore::KeptInbox& FakeStore::InboxOf(const InboxRow& row) {
  const auto [kept, added] = inbox_.try_emplace(
      {row.tenant_id, row.inbox_id}, KeptInbox{.row = row, .received_at = clock_.Wall()});
  return kept->second;
}

FakeStore::Kept* FakeStore::Addressee(const ParsedReceipt& row) {
  if (!row.receipt->message_id.IsNil()) {
    const auto found = messages_.find({row.row.tenant_id, row.receipt->message_id});
    return found == messages_.end() ? nullptr : &found->second;
  }
  for (const std::string& id :
       {row.receipt->provider_message_id, row.receipt->channel_message_id}) {
    for (auto& [key, kept] : messages_) {
      if (!id.empty() && key.tenant_id == row.row.tenant_id &&
          kept.message.provider_message_id == id) {
        return &kept;
      }
    }
  }
  return nullptr;
}

void FakeStore::ApplyOne(const ParsedReceipt& row, ApplyCounts& counts) {
  KeptInbox& inbox = InboxOf(row.row);
  const bool done = inbox.state != InboxState::kOpen && inbox.state != InboxState::kParked;
  ReceiptEnd& end = counts.ends.emplace_back();
  if (row.receipt.ok()) end.message_id = row.receipt->message_id;
  if (done) {
    end.verdict = InboxVerdict::kDuplicate;
    return;
  }
  Kept* kept = row.receipt.ok() ? Addressee(row) : nullptr;
  if (kept != nullptr) end.message_id = kept->message.message_id;
  if (kept == nullptr) {
    const bool too_old = inbox.received_at + kParkedFor <= clock_.Wall();
    if (row.receipt.ok() && !too_old) {
      inbox.state = InboxState::kParked;
      ++counts.parked;
      return;
    }
    if (row.receipt.ok()) {
      Bury(inbox, "ORPHAN", "names no message that is known here");
    } else {
      Bury(inbox, "UNREADABLE", std::string(ToStd(row.receipt.status().message())));
    }
    ++counts.dead_letters;
    end.verdict = InboxVerdict::kDeadLetter;
    return;
  }
  if (!kept->receipt_hashes.insert(DedupeKeyOf(row)).second) {
    inbox.state = InboxState::kDuplicate;
    ++counts.duplicates;
    end.verdict = InboxVerdict::kDuplicate;
    return;
  }
  inbox.state = InboxState::kApplied;
  ++counts.applied;
  end.verdict = InboxVerdict::kApplied;
  const MessageStatus before = kept->message.status;
  Merge(*kept, *row.receipt, Cause::kReceipt);
  CountVerdict(
      row.row.tenant_id, Breaker::kCarrier,
      CarrierVerdictOf(before, kept->message.status, kept->message.accepted_at, clock_.Wall()));
}

absl::StatusOr<ApplyCounts> FakeStore::ApplyReceipts(std::span<const ParsedReceipt> batch) {
  Enter("ApplyReceipts");
  const Late late(*this, "ApplyReceipts");
  MutexLock lock(mu_);
  PR_RETURN_IF_ERROR(Begin("ApplyReceipts"));
  for (const ParsedReceipt& row : batch) {
    if (Poisoned(row.row.body)) return absl::InvalidArgumentError("poisoned row (injected)");
  }
  ApplyCounts counts;
  for (const ParsedReceipt& row : batch) ApplyOne(row, counts);
  PR_RETURN_IF_ERROR(End("ApplyReceipts"));
  return counts;
}

absl::Status FakeStore::BuryReceipt(const InboxRow& row, const std::string& reason) {
  Enter("BuryReceipt");
  MutexLock lock(mu_);
  PR_RETURN_IF_ERROR(Begin("BuryReceipt"));
  KeptInbox& inbox = InboxOf(row);
  if (inbox.state == InboxState::kOpen || inbox.state == InboxState::kParked) {
    Bury(inbox, "POISON", reason);
  }
  return End("BuryReceipt");
}

InboundEnd FakeStore::RecordOne(const NewInbound& entry, std::size_t place,
                                KeywordsByRecipient& keywords) {
  KeptInbox& inbox = InboxOf(entry.row);
  if (inbox.state != InboxState::kOpen && inbox.state != InboxState::kParked) return {};
  const auto tenant = tenants_.find(entry.row.tenant_id);
  SenderId sender;
  if (tenant != tenants_.end()) {
    for (const SenderRow& row : tenant->second.senders) {
      if (row.address == entry.text.sender) sender = row.sender_id;
    }
  }
  if (sender.IsNil()) {
    Bury(inbox, "UNKNOWN_SENDER", "written to an address that is no sender of this tenant");
    return {.verdict = InboxVerdict::kDeadLetter};
  }
  if (!inbound_keys_.emplace(entry.row.tenant_id, DedupeKeyOf(entry)).second) {
    inbox.state = InboxState::kDuplicate;
    return {};
  }
  inbox.state = InboxState::kApplied;
  const ConversationId conversation = ConversationFor(entry, sender);
  inbound_.push_back({entry, conversation, clock_.Wall()});
  InboundEnd end{.verdict = InboxVerdict::kApplied};
  if (entry.keyword == Keyword::kOptOut || entry.keyword == Keyword::kOptIn) {
    ConsentEvent event{.tenant_id = entry.row.tenant_id, .consent_id = entry.row.inbox_id.uuid};
    event.recipient = entry.text.recipient;
    event.sender_id = sender;
    event.change =
        entry.keyword == Keyword::kOptOut ? ConsentChange::kOptOut : ConsentChange::kOptIn;
    event.source = ConsentSource::kKeyword;
    event.evidence = entry.text.text;
    event.said_at = entry.text.provider_at;
    MessageRequest to;
    to.tenant_id = entry.row.tenant_id;
    to.recipient = entry.text.recipient;
    to.sender_id = sender;
    const auto [said, first] = keywords.try_emplace({to.tenant_id, to.recipient, sender});
    if (first) said->second.was_out = Suppressed(to);
    if (event.change == ConsentChange::kOptOut &&
        (!said->second.stop || said->second.said_at <= event.said_at)) {
      said->second.stop = place;
      said->second.said_at = event.said_at;
      said->second.conversation_id = conversation;
    }
    KeepConsent(std::move(event));
  }
  if (entry.action) {
    KeepAction(entry.row.tenant_id, *entry.action, "RECORD_INBOUND", entry.row.inbox_id.ToString());
  }
  return end;
}

absl::StatusOr<std::vector<InboundEnd>> FakeStore::RecordInbound(
    std::span<const NewInbound> batch) {
  Enter("RecordInbound");
  const Late late(*this, "RecordInbound");
  MutexLock lock(mu_);
  PR_RETURN_IF_ERROR(Begin("RecordInbound"));
  for (const NewInbound& entry : batch) {
    if (Poisoned(entry.row.body)) return absl::InvalidArgumentError("poisoned row (injected)");
  }
  std::vector<InboundEnd> ends;
  KeywordsByRecipient keywords;
  for (const NewInbound& entry : batch) ends.push_back(RecordOne(entry, ends.size(), keywords));
  for (const auto& [key, said] : keywords) {
    MessageRequest to;
    to.tenant_id = key.tenant_id;
    to.recipient = key.recipient;
    to.sender_id = key.sender_id;
    if (said.was_out || !said.stop || !Suppressed(to)) continue;
    ends[*said.stop].answered =
        AnswerOptOut(batch[*said.stop], key.sender_id, said.conversation_id);
  }
  PR_RETURN_IF_ERROR(End("RecordInbound"));
  return ends;
}

std::vector<NewInbound> FakeStore::Inbound() const {
  MutexLock lock(mu_);
  std::vector<NewInbound> entries;
  for (const fake_store::KeptInbound& kept : inbound_) entries.push_back(kept.entry);
  return entries;
}

absl::StatusOr<std::vector<InboxRow>> FakeStore::SweepInbox(std::span<const TenantId> tenants,
                                                            WallTime since, int limit) {
  Enter("SweepInbox");
  MutexLock lock(mu_);
  PR_RETURN_IF_ERROR(Begin("SweepInbox"));
  std::vector<InboxRow> rows;
  for (const auto& [key, kept] : inbox_) {
    const bool wanted = std::find(tenants.begin(), tenants.end(), key.first) != tenants.end();
    const bool aged = kept.received_at > since && kept.received_at + kSweepAge <= clock_.Wall();
    if (!wanted || !aged || kept.state != InboxState::kOpen) continue;
    if (rows.size() < static_cast<std::size_t>(limit)) rows.push_back(kept.row);
  }
  return rows;
}

absl::StatusOr<std::vector<InboxRow>> FakeStore::TakeParked(int limit) {
  Enter("TakeParked");
  MutexLock lock(mu_);
  PR_RETURN_IF_ERROR(Begin("TakeParked"));
  std::vector<InboxRow> rows;
  for (const auto& [key, kept] : inbox_) {
    if (kept.state != InboxState::kParked || kept.next_try_at > clock_.Wall()) continue;
    if (rows.size() < static_cast<std::size_t>(limit)) rows.push_back(kept.row);
  }
  return rows;
}

absl::StatusOr<Tick> FakeStore::MakeTick() {
  Enter("MakeTick");
  MutexLock lock(mu_);
  PR_RETURN_IF_ERROR(Begin("MakeTick"));
  const bool young =
      !ticks_.empty() && ticks_.back().tick.at + std::chrono::milliseconds(20) > clock_.Wall();
  if (!young) {
    const std::int64_t number = ticks_.empty() ? 1 : ticks_.back().tick.number + 1;
    KeptTick& made = ticks_.emplace_back();
    made.tick = {number, MakeUuidV4(random_), clock_.Wall()};
    made.events = events_.size();
    for (const auto& [id, late] : late_) made.hidden.push_back(late);
  }
  PR_RETURN_IF_ERROR(End("MakeTick"));
  return ticks_.back().tick;
}

absl::StatusOr<Tick> FakeStore::FindTick(std::int64_t number, const Uuid& nonce) {
  Enter("FindTick");
  MutexLock lock(mu_);
  PR_RETURN_IF_ERROR(Begin("FindTick"));
  for (const KeptTick& kept : ticks_) {
    if (kept.tick.number == number && kept.tick.nonce == nonce) return kept.tick;
  }
  return absl::OutOfRangeError(StrCat("tick ", number, " is gone"));
}

absl::StatusOr<Tick> FakeStore::TickOfAge(std::chrono::seconds age) {
  Enter("TickOfAge");
  MutexLock lock(mu_);
  PR_RETURN_IF_ERROR(Begin("TickOfAge"));
  if (ticks_.empty()) return absl::InternalError("no tick was made yet");
  const WallTime until = clock_.Wall() - age;
  const auto found = std::find_if(ticks_.rbegin(), ticks_.rend(),
                                  [until](const KeptTick& kept) { return kept.tick.at <= until; });
  return found == ticks_.rend() ? ticks_.front().tick : found->tick;
}

absl::StatusOr<Tick> FakeStore::OldestTick() {
  Enter("OldestTick");
  MutexLock lock(mu_);
  PR_RETURN_IF_ERROR(Begin("OldestTick"));
  if (ticks_.empty()) return absl::InternalError("no tick was made yet");
  return ticks_.front().tick;
}

absl::StatusOr<Tick> FakeStore::NextTick(const Tick& from, std::chrono::milliseconds range) {
  Enter("NextTick");
  MutexLock lock(mu_);
  PR_RETURN_IF_ERROR(Begin("NextTick"));
  const Tick* first = nullptr;
  Tick next = from;
  for (const KeptTick& kept : ticks_) {
    if (kept.tick.number <= from.number) continue;
    if (first == nullptr) first = &kept.tick;
    if (kept.tick.at > first->at + range) break;
    next = kept.tick;
  }
  return next;
}

absl::StatusOr<std::vector<StatusEvent>> FakeStore::EventsBetween(const Tick& a, const Tick& b,
                                                                  std::optional<TenantId> tenant) {
  Enter("EventsBetween");
  MutexLock lock(mu_);
  PR_RETURN_IF_ERROR(Begin("EventsBetween"));
  const auto find = [&](const Tick& tick) ABSL_NO_THREAD_SAFETY_ANALYSIS {
    return std::find_if(ticks_.begin(), ticks_.end(), [&](const KeptTick& kept) {
      return kept.tick.number == tick.number && kept.tick.nonce == tick.nonce;
    });
  };
  const auto from = find(a);
  const auto to = find(b);
  if (from == ticks_.end() || to == ticks_.end()) return absl::OutOfRangeError("a tick is gone");
  std::vector<StatusEvent> events;
  const auto add = [&](std::size_t first, std::size_t end) ABSL_NO_THREAD_SAFETY_ANALYSIS {
    for (std::size_t i = first; i < end; ++i) {
      const bool wanted = !tenant.has_value() || events_[i].tenant_id == *tenant;
      if (wanted && to->Shows(i)) events.push_back(events_[i]);
    }
  };
  add(from->events, to->events);
  for (const fake_store::LateCommit& late : from->hidden) {
    if (!Mutated(Mutant::kTailById)) add(late.from, late.to);
  }
  std::sort(events.begin(), events.end(), [](const StatusEvent& x, const StatusEvent& y) {
    return std::tie(x.message_id, x.status.revision) < std::tie(y.message_id, y.status.revision);
  });
  return events;
}

absl::StatusOr<std::vector<StatusEvent>> FakeStore::CurrentStates(const EventFilter& filter,
                                                                  MessageId after, int limit) {
  Enter("CurrentStates");
  MutexLock lock(mu_);
  PR_RETURN_IF_ERROR(Begin("CurrentStates"));
  std::vector<StatusEvent> states;
  for (auto at = messages_.upper_bound({filter.tenant_id, after});
       at != messages_.end() && at->first.tenant_id == filter.tenant_id; ++at) {
    if (states.size() >= static_cast<std::size_t>(limit)) break;
    const StatusEvent& last = at->second.history.back();
    if (Matches(filter, last)) states.push_back(last);
  }
  return states;
}

}  // namespace postrider
