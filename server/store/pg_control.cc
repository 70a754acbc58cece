#include <vector>

#include "server/base/status_macros.h"
#include "server/base/strings.h"
#include "server/store/pg_message_rows.h"
#include "server/store/pg_pauses.h"
#include "server/store/pg_queries.h"
#include "server/store/pg_store.h"

// What operators do: pauses.
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

std::vector<Query> ControlQueries() {
  return {kHoldSlot, kPutPause, kForgetPauses, kEndPause, kPauseShown, kHasEndless, kPutAction};
}

}  // namespace postrider
