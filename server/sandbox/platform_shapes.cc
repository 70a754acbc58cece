#include "server/sandbox/platform_shapes.h"

#include "absl/time/time.h"

#include "server/base/strings.h"

namespace postrider {

std::variant<SandboxPost, SandboxRefusal> ReadPlatformPost(const Json& body) {
  auto read = ReadCommon(body, {"toAddress", "fromAddress", "textBody", "toAddressMessengerType"});
  if (auto* post = std::get_if<SandboxPost>(&read)) {
    post->by_platform = true;
    post->joins = body.GetBool("useExistingActiveConversation").value_or(false);
  }
  return read;
}

std::string PlatformAcceptance(const SandboxPost& post, std::string_view message_id,
                               std::string_view conversation_id, WallTime at,
                               SandboxReplies replies) {
  JsonObject body;
  if (replies == SandboxReplies::kOlder) {
    body.Set("id", message_id).Set("conversationId", conversation_id);
    body.Set("textBody", post.text);
  }
  body.Set("fromAddress", post.sender)
      .Set("toAddress", post.recipient)
      .Set("messengerType", "sms")
      .Set("timestamp", PlatformTime(at));
  if (replies == SandboxReplies::kNewer) {
    JsonObject text;
    text.Set("type", "Text").Set("text", post.text);
    JsonObject message;
    message.Set("id", message_id)
        .Set("conversationId", conversation_id)
        .Set("timestamp", PlatformTime(at))
        .Set("status", "queued")
        .Set("normalizedMessage", text);
    body.Set("message", message);
  }
  body.Set("selfUri", StrCat("/api/v2/conversations/messages/", message_id, "/details"));
  return body.Dump();
}

std::string PlatformTime(WallTime at) {
  return absl::FormatTime("%Y-%m-%dT%H:%M:%E3SZ", absl::FromChrono(at), absl::UTCTimeZone());
}

}  // namespace postrider
