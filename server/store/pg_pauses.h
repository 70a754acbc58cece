#pragma once

/// In SQL: whether an operator's pause holds the flow of these expressions, by the database's
/// clock. Part of the statement that chooses or intends, so that it costs no round trip. A tenant
/// has few pauses, most have none: one look at its first is cheaper than three whole keys.
#define PR_PAUSED(tenant_id, campaign_id, sender_id)                    \
  "EXISTS (SELECT FROM dispatch_pause p WHERE p.tenant_id = " tenant_id \
  " AND (p.scope = 1 OR p.scope = 2 AND p.target = " campaign_id        \
  " OR p.scope = 3 AND p.target = " sender_id                           \
  "::text)"                                                             \
  " AND (p.until IS NULL OR p.until > clock_timestamp()))"
