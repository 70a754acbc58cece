#pragma once

#include <map>
#include <span>
#include <string_view>

#include "server/store/lease.h"
#include "server/store/pg_message_rows.h"

namespace postrider {

// Attempts between their intent and their outcome.

/// An attempt whose intent goes on record.
struct OpenedAttempt {
  MessageKey key;
  int attempt = 1;
  Lease lease;
};
/// Puts intents on record. Of messages that are locked and DISPATCHING by then.
void InsertAttempts(PgTransaction& transaction, ReplicaId replica,
                    std::span<const OpenedAttempt> opened);

/// The open attempt of each message.
using OpenAttempts = std::map<MessageKey, int>;
/// Closes those of `open` that are, as unknown, for nobody will record their outcome: `why`, one
/// line for people. Their messages wait to be settled. Returns how many there still were.
int CloseAsUnknown(PgTransaction& transaction, const OpenAttempts& open, std::string_view why);

}  // namespace postrider
