#pragma once

#include <span>
#include <string>
#include <vector>

#include "server/store/pg_message_rows.h"

namespace postrider {

// Messages with several attempts: few, so that what is known of those that are not shown costs
// nobody else a statement.

/// Fills `others` of those locked messages that have them.
void LoadOtherAttempts(PgTransaction& transaction, std::vector<StoredMessage>& messages);
/// Keeps what receipts said of attempts that are hidden; the rest follows from their outcomes.
void WriteHiddenAttempts(PgTransaction& transaction, std::span<const MessageChange> changes);

/// What Genesys calls a message, learnt after its attempt ended.
struct NamedAttempt {
  MessageKey key;
  int attempt = 0;
  std::string provider_message_id;  ///< Empty: not learnt, nothing is written.
  std::string provider_conversation_id;
};
/// Keeps the names of attempts that had none: no other message is taken for theirs.
void NameAttempts(PgTransaction& transaction, std::span<const NamedAttempt> named);

}  // namespace postrider
