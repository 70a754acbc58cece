#pragma once

#include <array>
#include <chrono>
#include <string>
#include <string_view>

#include "server/base/clock.h"
#include "server/http/message.h"
#include "server/json/json.h"
#include "server/sandbox/message_book.h"

namespace postrider {

/// Answers the reads of profile `platform` from a MessageBook. Who may ask is not its business.
/// Safe from any thread.
class PlatformDesk {
 public:
  /// From the POST to queued, to sent, and to the last status.
  using Delays = std::array<std::chrono::milliseconds, 3>;

  /// All must outlive it.
  PlatformDesk(const MessageBook& book, const Delays& after, const Clock& clock)
      : book_(book), after_(after), clock_(clock) {}

  /// One message; `conversation_id` empty: whatever its conversation.
  HttpResponse Message(const std::string& message_id, const std::string& conversation_id) const;
  /// A conversation with its messages.
  HttpResponse Conversation(const std::string& conversation_id) const;
  /// `body`: an array of at most 1000 ids of the conversation. What is not known is left out.
  HttpResponse Bulk(const std::string& conversation_id, std::string_view body) const;
  /// The analytics query for addresses in an interval.
  HttpResponse Search(std::string_view body) const;

 private:
  /// "queued", "sent", "delivery-success" ...: what `message`'s status is by now.
  std::string_view StatusOf(const SandboxMessage& message) const;
  JsonObject DataOf(const SandboxMessage& message) const;

  const MessageBook& book_;
  const Delays after_;
  const Clock& clock_;
};

}  // namespace postrider
