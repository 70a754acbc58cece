#include "server/sandbox/platform_desk.h"

#include <optional>
#include <set>

#include "absl/time/time.h"

#include "server/base/strings.h"
#include "server/json/json.h"
#include "server/sandbox/platform_shapes.h"

namespace postrider {

namespace {

constexpr std::size_t kMostIds = 1000;

HttpResponse Good(const JsonObject& body) {
  return {.status = 200, .body = body.Dump(), .content_type = "application/json"};
}

HttpResponse RefuseWith(int status, std::string code, std::string message) {
  const SandboxRefusal refusal{
      .http_status = status, .code = std::move(code), .message = std::move(message), .field = ""};
  return {.status = status, .body = refusal.ToJson(""), .content_type = "application/json"};
}

HttpResponse NotFound() { return RefuseWith(404, "not.found", "The resource could not be found"); }

/// The interval "FROM/UNTIL"; nothing when it is none.
std::optional<std::pair<WallTime, WallTime>> IntervalOf(std::string_view text) {
  const std::size_t slash = text.find('/');
  if (slash == text.npos) return std::nullopt;
  absl::Time from;
  absl::Time until;
  if (!absl::ParseTime(absl::RFC3339_full, ToAbsl(text.substr(0, slash)), &from, nullptr) ||
      !absl::ParseTime(absl::RFC3339_full, ToAbsl(text.substr(slash + 1)), &until, nullptr))
    return std::nullopt;
  return std::pair(absl::ToChronoTime(from), absl::ToChronoTime(until));
}

/// The value that a query's filters ask of `dimension`; empty when they do not.
std::string Asked(const Json& query, std::string_view dimension) {
  for (const Json& filter : query.GetArray("segmentFilters").value_or(std::vector<Json>())) {
    for (const Json& row : filter.GetArray("predicates").value_or(std::vector<Json>())) {
      if (row.GetString("dimension") == std::string(dimension))
        return row.GetString("value").value_or("");
    }
  }
  return {};
}

/// Analytics have a spelling of their own.
std::string_view InAnalytics(std::string_view status) {
  if (status == "queued") return "Queued";
  if (status == "sent") return "Sent";
  return status == "delivery-success" ? "DeliverySuccess" : "DeliveryFailed";
}

}  // namespace

std::string_view PlatformDesk::StatusOf(const SandboxMessage& message) const {
  const std::string_view last = message.row->behaviour.last_status;
  const auto passed = clock_.Wall() - message.accepted_at;
  if (last.empty() || passed < after_[1]) return "queued";
  if (last == "sent" || passed < after_[2]) return "sent";
  return last == "delivered" ? "delivery-success" : "delivery-failed";
}

JsonObject PlatformDesk::DataOf(const SandboxMessage& message) const {
  const std::string_view status = StatusOf(message);
  JsonArray receipts;
  if (status.starts_with("delivery")) {
    const bool failed = status == "delivery-failed";
    JsonObject receipt;
    receipt.Set("type", "Receipt").Set("status", failed ? "Failed" : "Delivered");
    if (failed) {
      JsonObject reason;
      reason.Set("code", "GeneralError")
          .Set("message", StrCat("The carrier answered ", message.row->behaviour.error_code));
      JsonArray reasons;
      reasons.Add(reason);
      receipt.Set("reasons", reasons);
    }
    receipt.Set("isFinalReceipt", true);
    receipts.Add(receipt);
  }
  JsonObject text;
  text.Set("type", "Text").Set("text", message.post.text);
  JsonObject data;
  data.Set("id", message.provider_message_id)
      .Set("conversationId", message.provider_conversation_id)
      .Set("direction", "outbound")
      .Set("messengerType", "sms")
      .Set("fromAddress", message.post.sender)
      .Set("toAddress", message.post.recipient)
      .Set("timestamp", PlatformTime(message.accepted_at))
      .Set("status", status)
      .Set("normalizedMessage", text)
      .Set("normalizedReceipts", receipts);
  return data;
}

HttpResponse PlatformDesk::Message(const std::string& message_id,
                                   const std::string& conversation_id) const {
  const std::optional<SandboxMessage> found = book_.Find(message_id);
  const bool elsewhere =
      found && !conversation_id.empty() && found->provider_conversation_id != conversation_id;
  return found && !elsewhere ? Good(DataOf(*found)) : NotFound();
}

HttpResponse PlatformDesk::Conversation(const std::string& conversation_id) const {
  const std::vector<SandboxMessage> found = book_.InConversation(conversation_id);
  if (found.empty()) return NotFound();
  JsonArray messages;
  for (const SandboxMessage& message : found) {
    JsonObject shown;
    shown.Set("messageId", message.provider_message_id)
        .Set("messageStatus", StatusOf(message))
        .Set("messageTime", PlatformTime(message.accepted_at));
    messages.Add(shown);
  }
  JsonObject participant;
  participant.Set("purpose", "agent").Set("direction", "outbound").Set("messages", messages);
  JsonArray participants;
  participants.Add(participant);
  JsonObject body;
  return Good(body.Set("id", conversation_id).Set("participants", participants));
}

HttpResponse PlatformDesk::Bulk(const std::string& conversation_id, std::string_view text) const {
  const absl::StatusOr<Json> ids = ParseJson(text);
  if (!ids.ok() || !ids->IsArray() || ids->Items().size() > kMostIds)
    return RefuseWith(400, "bad.request", "the body is not an array of at most 1000 ids");
  JsonArray entities;
  for (const Json& id : ids->Items()) {
    const std::optional<SandboxMessage> found = book_.Find(id.AsString().value_or(""));
    if (found && found->provider_conversation_id == conversation_id) entities.Add(DataOf(*found));
  }
  JsonObject body;
  return Good(body.Set("entities", entities));
}

HttpResponse PlatformDesk::Search(std::string_view text) const {
  const absl::StatusOr<Json> query = ParseJson(text);
  const auto interval = IntervalOf(query.ok() ? query->GetString("interval").value_or("") : "");
  if (!interval) return RefuseWith(400, "bad.request", "interval: not two instants");
  const std::string from = Asked(*query, "addressFrom");
  const std::string to = Asked(*query, "addressTo");
  std::set<std::string> told;
  JsonArray conversations;
  for (const SandboxMessage& message : book_.Between(from, to, interval->first, interval->second)) {
    if (!told.insert(message.provider_conversation_id).second) continue;
    JsonObject session;
    session.Set("mediaType", "message")
        .Set("messageType", "sms")
        .Set("addressFrom", from)
        .Set("addressTo", to)
        .Set("deliveryStatus", InAnalytics(StatusOf(message)));
    JsonArray sessions;
    sessions.Add(session);
    JsonObject participant;
    participant.Set("purpose", "agent").Set("sessions", sessions);
    JsonArray participants;
    participants.Add(participant);
    JsonObject conversation;
    conversation.Set("conversationId", message.provider_conversation_id)
        .Set("participants", participants);
    conversations.Add(conversation);
  }
  JsonObject body;
  if (!told.empty()) body.Set("conversations", conversations);
  return Good(body.Set("totalHits", static_cast<int>(told.size())));
}

}  // namespace postrider
