#include <algorithm>
#include <iterator>
#include <map>

#include "absl/container/flat_hash_map.h"

#include "server/base/status_macros.h"
#include "server/base/strings.h"
#include "server/model/limits.h"
#include "server/store/breaker_counts.h"
#include "server/store/pg_message_rows.h"
#include "server/store/pg_queries.h"
#include "server/store/pg_store.h"

namespace postrider {

namespace {

// coalesce: IS NULL would offer the index of all open attempts, without a condition.
constexpr Query kCloseAttempts{"record_close_attempts", R"(
WITH r AS MATERIALIZED (
  SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::integer[], $4::smallint[], $5::integer[],
    $6::text[], $7::text[], $8::text[], $9::text[], $10::text[]) WITH ORDINALITY
  AS r(tenant_id, message_id, attempt, outcome, http_status, provider_code, provider_message_id,
    provider_conversation_id, correlation_id, detail, ord))
UPDATE attempt a SET outcome = r.outcome, outcome_at = clock_timestamp(),
  http_status = r.http_status, provider_code = r.provider_code,
  provider_message_id = r.provider_message_id,
  provider_conversation_id = r.provider_conversation_id, correlation_id = r.correlation_id,
  detail = r.detail
FROM r WHERE a.tenant_id = r.tenant_id AND a.message_id = r.message_id
  AND (r.attempt = 0 OR a.attempt = r.attempt) AND coalesce(a.outcome, 0) = 0 AND a.replica_id = $11::uuid
RETURNING r.ord, a.attempt)"};

constexpr Query kRequeue{"record_requeue", R"(
WITH r AS MATERIALIZED (
  SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::bigint[]) AS r(tenant_id, message_id, due_us))
INSERT INTO dispatch_queue (tenant_id, message_id, slot, priority, campaign_id, sender_id,
  recipient_key, due_at, expire_at)
SELECT m.tenant_id, m.message_id, m.slot, m.priority, m.campaign_id, m.sender_id, m.recipient_key,
  timestamptz 'epoch' + r.due_us * interval '1 microsecond', m.expire_at
FROM r JOIN message m ON m.tenant_id = r.tenant_id AND m.message_id = r.message_id
ORDER BY m.tenant_id, m.message_id)"};

constexpr Query kPause{
    "record_pause",
    "INSERT INTO tenant_pause AS p (tenant_id, slot, until) "
    "SELECT r.tenant_id, r.slot, max(timestamptz 'epoch' + r.until_us * interval '1 microsecond') "
    "FROM unnest($1::uuid[], $2::smallint[], $3::bigint[]) AS r(tenant_id, slot, until_us) "
    "GROUP BY r.tenant_id, r.slot ORDER BY 1 ON CONFLICT (tenant_id) DO UPDATE SET "
    "until = greatest(p.until, excluded.until)"};

constexpr Query kTakeOldUnknown{
    "close_unknown_take",
    "DELETE FROM reconcile_queue d WHERE d.ctid = ANY(ARRAY(SELECT c.ctid "
    "FROM unnest($1::smallint[]) AS s(slot), LATERAL (SELECT q.ctid FROM reconcile_queue q "
    "WHERE q.slot = s.slot AND q.since < now() - $2::bigint * interval '1 second' "
    "ORDER BY q.slot, q.since LIMIT $3::integer) c LIMIT $3::integer)) "
    "RETURNING d.tenant_id, d.message_id"};

/// The attempts of `batch` that were open, by their place in it, now closed.
std::map<std::size_t, int> CloseAttempts(PgTransaction& transaction, ReplicaId replica,
                                         std::span<const AttemptOutcome> batch) {
  PgParams params;
  AddKeys(params, batch);
  const auto numbers = [&](auto value_of) {
    AddColumn(params, batch, [&](std::string& to, const AttemptOutcome& o) {
      StrAppend(to, static_cast<int>(value_of(o)));
    });
  };
  const auto texts = [&](auto text_of) {
    AddColumn(params, batch,
              [&](std::string& to, const AttemptOutcome& o) { AppendText(to, text_of(o)); });
  };
  numbers([](const auto& o) { return o.attempt; });
  numbers([](const auto& o) { return o.outcome.kind; });
  numbers([](const auto& o) { return o.outcome.http_status; });
  texts([](const auto& o) { return o.outcome.provider_code; });
  texts([](const auto& o) { return o.outcome.provider_message_id; });
  texts([](const auto& o) { return o.outcome.provider_conversation_id; });
  texts([](const auto& o) { return o.outcome.correlation_id; });
  texts([](const auto& o) { return o.outcome.detail; });
  params.Add(replica.uuid);
  const PgRows rows = transaction.Run(kCloseAttempts, params);
  std::map<std::size_t, int> closed;
  for (int row = 0; row < rows.size(); ++row) {
    closed[static_cast<std::size_t>(rows.Int(row, 0) - 1)] = static_cast<int>(rows.Int(row, 1));
  }
  return closed;
}

bool GoesBack(OutcomeKind kind) {
  return kind == OutcomeKind::kNotSent || kind == OutcomeKind::kHeld ||
         kind == OutcomeKind::kTakenBack;
}

MessageState StateOf(OutcomeKind kind) {
  if (kind == OutcomeKind::kAccepted) return MessageState::kSubmitted;
  return kind == OutcomeKind::kRejected ? MessageState::kRejected : MessageState::kUnknown;
}

struct Requeued {
  MessageKey key;
  WallTime due_at{};
  bool pauses_tenant = false;  ///< The provider said when to come back.
};

/// What the outcomes of closed attempts do to their messages.
struct Recorded {
  std::vector<MessageChange> changes;
  std::vector<Requeued> requeued;
  std::vector<std::pair<MessageKey, int>> unknown;  ///< With the slot.
  DepthChanges depth;
};

void RecordOne(const StoredMessage& stored, const AttemptOutcome& recorded, int attempt,
               Recorded& out) {
  const MessageStatus& now = stored.message.status;
  const Outcome& outcome = recorded.outcome;
  MessageChange change = ChangeOf(stored.Key(), now, now, Cause::kPostAnswered);
  change.provider_message_id = outcome.provider_message_id;
  change.provider_conversation_id = outcome.provider_conversation_id;
  if (GoesBack(outcome.kind)) {
    // A receipt can have settled it meanwhile: then it does not go back.
    if (now.state != MessageState::kDispatching || now.attempt != attempt) return;
    const WallTime due_at =
        stored.store_now + std::chrono::duration_cast<WallTime::duration>(recorded.again_in);
    change.after = Requeue(now, outcome.hold, due_at);
    change.cause = Cause::kNotSent;
    out.requeued.push_back({stored.Key(), due_at, outcome.hold == HoldReason::kRetryAfter});
    ++out.depth[stored.Key().tenant_id];
  } else {
    const auto after =
        AfterPost(now, attempt, StateOf(outcome.kind), outcome.failure, outcome.provider_code);
    change.visible = after.has_value();
    if (after) change.after = *after;
    if (after && after->state == MessageState::kUnknown) {
      out.unknown.emplace_back(stored.Key(), stored.slot);
    }
  }
  if (!outcome.correlation_id.empty()) change.after.correlation_id = outcome.correlation_id;
  out.changes.push_back(std::move(change));
}

void WriteRequeued(PgTransaction& transaction, std::span<const Requeued> requeued) {
  if (requeued.empty()) return;
  PgParams params;
  AddKeys(params, requeued);
  AddColumn(params, requeued, [](auto& to, const Requeued& r) { AppendTime(to, r.due_at); });
  transaction.Run(kRequeue, params);

  std::vector<Requeued> pauses;
  std::copy_if(requeued.begin(), requeued.end(), std::back_inserter(pauses),
               [](const Requeued& r) { return r.pauses_tenant; });
  if (pauses.empty()) return;
  PgParams pause;
  AddColumn(pause, pauses,
            [](auto& to, const Requeued& r) { AppendUuid(to, r.key.tenant_id.uuid); });
  AddColumn(pause, pauses,
            [](auto& to, const Requeued& r) { StrAppend(to, SlotOf(r.key.tenant_id)); });
  AddColumn(pause, pauses, [](auto& to, const Requeued& r) { AppendTime(to, r.due_at); });
  transaction.Run(kPause, pause);
}

}  // namespace

absl::Status PgStore::RecordOutcomes(ReplicaId replica, std::span<const AttemptOutcome> batch) {
  if (batch.empty()) return absl::OkStatus();
  return TransactWithEvents("record_outcomes", [&](PgTransaction& transaction) {
    // The messages first: an intent whose commit is in doubt holds them until it has ended, and
    // only then can its attempt be looked for.
    std::vector<MessageKey> keys;
    for (const AttemptOutcome& outcome : batch) keys.push_back(outcome.key);
    absl::flat_hash_map<MessageKey, StoredMessage> messages;
    for (StoredMessage& stored : LockMessages(transaction, keys)) {
      messages.emplace(stored.Key(), std::move(stored));
    }
    Recorded recorded;
    BreakerCounts counts;
    for (const auto& [place, attempt] : CloseAttempts(transaction, replica, batch)) {
      counts.Count(batch[place].key.tenant_id, Breaker::kTransport,
                   TransportVerdictOf(batch[place].outcome));
      RecordOne(messages.at(batch[place].key), batch[place], attempt, recorded);
    }
    WriteChanges(transaction, recorded.changes);
    WriteRequeued(transaction, recorded.requeued);
    AddToReconcile(transaction, recorded.unknown);
    AddDepth(transaction, recorded.depth);
    counts.Write(transaction);
    return absl::OkStatus();
  });
}

absl::StatusOr<int> PgStore::CloseUnknown(std::span<const int> slots, std::chrono::seconds window) {
  int closed = 0;
  PgParams params;
  AddColumn(params, slots, [](auto& to, int slot) { StrAppend(to, slot); });
  params.Add(std::int64_t{window.count()}).Add(static_cast<std::int64_t>(kIntentRows));
  PR_RETURN_IF_ERROR(TransactWithEvents("close_unknown", [&](PgTransaction& transaction) {
    closed = 0;
    const PgRows old = transaction.Run(kTakeOldUnknown, params);
    std::vector<MessageKey> keys;
    for (int row = 0; row < old.size(); ++row) {
      keys.push_back({{old.UuidAt(row, 0)}, {old.UuidAt(row, 1)}});
    }
    std::vector<MessageChange> changes;
    for (const StoredMessage& stored : LockMessages(transaction, keys)) {
      const MessageStatus& now = stored.message.status;
      if (now.state != MessageState::kUnknown) continue;
      MessageStatus after = Advance(now, MessageState::kUndetermined);
      after.failure = FailureReason::kUndetermined;
      changes.push_back(ChangeOf(stored.Key(), now, std::move(after), Cause::kWindowClosed));
    }
    WriteChanges(transaction, changes);
    closed = static_cast<int>(changes.size());
    return absl::OkStatus();
  }));
  return closed;
}

std::vector<Query> OutcomeQueries() { return {kCloseAttempts, kRequeue, kPause, kTakeOldUnknown}; }

}  // namespace postrider
