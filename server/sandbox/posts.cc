#include "server/sandbox/posts.h"

#include <algorithm>
#include <cstdint>
#include <optional>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/time/time.h"

#include "server/base/strings.h"
#include "server/model/limits.h"

namespace postrider {

namespace {

bool IsE164(std::string_view number) {
  if (number.size() < 3 || number.size() > 16 || number[0] != '+' || number[1] == '0') return false;
  return std::all_of(number.begin() + 1, number.end(), [](char c) { return c >= '0' && c <= '9'; });
}

// Of UTF-8, which ParseJson has checked.
std::size_t CharactersOf(std::string_view text) {
  return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xC0) != 0x80;
  }));
}

SandboxRefusal BadField(std::string field, std::string code, std::string message) {
  return {.http_status = 400,
          .code = std::move(code),
          .message = std::move(message),
          .field = std::move(field)};
}

}  // namespace

std::string SandboxRefusal::ToJson(std::string_view correlation_id) const {
  JsonArray details;
  if (!field.empty()) {
    JsonObject detail;
    detail.Set("errorCode", code).Set("fieldName", field);
    details.Add(detail);
  }
  JsonObject body;
  body.Set("message", message)
      .Set("code", code)
      .Set("status", http_status)
      .Set("contextId", correlation_id)
      .Set("details", details)
      .Set("errors", JsonArray());
  return body.Dump();
}

std::variant<SandboxPost, SandboxRefusal> ReadCommon(const Json& body, const PostNames& names) {
  SandboxPost post;
  const auto bad = [](const char* name, const char* code, const char* why) {
    return BadField(name, code, StrCat(name, why));
  };
  post.recipient = body.GetString(names.recipient).value_or("");
  if (!IsE164(post.recipient))
    return bad(names.recipient, "invalid.value", " must be an E.164 number");
  post.sender = body.GetString(names.sender).value_or("");
  if (post.sender.empty()) return bad(names.sender, "bad.request", " is required");
  if (post.sender.size() > 32) return bad(names.sender, "invalid.value", " is too long");
  post.text = body.GetString(names.text).value_or("");
  if (post.text.empty()) return bad(names.text, "bad.request", " is required");
  if (CharactersOf(post.text) > kMaxTextCharacters)
    return bad(names.text, "max.length.exceeded", " has more than 765 characters");
  if (body.GetString(names.type).value_or("") != "sms")
    return bad(names.type, "invalid.value", " must be \"sms\"");
  return post;
}

std::variant<SandboxPost, SandboxRefusal> ReadPost(const Json& body) {
  auto read = ReadCommon(body, {"to", "from", "message", "type"});
  if (!std::holds_alternative<SandboxPost>(read)) return read;
  auto& post = std::get<SandboxPost>(read);
  post.conversation_id = body.GetString("conversationId").value_or("");
  if (post.conversation_id.size() > 128)
    return BadField("conversationId", "invalid.value", "conversationId is too long");
  post.metadata = body.GetStringMap("metadata").value_or(Metadata());
  if (const auto id = post.metadata.find("postriderMessageId"); id != post.metadata.end()) {
    const absl::StatusOr<MessageId> parsed = MessageId::Parse(id->second);
    if (parsed.ok()) post.message_id = *parsed;
  }
  if (const auto attempt = post.metadata.find("postriderAttempt"); attempt != post.metadata.end()) {
    if (!absl::SimpleAtoi(attempt->second, &post.attempt)) post.attempt = 0;
  }
  return read;
}

std::string ReceiptJson(const SandboxPost& post, std::string_view provider_message_id,
                        std::string_view provider_conversation_id, std::string_view status,
                        std::string_view error_code, WallTime at) {
  JsonObject body;
  body.Set("id", provider_message_id)
      .Set("type", "sms")
      .Set("from", post.sender)
      .Set("to", post.recipient)
      .Set("conversationId", provider_conversation_id)
      .Set("status", status)
      .Set("timestamp",
           absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", absl::FromChrono(at), absl::UTCTimeZone()))
      .Set("deliveryStatus", status);
  if (error_code.empty()) {
    body.SetNull("errorCode");
  } else {
    body.Set("errorCode", error_code);
  }
  if (!post.metadata.empty()) body.Set("metadata", post.metadata);
  return body.Dump();
}

}  // namespace postrider
