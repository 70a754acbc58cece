#pragma once

#include <string>

#include "server/model/ids.h"
#include "server/model/state.h"

namespace postrider {

/// A raw webhook, as it is kept.
struct InboxRow {
  TenantId tenant_id;
  InboxId inbox_id;
  std::string profile;  ///< "guide": which shape the body has.
  std::string body;     ///< The bytes as they came.
};

/// What a webhook's body says (provider/ reads it).
struct Receipt {
  ReceiptStatus status;
  MessageId message_id;             ///< From our metadata's echo; nil when it carries none.
  std::string provider_message_id;  ///< Empty when it carries none.
  std::string provider_conversation_id;
};

/// What became of an inbox row. Stored; never renumber. Source: invariant S8.
enum class InboxVerdict : std::uint8_t { kApplied = 1, kDuplicate = 2, kDeadLetter = 3 };

}  // namespace postrider
