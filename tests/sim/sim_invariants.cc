#include <algorithm>
#include <set>
#include <utility>

#include "server/base/strings.h"
#include "tests/sim/sim_world.h"

// What SimWorld holds its run to.
namespace postrider {

void SimWorld::CheckPost(int replica, TenantId tenant, const SendRequest& request) {
  const std::string name = StrCat(request.message_id.ToString(), " attempt ", request.attempt);
  Note(StrCat("replica ", replica, " posts ", name, " of tenant ", tenant == tenants_[0] ? 0 : 1));
  bool on_record = false;
  bool paused = false;
  MessageState state = MessageState::kQueued;
  store_.ForEach([&](const Message& message, const std::vector<Attempt>& attempts) {
    const MessageStatus& status = message.status;
    if (message.message_id == request.message_id) {
      on_record =
          !attempts.empty() && attempts.back().attempt == request.attempt && attempts.back().open;
      state = status.state;
    }
    paused = paused ||
             (message.request.tenant_id == tenant && status.state == MessageState::kQueued &&
              status.hold_reason == HoldReason::kRetryAfter && status.hold_until > clock_.Wall());
  });
  if (!on_record) {
    Breach(StrCat("S6: ", name, " was posted without an open attempt on record"));
    return;
  }
  if (NextAllowed(request.campaign_id, clock_.Wall()) != clock_.Wall()) {
    Breach(StrCat("S19: ", name, " was posted in quiet hours"));
  }
  if (state == MessageState::kCancelled) {
    Breach(StrCat("S7: ", name, " was posted after its cancel"));
  }
  const MessageKey key{tenant, request.message_id};
  if (store_.IntentIsLate(key)) {
    Breach(StrCat("S6: ", name, " was posted before its intent was committed"));
  }
  SimReplica& poster = *places_[static_cast<std::size_t>(replica)].replica;
  const std::shared_ptr<const Ownership> own = poster.owner().Current();
  const OwnedSlot* const slot = own->Find(SlotOf(tenant));
  if (store_.OwnerOf(SlotOf(tenant)) != own->replica) {
    Breach(StrCat("S16: ", name, " was posted by a replica that does not own its slot"));
  } else {
    breaker_watch_.Look(tenants_);
    BreachAll(breaker_watch_.Begins({.replica = replica,
                                     .life = poster.life(),
                                     .slot_since = slot == nullptr ? MonotonicTime{} : slot->since,
                                     .judged_at = poster.dispatcher().BreakersJudgedAt()},
                                    key, request.attempt));
  }
  if (paused && genesys_.PausedUntil(tenant) > clock_.Now()) {
    Breach(StrCat("S13: ", name, " was posted in spite of a recorded Retry-After"));
  }
}

void SimWorld::CheckAlways() {
  const std::size_t changes = store_.Changes();
  if (changes == changes_seen_) return;
  const std::size_t seen = std::exchange(changes_seen_, changes);
  BreachAll(CheckBans(bans_, store_.ChangesAfter(seen), seen, store_));
  for (const MessageRecord& record : store_.Records(seen)) {
    const MessageKey key{record.message.request.tenant_id, record.message.message_id};
    std::size_t& looked_at = histories_[key];
    if (looked_at == record.history.size()) continue;
    BreachAll(CheckHistory(record, looked_at));
    BreachAll(CheckAttempts(record));
    looked_at = record.history.size();
    const MessageStatus& status = record.message.status;
    Note(StrCat(record.message.message_id.ToString(), " is ", NameOf(status.state), " revision ",
                status.revision, " attempt ", status.attempt));
  }
}

std::string SimWorld::Unrest() const {
  const FakeStore::InboxCounts inbox = store_.Inbox();
  if (!genesys_.webhooks().empty() || webhooks_under_way_ > 0) return "webhooks are on their way";
  if (inbox.open > 0 || inbox.parked > 0) return "the inbox is not empty";
  for (const Place& place : places_) {
    if (place.replica != nullptr && place.replica->spooled() > 0) return "a spool is not empty";
  }
  for (const Send& send : sends_) {
    if (!send.answer) return StrCat(send.message.request.request_id, " is not answered");
  }
  std::string unrest;
  store_.ForEach([&](const Message& message, const std::vector<Attempt>&) {
    // What was final and is replayed is not at its end.
    const MessageStatus& status = message.status;
    if (status.final && status.state >= MessageState::kUndetermined) return;
    if (unrest.empty())
      unrest = StrCat(message.message_id.ToString(), " is ", NameOf(status.state));
  });
  if (!unrest.empty()) return unrest;
  std::set<std::pair<MessageId, int>> seen;
  for (const Reader& reader : readers_) seen.insert(reader.seen.begin(), reader.seen.end());
  const std::size_t events = store_.Changes();
  return seen.size() == events ? "" : StrCat("streams told ", seen.size(), " of ", events);
}

void SimWorld::CheckAtEnd() {
  const std::vector<MessageRecord> records = store_.Records();
  std::set<std::pair<MessageId, int>> events;
  std::map<MessageId, const MessageRecord*> by_id;
  for (const MessageRecord& record : records) {
    by_id[record.message.message_id] = &record;
    for (const StatusEvent& event : record.history) {
      events.insert({event.message_id, event.status.revision});
    }
  }
  BreachAll(CheckIdentities(records));
  BreachAll(CheckAnswers(records, keyword_opt_outs_));
  for (const Send& send : sends_) {
    if (!send.Accepted()) continue;  // Opted out.
    const auto found = by_id.find(send.answer->message_id);
    if (found == by_id.end() ||
        found->second->message.request.request_id != send.message.request.request_id) {
      Breach(StrCat("S1: ", send.message.request.request_id, " was answered and is lost"));
    } else if (send.cancelled && found->second->attempts.empty() &&
               found->second->message.status.state != MessageState::kCancelled) {
      Breach(StrCat("S7: ", send.message.request.request_id, " did not stay cancelled"));
    }
  }
  BreachAll(CheckLedger(records, genesys_.ledger()));
  BreachAll(CheckUnnamed(records, genesys_.ledger(), named_));
  BreachAll(CheckLetters(records, store_.DeadLetters()));
  SimGenesys::Requests before;
  SimGenesys::Requests after;
  for (const auto& [tenant, times] : genesys_.requests()) {
    const auto at = std::lower_bound(times.begin(), times.end(), *healed_at_);
    before[tenant] = {times.begin(), at};
    after[tenant] = {at, times.end()};
  }
  BreachAll(CheckRate(before, kRatePerS, kBurst));
  BreachAll(CheckRate(after, kHealedRatePerS, kBurst));
  const FakeStore::InboxCounts inbox = store_.Inbox();
  const int ended = inbox.applied + inbox.duplicates + inbox.dead_letters;
  if (ended < webhooks_made_) {
    Breach(StrCat("S8: of ", webhooks_made_, " webhooks answered 200, ", ended, " have an end"));
  }
  BreachAll(CheckEnds(records, genesys_.ledger()));
  for (const Reader& reader : readers_) {
    std::map<MessageId, int> last;
    for (const auto& [message, revision] : reader.seen) {
      if (!events.contains({message, revision})) {
        Breach(StrCat("S12: ", message.ToString(), " revision ", revision, " was invented"));
      }
      // At least once over reconnects: a revision may come again, none is left out.
      if (revision > last[message] + 1) {
        Breach(StrCat("S11: ", message.ToString(), " jumped to revision ", revision));
      }
      last[message] = std::max(last[message], revision);
    }
  }
}

}  // namespace postrider
