#include <chrono>

#include "server/base/status_macros.h"
#include "server/base/strings.h"
#include "server/model/consent_limits.h"
#include "server/model/dispatch_limits.h"
#include "server/model/events.h"
#include "server/store/pg_message_rows.h"
#include "server/store/pg_queries.h"
#include "server/store/pg_store.h"

// What ends messages while they are queued, whatever holds them: their expiry, and an opt-out.
namespace postrider {

namespace {

// Advance (model/transitions.h) of what is QUEUED, for all at once, as state $1 for cause $2 by
// writer $3: it leaves nothing to decide, and an opt-out may end a hundred thousand. Neither a dead
// letter nor an opt-out can come of it. It is the statement that takes them from the queue, too: no
// id goes to the gateway and back.
//
// `taken` are CTEs that begin with one of that name. Of its messages those that were final before
// are ended, or the others: of the former it is a correction, and what a row was before is not
// returned. One that a late receipt has settled stays as it is. Of those that were not ended the
// keys are told, as arrays. r leads: locked in the order of their keys, as LockMessages does; of
// arrays, since the planner takes a queue that was empty once for a single row, and would then read
// a partition that was empty from end to end.
#define PR_END_QUEUED(taken, was_final)                                                           \
  "WITH " taken                                                                                   \
  ", r AS MATERIALIZED (SELECT * FROM unnest(ARRAY(SELECT tenant_id FROM taken), "                \
  "ARRAY(SELECT message_id FROM taken)) AS r(tenant_id, message_id) ORDER BY 1, 2), "             \
  "u AS (UPDATE message m SET state = $1::smallint, revision = m.revision + 1, final = true, "    \
  "hold_reason = 0, hold_until = NULL, updated_at = now() "                                       \
  "FROM r WHERE m.tenant_id = r.tenant_id AND m.message_id = r.message_id AND m.state = 1 "       \
  "AND m.final = " was_final                                                                      \
  " RETURNING m.slot, m.tenant_id, m.message_id, m.revision, m.attempt, m.failure, "              \
  "m.provider_code, m.correlation_id, m.provider_at, m.conversation_id, m.external_contact_id, "  \
  "m.campaign_id, m.accepted_at), "                                                               \
  "n AS (INSERT INTO send_count (tenant_id, day, campaign_id, state, writer, messages) "          \
  "SELECT tenant_id, (accepted_at AT TIME ZONE 'UTC')::date, campaign_id, $1::smallint, "         \
  "$3::smallint, count(*) FROM u GROUP BY 1, 2, 3 ORDER BY 1, 2, 3 "                              \
  "ON CONFLICT (tenant_id, day, campaign_id, state, failure, provider_code, writer) "             \
  "DO UPDATE SET messages = send_count.messages + excluded.messages), "                           \
  "e AS (INSERT INTO status_event (slot, tenant_id, message_id, revision, previous, state, "      \
  "cause, attempt, final, correction, failure, provider_code, correlation_id, provider_at, "      \
  "conversation_id, external_contact_id, campaign_id) "                                           \
  "SELECT slot, tenant_id, message_id, revision, 1, $1::smallint, $2::smallint, attempt, "        \
  "true, " was_final                                                                              \
  ", failure, provider_code, correlation_id, provider_at, conversation_id, external_contact_id, " \
  "campaign_id FROM u) "                                                                          \
  "SELECT c.taken, c.ended, "                                                                     \
  "CASE WHEN c.taken > c.ended THEN (SELECT array_agg(r.tenant_id)::text FROM r) END, "           \
  "CASE WHEN c.taken > c.ended THEN (SELECT array_agg(r.message_id)::text FROM r) END "           \
  "FROM (SELECT (SELECT count(*) FROM r) AS taken, (SELECT count(*) FROM u) AS ended) c"

// Rows are chosen by ranges where equality would do: of what is equal no order is asked, and then
// a plan could go by another index. What somebody else takes at the moment is left to them.
#define PR_TAKEN_FROM_QUEUE(places)                                                             \
  "taken AS (DELETE FROM dispatch_queue q WHERE q.ctid = ANY(ARRAY(" places                     \
  ")) RETURNING q.tenant_id, q.message_id), "                                                   \
  "depth AS (INSERT INTO queue_depth (tenant_id, writer, depth) "                               \
  "SELECT tenant_id, $3::smallint, -count(*) FROM taken GROUP BY tenant_id ORDER BY tenant_id " \
  "ON CONFLICT (tenant_id, writer) DO UPDATE SET depth = queue_depth.depth + excluded.depth)"

constexpr Query kEndExpired{
    "expire_end",
    PR_END_QUEUED(
        PR_TAKEN_FROM_QUEUE(
            "SELECT c.ctid FROM unnest($4::smallint[]) AS s(slot), LATERAL ("
            "SELECT d.ctid FROM dispatch_queue d WHERE d.slot >= s.slot AND d.slot <= s.slot "
            "AND d.expire_at <= now() ORDER BY d.slot, d.expire_at LIMIT $5::integer "
            "FOR UPDATE SKIP LOCKED) c LIMIT $5::integer"),
        "false")};

// What an intend holds at the moment is left to it: it looks at suppressions itself. From the end:
// the dispatch looks at the beginning of each flow, and would have to pass all that are gone from
// there and not yet vacuumed, each time.
constexpr Query kEndSuppressed{
    "opt_out_end",
    PR_END_QUEUED(
        PR_TAKEN_FROM_QUEUE(
            "SELECT d.ctid FROM unnest($4::uuid[], $5::bytea[], $6::uuid[]) "
            "AS o(tenant_id, recipient_key, sender_id), LATERAL ("
            "SELECT d.ctid FROM dispatch_queue d WHERE d.tenant_id = o.tenant_id "
            "AND d.recipient_key >= o.recipient_key AND d.recipient_key <= o.recipient_key "
            "AND (d.sender_id = o.sender_id "
            "OR o.sender_id = '00000000-0000-0000-0000-000000000000') "
            "AND NOT d.answers_opt_out ORDER BY d.tenant_id DESC, d.recipient_key DESC "
            "LIMIT $7::integer FOR UPDATE SKIP LOCKED) d LIMIT $7::integer"),
        "false")};

// Of what the others took and left.
constexpr Query kEndFinal{"end_queued_again",
                          PR_END_QUEUED("taken AS (SELECT * FROM unnest($4::uuid[], $5::uuid[]) "
                                        "AS k(tenant_id, message_id))",
                                        "true")};

// Those due first of a slot that nobody else works off at the moment, one of each recipient: two of
// the same one (of a sender, and of all) would choose the same messages, and fewer than the limit
// would be taken though more are there. The other's turn is next.
constexpr Query kNextOptOuts{"opt_out_next", R"(
SELECT DISTINCT ON (n.tenant_id, n.recipient_key) n.tenant_id, n.recipient_key, n.sender_id FROM (
  SELECT o.tenant_id, o.recipient_key, o.sender_id FROM unnest($1::smallint[]) AS s(slot), LATERAL (
    SELECT o.tenant_id, o.recipient_key, o.sender_id FROM opt_out_queue o
    WHERE o.slot >= s.slot AND o.slot <= s.slot AND o.look_at <= now()
    ORDER BY o.slot, o.look_at LIMIT $2::integer FOR UPDATE SKIP LOCKED) o LIMIT $2::integer) n
ORDER BY n.tenant_id, n.recipient_key, n.sender_id)"};

// Looked at once more when what began before it has ended; one that is older has reached all.
constexpr Query kSettleOptOuts{"opt_out_settle", R"(
WITH r AS MATERIALIZED (
  SELECT * FROM unnest($1::uuid[], $2::bytea[], $3::uuid[])
  AS r(tenant_id, recipient_key, sender_id)),
gone AS (
  DELETE FROM opt_out_queue o USING r WHERE o.tenant_id = r.tenant_id
  AND o.recipient_key = r.recipient_key AND o.sender_id = r.sender_id
  AND o.since < now() - $4::integer * interval '1 second')
UPDATE opt_out_queue o SET look_at = o.since + ($4::integer + 1) * interval '1 second' FROM r
WHERE o.tenant_id = r.tenant_id AND o.recipient_key = r.recipient_key
  AND o.sender_id = r.sender_id AND o.since >= now() - $4::integer * interval '1 second')"};

/// What messages end as, and why: the first parameters of the statements above.
PgParams EndsAs(PgTransaction& transaction, MessageState state, Cause cause) {
  return PgParams()
      .Add(static_cast<std::int64_t>(state))
      .Add(static_cast<std::int64_t>(cause))
      .Add(std::int64_t{transaction.session()});
}

/// Rows that were taken out of the queue, and messages of them that were ended.
struct QueueEnds {
  std::int64_t taken = 0;
  std::int64_t ended = 0;
};

/// Runs `take`, one of the statements above, with `params`, which begin with `as`.
QueueEnds EndQueued(PgTransaction& transaction, const Query& take, const PgParams& params,
                    PgParams as) {
  const PgRows rows = transaction.Run(take, params);
  QueueEnds ends{.taken = rows.Int(0, 0), .ended = rows.Int(0, 1)};
  if (ends.taken == ends.ended) return ends;
  as.Add(rows.Text(0, 2)).Add(rows.Text(0, 3));
  ends.ended += transaction.Run(kEndFinal, as).Int(0, 1);
  return ends;
}

/// The opt-outs of kNextOptOuts, as three arrays.
void AddOptOuts(PgParams& params, const PgRows& opt_outs) {
  const auto column = [&](auto append) {
    params.AddArray(static_cast<std::size_t>(opt_outs.size()),
                    [&](std::string& to, std::size_t row) { append(to, static_cast<int>(row)); });
  };
  column([&](std::string& to, int row) { AppendUuid(to, opt_outs.UuidAt(row, 0)); });
  column([&](std::string& to, int row) { AppendBytes(to, opt_outs.Bytes(row, 1)); });
  column([&](std::string& to, int row) { AppendUuid(to, opt_outs.UuidAt(row, 2)); });
}

}  // namespace

absl::StatusOr<int> PgStore::ExpireDue(std::span<const int> slots) {
  int expired = 0;
  const auto expire = [&](PgTransaction& transaction) {
    const PgParams as = EndsAs(transaction, MessageState::kExpired, Cause::kExpiryPassed);
    PgParams params = as;
    AddColumn(params, slots, [](auto& to, int slot) { StrAppend(to, slot); });
    params.Add(static_cast<std::int64_t>(kIntentRows));
    expired = static_cast<int>(EndQueued(transaction, kEndExpired, params, as).taken);
    return absl::OkStatus();
  };
  PR_RETURN_IF_ERROR(TransactWithEvents("expire_due", expire));
  return expired;
}

absl::StatusOr<std::optional<int>> PgStore::SuppressQueued(std::span<const int> slots) {
  std::optional<int> ended;
  PgParams next;
  AddColumn(next, slots, [](auto& to, int slot) { StrAppend(to, slot); });
  next.Add(std::int64_t{kOptOutsAtOnce});
  const auto suppress = [&](PgTransaction& transaction) {
    ended.reset();
    const PgRows opt_outs = transaction.Run(kNextOptOuts, next);
    if (opt_outs.size() == 0) return absl::OkStatus();
    const PgParams as = EndsAs(transaction, MessageState::kSuppressed, Cause::kOptedOut);
    PgParams params = as;
    AddOptOuts(params, opt_outs);
    params.Add(std::int64_t{kSuppressedAtOnce});
    const QueueEnds ends = EndQueued(transaction, kEndSuppressed, params, as);
    ended = static_cast<int>(ends.ended);
    if (ends.taken == kSuppressedAtOnce) return absl::OkStatus();
    PgParams settled;
    AddOptOuts(settled, opt_outs);
    settled.Add(std::int64_t{kOptOutSettles / std::chrono::seconds(1)});
    transaction.Run(kSettleOptOuts, settled);
    return absl::OkStatus();
  };
  PR_RETURN_IF_ERROR(TransactWithEvents("suppress_queued", suppress));
  return ended;
}

std::vector<Query> QueueEndQueries() {
  return {kEndExpired, kEndSuppressed, kEndFinal, kNextOptOuts, kSettleOptOuts};
}

}  // namespace postrider
