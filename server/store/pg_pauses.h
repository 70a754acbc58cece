#pragma once

#include "server/store/control.h"
#include "server/store/pg_session.h"

namespace postrider {

// Parts of a transaction that pauses.

/// Locks the lease of `tenant`'s slot: waits for intents under way, and holds up new ones until the
/// transaction ends. Before any pause is put.
void HoldSlot(PgTransaction& transaction, TenantId tenant);
/// Whether a pause is in force that only an operator ends.
bool HasEndlessPause(PgTransaction& transaction, const PauseTarget& of);
/// Puts a pause in place of the one that is there, with `action` on record; `until` epoch: without
/// an end. Returns it as stored.
DispatchPause PutPause(PgTransaction& transaction, const PauseTarget& of, WallTime until,
                       const OperatorAction& action);

}  // namespace postrider

/// In SQL: whether an operator's pause holds the flow of these expressions, by the database's
/// clock. Part of the statement that chooses or intends, so that it costs no round trip. A tenant
/// has few pauses, most have none: one look at its first is cheaper than three whole keys.
#define PR_PAUSED(tenant_id, campaign_id, sender_id)                    \
  "EXISTS (SELECT FROM dispatch_pause p WHERE p.tenant_id = " tenant_id \
  " AND (p.scope = 1 OR p.scope = 2 AND p.target = " campaign_id        \
  " OR p.scope = 3 AND p.target = " sender_id                           \
  "::text)"                                                             \
  " AND (p.until IS NULL OR p.until > clock_timestamp()))"
