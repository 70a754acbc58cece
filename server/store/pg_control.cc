#include <vector>

#include "server/base/status_macros.h"
#include "server/base/strings.h"
#include "server/model/dispatch_limits.h"
#include "server/store/pg_message_rows.h"
#include "server/store/pg_pauses.h"
#include "server/store/pg_queries.h"
#include "server/store/pg_store.h"

// What operators do: pauses. And the end of what expired while something held it.
namespace postrider {

namespace {

// Waits for intents of the slot that are under way and holds up new ones until the commit: those
// look at pauses after they got the lease. So no intent commits after a pause that it did not see.
constexpr Query kHoldSlot{"pause_hold_slot",
                          "SELECT l.slot FROM slot_lease l WHERE l.slot = $1::smallint FOR UPDATE"};

constexpr Query kPutPause{
    "pause_put",
    "INSERT INTO dispatch_pause AS p (tenant_id, scope, target, reason, actor, until) "
    "VALUES ($1::uuid, $2::smallint, $3::text, $4::text, $5::text, "
    "timestamptz 'epoch' + nullif($6::bigint, 0) * interval '1 microsecond') "
    "ON CONFLICT (tenant_id, scope, target) DO UPDATE SET reason = excluded.reason, "
    "actor = excluded.actor, since = excluded.since, until = excluded.until "
    "RETURNING " PR_US("p.since") ", " PR_US("p.until")};

constexpr Query kForgetPauses{"pause_forget_ended",
                              "DELETE FROM dispatch_pause p WHERE p.tenant_id = $1::uuid "
                              "AND p.until <= clock_timestamp()"};

constexpr Query kEndPause{"pause_end",
                          "DELETE FROM dispatch_pause p WHERE p.tenant_id = $1::uuid "
                          "AND p.scope = $2::smallint AND p.target = $3::text "
                          "RETURNING p.until IS NULL OR p.until > clock_timestamp()"};

constexpr Query kPauseShown{
    "pause_shown",
    "SELECT jsonb_build_object('actor', p.actor, 'reason', p.reason, 'since', p.since, "
    "'until', p.until)::text FROM dispatch_pause p WHERE p.tenant_id = $1::uuid "
    "AND p.scope = $2::smallint AND p.target = $3::text "
    "AND (p.until IS NULL OR p.until > clock_timestamp())"};

constexpr Query kHasEndless{
    "pause_has_endless",
    "SELECT EXISTS (SELECT FROM dispatch_pause p WHERE p.tenant_id = $1::uuid "
    "AND p.scope = $2::smallint AND p.target = $3::text AND p.until IS NULL)"};

constexpr Query kPutAction{"operator_action", R"(
WITH c AS (SELECT nullif($7::text, '')::jsonb AS before, nullif($8::text, '')::jsonb AS after)
INSERT INTO operator_action (tenant_id, action_id, actor, action, target, reason, before, after)
SELECT $1::uuid, $2::uuid, CASE WHEN $3::text = '' THEN session_user::text ELSE $3::text END,
  $4::text, $5::text, $6::text,
  CASE WHEN c.after IS NULL THEN c.before ELSE (SELECT jsonb_object_agg(x.key, x.value)
    FROM jsonb_each(c.before) x WHERE x.value IS DISTINCT FROM c.after -> x.key) END,
  CASE WHEN c.before IS NULL THEN c.after ELSE (SELECT jsonb_object_agg(x.key, x.value)
    FROM jsonb_each(c.after) x WHERE x.value IS DISTINCT FROM c.before -> x.key) END FROM c)"};

// Ranges where equality would do: of what is equal no order is asked, and then a plan could go by
// another index. What somebody else takes at the moment is left to them.
constexpr Query kTakeExpired{"expire_take", R"(
DELETE FROM dispatch_queue q WHERE q.ctid = ANY(ARRAY(
  SELECT c.ctid FROM unnest($1::smallint[]) AS s(slot), LATERAL (
    SELECT d.ctid FROM dispatch_queue d
    WHERE d.slot >= s.slot AND d.slot <= s.slot AND d.expire_at <= now()
    ORDER BY d.slot, d.expire_at LIMIT $2::integer FOR UPDATE SKIP LOCKED) c LIMIT $2::integer))
RETURNING q.tenant_id, q.message_id)"};

// Advance (model/transitions.h) of what is QUEUED, for all at once: it leaves nothing to decide,
// and an opt-out may end a hundred thousand. Neither a dead letter nor an opt-out can come of it.
// Of those that were final before, or of the others: of the former it is a correction, and what a
// row was before is not returned. Locked in the order of their keys, as LockMessages does: r leads.
constexpr Query kEndQueued{"end_queued", R"(
WITH r AS MATERIALIZED (
  SELECT * FROM unnest($1::uuid[], $2::uuid[]) AS r(tenant_id, message_id) ORDER BY 1, 2),
u AS (
  UPDATE message m SET state = $3::smallint, revision = m.revision + 1, final = true,
    hold_reason = 0, hold_until = NULL, updated_at = now()
  FROM r WHERE m.tenant_id = r.tenant_id AND m.message_id = r.message_id AND m.state = 1
    AND m.final = $6::boolean
  RETURNING m.slot, m.tenant_id, m.message_id, m.revision, m.attempt, m.failure, m.provider_code,
    m.correlation_id, m.provider_at, m.conversation_id, m.external_contact_id, m.campaign_id,
    m.accepted_at),
n AS (
  INSERT INTO send_count (tenant_id, day, campaign_id, state, writer, messages)
  SELECT tenant_id, (accepted_at AT TIME ZONE 'UTC')::date, campaign_id, $3::smallint, $5::smallint,
    count(*) FROM u GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
  ON CONFLICT (tenant_id, day, campaign_id, state, failure, provider_code, writer)
  DO UPDATE SET messages = send_count.messages + excluded.messages),
e AS (
  INSERT INTO status_event (slot, tenant_id, message_id, revision, previous, state, cause, attempt,
    final, correction, failure, provider_code, correlation_id, provider_at, conversation_id,
    external_contact_id, campaign_id)
  SELECT slot, tenant_id, message_id, revision, 1, $3::smallint, $4::smallint, attempt, true,
    $6::boolean, failure, provider_code, correlation_id, provider_at, conversation_id,
    external_contact_id, campaign_id FROM u)
SELECT count(*) FROM u)"};

PgParams KeyOf(const PauseTarget& of) {
  PgParams params;
  params.Add(of.tenant_id.uuid).Add(static_cast<std::int64_t>(of.scope)).Add(of.target);
  return params;
}

/// "tenant", "campaign spring", "sender 0190...": what operator_action shows.
std::string TextOf(const PauseTarget& of) {
  if (of.scope == PauseScope::kTenant) return "tenant";
  return StrCat(of.scope == PauseScope::kCampaign ? "campaign " : "sender ", of.target);
}

/// The pause that is in force, for operator_action; empty: none.
std::string ShownPause(PgTransaction& transaction, const PauseTarget& of) {
  const PgRows rows = transaction.Run(kPauseShown, KeyOf(of));
  return rows.size() == 0 ? "" : std::string(rows.Text(0, 0));
}

}  // namespace

void RecordAction(PgTransaction& transaction, TenantId tenant, const OperatorAction& action,
                  std::string_view what, std::string_view target, const ShownChange& change) {
  PgParams params;
  params.Add(tenant.uuid).Add(action.action_id).Add(action.actor).Add(what);
  params.Add(target).Add(action.reason).Add(change.before).Add(change.after);
  transaction.Run(kPutAction, params);
}

int EndQueued(PgTransaction& transaction, const PgRows& taken, MessageState state, Cause cause) {
  if (taken.size() == 0) return 0;
  DepthChanges depth;
  for (int row = 0; row < taken.size(); ++row) --depth[{taken.UuidAt(row, 0)}];
  PgParams params;
  for (const int column : {0, 1}) {
    params.AddArray(static_cast<std::size_t>(taken.size()), [&](std::string& to, std::size_t row) {
      AppendUuid(to, taken.UuidAt(static_cast<int>(row), column));
    });
  }
  params.Add(static_cast<std::int64_t>(state)).Add(static_cast<std::int64_t>(cause));
  params.Add(std::int64_t{transaction.session()});
  int ended = 0;
  for (const bool was_final : {false, true}) {
    if (ended == taken.size()) break;
    PgParams of_those = params;
    of_those.Add(was_final);
    ended += static_cast<int>(transaction.Run(kEndQueued, of_those).Int(0, 0));
  }
  AddDepth(transaction, depth);
  return ended;
}

void HoldSlot(PgTransaction& transaction, TenantId tenant) {
  transaction.Run(kHoldSlot, PgParams().Add(std::int64_t{SlotOf(tenant)}));
}

bool HasEndlessPause(PgTransaction& transaction, const PauseTarget& of) {
  return transaction.Run(kHasEndless, KeyOf(of)).Bool(0, 0);
}

DispatchPause PutPause(PgTransaction& transaction, const PauseTarget& of, WallTime until,
                       const OperatorAction& action) {
  DispatchPause pause{.of = of, .reason = action.reason, .actor = action.actor};
  transaction.Run(kForgetPauses, PgParams().Add(of.tenant_id.uuid));
  const std::string before = ShownPause(transaction, of);
  PgParams params = KeyOf(of);
  params.Add(action.reason).Add(action.actor).Add(MicrosecondsOf(until));
  const PgRows stored = transaction.Run(kPutPause, params);
  pause.since = stored.Time(0, 0);
  pause.until = stored.Time(0, 1);
  RecordAction(transaction, of.tenant_id, action, "PAUSE", TextOf(of),
               {before, ShownPause(transaction, of)});
  return pause;
}

absl::StatusOr<DispatchPause> PgStore::PauseDispatch(const PauseTarget& of, WallTime until,
                                                     const OperatorAction& action) {
  DispatchPause pause;
  PR_RETURN_IF_ERROR(pool_.Transact("pause_dispatch", [&](PgTransaction& transaction) {
    HoldSlot(transaction, of.tenant_id);
    pause = PutPause(transaction, of, until, action);
    return absl::OkStatus();
  }));
  return pause;
}

absl::StatusOr<bool> PgStore::ResumeDispatch(const PauseTarget& of, const OperatorAction& action) {
  bool ended = false;
  PR_RETURN_IF_ERROR(pool_.Transact("resume_dispatch", [&](PgTransaction& transaction) {
    const std::string before = ShownPause(transaction, of);
    const PgRows rows = transaction.Run(kEndPause, KeyOf(of));
    ended = rows.size() == 1 && rows.Bool(0, 0);
    if (ended) RecordAction(transaction, of.tenant_id, action, "RESUME", TextOf(of), {before, ""});
    return absl::OkStatus();
  }));
  return ended;
}

absl::StatusOr<int> PgStore::ExpireDue(std::span<const int> slots) {
  int expired = 0;
  PgParams params;
  AddColumn(params, slots, [](auto& to, int slot) { StrAppend(to, slot); });
  params.Add(static_cast<std::int64_t>(kIntentRows));
  const auto expire = [&](PgTransaction& transaction) {
    const PgRows rows = transaction.Run(kTakeExpired, params);
    EndQueued(transaction, rows, MessageState::kExpired, Cause::kExpiryPassed);
    expired = rows.size();
    return absl::OkStatus();
  };
  PR_RETURN_IF_ERROR(TransactWithEvents("expire_due", expire));
  return expired;
}

std::vector<Query> ControlQueries() {
  return {kHoldSlot,   kPutPause,  kForgetPauses, kEndPause, kPauseShown,
          kHasEndless, kPutAction, kTakeExpired,  kEndQueued};
}

}  // namespace postrider
