#include "server/provider/platform_read.h"

#include <algorithm>
#include <set>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/time/time.h"

#include "server/base/strings.h"
#include "server/model/dispatch_limits.h"
#include "server/model/limits.h"
#include "server/provider/message_data.h"
#include "server/provider/receipts.h"

namespace postrider {

namespace {

using ReadKind = ReadAnswer::Kind;

constexpr const char* kMessages = "/api/v2/conversations/messages/";
constexpr const char* kSearch = "/api/v2/analytics/conversations/details/query";

/// An id that came from outside, as a part of a path.
std::string Segment(std::string_view id) {
  constexpr std::string_view kDigits = "0123456789ABCDEF";
  std::string path;
  for (const char c : id) {
    const auto byte = static_cast<unsigned char>(c);
    if (absl::ascii_isalnum(byte) || c == '-' || c == '_') {
      path += c;
    } else {
      path += {'%', kDigits[byte >> 4], kDigits[byte & 15]};
    }
  }
  return path;
}

std::string TimeText(WallTime at) {
  return absl::FormatTime("%Y-%m-%dT%H:%M:%E3SZ", absl::FromChrono(at), absl::UTCTimeZone());
}

JsonObject Predicate(const char* dimension, std::string_view value) {
  JsonObject predicate;
  return predicate.Set("type", "dimension").Set("dimension", dimension).Set("value", value);
}

/// One Read: its requests, and what they have told so far.
class PlatformRead {
 public:
  PlatformRead(ApiClient& api, const ReadRequest& request)
      : api_(api),
        request_(request),
        deadline_(api.clock().Now() + kSendDeadline),
        from_(request.intended_at - kReadWindow),
        until_(request.intended_at + kStartBy + kSendDeadline + kReadWindow) {}

  ReadAnswer ById();
  ReadAnswer ByCandidates();

 private:
  /// kFound: `body_` has the reply. kAbsent: it is not there. Otherwise there is nothing more to
  /// do.
  ReadKind Ask(HttpCall call);
  ReadKind AskById(const std::string& path);
  ReadKind Search(std::set<std::string>& conversations);
  ReadKind AddMessagesOf(const std::string& conversation, bool must_be_there);
  ReadKind DropOtherTexts(const std::string& conversation,
                          std::vector<ProviderMessage>& candidates);
  ReadAnswer End(ReadKind kind, const char* detail = "") {
    answer_.kind = kind;
    if (*detail != '\0') answer_.detail = detail;
    return answer_;
  }

  ApiClient& api_;
  const ReadRequest& request_;
  const MonotonicTime deadline_;
  const WallTime from_;
  const WallTime until_;
  ReadAnswer answer_;
  std::optional<ApiReply> reply_;
};

ReadKind PlatformRead::Ask(HttpCall call) {
  if (answer_.requests >= request_.most_requests) {
    answer_.detail = "the account's burst is too small for a search";
    return ReadKind::kNotRead;
  }
  std::variant<ApiReply, Outcome> called = api_.Call(std::move(call), deadline_, deadline_);
  reply_ = std::nullopt;
  Outcome outcome;
  if (auto* reply = std::get_if<ApiReply>(&called)) {
    answer_.requests += reply->requests;
    outcome = OutcomeOf(reply->facts, api_.clock().Wall());
    if (reply->facts.http_status == 404) return ReadKind::kAbsent;
    reply_ = std::move(*reply);
  } else {
    outcome = std::get<Outcome>(std::move(called));
    answer_.requests += outcome.requests;
  }
  if (outcome.pauses_tenant) {
    answer_.retry_after = outcome.retry_after;
    answer_.detail = outcome.detail;
    return ReadKind::kThrottled;
  }
  if (outcome.kind == OutcomeKind::kAccepted && reply_->body) return ReadKind::kFound;
  answer_.detail =
      outcome.kind == OutcomeKind::kAccepted ? "the reply cannot be read" : outcome.detail;
  return ReadKind::kNotRead;
}

ReadAnswer PlatformRead::ById() {
  const std::string message = Segment(request_.provider_message_id);
  ReadKind kind = AskById(StrCat(kMessages, message, "/details"));
  if (kind == ReadKind::kAbsent && !request_.provider_conversation_id.empty()) {
    kind = AskById(
        StrCat(kMessages, Segment(request_.provider_conversation_id), "/messages/", message));
  }
  return End(kind);
}

ReadKind PlatformRead::AskById(const std::string& path) {
  if (const ReadKind kind = Ask({.path = path}); kind != ReadKind::kFound) return kind;
  std::optional<MessageData> data = ReadMessageData(*reply_->body);
  if (!data) {
    answer_.detail = "the reply has no status";
    api_.CountOdd("no_status", *reply_);
    return ReadKind::kNotRead;
  }
  if (data->message.provider_message_id != request_.provider_message_id) {
    answer_.detail = "the reply is of another message";
    api_.CountOdd("other_message", *reply_);
    return ReadKind::kNotRead;
  }
  answer_.found = {std::move(data->message)};
  return ReadKind::kFound;
}

ReadAnswer PlatformRead::ByCandidates() {
  std::set<std::string> conversations;
  if (const ReadKind kind = Search(conversations); kind != ReadKind::kFound) return End(kind);
  const std::set<std::string> searched = conversations;
  // The pair's last one may be where it went, whether or not the search knows it yet.
  if (!request_.provider_conversation_id.empty())
    conversations.insert(request_.provider_conversation_id);
  if (conversations.size() > kMaxConversationsRead)
    return End(ReadKind::kSeveral, "too many conversations of the pair");
  for (const std::string& conversation : conversations) {
    const bool must_be_there = searched.contains(conversation);
    if (const ReadKind kind = AddMessagesOf(conversation, must_be_there);
        kind != ReadKind::kFound) {
      answer_.found.clear();
      return End(kind);
    }
  }
  if (answer_.found.empty()) return End(ReadKind::kAbsent);
  return End(answer_.found.size() == 1 ? ReadKind::kFound : ReadKind::kSeveral);
}

ReadKind PlatformRead::Search(std::set<std::string>& conversations) {
  JsonArray predicates;
  predicates.Add(Predicate("addressFrom", request_.sender))
      .Add(Predicate("addressTo", request_.recipient));
  JsonObject filter;
  filter.Set("type", "and").Set("predicates", predicates);
  JsonArray filters;
  filters.Add(filter);
  JsonObject paging;
  paging.Set("pageSize", static_cast<int>(kMaxConversationsRead) + 1).Set("pageNumber", 1);
  JsonObject query;
  query.Set("interval", StrCat(TimeText(from_), "/", TimeText(until_)))
      .Set("order", "desc")
      .Set("orderBy", "conversationStart")
      .Set("paging", paging)
      .Set("segmentFilters", filters);
  const ReadKind kind = Ask({.method = "POST", .path = kSearch, .body = query.Dump()});
  if (kind == ReadKind::kAbsent) answer_.detail = "the provider has no analytics";
  // Without a search "absent" would say nothing at all.
  if (kind != ReadKind::kFound) return kind == ReadKind::kAbsent ? ReadKind::kNotRead : kind;
  const auto found = reply_->body->GetArray("conversations").value_or(std::vector<Json>());
  for (const Json& conversation : found) {
    if (std::string id = IdOf(conversation, "conversationId"); !id.empty())
      conversations.insert(std::move(id));
  }
  return ReadKind::kFound;
}

ReadKind PlatformRead::AddMessagesOf(const std::string& conversation, bool must_be_there) {
  const ReadKind kind = Ask({.path = StrCat(kMessages, Segment(conversation))});
  if (kind == ReadKind::kAbsent && must_be_there) {
    // Found a moment ago, and cannot be read: that says nothing of what is in it.
    answer_.detail = "a conversation of the pair cannot be read";
    return ReadKind::kNotRead;
  }
  if (kind != ReadKind::kFound) return kind == ReadKind::kAbsent ? ReadKind::kFound : kind;
  std::vector<ProviderMessage> candidates;
  const auto participants = reply_->body->GetArray("participants").value_or(std::vector<Json>());
  for (const Json& participant : participants) {
    for (const Json& shown : participant.GetArray("messages").value_or(std::vector<Json>())) {
      const std::string status = shown.GetString("messageStatus").value_or("");
      if (status == "received") continue;  // From the recipient.
      const auto state = StateOf(status);
      ProviderMessage message{.provider_message_id = IdOf(shown, "messageId"),
                              .provider_conversation_id = conversation,
                              .status = {}};
      if (!state || message.provider_message_id.empty()) {
        // Perhaps the one that is looked for.
        answer_.detail = "a message of the pair has an unknown status";
        return ReadKind::kNotRead;
      }
      message.status.state = *state;
      if (*state == MessageState::kFailed) message.status.failure = FailureReason::kOther;
      const auto at = ParseRfc3339(shown.GetString("messageTime").value_or(""));
      if (at.ok() && (*at < from_ || *at > until_)) continue;
      if (at.ok()) message.status.provider_at = *at;
      HashStatus(message);
      candidates.push_back(std::move(message));
    }
  }
  if (candidates.empty()) return ReadKind::kFound;
  if (candidates.size() > kMaxCandidatesRead) {
    answer_.detail = "too many messages of the pair";
    return ReadKind::kSeveral;
  }
  if (const ReadKind read = DropOtherTexts(conversation, candidates); read != ReadKind::kFound)
    return read;
  answer_.found.insert(answer_.found.end(), candidates.begin(), candidates.end());
  return ReadKind::kFound;
}

ReadKind PlatformRead::DropOtherTexts(const std::string& conversation,
                                      std::vector<ProviderMessage>& candidates) {
  JsonArray ids;
  for (const ProviderMessage& candidate : candidates) ids.Add(candidate.provider_message_id);
  const ReadKind kind = Ask({.method = "POST",
                             .path = StrCat(kMessages, Segment(conversation), "/messages/bulk"),
                             .body = ids.Dump()});
  // What is not shown cannot tell candidates apart, but they stay candidates.
  if (kind != ReadKind::kFound) return kind == ReadKind::kAbsent ? ReadKind::kFound : kind;
  const auto entities = reply_->body->GetArray("entities").value_or(std::vector<Json>());
  for (const Json& entity : entities) {
    const std::optional<MessageData> data = ReadMessageData(entity);
    if (!data) continue;
    const auto same = std::find_if(candidates.begin(), candidates.end(), [&](const auto& other) {
      return other.provider_message_id == data->message.provider_message_id;
    });
    if (same == candidates.end()) continue;
    if (!data->text.empty() && !SameText(data->text, request_.text)) {
      candidates.erase(same);
    } else {
      same->status = data->message.status;
    }
  }
  return ReadKind::kFound;
}

}  // namespace

ReadAnswer ReadAtPlatform(ApiClient& api, const ReadRequest& request) {
  PlatformRead read(api, request);
  return request.provider_message_id.empty() ? read.ByCandidates() : read.ById();
}

}  // namespace postrider
