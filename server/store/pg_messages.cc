#include "server/base/status_macros.h"
#include "server/base/strings.h"
#include "server/model/limits.h"
#include "server/store/pg_message_rows.h"
#include "server/store/pg_queries.h"
#include "server/store/pg_store.h"

namespace postrider {

namespace {

constexpr Query kGetMessage{"get_message", "SELECT " PR_MESSAGE_COLUMNS
                                           ", m.first_xid::text "
                                           "FROM message m WHERE m.tenant_id = $1::uuid "
                                           "AND m.message_id = $2::uuid"};

constexpr Query kFindRequest{"find_request",
                             "SELECT k.message_id, k.fingerprint FROM request_key k "
                             "WHERE k.tenant_id = $1::uuid AND k.request_id = $2::text"};

constexpr Query kHistory{"message_history",
                         "SELECT " PR_EVENT_COLUMNS
                         " FROM status_event e WHERE e.tenant_id = $1::uuid "
                         "AND e.message_id = $2::uuid AND e.xid >= $3::text::xid8 "
                         "ORDER BY e.revision LIMIT $4::integer"};

constexpr Query kAttempts{
    "message_attempts",
    "SELECT a.attempt, " PR_US("a.intended_at") ", " PR_US("a.outcome_at")
    ", a.outcome, a.http_status, a.provider_code, a.provider_message_id, "
    "a.provider_conversation_id, a.correlation_id, a.detail FROM attempt a "
    "WHERE a.tenant_id = $1::uuid AND a.message_id = $2::uuid ORDER BY a.attempt"};

constexpr Query kCancelTake{"cancel_take_from_queue",
                            "DELETE FROM dispatch_queue q WHERE q.tenant_id = $1::uuid "
                            "AND q.message_id = $2::uuid"};

Attempt ReadAttempt(const PgRows& rows, int row) {
  Attempt attempt;
  attempt.attempt = static_cast<int>(rows.Int(row, 0));
  attempt.intended_at = rows.Time(row, 1);
  attempt.outcome_at = rows.Time(row, 2);
  attempt.open = rows.IsNull(row, 3);
  if (!attempt.open) attempt.outcome.kind = static_cast<OutcomeKind>(rows.Int(row, 3));
  attempt.outcome.http_status = static_cast<int>(rows.Int(row, 4));
  attempt.outcome.provider_code = rows.Text(row, 5);
  attempt.outcome.provider_message_id = rows.Text(row, 6);
  attempt.outcome.provider_conversation_id = rows.Text(row, 7);
  attempt.outcome.correlation_id = rows.Text(row, 8);
  attempt.outcome.detail = rows.Text(row, 9);
  return attempt;
}

absl::Status ReadRecord(PgTransaction& transaction, const MessageKey& key, MessageRecord& record) {
  PgParams params;
  params.Add(key.tenant_id.uuid).Add(key.message_id.uuid);
  const PgRows found = transaction.Run(kGetMessage, params);
  if (found.size() == 0) return absl::NotFoundError("no such message");
  record.message = ReadMessage(found, 0).message;

  const PgRows attempts = transaction.Run(kAttempts, params);
  for (int row = 0; row < attempts.size(); ++row) {
    record.attempts.push_back(ReadAttempt(attempts, row));
  }
  params.Add(found.Text(0, kMessageColumns)).Add(static_cast<std::int64_t>(kMaxHistoryRows));
  const PgRows history = transaction.Run(kHistory, params);
  for (int row = 0; row < history.size(); ++row) {
    record.history.push_back(ReadEvent(history, row));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<MessageRecord> PgStore::GetMessage(const MessageKey& key) {
  MessageRecord record;
  PR_RETURN_IF_ERROR(pool_.Transact("get_message", [&](PgTransaction& transaction) {
    record = {};
    return ReadRecord(transaction, key, record);
  }));
  return record;
}

absl::StatusOr<MessageRecord> PgStore::GetMessageByRequest(TenantId tenant,
                                                           const std::string& request_id) {
  MessageRecord record;
  PR_RETURN_IF_ERROR(pool_.Transact("get_message", [&](PgTransaction& transaction) {
    record = {};
    PgParams params;
    params.Add(tenant.uuid).Add(request_id);
    const PgRows found = transaction.Run(kFindRequest, params);
    if (found.size() == 0) return absl::NotFoundError("no such request");
    record.fingerprint = found.Bytes(0, 1);
    return ReadRecord(transaction, {tenant, {found.UuidAt(0, 0)}}, record);
  }));
  return record;
}

absl::StatusOr<Cancellation> PgStore::Cancel(const MessageKey& key) {
  Cancellation cancellation;
  PR_RETURN_IF_ERROR(TransactWithEvents("cancel", [&](PgTransaction& transaction) {
    cancellation = {};
    // The queue's row decides: whoever deletes it, this or an intent, wins.
    PgParams params;
    params.Add(key.tenant_id.uuid).Add(key.message_id.uuid);
    const bool was_queued = transaction.Run(kCancelTake, params).affected() == 1;
    std::vector<StoredMessage> locked = LockMessages(transaction, {key});
    if (locked.empty()) return absl::OkStatus();
    Message& message = locked[0].message;
    const MessageStatus before = message.status;
    if (was_queued && before.state == MessageState::kQueued) {
      message.status = Advance(before, MessageState::kCancelled);
      message.updated_at = locked[0].store_now;
      const MessageChange change = ChangeOf(key, before, message.status, Cause::kCancelRequested);
      WriteChanges(transaction, {&change, 1});
    }
    if (was_queued) AddDepth(transaction, {{key.tenant_id, -1}});
    cancellation.kind = message.status.state == MessageState::kCancelled
                            ? Cancellation::Kind::kCancelled
                            : Cancellation::Kind::kTooLate;
    cancellation.message = std::move(message);
    return absl::OkStatus();
  }));
  return cancellation;
}

std::vector<Query> MessageQueries() {
  return {kGetMessage, kFindRequest, kHistory, kAttempts, kCancelTake};
}

}  // namespace postrider
