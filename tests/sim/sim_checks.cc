#include "tests/sim/sim_checks.h"

#include <algorithm>
#include <map>
#include <set>
#include <tuple>

#include "server/base/strings.h"

namespace postrider {

namespace {

int Times(const MessageRecord& record, std::initializer_list<Cause> causes) {
  return static_cast<int>(
      std::count_if(record.history.begin(), record.history.end(), [&](const StatusEvent& event) {
        return std::find(causes.begin(), causes.end(), event.cause) != causes.end();
      }));
}

}  // namespace

Breaches CheckHistory(const MessageRecord& record, std::size_t from) {
  Breaches breaches;
  const std::string name = record.message.message_id.ToString();
  for (std::size_t i = from; i < record.history.size(); ++i) {
    const StatusEvent& event = record.history[i];
    const MessageStatus& now = event.status;
    if (now.revision != static_cast<int>(i) + 1) {
      breaches.push_back(StrCat("S10: ", name, " has revision ", now.revision, " at ", i + 1));
    }
    if (i == 0) continue;
    const MessageStatus& before = record.history[i - 1].status;
    if (before.final && !now.final) breaches.push_back(StrCat("S10: ", name, " was final before"));
    const bool same_attempt = before.attempt == now.attempt;
    const bool ranked = before.state <= MessageState::kFailed && now.state <= MessageState::kFailed;
    if (same_attempt && ranked && now.state < before.state) {
      breaches.push_back(StrCat("S10: ", name, " fell from ", NameOf(before.state), " to ",
                                NameOf(now.state), " within attempt ", now.attempt));
    }
    const bool intended = event.cause == Cause::kIntended;
    if (intended && before.state != MessageState::kQueued) {
      breaches.push_back(StrCat("S7: ", name, " was intended while ", NameOf(before.state)));
    }
    const WallTime expire_at = record.message.request.expire_at;
    if (intended && expire_at != WallTime{} && event.at >= expire_at) {
      breaches.push_back(StrCat("S7: ", name, " was intended after it expired"));
    }
  }
  return breaches;
}

Breaches CheckAttempts(const MessageRecord& record) {
  const auto indefinite =
      std::count_if(record.attempts.begin(), record.attempts.end(), [](const Attempt& attempt) {
        return attempt.open || attempt.outcome.kind == OutcomeKind::kUnknown;
      });
  const bool at_least_once =
      record.message.request.duplicate_policy == DuplicatePolicy::kAtLeastOnce;
  if (indefinite <= (at_least_once ? 2 : 1) + Times(record, {Cause::kReplayed})) return {};
  return {StrCat("S3: ", record.message.message_id.ToString(), " has ", indefinite,
                 " attempts without a definite outcome")};
}

Breaches CheckLedger(const std::vector<MessageRecord>& records,
                     const std::vector<SimGenesys::Post>& ledger) {
  std::map<MessageId, int> processed;
  for (const SimGenesys::Post& post : ledger) {
    if (post.processed) ++processed[post.message_id];
  }
  Breaches breaches;
  for (const MessageRecord& record : records) {
    const Message& message = record.message;
    const bool twice = message.request.duplicate_policy == DuplicatePolicy::kAtLeastOnce;
    const int times = processed[message.message_id];
    const int again = Times(record, {Cause::kSentAgain});
    if (again > (twice ? 1 : 0)) {
      breaches.push_back(StrCat(twice ? "S5: " : "S4: ", message.message_id.ToString(),
                                " was sent again ", again, " times"));
    }
    const int flagged = again + Times(record, {Cause::kReplayed});
    if (times <= 1 + flagged) continue;
    breaches.push_back(StrCat(twice ? "S5: " : "S4: ", message.message_id.ToString(), " went out ",
                              times, " times, ", flagged, " of them again on record"));
  }
  return breaches;
}

Breaches CheckUnnamed(const std::vector<MessageRecord>& records,
                      const std::vector<SimGenesys::Post>& ledger,
                      const std::set<MessageId>& named) {
  std::map<MessageId, int> delivered;
  for (const SimGenesys::Post& post : ledger) {
    if (post.processed && post.delivered) ++delivered[post.message_id];
  }
  Breaches breaches;
  for (const MessageRecord& record : records) {
    const MessageId id = record.message.message_id;
    if (named.contains(id)) continue;
    if (delivered[id] > 1 + Times(record, {Cause::kSentAgain})) {
      breaches.push_back(StrCat("S4: ", id.ToString(), " was delivered ", delivered[id],
                                " times, and nobody named it"));
    }
    for (const StatusEvent& event : record.history) {
      if (event.cause != Cause::kReplayed || event.previous != MessageState::kUndetermined)
        continue;
      breaches.push_back(StrCat("S4: ", id.ToString(), " may have arrived, and was replayed"));
    }
  }
  return breaches;
}

Breaches CheckLetters(const std::vector<MessageRecord>& records,
                      const std::vector<DeadLetter>& letters) {
  std::set<MessageId> dead;
  for (const DeadLetter& letter : letters) {
    if (letter.source == kSendSource) dead.insert({letter.dead_letter_id.uuid});
  }
  Breaches breaches;
  for (const MessageRecord& record : records) {
    const bool failed = IsFailure(record.message.status.state);
    if (dead.contains(record.message.message_id) == failed) continue;
    breaches.push_back(StrCat("dead letters: ", record.message.message_id.ToString(), " is ",
                              NameOf(record.message.status.state),
                              failed ? " and none" : " and one"));
  }
  return breaches;
}

Breaches CheckEnds(const std::vector<MessageRecord>& records,
                   const std::vector<SimGenesys::Post>& ledger) {
  struct Sent {
    bool delivered = false;
    bool silent = false;
    int last = 0;  ///< The last attempt that went out.
  };
  std::map<MessageId, Sent> sent;
  for (const SimGenesys::Post& post : ledger) {
    if (!post.processed) continue;
    Sent& of = sent[post.message_id];
    of.delivered = of.delivered || post.delivered;
    of.silent = of.silent || post.silent;
    of.last = std::max(of.last, post.attempt);
  }
  Breaches breaches;
  for (const MessageRecord& record : records) {
    const auto found = sent.find(record.message.message_id);
    if (found == sent.end()) continue;
    const MessageState state = record.message.status.state;
    const bool doubt_after =
        std::any_of(record.attempts.begin(), record.attempts.end(), [&](const Attempt& attempt) {
          return attempt.attempt > found->second.last &&
                 attempt.outcome.kind == OutcomeKind::kUnknown;
        });
    const bool out = MessageState::kUndetermined <= state && state <= MessageState::kFailed;
    // A replay was to make up for a failure, and did not get to leave.
    const bool ended_waiting =
        state >= MessageState::kCancelled && Times(record, {Cause::kReplayed}) > 0;
    const bool told = ended_waiting          ? !found->second.delivered || found->second.silent
                      : found->second.silent ? out
                      : found->second.delivered
                          ? state == MessageState::kDelivered
                          : state == MessageState::kFailed ||
                                (doubt_after && state == MessageState::kUndetermined);
    if (told) continue;
    breaches.push_back(StrCat("S9: ", record.message.message_id.ToString(), " went out and is ",
                              NameOf(state), found->second.delivered ? ", delivered" : ", failed"));
  }
  return breaches;
}

Breaches CheckRate(const SimGenesys::Requests& requests, double rate_per_s, double burst) {
  Breaches breaches;
  for (const auto& [tenant, times] : requests) {
    for (std::size_t first = 0; first < times.size(); ++first) {
      for (std::size_t last = first; last < times.size(); ++last) {
        const double window_s = std::chrono::duration<double>(times[last] - times[first]).count();
        const auto count = static_cast<double>(last - first + 1);
        if (count <= burst + rate_per_s * (window_s + 0.2)) continue;
        breaches.push_back(StrCat("S13: ", count, " requests within ", window_s, " s"));
        return breaches;
      }
    }
  }
  return breaches;
}

Breaches CheckIdentities(const std::vector<MessageRecord>& records) {
  Breaches breaches;
  std::set<std::pair<TenantId, std::string>> requests;
  std::map<std::tuple<TenantId, std::string, SenderId>, ConversationId> conversations;
  std::map<ConversationId, std::string> contacts;
  std::map<ConversationId, std::set<std::string>> numbers;
  for (const MessageRecord& record : records) {
    const MessageRequest& request = record.message.request;
    if (!requests.insert({request.tenant_id, request.request_id}).second) {
      breaches.push_back(StrCat("S2: ", request.request_id, " made two messages"));
    }
    const std::string& contact = request.external_contact_id;
    numbers[request.conversation_id].insert(request.recipient);
    if (contact.empty()) continue;
    const auto known = conversations.try_emplace({request.tenant_id, contact, request.sender_id},
                                                 request.conversation_id);
    if (known.first->second != request.conversation_id) {
      breaches.push_back(StrCat("S17: ", contact, " has two conversations"));
    }
    if (contacts.try_emplace(request.conversation_id, contact).first->second != contact) {
      breaches.push_back(StrCat("S17: ", contact, " has another contact's conversation"));
    }
  }
  // A number is a contact itself, or the one contact that has it.
  for (const auto& [conversation, of] : numbers) {
    if (of.size() > 1 && !contacts.contains(conversation)) {
      breaches.push_back(StrCat("S17: ", *of.begin(), " has another number's conversation"));
    }
  }
  return breaches;
}

Breaches CheckAnswers(const std::vector<MessageRecord>& records,
                      const std::vector<KeywordOptOut>& opt_outs) {
  Breaches breaches;
  std::map<std::string, int> answers;
  for (const MessageRecord& record : records) {
    const MessageRequest& request = record.message.request;
    if (!request.answers_opt_out) continue;
    ++answers[request.request_id];
    for (const StatusEvent& event : record.history) {
      if (event.cause == Cause::kIntended && event.at >= request.expire_at) {
        breaches.push_back(StrCat("S7: ", request.request_id, " was intended too late"));
      }
    }
    const bool asked_for =
        std::any_of(opt_outs.begin(), opt_outs.end(), [&](const KeywordOptOut& out) {
          return out.request_id == request.request_id && out.tenant_id == request.tenant_id &&
                 out.recipient == request.recipient;
        });
    if (!asked_for) {
      breaches.push_back(StrCat("S7: ", request.request_id, " answers nobody who opted out"));
    }
  }
  for (const KeywordOptOut& out : opt_outs) {
    const int made = answers[out.request_id];
    if (made < out.least || made > out.most) {
      breaches.push_back(
          StrCat("S7: ", out.recipient, " was answered ", made, " times by ", out.request_id));
    }
  }
  return breaches;
}

Breaches CheckBans(const std::vector<Ban>& bans, const std::vector<StatusEvent>& events,
                   std::size_t from, const FakeStore& store) {
  Breaches breaches;
  for (std::size_t i = 0; i < events.size() && !bans.empty(); ++i) {
    const StatusEvent& event = events[i];
    if (event.cause != Cause::kIntended) continue;
    const MessageRequest request = store.Find({event.tenant_id, event.message_id})->request;
    for (const Ban& ban : bans) {
      const bool in_force = ban.from <= from + i && from + i < ban.to &&
                            (ban.until == WallTime{} || event.at < ban.until);
      if (!in_force || ban.of.tenant_id != event.tenant_id) continue;
      const bool meant =
          !ban.recipient.empty()                  ? ban.recipient == request.recipient
          : ban.of.scope == PauseScope::kCampaign ? ban.of.target == request.campaign_id
          : ban.of.scope == PauseScope::kSender   ? ban.of.target == request.sender_id.ToString()
                                                  : true;
      if (!meant) continue;
      // Nothing but its one answer (CheckAnswers).
      if (request.answers_opt_out && !ban.recipient.empty()) continue;
      breaches.push_back(StrCat("S7: ", event.message_id.ToString(), " was intended after ",
                                ban.recipient.empty() ? "a pause" : "an opt-out"));
    }
  }
  return breaches;
}

}  // namespace postrider
