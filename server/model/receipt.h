#pragma once

#include <string>
#include <variant>

#include "server/model/ids.h"
#include "server/model/state.h"

namespace postrider {

/// A raw webhook, as it is kept.
struct InboxRow {
  TenantId tenant_id;
  InboxId inbox_id;
  std::string profile;  ///< "guide" or "platform": which shapes the body may have.
  std::string body;     ///< The bytes as they came.
};

/// A status from outside (provider/ reads it).
struct Receipt {
  ReceiptStatus status;
  MessageId message_id;             ///< From our metadata's echo; nil when it carries none.
  std::string provider_message_id;  ///< Empty when it carries none.
  std::string channel_message_id;   ///< The other id that it may be known by; empty: none.
  std::string provider_conversation_id;
};

/// A text from a recipient.
struct InboundText {
  std::string provider_message_id;  ///< Empty when it carries none.
  std::string provider_conversation_id;
  std::string sender;     ///< The tenant's address that it was sent to.
  std::string recipient;  ///< Whose it is: E.164.
  std::string text;       ///< UTF-8, no NUL, 1 .. kMaxWebhookBytes; empty: a picture or the like.
  WallTime provider_at{};
};

/// What a webhook's body says.
using WebhookContent = std::variant<Receipt, InboundText>;

/// What became of an inbox row. Stored; never renumber. Source: invariant S8.
enum class InboxVerdict : std::uint8_t { kApplied = 1, kDuplicate = 2, kDeadLetter = 3 };

}  // namespace postrider
