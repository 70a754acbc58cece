#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "server/model/message.h"
#include "server/policy/conversation_key.h"
#include "server/store/pg_message_rows.h"
#include "server/store/pg_quotas.h"
#include "server/store/pg_session.h"

namespace postrider {

// The two statements of an accept. One cannot do it: its snapshot would not answer repeats within
// the batch or concurrent commits. The first takes request keys and makes conversations, waiting
// for concurrent transactions where keys collide; the second (pg_accept.cc) sees what then is, and
// says of each row whether it made the message. Inserts are sorted by key: without, concurrent
// batches deadlock.

// Whether the conversation that a row names is the one that it goes on in, of its sender and with
// its number; or new.
#define PR_NAMED_FITS(row, goes_to)                                                     \
  "CASE WHEN " goes_to                                                                  \
  " IS NULL THEN NOT EXISTS (SELECT FROM conversation g "                               \
  "WHERE g.tenant_id = " row ".tenant_id AND g.conversation_id = " row                  \
  ".given_id OFFSET 0) "                                                                \
  "ELSE EXISTS (SELECT FROM conversation g WHERE g.tenant_id = " row                    \
  ".tenant_id "                                                                         \
  "AND g.conversation_id = " row                                                        \
  ".given_id "                                                                          \
  "AND coalesce(g.merged_into, g.conversation_id) = " goes_to " AND g.sender_id = " row \
  ".sender_id "                                                                         \
  "AND (g.recipient_key = " row                                                         \
  ".recipient_key OR EXISTS (SELECT FROM conversation h "                               \
  "WHERE h.tenant_id = " row ".tenant_id AND h.recipient_key = " row                    \
  ".recipient_key "                                                                     \
  "AND h.sender_id = " row                                                              \
  ".sender_id "                                                                         \
  "AND coalesce(h.merged_into, h.conversation_id) = " goes_to " OFFSET 0)) OFFSET 0) END"

/// What a row of TakeKeys is refused for; others, from kFirstCap on, are the place of a cap.
constexpr std::int64_t kMayNotOpen = 9;
constexpr std::int64_t kFirstCap = 10;

/// The columns that both statements begin with.
inline void AddRequests(PgParams& params, std::span<const NewMessage> batch) {
  AddColumn(params, batch,
            [](auto& to, const NewMessage& n) { AppendUuid(to, n.request.tenant_id.uuid); });
  AddColumn(params, batch,
            [](auto& to, const NewMessage& n) { AppendText(to, n.request.request_id); });
  AddColumn(params, batch,
            [](auto& to, const NewMessage& n) { AppendUuid(to, n.message_id.uuid); });
  AddColumn(params, batch, [](auto& to, const NewMessage& n) { AppendBytes(to, n.fingerprint); });
  AddColumn(params, batch, [](auto& to, const NewMessage& n) {
    if (n.request.conversation_id.IsNil()) {
      to += "NULL";
    } else {
      AppendUuid(to, n.request.conversation_id.uuid);
    }
  });
}

/// `keys`: those of the contacts that rows join as; empty: their own.
inline void AddContacts(PgParams& params, std::span<const NewMessage> batch,
                        const std::vector<std::string>& keys = {}) {
  params.AddArray(batch.size(), [&](std::string& to, std::size_t i) {
    AppendText(to, keys.empty() ? ContactKeyOf(batch[i].request) : keys[i]);
  });
  AddColumn(params, batch,
            [](auto& to, const NewMessage& n) { AppendUuid(to, n.request.sender_id.uuid); });
  AddColumn(params, batch,
            [](auto& to, const NewMessage& n) { AppendBytes(to, RecipientKeyOf(n.request)); });
}

/// The first statement. Rows of `ord`, refusal, depth and key: with a key, it is that of the
/// contact that the row joins as, which is not its own; else it is refused.
PgRows TakeKeys(PgTransaction& transaction, std::span<const NewMessage> batch,
                const std::vector<QuotaRoom>& rooms);
std::vector<Query> TakeKeysQueries();

}  // namespace postrider
