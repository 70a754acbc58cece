#pragma once

#include <span>
#include <string>

#include "server/model/receipt.h"
#include "server/store/pg_session.h"

namespace postrider {

/// What became of an inbox row.
struct InboxEnd {
  const InboxRow* row = nullptr;
  InboxVerdict verdict = InboxVerdict::kApplied;
  MessageId message_id = {};    ///< The message it was for; nil: none.
  std::string reason = {};      ///< Of a dead letter: a word in capitals.
  std::string detail = {};      ///< Of a dead letter: one line for people.
  std::string dedupe_key = {};  ///< SHA-256 of the body.
};

/// Keeps them; those that are there already stay as they are.
void AppendInboxRows(PgTransaction& transaction, std::span<const InboxRow> rows);

/// Keeps the dead among them as dead letters, and completes all: none is parked or swept again.
void EndInboxRows(PgTransaction& transaction, std::span<const InboxEnd> ends);

}  // namespace postrider
