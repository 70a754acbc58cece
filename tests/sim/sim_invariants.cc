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
  if (state == MessageState::kCancelled) {
    Breach(StrCat("S7: ", name, " was posted after its cancel"));
  }
  SimReplica& poster = *places_[static_cast<std::size_t>(replica)].replica;
  if (store_.OwnerOf(SlotOf(tenant)) != poster.owner().Current()->replica) {
    Breach(StrCat("S16: ", name, " was posted by a replica that does not own its slot"));
  }
  if (paused && genesys_.PausedUntil(tenant) > clock_.Now()) {
    Breach(StrCat("S13: ", name, " was posted in spite of a recorded Retry-After"));
  }
}

void SimWorld::CheckAlways() {
  const std::size_t changes = store_.Changes();
  if (changes == changes_seen_) return;
  const std::size_t seen = std::exchange(changes_seen_, changes);
  for (const MessageRecord& record : store_.Records(seen)) {
    const MessageKey key{record.message.request.tenant_id, record.message.message_id};
    std::size_t& looked_at = histories_[key];
    if (looked_at == record.history.size()) continue;
    for (std::string& line : CheckHistory(record, looked_at)) Breach(std::move(line));
    for (std::string& line : CheckAttempts(record)) Breach(std::move(line));
    looked_at = record.history.size();
    const MessageStatus& status = record.message.status;
    Note(StrCat(record.message.message_id.ToString(), " is ", NameOf(status.state), " revision ",
                status.revision, " attempt ", status.attempt));
  }
}

bool SimWorld::AtRest() const {
  if (!genesys_.webhooks().empty() || webhooks_under_way_ > 0 || store_.Inbox().open > 0 ||
      store_.Inbox().parked > 0)
    return false;
  for (const Send& send : sends_) {
    if (!send.answer) return false;
  }
  std::size_t events = 0;
  for (const MessageRecord& record : store_.Records()) {
    if (!record.message.status.final) return false;
    events += record.history.size();
  }
  std::set<std::pair<MessageId, int>> seen;
  for (const Reader& reader : readers_) seen.insert(reader.seen.begin(), reader.seen.end());
  return seen.size() == events;
}

void SimWorld::CheckAtEnd() {
  const std::vector<MessageRecord> records = store_.Records();
  std::set<std::pair<MessageId, int>> events;
  std::map<MessageId, const MessageRecord*> by_id;
  std::set<std::pair<TenantId, std::string>> requests;
  for (const MessageRecord& record : records) {
    const MessageRequest& request = record.message.request;
    by_id[record.message.message_id] = &record;
    if (!requests.insert({request.tenant_id, request.request_id}).second) {
      Breach(StrCat("S2: ", request.request_id, " made two messages"));
    }
    for (const StatusEvent& event : record.history) {
      events.insert({event.message_id, event.status.revision});
    }
  }
  for (const Send& send : sends_) {
    const auto found = by_id.find(send.answer->message_id);
    if (found == by_id.end() ||
        found->second->message.request.request_id != send.message.request.request_id) {
      Breach(StrCat("S1: ", send.message.request.request_id, " was answered and is lost"));
    } else if (send.cancelled && found->second->attempts.empty() &&
               found->second->message.status.state != MessageState::kCancelled) {
      Breach(StrCat("S7: ", send.message.request.request_id, " did not stay cancelled"));
    }
  }
  for (std::string& line : CheckLedger(records, genesys_.ledger())) Breach(std::move(line));
  // A search takes a token for its first request, and pays for the second when it has ended.
  for (std::string& line : CheckRate(genesys_.requests(), kRatePerS, kBurst + 1)) {
    Breach(std::move(line));
  }
  const FakeStore::InboxCounts inbox = store_.Inbox();
  const int ended = inbox.applied + inbox.duplicates + inbox.dead_letters;
  if (ended < webhooks_made_) {
    Breach(StrCat("S8: of ", webhooks_made_, " webhooks answered 200, ", ended, " have an end"));
  }
  for (std::string& line : CheckEnds(records, genesys_.ledger())) Breach(std::move(line));
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
