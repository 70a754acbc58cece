#include "tests/bench/audit_figures.h"

#include <algorithm>
#include <chrono>
#include <cstdio>

#include "absl/strings/str_replace.h"

#include "server/base/strings.h"
#include "tests/bench/store_load.h"
#include "tests/support/audit_page.h"

namespace postrider::bench {

namespace {

using Steady = std::chrono::steady_clock;

constexpr std::int64_t kAuditedMessages = 10'000'000;
constexpr std::int64_t kWithAllRows = 3'000'000;  // 30 days of 100
constexpr std::int64_t kWithWebhooks = 300'000;   // 3 days
constexpr std::int64_t kFilledAtOnce = 250'000;
constexpr int kAsked = 3;

// n counts backwards, 0.864 s each: so 10,000,000 are 100 days. Of a hundred messages two failed,
// one is undetermined, and those of the last three days have one that waits for news.
constexpr const char* kMade = R"(CREATE UNLOGGED TABLE made AS
SELECT n, t.tenant_id, (SELECT s.sender_id FROM sender s WHERE s.tenant_id = t.tenant_id LIMIT 1) AS sender_id,
  now() - n * interval '0.864 seconds' AS at,
  (left(audit.least_id(now() - n * interval '0.864 seconds')::text, 14) || '7' || substr(md5(n::text), 1, 3) || '-8'
    || substr(md5(n::text), 4, 3) || '-' || substr(md5(n::text), 7, 12))::uuid AS id,
  md5('conversation' || n % 500000)::uuid AS conversation_id, 'campaign-' || n % 40 AS campaign_id,
  '+1212' || 2000000 + n % 500000 AS number,
  (CASE n % 100 WHEN 1 THEN 8 WHEN 2 THEN 8 WHEN 3 THEN 4 WHEN 4 THEN 6 ELSE 7 END)::smallint AS state,
  n % 100 <> 4 OR n > 300000 AS final
FROM tenant t, generate_series($FIRST, $LAST) n)";

constexpr const char* kOfAll[] = {
    R"(INSERT INTO message (tenant_id, message_id, slot, request_id, conversation_id, external_contact_id, campaign_id,
  sender_id, sender, recipient, recipient_key, body, metadata, priority, duplicate_policy, time_zone, accepted_at,
  state, revision, attempt, final, failure, provider_code, provider_message_id, correlation_id, receipt_hash, hold_reason,
  template_name, answers_opt_out, content_unchecked)
SELECT tenant_id, id, 1, 'past-' || n, conversation_id, '', campaign_id, sender_id, '+15559876543', number,
  convert_to(number, 'UTF8'), 'Your appointment reminder: Dr. Smith tomorrow at 10:00 AM.', '{}', 2, 1, '', at, state, 4,
  1, final, CASE state WHEN 8 THEN 3 ELSE 0 END, CASE state WHEN 8 THEN 'carrier_rejected' ELSE '' END,
  'msg-' || id, 'correlation-' || n, '', 0, 'reminder-' || n % 3, n % 200 = 0, n % 1000 = 1 FROM made)",
    R"(INSERT INTO send_count (tenant_id, day, campaign_id, state, failure, provider_code, writer, messages)
SELECT tenant_id, (at AT TIME ZONE 'UTC')::date, campaign_id, s.state, CASE s.state WHEN 8 THEN 3 ELSE 0 END,
  CASE s.state WHEN 8 THEN 'carrier_rejected' ELSE '' END, 1, count(*)
FROM made, LATERAL (VALUES (0), (CASE WHEN final THEN state END)) AS s(state) WHERE s.state IS NOT NULL GROUP BY 1, 2, 3, 4, 5, 6
ON CONFLICT (tenant_id, day, campaign_id, state, failure, provider_code, writer)
DO UPDATE SET messages = send_count.messages + excluded.messages)"};

constexpr const char* kOfMonth[] = {
    "INSERT INTO request_key SELECT tenant_id, 'past-' || n, id, '' FROM made",
    R"(INSERT INTO status_event (slot, tenant_id, message_id, revision, previous, state, cause, attempt, final,
  correction, conversation_id, external_contact_id, campaign_id, at)
SELECT 1, tenant_id, id, r.revision, r.previous, CASE r.revision WHEN 4 THEN made.state ELSE r.state END, r.cause, 1,
  r.revision = 4, r.revision = 4 AND n % 1000 = 5, conversation_id, '', campaign_id, at
FROM made, (VALUES (1, 1, 1, 1), (2, 1, 2, 2), (3, 2, 5, 3), (4, 5, 7, 5)) AS r(revision, previous, state, cause))",
    R"(INSERT INTO attempt (tenant_id, message_id, attempt, slot, epoch, replica_id, intended_at, outcome, outcome_at,
  http_status, provider_message_id, correlation_id, left_before_opt_out)
SELECT tenant_id, id, a, 1, 1, tenant_id, at, CASE WHEN n % 100 = 3 THEN 5 ELSE 1 END, at, CASE WHEN n % 5000 = 7 THEN
  429 ELSE 202 END, 'msg-' || id, 'correlation-' || n, n % 1000 = 6
FROM made, generate_series(1, CASE WHEN n % 500 = 8 THEN 2 ELSE 1 END) a)",
    R"(INSERT INTO dead_letter (tenant_id, dead_letter_id, source, reason, detail, body, at, only_by_id)
SELECT tenant_id, id, 'send', CASE state WHEN 4 THEN 'UNDETERMINED' ELSE 'FAILED' END, '', '', at, false FROM made
WHERE state IN (4, 8))",
    R"(INSERT INTO refusal (tenant_id, request_id, reason, refused_at, last_at, recipient, sender, campaign_id, detail)
SELECT tenant_id, 'refused-' || n, 'CONTENT_NOT_APPROVED', at, at, '', '+15559876543', campaign_id, 'a rule' FROM made
WHERE n % 50 = 0)",
    R"(INSERT INTO consent_event (tenant_id, consent_id, recipient_key, sender_id, recipient, change, source, evidence,
  actor, reason, said_at)
SELECT tenant_id, id, convert_to(number, 'UTF8'), sender_id, number, 1, 1, 'STOP', '', '', at FROM made WHERE n % 200 = 0
ON CONFLICT DO NOTHING)",
    R"(INSERT INTO suppression (tenant_id, recipient_key, sender_id, consent_id)
SELECT tenant_id, convert_to(number, 'UTF8'), sender_id, id FROM made WHERE n % 200 = 0 ON CONFLICT DO NOTHING)",
    R"(INSERT INTO inbound_message (tenant_id, inbound_id, conversation_id, sender_id, recipient, recipient_key, body,
  keyword, provider_message_id, provider_conversation_id, dedupe_key, received_at)
SELECT tenant_id, id, conversation_id, sender_id, number, convert_to(number, 'UTF8'), 'STOP', 1, '', '', uuid_send(id), at
FROM made WHERE n % 200 = 0)",
    R"(INSERT INTO operator_action (tenant_id, action_id, actor, action, target, reason, at)
SELECT tenant_id, id, 'on-call', CASE n % 3000 WHEN 0 THEN 'PUT_TENANT' ELSE 'PAUSE' END, '', 'why', at FROM made
WHERE n % 1000 = 0)"};

constexpr const char* kOfWebhooks[] = {
    R"(INSERT INTO webhook_inbox (tenant_id, inbox_id, profile, body, received_at)
SELECT tenant_id, id, 'guide', convert_to(repeat('x', 400), 'UTF8'), at FROM made)",
    R"(INSERT INTO receipt_applied (tenant_id, inbox_id, verdict, message_id, dedupe_key, applied_at)
SELECT tenant_id, id, 1, id, uuid_send(id), at FROM made)"};

void FillAudited(const std::string& url) {
  for (std::int64_t first = 1; first <= kAuditedMessages; first += kFilledAtOnce) {
    RunSql(url, absl::StrReplaceAll(kMade, {{"$FIRST", StrCat(first)},
                                            {"$LAST", StrCat(first + kFilledAtOnce - 1)}}));
    const auto run = [&](const auto& statements, std::int64_t until) {
      if (first > until) return;
      for (const char* statement : statements) RunSql(url, statement);
    };
    run(kOfAll, kAuditedMessages);
    run(kOfMonth, kWithAllRows);
    run(kOfWebhooks, kWithWebhooks);
    RunSql(url, "DROP TABLE made");
  }
  RunSql(
      url,
      "INSERT INTO conversation SELECT t.tenant_id, md5('conversation' || n)::uuid, 'n:+1212' || "
      "2000000 + n, s.sender_id, convert_to('+1212' || 2000000 + n, 'UTF8') FROM tenant t JOIN "
      "sender s USING (tenant_id), generate_series(0, 499999) n ON CONFLICT DO NOTHING");
  // As autovacuum leaves what has been there for a while.
  for (const char* table :
       {"message", "status_event", "attempt", "request_key", "conversation", "dead_letter",
        "refusal", "consent_event", "suppression", "inbound_message", "webhook_inbox",
        "receipt_applied", "operator_action"}) {
    RunSql(url, StrCat("ANALYZE ", table));
  }
  RunSql(url, "CHECKPOINT");
}

}  // namespace

void MeasureAuditQueries(const AuditBench& bench, Report& report) {
  const std::string& url = bench.database_url;
  bench.start_gateway({"--sandbox"});  // Makes the tenant and its sender.
  FillAudited(url);
  RunSql(url,
         "CREATE ROLE bench_auditor; GRANT USAGE ON SCHEMA audit TO bench_auditor; "
         "GRANT SELECT ON ALL TABLES IN SCHEMA audit TO bench_auditor; "
         "INSERT INTO auditor_tenant (tenant_id, role_oid, role_name, granted_by) "
         "SELECT tenant_id, 'bench_auditor'::regrole, 'bench_auditor', 'bench' FROM tenant");
  const std::string tenant = RunSql(url, "SELECT name FROM tenant").at(0);
  const std::string message =
      RunSql(url, "SELECT message_id FROM request_key WHERE request_id = 'past-2000000'").at(0);
  double slowest = 0;
  double all = 0;
  int over_a_second = 0;
  for (const PageQuery& query : QueriesOfPage(bench.page)) {
    const std::string sql =
        absl::StrReplaceAll(query.sql, {{":'message_id'", StrCat("'", message, "'")},
                                        {":'conversation_id'", "md5('conversation7')::uuid"},
                                        {":'request_id'", "'past-2000000'"},
                                        {":'campaign_id'", "'campaign-2'"},
                                        {":'day'", "(current_date - 1)"},
                                        {"'acme'", StrCat("'", tenant, "'")}});
    std::vector<double> seconds;
    for (int i = 0; i < kAsked; ++i) {
      const auto begin = Steady::now();
      RunSql(url, StrCat("SET LOCAL ROLE bench_auditor; ", sql));
      seconds.push_back(std::chrono::duration<double>(Steady::now() - begin).count());
    }
    const double median = Percentile(seconds, 50);
    std::printf("AUDIT.md line %3d  %7.3f s  (first %.3f s)\n", query.line, median, seconds.back());
    slowest = std::max(slowest, median);
    all += median;
    over_a_second += median > 1 ? 1 : 0;
  }
  report.Add({"audit_slowest_query_s", slowest, "s", "all of the page's", all});
  report.Add({"audit_queries_over_a_second", static_cast<double>(over_a_second), "queries",
              "messages", static_cast<double>(kAuditedMessages)});
}

}  // namespace postrider::bench
