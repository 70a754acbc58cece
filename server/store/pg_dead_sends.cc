#include "server/store/pg_dead_sends.h"

#include <utility>

#include "server/base/status_macros.h"
#include "server/base/strings.h"
#include "server/store/pg_attempt_rows.h"
#include "server/store/pg_queries.h"
#include "server/store/pg_store.h"

namespace postrider {

namespace {

// One that was discarded stays so; one that was replayed or settled is dead again. That one which
// FAILED had been DELIVERED before is not forgotten when it is told again that it FAILED.
constexpr Query kBurySends{"dead_sends_bury", R"(
WITH r AS MATERIALIZED (SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[],
  $5::boolean[]) AS r(tenant_id, message_id, reason, detail, only_by_id))
INSERT INTO dead_letter (tenant_id, dead_letter_id, source, reason, detail, body, only_by_id)
SELECT r.tenant_id, r.message_id, 'send', r.reason, r.detail, ''::bytea, r.only_by_id FROM r
ORDER BY r.tenant_id, r.message_id
ON CONFLICT (tenant_id, dead_letter_id) DO UPDATE SET reason = excluded.reason,
  detail = excluded.detail, at = excluded.at,
  only_by_id = excluded.only_by_id OR (dead_letter.only_by_id AND dead_letter.reason = 'FAILED'
    AND excluded.reason = 'FAILED'),
  state = CASE dead_letter.state WHEN 3::smallint THEN 3::smallint ELSE 1::smallint END)"};

// Found as intend_take_from_queue finds its rows; coalesce: the state alone would offer the index
// of all that are dead. Who discards one at the moment has the last word.
constexpr Query kSettleSends{
    "dead_sends_settle",
    "UPDATE dead_letter d SET state = 4 WHERE d.ctid = ANY(ARRAY("
    "SELECT k.ctid FROM unnest($1::uuid[], $2::uuid[]) AS r(tenant_id, message_id), "
    "LATERAL (SELECT k.ctid FROM dead_letter k WHERE k.tenant_id = r.tenant_id "
    "AND k.dead_letter_id >= r.message_id AND k.dead_letter_id <= r.message_id "
    "ORDER BY k.dead_letter_id LIMIT 1) k)) AND coalesce(d.state, 0) = 1"};

constexpr Query kMarkLetters{
    "dead_letters_mark",
    "UPDATE dead_letter d SET state = $3::smallint, "
    "action_id = coalesce(nullif($5::uuid, '00000000-0000-0000-0000-000000000000'), d.action_id), "
    "replays = d.replays + $4::integer FROM unnest($1::uuid[], $2::uuid[]) "
    "AS r(tenant_id, dead_letter_id) WHERE d.tenant_id = r.tenant_id "
    "AND d.dead_letter_id = r.dead_letter_id"};

/// "CARRIER_REJECTED, carrier_rejected".
std::string DetailOf(const MessageStatus& status) {
  std::string detail(NameOf(status.failure));
  if (!status.provider_code.empty()) StrAppend(detail, ", ", status.provider_code);
  return detail;
}

bool TurnsOutWell(const MessageChange& change) {
  const MessageState state = change.after.state;
  return change.correction && (state == MessageState::kSubmitted || state == MessageState::kSent ||
                               state == MessageState::kDelivered);
}

void BurySends(PgTransaction& transaction, std::span<const MessageChange* const> failed) {
  if (failed.empty()) return;
  std::vector<StoredMessage> rows(failed.size());
  for (std::size_t i = 0; i < failed.size(); ++i) {
    rows[i].message.request.tenant_id = failed[i]->key.tenant_id;
    rows[i].message.message_id = failed[i]->key.message_id;
    rows[i].message.status = failed[i]->after;
  }
  LoadOtherAttempts(transaction, rows);
  PgParams params;
  AddColumn(params, rows, [](auto& to, const auto& r) { AppendUuid(to, r.Key().tenant_id.uuid); });
  AddColumn(params, rows, [](auto& to, const auto& r) { AppendUuid(to, r.Key().message_id.uuid); });
  AddColumn(params, rows,
            [](auto& to, const auto& r) { AppendText(to, NameOf(r.message.status.state)); });
  AddColumn(params, rows,
            [](auto& to, const auto& r) { AppendText(to, DetailOf(r.message.status)); });
  std::vector<bool> may_have_arrived;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    may_have_arrived.push_back(failed[i]->before.state == MessageState::kDelivered ||
                               MayHaveArrived(rows[i].message.status, rows[i].others));
  }
  AddColumn(params, may_have_arrived, [](auto& to, bool may) { to += may ? "true" : "false"; });
  transaction.Run(kBurySends, params);
}

void SettleSends(PgTransaction& transaction, std::span<const MessageKey> keys) {
  if (keys.empty()) return;
  PgParams params;
  AddKeys(params, keys);
  transaction.Run(kSettleSends, params);
}

}  // namespace

PgParams LetterKeysOf(TenantId tenant, std::span<const DeadLetterId> ids) {
  PgParams params;
  AddColumn(params, ids, [&](auto& to, DeadLetterId) { AppendUuid(to, tenant.uuid); });
  AddColumn(params, ids, [](auto& to, DeadLetterId id) { AppendUuid(to, id.uuid); });
  return params;
}

void MarkLetters(PgTransaction& transaction, TenantId tenant, std::span<const DeadLetterId> ids,
                 LetterState state, const OperatorAction* action) {
  if (ids.empty()) return;
  PgParams params = LetterKeysOf(tenant, ids);
  params.Add(static_cast<std::int64_t>(state));
  params.Add(std::int64_t{state == LetterState::kReplayed ? 1 : 0});
  params.Add(action == nullptr ? Uuid() : action->action_id);
  transaction.Run(kMarkLetters, params);
}

void KeepDeadSends(PgTransaction& transaction, std::span<const MessageChange> changes) {
  std::vector<const MessageChange*> failed;
  std::vector<MessageKey> settled;
  for (const MessageChange& change : changes) {
    if (!change.visible) continue;
    if (IsFailure(change.after.state)) failed.push_back(&change);
    if (TurnsOutWell(change)) settled.push_back(change.key);
  }
  BurySends(transaction, failed);
  SettleSends(transaction, settled);
}

std::optional<MessageChange> ReplayOf(const StoredMessage& stored) {
  const MessageStatus& now = stored.message.status;
  std::optional<MessageStatus> after = AfterReplay(now);
  if (!after || IsErased(stored.message.request)) return std::nullopt;
  MessageChange change = ChangeOf(stored.Key(), now, *std::move(after), Cause::kReplayed);
  change.hidden.push_back(ShownAttempt(now));
  change.provider_message_id = stored.message.provider_message_id;
  change.provider_conversation_id = stored.message.provider_conversation_id;
  return change;
}

void WriteReplays(PgTransaction& transaction, std::span<const MessageChange> replays,
                  std::span<const std::pair<MessageKey, WallTime>> queued) {
  // A receipt that overtook the POST's answer told the message its id, and not the attempt. Without
  // it a read for the new attempt would take the old one's text for its own.
  std::vector<NamedAttempt> named;
  for (const MessageChange& r : replays) {
    named.push_back({r.key, r.before.attempt, r.provider_message_id, r.provider_conversation_id});
  }
  NameAttempts(transaction, named);
  WriteChanges(transaction, replays);
  AddToQueue(transaction, queued);
}

absl::StatusOr<Replay> PgStore::ReplayMessage(const MessageKey& key, const OperatorAction& action) {
  Replay replay;
  PR_RETURN_IF_ERROR(TransactWithEvents("replay_message", [&](PgTransaction& transaction) {
    replay = {};
    std::vector<StoredMessage> locked = LockMessages(transaction, {key});
    if (locked.empty()) return absl::OkStatus();
    Message& message = locked[0].message;
    replay.kind = Replay::Kind::kNotFailed;
    if (IsFailure(message.status.state) && IsErased(message.request)) {
      replay.kind = Replay::Kind::kErased;
    } else if (const std::optional<MessageChange> change = ReplayOf(locked[0])) {
      replay.kind = Replay::Kind::kReplayed;
      message.status = change->after;
      message.updated_at = locked[0].store_now;
      const std::pair<MessageKey, WallTime> queued{key, locked[0].store_now};
      WriteReplays(transaction, {&*change, 1}, {&queued, 1});
      const DeadLetterId letter{key.message_id.uuid};
      MarkLetters(transaction, key.tenant_id, {&letter, 1}, LetterState::kReplayed, &action);
      RecordAction(transaction, key.tenant_id, action, "REPLAY", key.message_id.ToString());
    }
    replay.message = std::move(message);
    return absl::OkStatus();
  }));
  return replay;
}

std::vector<Query> DeadSendQueries() { return {kBurySends, kSettleSends, kMarkLetters}; }

}  // namespace postrider
