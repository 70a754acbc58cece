#pragma once

#include <map>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

#include "server/model/message.h"
#include "server/model/transitions.h"
#include "server/store/control.h"
#include "server/store/pg_session.h"

namespace postrider {

// How rows of message, status_event and attempt become model types and back; shared by the files
// of PgStore.

/// The columns of `message m` that ReadMessage reads, in its order.
#define PR_US(expression) "(extract(epoch FROM " expression ") * 1000000)::bigint"
#define PR_MESSAGE_COLUMNS \
  "m.tenant_id, m.message_id, m.slot, m.request_id, m.conversation_id, m.external_contact_id, "   \
  "m.campaign_id, m.sender_id, m.sender, m.recipient, m.body, "                                   \
  "CASE WHEN m.metadata <> '{}' THEN ARRAY(SELECT unnest(ARRAY[p.key, p.value]) "                 \
  "FROM jsonb_each_text(m.metadata) p)::text END, "                                               \
  "m.priority, m.duplicate_policy, " PR_US("m.not_before") ", " PR_US("m.expire_at")              \
  ", m.time_zone, " PR_US("m.accepted_at") ", " PR_US("m.updated_at")                             \
  ", m.state, m.revision, m.attempt, m.final, m.failure, m.provider_code, m.correlation_id, "     \
  PR_US("m.provider_at") ", m.receipt_hash, m.hold_reason, " PR_US("m.hold_until")                \
  ", m.provider_message_id, m.provider_conversation_id, m.opened, coalesce(m.template_name, ''), "   \
  "m.answers_opt_out, m.content_unchecked, " PR_US("clock_timestamp()")
inline constexpr int kMessageColumns = 37;  ///< As many; what a statement adds comes after them.

/// The columns of `status_event e` that ReadEvent reads, in its order.
#define PR_EVENT_COLUMNS \
  "e.tenant_id, e.message_id, e.revision, e.previous, e.state, e.cause, e.attempt, e.final, "     \
  "e.correction, e.failure, e.provider_code, e.correlation_id, " PR_US("e.provider_at")           \
  ", e.hold_reason, " PR_US("e.hold_until") ", e.conversation_id, e.external_contact_id, "        \
  "e.campaign_id, " PR_US("e.at")

/// A message as stored, with the store's time of reading it.
struct StoredMessage {
  Message message;
  int slot = 0;
  WallTime store_now{};
  /// Of a locked message: its attempts but the one that it shows.
  std::vector<AttemptStatus> others = {};
  MessageKey Key() const { return {message.request.tenant_id, message.message_id}; }
};

StoredMessage ReadMessage(const PgRows& rows, int row);
StatusEvent ReadEvent(const PgRows& rows, int row);

/// A change of a message that is locked, with its event.
struct MessageChange {
  MessageKey key;
  MessageStatus before;
  MessageStatus after;
  Cause cause = Cause::kAccepted;
  bool correction = false;               ///< It was final before.
  bool visible = true;                   ///< Writes an event; `after` has the next revision.
  std::string provider_message_id;       ///< Kept when empty.
  std::string provider_conversation_id;  ///< Kept when empty.
  std::vector<AttemptStatus> hidden;     ///< Attempts that `after` does not show.
};

/// Locks messages in the order of their keys, so that no two transactions wait for one another.
/// Unknown keys are left out.
std::vector<StoredMessage> LockMessages(PgTransaction& transaction, std::vector<MessageKey> keys);
/// Writes changes of locked messages, their events, and what they do to dead letters, opt-outs and
/// rejections of content.
void WriteChanges(PgTransaction& transaction, std::span<const MessageChange> changes);
/// A change of `before` into `after` for `cause`, with an event; a correction when `before` was
/// final.
MessageChange ChangeOf(const MessageKey& key, const MessageStatus& before, MessageStatus after,
                       Cause cause);

/// By how much the depth of each tenant's queue changes.
using DepthChanges = std::map<TenantId, int>;
void AddDepth(PgTransaction& transaction, const DepthChanges& by_tenant);

/// Puts messages into the queue, each due at its time, and counts them. One whose row an earlier
/// plan left there keeps it.
void AddToQueue(PgTransaction& transaction,
                std::span<const std::pair<MessageKey, WallTime>> queued);

/// A message that news are waited for.
struct Awaited {
  MessageKey key;
  int slot = 0;
  bool accepted = false;  ///< SUBMITTED or SENT; else UNKNOWN, which comes first.
  WallTime look_at{};     ///< Epoch: now.
};
/// Puts messages where they wait to be settled; those that wait there already stay as they are.
void AddToReconcile(PgTransaction& transaction, std::span<const Awaited> awaited);

/// Keeps until when the provider told tenants to wait, for the next owners of their slots.
void PauseTenants(PgTransaction& transaction,
                  std::span<const std::pair<TenantId, WallTime>> pauses);

/// What the store's clock says now, also within a transaction that began earlier.
WallTime StoreNow(PgTransaction& transaction);
/// Microseconds since the epoch, as Query parameters take a time.
std::int64_t MicrosecondsOf(WallTime time);

/// What an action changed: JSON objects, of which only what differs is kept. Empty: nothing was, or
/// is, there. No secrets.
struct ShownChange {
  std::string before = {};
  std::string after = {};
};

/// Writes what an operator did, in the transaction of the action. Without an actor it was the
/// database user. A nil `tenant`: to none.
void RecordAction(PgTransaction& transaction, TenantId tenant, const OperatorAction& action,
                  std::string_view what, std::string_view target, const ShownChange& change = {});
/// Takes out messages that are settled.
void RemoveFromReconcile(PgTransaction& transaction, std::span<const MessageKey> keys);

/// {"key":"value", ...} in the order of the keys.
std::string JsonOf(const Metadata& metadata);

/// Adds one array parameter with an element of each of `rows`.
template <typename Rows, typename Append>
PgParams& AddColumn(PgParams& params, const Rows& rows, Append append) {
  return params.AddArray(rows.size(),
                         [&](std::string& literal, std::size_t i) { append(literal, rows[i]); });
}

/// Adds keys, or those of rows with a member `key`: tenants, then messages.
template <typename Rows>
void AddKeys(PgParams& params, const Rows& rows) {
  const auto key_of = [](const auto& row) -> const MessageKey& {
    if constexpr (std::is_same_v<std::decay_t<decltype(row)>, MessageKey>) {
      return row;
    } else {
      return row.key;
    }
  };
  AddColumn(params, rows,
            [&](auto& to, const auto& row) { AppendUuid(to, key_of(row).tenant_id.uuid); });
  AddColumn(params, rows,
            [&](auto& to, const auto& row) { AppendUuid(to, key_of(row).message_id.uuid); });
}

}  // namespace postrider
