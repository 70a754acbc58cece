#pragma once

#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "server/store/dead_letters.h"
#include "server/store/pg_message_rows.h"
#include "server/store/pg_session.h"

namespace postrider {

// Rows of dead_letter, and what changes of messages do to those of sends.

/// Of a row of dead_letter. Stored; never renumber.
enum class LetterState : std::int8_t { kDead = 1, kReplayed = 2, kDiscarded = 3, kSettled = 4 };

/// Their tenant and their ids, as two columns.
PgParams LetterKeysOf(TenantId tenant, std::span<const DeadLetterId> ids);

/// `action` did it; null: nobody did.
void MarkLetters(PgTransaction& transaction, TenantId tenant, std::span<const DeadLetterId> ids,
                 LetterState state, const OperatorAction* action);

/// After the changes of messages and their attempts are written: what ended as a failure is a dead
/// letter, and what turns out not to have failed is none. Costs nothing for other changes.
void KeepDeadSends(PgTransaction& transaction, std::span<const MessageChange> changes);

/// A locked message, QUEUED for another attempt; nothing unless it failed, or when its text or
/// number was erased.
std::optional<MessageChange> ReplayOf(const StoredMessage& stored);
/// Writes what ReplayOf gave, each message due at its time.
void WriteReplays(PgTransaction& transaction, std::span<const MessageChange> replays,
                  std::span<const std::pair<MessageKey, WallTime>> queued);

}  // namespace postrider
