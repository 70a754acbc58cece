#pragma once

#include <set>
#include <span>
#include <string>
#include <vector>

#include "server/store/consent.h"
#include "server/store/inbox.h"
#include "server/store/pg_message_rows.h"
#include "server/store/pg_session.h"

namespace postrider {

// Consent events, and what they do to suppressions. Shared by the files of PgStore.

/// Writes events of any tenants and puts in force, for each recipient and sender, what was said
/// last. Which are new decides: repeats change nothing. `still_opted_out` is not counted.
ConsentCounts WriteConsent(PgTransaction& transaction, std::span<const ConsentEvent> events);

/// The same of keywords and receipts, each of the sender in its event or, as its tenant has set it,
/// of all senders. An opt-in always is of the sender, too.
void WriteConsentByScope(PgTransaction& transaction, std::vector<ConsentEvent> events);

/// Accepts the answer to each opt-out that one of these texts, which this transaction has recorded,
/// has put in force; its message_id is the text's new_message_id. Returns those that there are.
std::set<MessageKey> AnswerOptOuts(PgTransaction& transaction,
                                   std::span<const NewInbound* const> outs);

/// An attempt that may have left.
struct MayHaveLeft {
  MessageKey key;
  int attempt = 1;
  SenderId sender_id;
  std::string recipient;  ///< E.164.
};
/// Marks those attempts whose recipients have opted out since they were intended.
void MarkLeftBeforeOptOut(PgTransaction& transaction, std::span<const MayHaveLeft> attempts);

/// After changes of messages: who turns out to have opted out is opted out here. Costs nothing for
/// other changes.
void KeepOptOuts(PgTransaction& transaction, std::span<const MessageChange> changes);

}  // namespace postrider
