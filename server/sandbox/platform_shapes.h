#pragma once

#include <string>
#include <string_view>
#include <variant>

#include "server/base/clock.h"
#include "server/json/json.h"
#include "server/sandbox/posts.h"

/// The shapes of profile `platform` as the outside world sees them.
/// Source: Genesys' API description, "Conversations" and "Analytics".
namespace postrider {

/// How replies to POSTs look.
enum class SandboxReplies {
  kNewer,  ///< The ids are within `message`.
  kOlder   ///< The ids are at the top, and the text is repeated.
};

/// Checks the body of an agentless POST as Genesys does. Metadata and conversations of the
/// caller's do not exist here.
std::variant<SandboxPost, SandboxRefusal> ReadPlatformPost(const Json& body);

/// The body of the answer that accepts `post`.
std::string PlatformAcceptance(const SandboxPost& post, std::string_view message_id,
                               std::string_view conversation_id, WallTime at,
                               SandboxReplies replies);

/// "2023-10-27T14:32:15.123Z"
std::string PlatformTime(WallTime at);

}  // namespace postrider
