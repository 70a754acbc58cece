#pragma once

#include <string>
#include <string_view>
#include <variant>

#include "server/base/clock.h"
#include "server/json/json.h"
#include "server/model/ids.h"
#include "server/model/message.h"

/// What is posted, and the shapes of profile `guide` as the outside world sees them; those of
/// `platform` are in sandbox/platform_shapes.h.
/// Source: the product guide, "Sending proactive outbound messages", and Genesys' API description.
namespace postrider {

/// A message as it was posted.
struct SandboxPost {
  std::string recipient;
  std::string sender;
  std::string text;
  bool by_platform = false;     ///< Of profile `platform`: has none of what follows but `joins`.
  bool joins = false;           ///< Into a connected conversation, when there is one.
  std::string conversation_id;  ///< Empty: none given.
  Metadata metadata;
  MessageId message_id;  ///< postriderMessageId of the metadata; nil when it has none.
  int attempt = 0;       ///< postriderAttempt; 0 when it has none.
};

/// An answer that says no.
struct SandboxRefusal {
  int http_status = 400;
  std::string code;
  std::string message;
  std::string field;  ///< Of a bad field; empty: none.

  /// The documented error body.
  std::string ToJson(std::string_view correlation_id) const;
};

/// How a profile calls the members that both have.
struct PostNames {
  const char* recipient;
  const char* sender;
  const char* text;
  const char* type;
};
/// Checks what every POST must have, as Genesys does: an E.164 recipient, a sender, a text of 765
/// characters at most, and the type "sms".
std::variant<SandboxPost, SandboxRefusal> ReadCommon(const Json& body, const PostNames& names);

/// Checks a POST's body as Genesys does: `to`, `from`, `message` and `type` must be there and
/// right, what is not known is not looked at.
std::variant<SandboxPost, SandboxRefusal> ReadPost(const Json& body);

/// The body of a status webhook. `status` is queued, sent, delivered or failed; empty metadata is
/// left out.
std::string ReceiptJson(const SandboxPost& post, std::string_view provider_message_id,
                        std::string_view provider_conversation_id, std::string_view status,
                        std::string_view error_code, WallTime at);

}  // namespace postrider
