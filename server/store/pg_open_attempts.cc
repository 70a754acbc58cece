#include "server/store/pg_open_attempts.h"

#include <algorithm>
#include <vector>

#include "server/base/strings.h"
#include "server/store/pg_consent.h"
#include "server/store/pg_queries.h"

namespace postrider {

namespace {

constexpr Query kOpenAttempts{
    "intend_open_attempts",
    "INSERT INTO attempt (tenant_id, message_id, attempt, slot, epoch, replica_id) "
    "SELECT r.*, $6::uuid FROM unnest($1::uuid[], $2::uuid[], $3::integer[], $4::smallint[], "
    "$5::bigint[]) AS r"};

// coalesce: IS NULL would offer the index of all open attempts, without a condition.
constexpr Query kCloseAttemptsUnknown{
    "close_attempts_unknown",
    "UPDATE attempt a SET outcome = 5, outcome_at = clock_timestamp(), detail = $4::text "
    "FROM unnest($1::uuid[], $2::uuid[], $3::integer[]) AS r(tenant_id, message_id, attempt) "
    "WHERE a.tenant_id = r.tenant_id AND a.message_id = r.message_id AND a.attempt = r.attempt "
    "AND coalesce(a.outcome, 0) = 0 RETURNING a.tenant_id, a.message_id, a.attempt"};

}  // namespace

void InsertAttempts(PgTransaction& transaction, ReplicaId replica,
                    std::span<const OpenedAttempt> opened) {
  if (opened.empty()) return;
  PgParams params;
  AddKeys(params, opened);
  AddColumn(params, opened, [](auto& to, const auto& o) { StrAppend(to, o.attempt); });
  AddColumn(params, opened, [](auto& to, const auto& o) { StrAppend(to, o.lease.slot); });
  AddColumn(params, opened, [](auto& to, const auto& o) { StrAppend(to, o.lease.epoch); });
  params.Add(replica.uuid);
  transaction.Run(kOpenAttempts, params);
}

int CloseAsUnknown(PgTransaction& transaction, const OpenAttempts& open, std::string_view why) {
  std::vector<MessageKey> keys;
  for (const auto& [key, attempt] : open) keys.push_back(key);
  const std::vector<StoredMessage> messages = LockMessages(transaction, keys);
  PgParams params;
  AddKeys(params, keys);
  AddColumn(params, keys, [&](auto& to, const auto& key) { StrAppend(to, open.at(key)); });
  params.Add(why);
  const PgRows closed = transaction.Run(kCloseAttemptsUnknown, params);

  std::vector<MessageChange> changes;
  std::vector<Awaited> awaited;
  std::vector<MayHaveLeft> left;
  for (int row = 0; row < closed.size(); ++row) {
    const MessageKey key{{closed.UuidAt(row, 0)}, {closed.UuidAt(row, 1)}};
    const auto found = std::find_if(messages.begin(), messages.end(),
                                    [&](const StoredMessage& m) { return m.Key() == key; });
    const MessageStatus& now = found->message.status;
    const MessageRequest& request = found->message.request;
    if (!request.answers_opt_out) {
      left.push_back(
          {key, static_cast<int>(closed.Int(row, 2)), request.sender_id, request.recipient});
    }
    const auto after = AfterOwnerDied(now, static_cast<int>(closed.Int(row, 2)));
    if (after || AwaitsFinalStatus(now)) awaited.push_back({key, found->slot, !after});
    if (!after) continue;
    changes.push_back(ChangeOf(key, now, *after, Cause::kOwnerDied));
  }
  MarkLeftBeforeOptOut(transaction, left);
  WriteChanges(transaction, changes);
  AddToReconcile(transaction, awaited);
  return closed.size();
}

std::vector<Query> OpenAttemptQueries() { return {kOpenAttempts, kCloseAttemptsUnknown}; }

}  // namespace postrider
