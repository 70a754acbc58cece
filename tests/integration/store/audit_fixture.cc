#include "tests/integration/store/audit_fixture.h"

#include "absl/strings/str_replace.h"
#include <gtest/gtest.h>

#include "server/base/strings.h"
#include "tests/integration/store/chain_fixture.h"

namespace postrider {

namespace {

std::string UrlAs(std::string url, const std::string& role) {
  const std::size_t begin = url.find("//") + 2;
  return url.replace(begin, url.find('@') - begin, role);
}

// n counts minutes backwards. $T the tenant, $S a sender of its own, $N its name, $K 0 or 1.
constexpr const char* kAuditFill = R"(
INSERT INTO sender (tenant_id, sender_id, address) VALUES ('$T', '$S', '$N-sender');
CREATE TEMPORARY TABLE made ON COMMIT DROP AS
SELECT n, now() - n * interval '1 minute' AS at,
  (left(audit.least_id(now() - n * interval '1 minute')::text, 14) || '7000-8000-' || lpad(to_hex(n * 2 + $K), 12, '0'))::uuid AS id,
  ('10000000-0000-4000-8000-' || lpad(to_hex(n / 2 * 2 + $K), 12, '0'))::uuid AS conversation_id,
  '+1555' || lpad(n::text, 7, '0') AS number, (n % 12 + 1)::smallint AS state, sha256(int4send(n * 2 + $K)) AS hash
FROM generate_series(1, $COUNT) n;
INSERT INTO message (tenant_id, message_id, slot, request_id, conversation_id, external_contact_id, campaign_id,
  sender_id, sender, recipient, recipient_key, body, metadata, priority, duplicate_policy, time_zone, accepted_at,
  state, revision, attempt, final, failure, provider_code, correlation_id, receipt_hash, hold_reason, template_name,
  answers_opt_out, content_unchecked)
SELECT '$T', id, 1, '$N-' || n, conversation_id, '$N-contact-' || n, '$N-' || n % 3, '$S', '$N-sender', number,
  convert_to(number, 'UTF8'), '$N secret text', '{"key": "$N secret"}', 2, 1, '', at, state, 2, 1, state > 3,
  n % 12, '$N-code', '$N-correlation', '', n % 7, CASE WHEN n % 2 = 0 THEN '$N-template' END, n % 12 = 7,
  n % 12 = 9 FROM made;
INSERT INTO send_count (tenant_id, day, campaign_id, state, failure, provider_code, writer, messages)
SELECT '$T'::uuid, (at AT TIME ZONE 'UTC')::date, '$N-' || n % 3, s.state, CASE WHEN s.state IN (4, 8, 9) THEN n % 12 ELSE 0 END,
  CASE WHEN s.state IN (4, 8, 9) THEN '$N-code' ELSE '' END, 1, count(*)
FROM made, LATERAL (VALUES (0), (CASE WHEN state > 3 THEN state END)) AS s(state) WHERE s.state IS NOT NULL GROUP BY 1, 2, 3, 4, 5, 6;
INSERT INTO request_key SELECT '$T', '$N-' || n, id, hash FROM made;
INSERT INTO conversation SELECT DISTINCT ON (conversation_id) '$T'::uuid, conversation_id,
  CASE WHEN n % 4 = 0 THEN 'n:' || number ELSE 'x:$N-contact-' || n END, '$S'::uuid, convert_to(number, 'UTF8') FROM made;
INSERT INTO status_event (slot, tenant_id, message_id, revision, previous, state, cause, attempt, final, correction,
  failure, provider_code, hold_reason, conversation_id, external_contact_id, campaign_id, at)
SELECT 1, '$T', id, r, CASE r WHEN 1 THEN 1 ELSE state END, CASE r WHEN 1 THEN 1 ELSE state END,
  CASE r WHEN 1 THEN 1 ELSE n % 13 + 1 END, 1, false, r = 2 AND n % 5 = 0, n % 12, '$N-code', n % 7, conversation_id, '',
  '$N-' || n % 3, at FROM made, generate_series(1, 2) r;
INSERT INTO attempt (tenant_id, message_id, attempt, slot, epoch, replica_id, intended_at, outcome, outcome_at,
  http_status, provider_code, detail, left_before_opt_out)
SELECT '$T', id, a, 1, 1, '$T', at, CASE WHEN n % 4 = 0 THEN 5 ELSE n % 6 + 1 END, at + interval '1 second',
  CASE WHEN n % 10 = 0 THEN 429 ELSE 202 END, '$N-code', '$N-detail', n % 16 = 0 FROM made, generate_series(1, 2) a;
INSERT INTO inbound_message (tenant_id, inbound_id, conversation_id, sender_id, recipient, recipient_key, body,
  keyword, provider_message_id, provider_conversation_id, dedupe_key, received_at)
SELECT '$T', id, conversation_id, '$S', number, convert_to(number, 'UTF8'), '$N secret text', n % 4, '', '', hash, at FROM made;
INSERT INTO webhook_inbox (tenant_id, inbox_id, profile, body, received_at) SELECT '$T', id, 'guide', '$N secret', at FROM made;
INSERT INTO receipt_applied (tenant_id, inbox_id, verdict, message_id, dedupe_key)
SELECT '$T', id, n % 3 + 1, CASE WHEN n % 3 < 2 THEN id END, hash FROM made WHERE n % 10 > 1;
INSERT INTO receipt_parked (tenant_id, inbox_id, profile, body) SELECT '$T', id, 'guide', '$N secret' FROM made WHERE n % 10 = 0;
INSERT INTO consent_event (tenant_id, consent_id, recipient_key, sender_id, recipient, change, source, evidence, actor,
  reason, said_at)
SELECT '$T', id, convert_to(number, 'UTF8'), CASE WHEN n % 2 = 0 THEN '$S'::uuid ELSE '00000000-0000-0000-0000-000000000000' END,
  number, n % 2 + 1, n % 3 + 1, '$N-evidence', '$N-operator', '$N-reason', at FROM made WHERE n % 4 = 0;
INSERT INTO suppression (tenant_id, recipient_key, sender_id, consent_id)
SELECT '$T', convert_to(number, 'UTF8'), '$S', id FROM made WHERE n % 8 = 0;
INSERT INTO operator_action SELECT '$T', id, '$N-operator', CASE n % 3 WHEN 0 THEN 'UNMASK_DEAD_LETTER' WHEN 1 THEN 'MERGE_CONTACTS' ELSE 'REPLAY' END,
  '$N-target', '$N-reason', at FROM made WHERE n % 5 = 0;
INSERT INTO dead_letter (tenant_id, dead_letter_id, reason, detail, source, body, at, state, action_id)
SELECT '$T', id, CASE n % 2 WHEN 0 THEN 'FAILED' ELSE 'ORPHAN' END, '$N-detail', CASE n % 2 WHEN 0 THEN 'send' ELSE 'guide' END,
  '$N secret', at, n % 4 + 1, CASE WHEN n % 5 = 0 THEN id END FROM made WHERE n % 5 < 2;
INSERT INTO campaign (tenant_id, campaign_id, class, active, templates, forbidden_words, links, link_hosts, shorteners, opt_out_text)
SELECT '$T', '$N-' || n, n + 1, true, ARRAY['$N-template'], ARRAY['$N-word'], n + 1, ARRAY['$N.example'], false, '$N-stop' FROM generate_series(0, 2) n;
INSERT INTO refusal (tenant_id, request_id, reason, recipient, sender, campaign_id, detail, refused_at, last_at)
SELECT '$T', '$N-refused-' || n, CASE n % 3 WHEN 0 THEN 'RECIPIENT_OPTED_OUT' ELSE 'CONTENT_NOT_APPROVED' END, '+*********' || lpad((n % 100)::text, 2, '0'),
  '$N-sender', '$N-' || n % 3, '$N-detail', at, at FROM made WHERE n % 4 = 1;
INSERT INTO content_approval (tenant_id, campaign_id, campaign_version, fingerprint, approved, violations, checked_at, expires_at)
SELECT '$T', '$N-' || n % 3, sha256('$N'), hash, n % 3 > 0, CASE WHEN n % 3 > 0 THEN '{}'::jsonb ELSE '{"$N-rule": "$N secret text"}' END, at, at + interval '1 day'
FROM made WHERE n % 20 = 3;
INSERT INTO content_cluster (tenant_id, cluster_id, campaign_id, rejections, answered, paused, found_at)
SELECT '$T', id, '$N-' || n % 3, 5, n, n > 50, at FROM made WHERE n % 50 = 5;
INSERT INTO content_rejection (tenant_id, message_id, slot, campaign_id, failure, provider_code, rejected_at, judged_at, cluster_id)
SELECT '$T', id, 1, '$N-' || n % 3, 3, '$N-code', at, at, CASE WHEN n % 50 = 5 THEN id END FROM made WHERE n % 10 = 5;
INSERT INTO dispatch_pause (tenant_id, scope, target, reason, actor) VALUES ('$T', 2, '$N-1', '$N-reason', '$N-operator'),
  ('$T', 3, '$S', '$N-reason', '$N-operator');
INSERT INTO tenant_pause VALUES ('$T', 1, now() + interval '1 hour');
INSERT INTO breaker_state (tenant_id, breaker, slot, state, trips, canaries, changed_at, cause, override, override_until, override_actor)
VALUES ('$T', 1, 1, 2, 1, 0, now(), '$N-cause', 1, now() + interval '1 hour', '$N-operator'), ('$T', 2, 1, 1, 0, 0, 'epoch', '', NULL, NULL, ''))";

}  // namespace

AuditorSession::AuditorSession(const std::string& database_url, const std::string& role)
    : connection_(PQconnectdb(UrlAs(database_url, role).c_str()), &PQfinish) {
  EXPECT_EQ(PQstatus(connection_.get()), CONNECTION_OK) << PQerrorMessage(connection_.get());
  PQsetNoticeProcessor(connection_.get(), [](void*, const char*) {}, nullptr);
}

Asked AuditorSession::Ask(const std::string& sql) {
  const std::unique_ptr<PGresult, void (*)(PGresult*)> result(
      PQexec(connection_.get(), sql.c_str()), &PQclear);
  Asked asked;
  const ExecStatusType status = PQresultStatus(result.get());
  if (status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK) {
    const char* const code = PQresultErrorField(result.get(), PG_DIAG_SQLSTATE);
    asked.sqlstate = code == nullptr ? "lost" : code;
    asked.error = PQresultErrorMessage(result.get());
  }
  for (int row = 0; row < PQntuples(result.get()); ++row) {
    SqlSession::Row& values = asked.rows.emplace_back();
    for (int column = 0; column < PQnfields(result.get()); ++column) {
      values.emplace_back(PQgetvalue(result.get(), row, column));
    }
  }
  return asked;
}

std::vector<std::string> AuditorSession::Column(const std::string& sql) {
  const Asked asked = Ask(sql);
  EXPECT_EQ(asked.sqlstate, "") << asked.error << sql;
  std::vector<std::string> values;
  for (const SqlSession::Row& row : asked.rows) values.push_back(row[0]);
  return values;
}

AuditFixture::AuditFixture() {
  Fill(acme, "acme", 200);
  Fill(clinic, "clinic", 200);
  Metrics metrics;
  ChainSealer sealer(pool, pg.clock, metrics);
  SealAll(pg.sql, sealer);
}

AuditFixture::~AuditFixture() {
  for (const std::string& role : roles_) {
    pg.sql.Run(StrCat("DROP OWNED BY ", role, " CASCADE; DROP ROLE ", role));
  }
}

void AuditFixture::Fill(TenantId tenant, const std::string& name, int count) {
  const Uuid sender = MakeUuidV4(pg.random);
  pg.sql.Run(absl::StrReplaceAll(kAuditFill, {{"$T", tenant.ToString()},
                                              {"$S", sender.ToString()},
                                              {"$N", name},
                                              {"$K", name == "acme" ? "0" : "1"},
                                              {"$COUNT", StrCat(count)}}));
}

std::string AuditFixture::NewRole(const std::string& name, const std::string& attributes) {
  std::string role = StrCat(name, "_of_", pg.sql.Value("SELECT current_database()"));
  pg.sql.Run(StrCat("CREATE ROLE ", role, " ", attributes));
  roles_.push_back(role);
  return role;
}

std::string AuditFixture::NewAuditor(const std::string& name,
                                     const std::vector<std::string>& tenants) {
  const std::string role = NewRole(name);
  for (const std::string& tenant : tenants) {
    const auto granted = Grant(role, tenant);
    EXPECT_TRUE(granted.ok() && *granted) << granted.status();
  }
  return role;
}

absl::StatusOr<bool> AuditFixture::Grant(const std::string& role, const std::string& tenant) {
  return GrantAuditor(pool, role, tenant, Action());
}

OperatorAction AuditFixture::Action(const std::string& reason) {
  return {.action_id = MakeUuidV7(pg.clock.Wall(), pg.random), .actor = "", .reason = reason};
}

}  // namespace postrider
