// Rows that are past their time and in no partition that goes: those of default partitions, and of
// tables that have none. Tenant by tenant, by the key.
#include <algorithm>

#include "server/base/status_macros.h"
#include "server/model/limits.h"
#include "server/store/pg_message_rows.h"
#include "server/store/pg_partitions.h"
#include "server/store/pg_queries.h"
#include "server/store/pg_store.h"

namespace postrider {

namespace {

constexpr std::int64_t kForgottenRows = 5000;

/// `still` is asked again of the row that is deleted: it may have changed meanwhile.
#define PR_FORGET_IF(still, table, id, unless)                               \
  "DELETE FROM " table " x WHERE " still                                     \
  " AND x.ctid = ANY(ARRAY(SELECT o.ctid FROM tenant t, LATERAL ("           \
  "SELECT x.ctid FROM " table " x WHERE x.tenant_id = t.tenant_id AND x." id \
  " < $1::uuid"                                                              \
  " AND " unless " ORDER BY x.tenant_id, x." id " LIMIT $2::bigint) o LIMIT $2::bigint))"

#define PR_FORGET(table, id, unless) PR_FORGET_IF("true", table, id, unless)

#define PR_WAITS_IN(queue)              \
  "EXISTS (SELECT FROM " queue          \
  " q WHERE q.tenant_id = x.tenant_id " \
  "AND q.message_id = x.message_id OFFSET 0)"

// States up to 3 may still be sent: also under `final`, after an operator's replay. What somebody
// still asks about keeps its message. coalesce: not by the index of open attempts.
constexpr Query kForgetMessages{
    "forget_messages",
    PR_FORGET_IF(
        "x.final AND x.state > 3", "message_default", "message_id",
        "x.final AND x.state > 3 AND NOT " PR_WAITS_IN("dispatch_queue") " AND NOT " PR_WAITS_IN(
            "reconcile_queue") " AND NOT EXISTS (SELECT FROM attempt a WHERE a.tenant_id = "
                               "x.tenant_id "
                               "AND a.message_id = x.message_id AND coalesce(a.outcome, 0) = 0 "
                               "OFFSET 0)")};

#define PR_WITHOUT_MESSAGE                                             \
  "NOT EXISTS (SELECT FROM message m WHERE m.tenant_id = x.tenant_id " \
  "AND m.message_id = x.message_id OFFSET 0)"

constexpr Query kForgetAttempts{
    "forget_attempts",
    PR_FORGET("attempt_default", "message_id", "x.outcome IS NOT NULL AND " PR_WITHOUT_MESSAGE)};

// Not before their own age: until then the hash chain wants them to be there.
constexpr Query kForgetEvents{"forget_events",
                              PR_FORGET("status_event_default", "message_id",
                                        "x.at < audit.time_of($1::uuid) AND " PR_WITHOUT_MESSAGE)};

constexpr Query kForgetInbound{"forget_inbound",
                               PR_FORGET("inbound_message", "inbound_id", "true")};

// Not before its inbox row: what became of webhooks adds up. Nor before its message.
constexpr Query kForgetLetters{
    "forget_dead_letters",
    PR_FORGET("dead_letter", "dead_letter_id",
              "NOT EXISTS (SELECT FROM receipt_parked p WHERE p.tenant_id = x.tenant_id "
              "AND p.inbox_id = x.dead_letter_id OFFSET 0) AND NOT EXISTS (SELECT FROM "
              "webhook_inbox i WHERE i.tenant_id = x.tenant_id AND i.inbox_id = x.dead_letter_id "
              "OFFSET 0) AND NOT EXISTS (SELECT FROM message m WHERE m.tenant_id = x.tenant_id "
              "AND m.message_id = x.dead_letter_id OFFSET 0)")};

constexpr Query kForgetWebhooks{
    "forget_webhooks",
    PR_FORGET("webhook_inbox_default", "inbox_id",
              "EXISTS (SELECT FROM receipt_applied a WHERE a.tenant_id = x.tenant_id "
              "AND a.inbox_id = x.inbox_id OFFSET 0)")};

constexpr Query kForgetApplied{
    "forget_applied",
    PR_FORGET("receipt_applied_default", "inbox_id",
              "NOT EXISTS (SELECT FROM webhook_inbox i WHERE i.tenant_id = x.tenant_id "
              "AND i.inbox_id = x.inbox_id OFFSET 0)")};

// A week later than messages: their partitions go by the week.
constexpr Query kForgetCounts{
    "forget_send_counts",
    "DELETE FROM send_count x WHERE x.ctid = ANY(ARRAY(SELECT o.ctid FROM tenant t, LATERAL ("
    "SELECT x.ctid FROM send_count x WHERE x.tenant_id = t.tenant_id "
    "AND x.day < (audit.time_of($1::uuid) AT TIME ZONE 'UTC')::date - 8 "
    "ORDER BY x.tenant_id, x.day LIMIT $2::bigint) o LIMIT $2::bigint))"};

constexpr Query kForgetRefusals{
    "forget_refusals",
    "DELETE FROM refusal x WHERE x.ctid = ANY(ARRAY(SELECT o.ctid FROM tenant t, LATERAL ("
    "SELECT x.ctid FROM refusal x WHERE x.tenant_id = t.tenant_id "
    "AND x.last_at < audit.time_of($1::uuid) "
    "ORDER BY x.tenant_id, x.last_at LIMIT $2::bigint) o LIMIT $2::bigint))"};

constexpr Query kForgetRejections{"forget_content_rejections",
                                  PR_FORGET("content_rejection", "message_id", "true")};
constexpr Query kForgetClusters{"forget_content_clusters",
                                PR_FORGET("content_cluster", "cluster_id", "true")};

/// In this order: what belongs to another row goes after it.
struct Forgetting {
  Query query;
  bool webhooks;
  bool ends = false;  ///< Of webhooks.
};
constexpr Forgetting kForgettings[] = {
    {kForgetMessages, false},   {kForgetAttempts, false}, {kForgetEvents, false},
    {kForgetInbound, false},    {kForgetWebhooks, true},  {kForgetApplied, true, true},
    {kForgetLetters, false},    {kForgetCounts, false},   {kForgetRefusals, false},
    {kForgetRejections, false}, {kForgetClusters, false}};

}  // namespace

absl::StatusOr<bool> PgStore::ForgetOld(const KeepTimes& keep) {
  bool more = false;
  for (const Forgetting& forgetting : kForgettings) {
    PR_RETURN_IF_ERROR(pool_.Transact(forgetting.query.name, [&](PgTransaction& transaction) {
      // Two at once would look for the same rows, one in vain.
      if (!TakeRetentionTurn(transaction)) return absl::OkStatus();
      const PgRows now = transaction.RunOnce("SELECT " PR_US("now()"));
      const WallTime agreed = std::min(clock_.Wall(), now.Time(0, 0));
      const WallTime before = agreed - (forgetting.webhooks ? keep.webhooks : keep.messages);
      // A detached day's webhooks may come back (pg_retention.cc) to find their ends.
      if (forgetting.ends && !DetachedOf(transaction, "webhook_inbox", before).empty()) {
        return absl::OkStatus();
      }
      PgParams params;
      params.Add(LeastUuidV7(before));
      params.Add(kForgottenRows);
      const int deleted = transaction.Run(forgetting.query, params).affected();
      more = more || deleted >= kForgottenRows / 2;  // As ForgetSome has it.
      return absl::OkStatus();
    }));
  }
  return more;
}

std::vector<Query> ForgetOldQueries() {
  std::vector<Query> queries;
  for (const Forgetting& forgetting : kForgettings) queries.push_back(forgetting.query);
  return queries;
}

}  // namespace postrider
