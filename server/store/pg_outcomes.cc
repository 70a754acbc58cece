#include <algorithm>
#include <map>

#include "absl/container/flat_hash_map.h"

#include "server/base/status_macros.h"
#include "server/base/strings.h"
#include "server/model/doubt.h"
#include "server/model/limits.h"
#include "server/store/pg_breakers.h"
#include "server/store/pg_consent.h"
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
  std::vector<Awaited> awaited;
};

void AwaitNews(const StoredMessage& stored, const MessageStatus& after,
               std::chrono::nanoseconds quiet, std::vector<Awaited>& awaited) {
  if (after.state == MessageState::kUnknown) {
    awaited.push_back({stored.Key(), stored.slot});
  } else if (AwaitsFinalStatus(after) &&
             MayHavePassed(TimeOfUuidV7(stored.message.message_id.uuid), stored.store_now, quiet)) {
    const WallTime look_at =
        stored.store_now + std::chrono::duration_cast<WallTime::duration>(quiet);
    awaited.push_back({stored.Key(), stored.slot, true, look_at});
  }
}

void RecordOne(const StoredMessage& stored, const AttemptOutcome& recorded, int attempt,
               Recorded& out) {
  const MessageStatus& now = stored.message.status;
  const Outcome& outcome = recorded.outcome;
  MessageChange change = ChangeOf(stored.Key(), now, now, Cause::kPostAnswered);
  change.provider_message_id = outcome.provider_message_id;
  change.provider_conversation_id = outcome.provider_conversation_id;
  if (GoesBack(outcome.kind)) {
    const WallTime due_at =
        stored.store_now + std::chrono::duration_cast<WallTime::duration>(recorded.again_in);
    // A receipt can have settled it meanwhile: then it does not go back.
    const auto after = AfterNotSent(now, attempt, stored.others, outcome.hold, due_at);
    if (!after) return;
    change.after = *after;
    change.cause = Cause::kNotSent;
    if (after->state == MessageState::kQueued) {
      out.requeued.push_back({stored.Key(), due_at, outcome.hold == HoldReason::kRetryAfter});
    }
  } else {
    const auto after = AfterPost(now, attempt, StateOf(outcome.kind), outcome.failure,
                                 outcome.provider_code, stored.others);
    change.visible = after.has_value();
    if (after) change.after = *after;
  }
  AwaitNews(stored, change.after, GoesBack(outcome.kind) ? 0ns : recorded.again_in, out.awaited);
  if (!outcome.correlation_id.empty()) change.after.correlation_id = outcome.correlation_id;
  out.changes.push_back(std::move(change));
}

void WriteRequeued(PgTransaction& transaction, std::span<const Requeued> requeued) {
  if (requeued.empty()) return;
  std::vector<std::pair<MessageKey, WallTime>> rows;
  for (const Requeued& r : requeued) rows.emplace_back(r.key, r.due_at);
  AddToQueue(transaction, rows);

  std::vector<std::pair<TenantId, WallTime>> pauses;
  for (const Requeued& r : requeued) {
    if (r.pauses_tenant) pauses.emplace_back(r.key.tenant_id, r.due_at);
  }
  PauseTenants(transaction, pauses);
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
    std::vector<MayHaveLeft> left;
    for (const auto& [place, attempt] : CloseAttempts(transaction, replica, batch)) {
      counts.Count(batch[place].key.tenant_id, Breaker::kTransport,
                   TransportVerdictOf(batch[place].outcome));
      const StoredMessage& stored = messages.at(batch[place].key);
      RecordOne(stored, batch[place], attempt, recorded);
      const OutcomeKind kind = batch[place].outcome.kind;
      if (kind == OutcomeKind::kAccepted || kind == OutcomeKind::kUnknown) {
        const MessageRequest& request = stored.message.request;
        if (request.answers_opt_out) continue;  // It is to leave after it.
        left.push_back({batch[place].key, attempt, request.sender_id, request.recipient});
      }
    }
    MarkLeftBeforeOptOut(transaction, left);
    WriteChanges(transaction, recorded.changes);
    WriteRequeued(transaction, recorded.requeued);
    AddToReconcile(transaction, recorded.awaited);
    counts.Write(transaction);
    return absl::OkStatus();
  });
}

std::vector<Query> OutcomeQueries() { return {kCloseAttempts}; }

}  // namespace postrider
