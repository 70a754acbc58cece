#include "server/store/pg_attempt_rows.h"

#include <algorithm>
#include <iterator>

#include "server/base/strings.h"
#include "server/store/pg_queries.h"

namespace postrider {

namespace {

// After the lock, not with it: what a statement reads besides the rows that it locks is from
// before it waited.
constexpr Query kOtherAttempts{
    "other_attempts",
    "SELECT r.ord, a.attempt, a.outcome, a.state, a.failure, a.receipt_code, " PR_US("a.provider_at")
    ", a.receipt_hash FROM unnest($1::uuid[], $2::uuid[]) WITH ORDINALITY AS "
    "r(tenant_id, message_id, ord) JOIN attempt a ON a.tenant_id = r.tenant_id "
    "AND a.message_id = r.message_id ORDER BY r.ord, a.attempt"};

constexpr Query kWriteHidden{
    "write_hidden_attempts",
    "WITH r AS MATERIALIZED (SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::integer[], "
    "$4::smallint[], $5::smallint[], $6::text[], $7::bigint[], $8::bytea[]) AS r(tenant_id, "
    "message_id, attempt, state, failure, code, provider_at, hash)) "
    "UPDATE attempt a SET state = r.state, failure = r.failure, receipt_code = r.code, "
    "provider_at = timestamptz 'epoch' + r.provider_at * interval '1 microsecond', "
    "receipt_hash = r.hash FROM r WHERE a.tenant_id = r.tenant_id "
    "AND a.message_id = r.message_id AND a.attempt = r.attempt"};

constexpr Query kNameAttempts{
    "name_attempts",
    "WITH r AS MATERIALIZED (SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::integer[], "
    "$4::text[], $5::text[]) AS r(tenant_id, message_id, attempt, id, conversation)) "
    "UPDATE attempt a SET provider_message_id = r.id, provider_conversation_id = r.conversation "
    "FROM r WHERE a.tenant_id = r.tenant_id AND a.message_id = r.message_id "
    "AND a.attempt = r.attempt AND a.provider_message_id || '' = ''"};

AttemptStatus ReadAttemptStatus(const PgRows& rows, int row) {
  AttemptStatus attempt;
  attempt.attempt = static_cast<int>(rows.Int(row, 1));
  std::optional<OutcomeKind> outcome;
  if (!rows.IsNull(row, 2)) outcome = static_cast<OutcomeKind>(rows.Int(row, 2));
  attempt.state = StateOfAttempt(outcome);
  if (rows.IsNull(row, 3)) return attempt;
  attempt.state = static_cast<MessageState>(rows.Int(row, 3));
  attempt.failure = static_cast<FailureReason>(rows.Int(row, 4));
  attempt.provider_code = rows.Text(row, 5);
  attempt.provider_at = rows.Time(row, 6);
  attempt.receipt_hash = rows.Bytes(row, 7);
  return attempt;
}

}  // namespace

void LoadOtherAttempts(PgTransaction& transaction, std::vector<StoredMessage>& messages) {
  std::vector<StoredMessage*> several;
  for (StoredMessage& stored : messages) {
    if (HasOthers(stored.message.status)) several.push_back(&stored);
  }
  if (several.empty()) return;
  PgParams params;
  AddColumn(params, several,
            [](auto& to, const auto* m) { AppendUuid(to, m->Key().tenant_id.uuid); });
  AddColumn(params, several,
            [](auto& to, const auto* m) { AppendUuid(to, m->Key().message_id.uuid); });
  const PgRows rows = transaction.Run(kOtherAttempts, params);
  for (int row = 0; row < rows.size(); ++row) {
    StoredMessage& stored = *several[static_cast<std::size_t>(rows.Int(row, 0) - 1)];
    AttemptStatus attempt = ReadAttemptStatus(rows, row);
    if (attempt.attempt != stored.message.status.attempt) {
      stored.others.push_back(std::move(attempt));
    }
  }
}

void WriteHiddenAttempts(PgTransaction& transaction, std::span<const MessageChange> changes) {
  std::vector<std::pair<MessageKey, AttemptStatus>> hidden;
  for (const MessageChange& change : changes) {
    for (const AttemptStatus& attempt : change.hidden) {
      if (attempt.state >= MessageState::kSubmitted) hidden.emplace_back(change.key, attempt);
    }
  }
  if (hidden.empty()) return;
  PgParams params;
  AddColumn(params, hidden,
            [](auto& to, const auto& h) { AppendUuid(to, h.first.tenant_id.uuid); });
  AddColumn(params, hidden,
            [](auto& to, const auto& h) { AppendUuid(to, h.first.message_id.uuid); });
  AddColumn(params, hidden, [](auto& to, const auto& h) { StrAppend(to, h.second.attempt); });
  AddColumn(params, hidden,
            [](auto& to, const auto& h) { StrAppend(to, static_cast<int>(h.second.state)); });
  AddColumn(params, hidden,
            [](auto& to, const auto& h) { StrAppend(to, static_cast<int>(h.second.failure)); });
  AddColumn(params, hidden,
            [](auto& to, const auto& h) { AppendText(to, h.second.provider_code); });
  AddColumn(params, hidden, [](auto& to, const auto& h) { AppendTime(to, h.second.provider_at); });
  AddColumn(params, hidden,
            [](auto& to, const auto& h) { AppendBytes(to, h.second.receipt_hash); });
  transaction.Run(kWriteHidden, params);
}

void NameAttempts(PgTransaction& transaction, std::span<const NamedAttempt> named) {
  std::vector<NamedAttempt> known;
  std::copy_if(named.begin(), named.end(), std::back_inserter(known),
               [](const NamedAttempt& n) { return !n.provider_message_id.empty(); });
  if (known.empty()) return;
  PgParams params;
  AddKeys(params, known);
  AddColumn(params, known, [](auto& to, const auto& n) { StrAppend(to, n.attempt); });
  AddColumn(params, known, [](auto& to, const auto& n) { AppendText(to, n.provider_message_id); });
  AddColumn(params, known,
            [](auto& to, const auto& n) { AppendText(to, n.provider_conversation_id); });
  transaction.Run(kNameAttempts, params);
}

std::vector<Query> AttemptRowQueries() { return {kOtherAttempts, kWriteHidden, kNameAttempts}; }

}  // namespace postrider
