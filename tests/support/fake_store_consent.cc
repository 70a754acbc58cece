#include <algorithm>
#include <tuple>

#include "server/base/digest.h"
#include "server/base/status_macros.h"
#include "server/base/strings.h"
#include "server/model/consent_limits.h"
#include "tests/support/fake_store.h"
#include "tests/support/fake_store_late.h"

// Opt-outs and consent.
namespace postrider {

using fake_store::ConsentKey;

void FakeStore::Enforce(ConsentEvent event, ConsentCounts& counts) {
  const ConsentKey key{event.tenant_id, event.recipient, event.sender_id};
  std::vector<ConsentEvent>& events = consent_[key];
  const bool known = std::any_of(events.begin(), events.end(), [&](const ConsentEvent& other) {
    return other.consent_id == event.consent_id;
  });
  if (known) return;
  event.recorded_at = clock_.Wall();
  if (event.said_at == WallTime{} || event.said_at > event.recorded_at) {
    event.said_at = event.recorded_at;
  }
  events.push_back(std::move(event));
  ++counts.recorded;
  // Of what was said at the same time, the opt-out counts.
  const auto rank = [](const ConsentEvent& e) {
    return std::tuple(e.said_at, e.change == ConsentChange::kOptOut);
  };
  const auto last =
      std::max_element(events.begin(), events.end(),
                       [&](const auto& a, const auto& b) { return rank(a) < rank(b); });
  if (last->change == ConsentChange::kOptIn) {
    counts.opted_in += static_cast<int>(suppressed_.erase(key));
    opt_outs_waiting_.erase(key);
  } else if (suppressed_.try_emplace(key, clock_.Wall()).second) {
    ++counts.opted_out;
    opt_outs_waiting_[key] = {clock_.Wall(), clock_.Wall()};
  }
}

void FakeStore::KeepOptOut(const Kept& kept, int attempt, const std::string& code, WallTime at) {
  const MessageRequest& request = kept.message.request;
  if (request.recipient.empty()) return;
  ConsentEvent consent{.tenant_id = request.tenant_id,
                       .consent_id = kept.message.message_id.uuid,
                       .recipient = request.recipient,
                       .sender_id = request.sender_id};
  consent.consent_id.bytes[0] = static_cast<std::uint8_t>(attempt);  // Each has one of its own.
  consent.source = ConsentSource::kReceipt;
  consent.evidence = code;
  consent.said_at = at;
  KeepConsent(std::move(consent));
}

void FakeStore::KeepConsent(ConsentEvent event) {
  const auto tenant = tenants_.find(event.tenant_id);
  const bool wide =
      tenant != tenants_.end() && tenant->second.opt_out_scope == OptOutScope::kTenant;
  ConsentCounts counts;
  if (!wide || event.change == ConsentChange::kOptIn) Enforce(event, counts);
  event.sender_id = {};
  if (wide) Enforce(std::move(event), counts);
}

absl::StatusOr<ConsentCounts> FakeStore::RecordConsent(
    std::span<const ConsentEvent> batch, const std::optional<OperatorAction>& action) {
  Enter("RecordConsent");
  MutexLock lock(mu_);
  PR_RETURN_IF_ERROR(Begin("RecordConsent"));
  ConsentCounts counts;
  for (const ConsentEvent& event : batch) Enforce(event, counts);
  for (const ConsentEvent& event : batch) {
    if (counts.recorded == 0 || event.change != ConsentChange::kOptIn) continue;
    const auto still = [&](const auto& row) {
      const ConsentKey& key = row.first;
      return key.tenant_id == event.tenant_id && key.recipient == event.recipient &&
             key.sender_id != event.sender_id && (key.sender_id.IsNil() || event.sender_id.IsNil());
    };
    counts.still_opted_out += std::any_of(suppressed_.begin(), suppressed_.end(), still) ? 1 : 0;
  }
  if (action && counts.recorded > 0) {
    KeepAction(batch[0].tenant_id, *action, "RECORD_CONSENT",
               StrCat(counts.recorded, " recipients"));
  }
  PR_RETURN_IF_ERROR(End("RecordConsent"));
  return counts;
}

int FakeStore::EndSuppressed(const ConsentKey& who, int at_most) {
  int ended = 0;
  for (auto& [key, kept] : messages_) {
    if (ended == at_most) break;
    const MessageRequest& request = kept.message.request;
    if (kept.message.status.state != MessageState::kQueued || request.tenant_id != who.tenant_id ||
        request.recipient != who.recipient ||
        (who.sender_id != SenderId{} && request.sender_id != who.sender_id) ||
        request.answers_opt_out) {
      continue;
    }
    Change(kept, Advance(kept.message.status, MessageState::kSuppressed), Cause::kOptedOut);
    ++ended;
  }
  return ended;
}

void FakeStore::LookForOptOut(const MessageRequest& request) {
  if (request.answers_opt_out) return;
  for (const SenderId sender : {request.sender_id, SenderId{}}) {
    const ConsentKey key{request.tenant_id, request.recipient, sender};
    if (suppressed_.contains(key)) opt_outs_waiting_[key] = {clock_.Wall(), clock_.Wall()};
  }
}

bool FakeStore::AnswerOptOut(const NewInbound& entry, SenderId sender,
                             ConversationId conversation) {
  const TenantRow& tenant = tenants_.at(entry.row.tenant_id);
  const auto row = std::find_if(tenant.senders.begin(), tenant.senders.end(),
                                [&](const SenderRow& one) { return one.sender_id == sender; });
  if (tenant.opt_out_confirmation.empty() || !row->active) return false;
  const WallTime said = entry.text.provider_at;
  if (said != WallTime{} && said < clock_.Wall() - kOptOutAnsweredWithin) return false;
  NewMessage answer;
  answer.message_id = entry.new_message_id;
  MessageRequest& request = answer.request;
  request.tenant_id = tenant.tenant_id;
  request.request_id = StrCat("postrider:opt-out:", entry.row.inbox_id.ToString());
  if (requests_.contains({tenant.tenant_id, request.request_id})) return false;
  request.recipient = entry.text.recipient;
  request.sender_id = sender;
  request.sender = row->address;
  request.text = tenant.opt_out_confirmation;
  for (const auto& [key, kept] : conversations_) {
    const bool known = std::get<1>(key).starts_with("x:");
    if (std::get<0>(key) != tenant.tenant_id || kept.conversation_id != conversation) continue;
    if (known) request.external_contact_id = std::get<1>(key).substr(2);
  }
  request.priority = Priority::kUrgent;
  request.expire_at = clock_.Wall() + kOptOutAnswerLasts;
  request.answers_opt_out = true;
  Keep(answer, conversation, clock_.Wall());
  return true;
}

absl::StatusOr<SuppressionPage> FakeStore::ListSuppressions(const SuppressionFilter& filter,
                                                            const SuppressionPlace& place,
                                                            int limit) {
  Enter("ListSuppressions");
  MutexLock lock(mu_);
  PR_RETURN_IF_ERROR(Begin("ListSuppressions"));
  std::vector<ListedSuppression> all;
  for (const auto& [key, since] : suppressed_) {
    const std::string digest =
        Sha256Bytes(StrCat(key.recipient, " ", key.sender_id.ToString(), " of a list"));
    ListedSuppression one{key.recipient, key.sender_id, since, {}};
    std::copy_n(digest.begin(), one.suppression_id.bytes.size(), one.suppression_id.bytes.begin());
    const bool meant =
        key.tenant_id == filter.tenant_id &&
        (filter.recipient.empty() || filter.recipient == key.recipient) &&
        std::tie(one.since, one.suppression_id) < std::tie(place.since, place.suppression_id);
    if (meant) all.push_back(std::move(one));
  }
  std::sort(all.begin(), all.end(), [](const auto& a, const auto& b) {
    return std::tie(a.since, a.suppression_id) > std::tie(b.since, b.suppression_id);
  });
  SuppressionPage page;
  int looked_at = 0;
  for (ListedSuppression& one : all) {
    if (static_cast<int>(page.suppressions.size()) == limit) {
      const ListedSuppression& last = page.suppressions.back();
      page.next = SuppressionPlace{last.since, last.suppression_id};
      break;
    }
    const SuppressionPlace here{one.since, one.suppression_id};
    if (filter.sender_id.IsNil() || filter.sender_id == one.sender_id) {
      page.suppressions.push_back(std::move(one));
    }
    if (++looked_at == kSuppressionsScanned && !filter.sender_id.IsNil()) {
      page.next = here;
      break;
    }
  }
  return page;
}

absl::StatusOr<std::optional<int>> FakeStore::SuppressQueued(std::span<const int> slots) {
  Enter("SuppressQueued");
  const Late late(*this, "SuppressQueued");
  MutexLock lock(mu_);
  PR_RETURN_IF_ERROR(Begin("SuppressQueued"));
  std::optional<int> ended;
  const WallTime now = clock_.Wall();
  for (auto at = opt_outs_waiting_.begin(); at != opt_outs_waiting_.end();) {
    auto& [key, waits] = *at;
    const bool ours = std::find(slots.begin(), slots.end(), SlotOf(key.tenant_id)) != slots.end();
    if (!ours || waits.look_at > now) {
      ++at;
      continue;
    }
    ended = ended.value_or(0) + EndSuppressed(key, kSuppressedAtOnce - ended.value_or(0));
    if (*ended == kSuppressedAtOnce) break;
    waits.look_at = waits.since + kOptOutSettles;
    at = waits.look_at <= now ? opt_outs_waiting_.erase(at) : std::next(at);
  }
  PR_RETURN_IF_ERROR(End("SuppressQueued"));
  return ended;
}

absl::StatusOr<ConsentRecord> FakeStore::FindConsent(TenantId tenant,
                                                     const std::string& recipient) {
  Enter("FindConsent");
  MutexLock lock(mu_);
  PR_RETURN_IF_ERROR(Begin("FindConsent"));
  ConsentRecord record;
  for (const auto& [key, since] : suppressed_) {
    if (key.tenant_id == tenant && key.recipient == recipient) {
      record.suppressions.push_back({key.sender_id, since});
    }
  }
  for (const auto& [key, events] : consent_) {
    if (key.tenant_id != tenant || key.recipient != recipient) continue;
    record.history.insert(record.history.end(), events.begin(), events.end());
  }
  std::sort(record.history.begin(), record.history.end(), [](const auto& a, const auto& b) {
    return std::tie(a.said_at, a.consent_id) > std::tie(b.said_at, b.consent_id);
  });
  if (record.history.size() > kMaxConsentHistory) record.history.resize(kMaxConsentHistory);
  return record;
}

}  // namespace postrider
