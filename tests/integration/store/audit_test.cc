// Auditors read what they were granted, in names, and nothing else by any trick.
#include <sstream>

#include "absl/strings/str_replace.h"
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "server/base/log.h"
#include "server/base/strings.h"
#include "server/model/breaker.h"
#include "server/model/message.h"
#include "server/policy/keywords.h"
#include "server/store/migrate.h"
#include "tests/integration/store/audit_fixture.h"
#include "tests/support/audit_page.h"
#include "tests/support/send_counts.h"

namespace postrider {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

constexpr const char* kRefused = "42501";

/// The views of schema audit.
std::vector<std::string> ViewsOf(SqlSession& sql) {
  std::vector<std::string> views;
  for (const auto& row : sql.Run("SELECT relname FROM pg_class WHERE relnamespace = "
                                 "'audit'::regnamespace AND relkind = 'v' ORDER BY 1")) {
    views.push_back(row[0]);
  }
  return views;
}

TEST(AuditTest, NamesAreThoseOfTheGateway) {
  PgFixture pg;
  const auto expect_names = [&]<typename Enum>(const char* function, int first, Enum last) {
    const int end = static_cast<int>(last);
    for (int n = first; n <= end; ++n) {
      EXPECT_EQ(pg.sql.Value(StrCat("SELECT audit.", function, "(", n, "::smallint)")),
                NameOf(static_cast<Enum>(n)))
          << function << " " << n;
    }
    // One more, and the model's own list ends there too.
    EXPECT_EQ(pg.sql.Value(StrCat("SELECT audit.", function, "(", end + 1, "::smallint)")), "");
  };
  expect_names("state_name", 1, MessageState::kSuppressed);
  expect_names("cause_name", 1, Cause::kReplayed);
  expect_names("failure_name", 0, FailureReason::kOther);
  expect_names("hold_name", 0, HoldReason::kQuietHours);
  expect_names("outcome_name", 1, OutcomeKind::kTakenBack);
  expect_names("keyword_name", 0, Keyword::kHelp);
  expect_names("consent_change_name", 1, ConsentChange::kOptIn);
  expect_names("consent_source_name", 1, ConsentSource::kRecorded);
  expect_names("breaker_name", 1, Breaker::kCarrier);
  expect_names("breaker_state_name", 1, BreakerState::kHalfOpen);
  // A value that is new in the model is missed above; its name is not "UNSPECIFIED".
  EXPECT_EQ(NameOf(static_cast<MessageState>(13)), "UNSPECIFIED");
  EXPECT_EQ(NameOf(static_cast<Cause>(14)), "UNSPECIFIED");
  EXPECT_EQ(NameOf(static_cast<FailureReason>(12)), "UNSPECIFIED");
  EXPECT_EQ(NameOf(static_cast<HoldReason>(8)), "UNSPECIFIED");
  EXPECT_EQ(NameOf(static_cast<OutcomeKind>(7)), "UNSPECIFIED");
}

TEST(AuditTest, NumbersAreMaskedAsInLogs) {
  PgFixture pg;
  for (const char* number : {"+15551234567", "+4", "", "12", "123", "+12"}) {
    EXPECT_EQ(pg.sql.Value(StrCat("SELECT audit.masked('", number, "')")), MaskedNumber(number));
  }
  EXPECT_EQ(pg.sql.Value("SELECT audit.masked_contact('15551234567')"), "*********67");
  EXPECT_EQ(pg.sql.Value("SELECT audit.masked_contact('crm-1234567')"), "crm-1234567");
}

TEST(AuditTest, IdsAndTimesAreThoseOfTheGateway) {
  PgFixture pg;
  for (const std::int64_t ms : {0LL, 1'700'000'000'123LL, 4'102'444'800'000LL}) {
    const WallTime at{std::chrono::milliseconds(ms)};
    const std::string id = LeastUuidV7(at).ToString();
    EXPECT_EQ(pg.sql.Value(StrCat("SELECT audit.least_id('epoch'::timestamptz + ", ms,
                                  " * interval '1 millisecond')")),
              id);
    EXPECT_EQ(
        pg.sql.Number(StrCat("SELECT round(extract(epoch FROM audit.time_of('", id, "')) * 1000)")),
        ms);
  }
}

TEST(AuditTest, EveryViewShowsTheGrantedTenantsRowsAndNoOthers) {
  AuditFixture audit;
  AuditorSession acme(audit.pg.database.url(), audit.NewAuditor("acme", {"acme"}));
  AuditorSession both(audit.pg.database.url(), audit.NewAuditor("both", {"acme", "clinic"}));
  AuditorSession none(audit.pg.database.url(), audit.NewRole("none"));
  const std::vector<std::string> views = ViewsOf(audit.pg.sql);
  EXPECT_GT(views.size(), 12U);
  for (const std::string& view : views) {
    SCOPED_TRACE(view);
    const std::string tenants = StrCat("SELECT DISTINCT tenant FROM audit.", view, " ORDER BY 1");
    EXPECT_THAT(acme.Column(tenants), ElementsAre("acme"));
    EXPECT_THAT(both.Column(tenants), ElementsAre("acme", "clinic"));
    EXPECT_EQ(none.Ask(tenants).sqlstate, kRefused);
    // Neither another's values nor what auditors are not to see, in any column.
    EXPECT_THAT(acme.Column(StrCat("SELECT v::text FROM audit.", view, " v")),
                Each(AllOf(Not(HasSubstr("clinic")), Not(HasSubstr(" secret")),
                           Not(HasSubstr("+1555000")))));
  }
  EXPECT_EQ(audit.pg.sql.Number("SELECT count(*) FROM audit.message"), 0)
      << "a superuser was granted nothing either";
}

TEST(AuditTest, AnAuditorReadsNoTableAndWritesNothing) {
  AuditFixture audit;
  AuditorSession session(audit.pg.database.url(), audit.NewAuditor("acme", {"acme"}));
  audit.pg.sql.Run("ANALYZE");
  int tables = 0;
  for (const auto& row : audit.pg.sql.Run("SELECT relname FROM pg_class WHERE relnamespace = "
                                          "'postrider'::regnamespace AND relkind IN "
                                          "('r', 'p', 'v')")) {
    EXPECT_EQ(session.Ask(StrCat("SELECT * FROM postrider.", row[0])).sqlstate, kRefused) << row[0];
    ++tables;
  }
  EXPECT_GT(tables, 30);
  for (const std::string& view : ViewsOf(audit.pg.sql)) {
    for (const char* write : {"DELETE FROM audit.", "TRUNCATE audit."}) {
      EXPECT_NE(session.Ask(write + view).sqlstate, "") << write << view;
    }
    EXPECT_NE(session.Ask(StrCat("UPDATE audit.", view, " SET tenant = 'x'")).sqlstate, "");
    EXPECT_NE(session.Ask(StrCat("INSERT INTO audit.", view, " (tenant) VALUES ('x')")).sqlstate,
              "");
  }
  for (const char* refused :
       {"INSERT INTO postrider.auditor_tenant SELECT tenant_id, 1, 'x', now(), 'x' FROM "
        "audit.tenant",
        "CREATE VIEW audit.mine AS SELECT 1", "CREATE TABLE postrider.mine ()",
        "CREATE SCHEMA mine", "ALTER VIEW audit.message RESET (security_barrier)"}) {
    EXPECT_EQ(session.Ask(refused).sqlstate, kRefused) << refused;
  }
  // What the planner knows of columns are values of all tenants.
  EXPECT_THAT(session.Column("SELECT attname FROM pg_stats WHERE schemaname = 'postrider'"),
              IsEmpty());
  EXPECT_EQ(session.Ask("SELECT * FROM pg_statistic").sqlstate, kRefused);
}

/// A function that keeps what it is given, and that the planner takes for the cheapest.
constexpr const char* kLeak = R"(
CREATE TEMPORARY TABLE leaked (what text);
CREATE FUNCTION pg_temp.leak(what text) RETURNS boolean LANGUAGE plpgsql COST 0.0000001 AS
$$BEGIN INSERT INTO leaked VALUES (what); RETURN true; END$$;
SET enable_nestloop = off; SET enable_indexscan = off; SET enable_bitmapscan = off)";

TEST(AuditTest, AFunctionInAQueryIsGivenNoRowsOfOthers) {
  AuditFixture audit;
  const std::string role = audit.NewAuditor("acme", {"acme"});
  AuditorSession session(audit.pg.database.url(), role);
  ASSERT_EQ(session.Ask(kLeak).sqlstate, "");
  const auto leaked_from = [&](const std::string& view, const std::string& column) {
    session.Column(StrCat("SELECT count(*) FROM ", view, " x WHERE pg_temp.leak(", column, ")"));
    return session.Column(
        "WITH d AS (DELETE FROM leaked RETURNING what) SELECT DISTINCT what "
        "FROM d");
  };
  for (const std::string& view : ViewsOf(audit.pg.sql)) {
    SCOPED_TRACE(view);
    const std::vector<std::string> seen = leaked_from(StrCat("audit.", view), "x::text");
    EXPECT_THAT(seen, Not(IsEmpty()));
    EXPECT_THAT(seen, Each(Not(HasSubstr("clinic"))));
  }
  EXPECT_THAT(leaked_from("audit.message", "x.request_id"), Each(Not(HasSubstr("clinic"))));

  // The trick works where the view is no barrier.
  audit.pg.sql.Run(StrCat("CREATE VIEW audit.open_message AS ",
                          "SELECT m.request_id FROM postrider.message m WHERE m.tenant_id IN "
                          "(SELECT a.tenant_id FROM postrider.auditor_tenant a WHERE a.role_name "
                          "= current_user)"));
  EXPECT_THAT(leaked_from("audit.open_message", "x.request_id"), Contains(HasSubstr("clinic")));

  const Asked error = session.Ask("SELECT 1 FROM audit.message WHERE request_id::integer > 0");
  EXPECT_EQ(error.sqlstate, "22P02");
  EXPECT_THAT(error.error, AllOf(HasSubstr("acme-"), Not(HasSubstr("clinic"))));
}

TEST(AuditTest, AnotherRoleIsNotTakenOn) {
  AuditFixture audit;
  const std::string acme = audit.NewAuditor("acme", {"acme"});
  const std::string clinic = audit.NewAuditor("clinic", {"clinic"});
  AuditorSession session(audit.pg.database.url(), acme);
  const std::string tenants = "SELECT DISTINCT tenant FROM audit.message";
  for (const std::string& wrong :
       {StrCat("SET ROLE ", clinic), std::string("SET ROLE postgres"),
        StrCat("SET SESSION AUTHORIZATION ", clinic), StrCat("ALTER ROLE ", acme, " SUPERUSER"),
        StrCat("GRANT ", clinic, " TO ", acme)}) {
    EXPECT_EQ(session.Ask(wrong).sqlstate, kRefused) << wrong;
    EXPECT_THAT(session.Column(tenants), ElementsAre("acme"));
  }
  ASSERT_EQ(session.Ask("SET ROLE postrider_auditor").sqlstate, "");
  EXPECT_THAT(session.Column(tenants), IsEmpty()) << "nobody grants the group anything";

  // A plan that was made by one role is not the other's.
  SqlSession& sql = audit.pg.sql;
  sql.Run(StrCat("SET ROLE ", acme, "; SET plan_cache_mode = force_generic_plan; PREPARE asked AS ",
                 tenants));
  EXPECT_EQ(sql.Value("EXECUTE asked"), "acme");
  sql.Run(StrCat("RESET ROLE; SET ROLE ", clinic));
  EXPECT_EQ(sql.Value("EXECUTE asked"), "clinic");
  sql.Run("RESET ROLE");
}

TEST(AuditTest, ViewsAndFunctionsOfAuditorsShowNobodyMoreThanTheirOwn) {
  AuditFixture audit;
  const std::string acme = audit.NewAuditor("acme", {"acme"});
  const std::string clinic = audit.NewAuditor("clinic", {"clinic"});
  const std::string none = audit.NewRole("none");
  audit.pg.sql.Run(StrCat("CREATE SCHEMA mine AUTHORIZATION ", acme));
  AuditorSession owner(audit.pg.database.url(), acme);
  const Asked made = owner.Ask(
      "GRANT USAGE ON SCHEMA mine TO PUBLIC; CREATE VIEW mine.seen AS SELECT DISTINCT tenant FROM "
      "audit.message; GRANT SELECT ON mine.seen TO PUBLIC; CREATE FUNCTION mine.taken() RETURNS "
      "text LANGUAGE sql SECURITY DEFINER RETURN (SELECT string_agg(DISTINCT tenant, ',') "
      "FROM audit.message)");
  ASSERT_EQ(made.sqlstate, "") << made.error;
  EXPECT_THAT(owner.Column("SELECT * FROM mine.seen"), ElementsAre("acme"));
  AuditorSession other(audit.pg.database.url(), clinic);
  EXPECT_THAT(other.Column("SELECT * FROM mine.seen"), ElementsAre("clinic"));
  EXPECT_THAT(AuditorSession(audit.pg.database.url(), none).Column("SELECT * FROM mine.seen"),
              IsEmpty());
  // By its owner's rights it gets its owner's rows, not those of who calls it.
  EXPECT_THAT(other.Column("SELECT mine.taken()"), ElementsAre("acme"));
}

TEST(AuditTest, ARoleThatGetsTheNameOfOneThatIsGoneSeesNothing) {
  AuditFixture audit;
  const std::string role = audit.NewAuditor("acme", {"acme"});
  audit.pg.sql.Run(StrCat("DROP ROLE ", role, "; CREATE ROLE ", role, " LOGIN"));
  const auto granted = audit.Grant(role, "clinic");
  ASSERT_TRUE(granted.ok() && *granted) << granted.status();
  EXPECT_THAT(AuditorSession(audit.pg.database.url(), role)
                  .Column("SELECT DISTINCT tenant FROM audit.message"),
              ElementsAre("clinic"));
}

TEST(AuditTest, GrantsAreIdempotentListedRevokedAndOnRecord) {
  AuditFixture audit;
  const std::string role = audit.NewRole("acme");
  EXPECT_EQ(*audit.Grant(role, "acme"), true);
  EXPECT_EQ(*audit.Grant(role, "acme"), false);
  const auto listed = ListAuditors(audit.pool);
  ASSERT_TRUE(listed.ok()) << listed.status();
  ASSERT_EQ(listed->size(), 1U);
  EXPECT_EQ((*listed)[0].role, role);
  EXPECT_EQ((*listed)[0].tenant, "acme");
  EXPECT_EQ((*listed)[0].granted_by, "postgres");
  EXPECT_TRUE((*listed)[0].exists && (*listed)[0].may_read);

  const auto revoke = [&] { return RevokeAuditor(audit.pool, role, "acme", audit.Action("over")); };
  EXPECT_EQ(*revoke(), true);
  EXPECT_EQ(*revoke(), false);
  EXPECT_THAT(AuditorSession(audit.pg.database.url(), role)
                  .Column("SELECT DISTINCT tenant FROM audit.message"),
              IsEmpty());
  std::string told;
  for (const auto& row : audit.pg.sql.Run("SELECT action, actor, target, reason FROM "
                                          "operator_action WHERE action LIKE '%AUDITOR' "
                                          "ORDER BY at")) {
    StrAppend(told, row[0], " ", row[1], " ", row[2], " ", row[3], "; ");
  }
  EXPECT_EQ(told, StrCat("GRANT_AUDITOR postgres auditor ", role,
                         " the yearly audit; REVOKE_AUDITOR postgres auditor ", role, " over; "));
}

TEST(AuditTest, AGrantThatIsRefusedSaysWhatToDo) {
  AuditFixture audit;
  audit.NewAuditor("first", {"acme"});  // the group is there
  const std::string plain = audit.NewRole("plain");
  const std::string gateway = audit.NewRole("gateway");
  audit.pg.sql.Run(StrCat("GRANT USAGE ON SCHEMA postrider TO ", gateway));
  const std::string through = audit.NewRole("through", StrCat("LOGIN IN ROLE ", gateway));
  const std::string reader = audit.NewRole("reader", "LOGIN IN ROLE pg_read_all_data");
  const std::string bare = audit.NewRole("bare", "LOGIN NOINHERIT");
  struct Case {
    std::string role;
    const char* tenant;
    absl::StatusCode code;
    const char* says;
  };
  const Case cases[] = {
      {plain, "nobody", absl::StatusCode::kNotFound, "postriderd tenant list"},
      {"nobody", "acme", absl::StatusCode::kNotFound, "CREATE ROLE"},
      {"postgres", "acme", absl::StatusCode::kFailedPrecondition, "a role that can not"},
      {gateway, "acme", absl::StatusCode::kFailedPrecondition, "a role that can not"},
      {through, "acme", absl::StatusCode::kFailedPrecondition, "a role that can not"},
      {reader, "acme", absl::StatusCode::kFailedPrecondition, "a role that can not"},
      {bare, "acme", absl::StatusCode::kFailedPrecondition, "INHERIT"},
      {"postrider_auditor", "acme", absl::StatusCode::kInvalidArgument, "name one of them"}};
  for (const Case& c : cases) {
    const auto refused = audit.Grant(c.role, c.tenant);
    EXPECT_EQ(refused.status().code(), c.code) << c.role << refused.status();
    EXPECT_THAT(std::string(refused.status().message()), HasSubstr(c.says));
  }
  EXPECT_EQ(audit.pg.sql.Number("SELECT count(*) FROM auditor_tenant"), 1);
}

TEST(AuditTest, ADatabaseUserWhoMayMakeNoRolesIsToldWhatASuperuserRuns) {
  AuditFixture audit;
  audit.NewAuditor("first", {"acme"});
  const std::string role = audit.NewRole("second");
  const std::string user = audit.NewRole("plain");
  audit.pg.sql.Run(StrCat("GRANT USAGE ON SCHEMA postrider, audit TO ", user,
                          "; GRANT ALL ON ALL TABLES IN SCHEMA postrider TO ", user));
  std::string url = audit.pg.database.url();
  url.replace(url.find("postgres@"), 8, user);
  PgPool pool(audit.pg.clock, audit.pg.random, {.conninfo = url, .max_sessions = 1});
  const auto grant = [&] { return GrantAuditor(pool, role, "acme", audit.Action()); };
  const auto refused = grant();
  EXPECT_TRUE(absl::IsFailedPrecondition(refused.status())) << refused.status();
  EXPECT_THAT(std::string(refused.status().message()),
              AllOf(HasSubstr("CREATE ROLE postrider_auditor NOLOGIN"),
                    HasSubstr(StrCat("GRANT postrider_auditor TO \"", role, "\""))));
  audit.pg.sql.Run(StrCat("GRANT postrider_auditor TO ", role));
  const auto granted = grant();
  EXPECT_TRUE(granted.ok() && *granted) << granted.status();
}

TEST(AuditTest, WebhooksAddUpUnlessOneHasTwoEnds) {
  AuditFixture audit;
  AuditorSession session(audit.pg.database.url(), audit.NewAuditor("acme", {"acme"}));
  EXPECT_THAT(session.Column("SELECT DISTINCT adds_up FROM audit.webhook_hour"), ElementsAre("t"));
  EXPECT_THAT(
      session.Column("SELECT concat_ws(' ', sum(received), sum(applied) + sum(duplicates) + "
                     "sum(dead_letters), sum(parked), sum(open)) FROM audit.webhook_hour"),
      ElementsAre("200 160 20 20"));
  const std::string some =
      "tenant_id, inbox_id FROM receipt_applied WHERE tenant_id = (SELECT "
      "tenant_id FROM tenant WHERE name = 'acme') LIMIT 1";
  audit.pg.sql.Run(
      StrCat("INSERT INTO receipt_parked (tenant_id, inbox_id, profile, body) "
             "SELECT tenant_id, inbox_id, 'guide', '' FROM (SELECT ",
             some, ") s"));
  EXPECT_THAT(session.Column("SELECT count(*) FROM audit.webhook_hour WHERE NOT adds_up"),
              ElementsAre("1"));
}

TEST(AuditTest, TheMigrationCountsWhatIsThere) {
  PgFixture pg;
  const TenantId tenant = pg.NewTenant("acme");
  for (const char* campaign : {"spring", "spring", ""}) {
    NewMessage message = pg.Fresh(tenant, "+15550000001");
    message.request.campaign_id = campaign;
    ASSERT_TRUE(pg.store.Accept({&message, 1}).ok());
    if (*campaign == '\0') {
      ASSERT_TRUE(pg.store.Cancel({tenant, message.message_id}).ok());
    }
  }
  EXPECT_EQ(pg.sql.Number("SELECT sum(messages) FROM send_count"), 4) << "three, one of them ended";
  EXPECT_THAT(pg.sql.Run(kWrongSendCounts), IsEmpty());
  pg.sql.Run(
      "DROP SCHEMA audit CASCADE; DROP TABLE auditor_tenant, send_count; "
      "DROP INDEX status_event_corrections, attempt_left_before_opt_out, attempt_throttled, "
      "attempt_after_the_first, "
      "message_that_answers_an_opt_out; "
      "DELETE FROM schema_migration WHERE name LIKE '%audit' OR name LIKE '%failure_counts'");
  const auto again = MigrateUp(pg.database.url(), pg.clock);
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(pg.sql.Number("SELECT sum(messages) FROM send_count"), 4);
  EXPECT_THAT(pg.sql.Run(kWrongSendCounts), IsEmpty());
}

TEST(AuditTest, CountsOfDaysThatAreGoneGo) {
  PgFixture pg;
  pg.sql.Run(
      StrCat("INSERT INTO send_count (tenant_id, day, campaign_id, state, writer, messages) "
             "SELECT '",
             pg.NewTenant("acme").ToString(),
             "', current_date - d, '', 0, 1, 1 FROM unnest(ARRAY[0, 399, 405, 450]) d"));
  ASSERT_TRUE(pg.store.ForgetOld(KeepTimes{}).ok());
  EXPECT_EQ(pg.sql.Value("SELECT string_agg((current_date - day)::text, ',' ORDER BY day DESC) "
                         "FROM send_count"),
            "0,399,405");
}

/// The page's, with psql's variables filled in.
std::vector<PageQuery> FilledQueries() {
  std::vector<PageQuery> queries = QueriesOfPage(AUDIT_PAGE);
  const std::pair<const char*, const char*> variables[] = {
      {":'message_id'", "(SELECT message_id FROM audit.request WHERE request_id = 'acme-24')"},
      {":'conversation_id'", "'10000000-0000-4000-8000-000000000018'"},
      {":'request_id'", "'acme-24'"},
      {":'campaign_id'", "'acme-1'"},
      {":'day'", "current_date"}};
  for (PageQuery& query : queries) {
    for (const auto& [name, value] : variables) {
      query.sql = absl::StrReplaceAll(query.sql, {{name, value}});
    }
  }
  return queries;
}

TEST(AuditPageTest, EveryQueryWorksAsItStandsAndFindsWhatIsThere) {
  AuditFixture audit;
  AuditorSession session(audit.pg.database.url(), audit.NewAuditor("acme", {"acme"}));
  const std::vector<PageQuery> queries = FilledQueries();
  EXPECT_GT(queries.size(), 18U);
  for (const PageQuery& query : queries) {
    const Asked asked = session.Ask(query.sql);
    EXPECT_EQ(asked.sqlstate, "") << "line " << query.line << ": " << asked.error;
    EXPECT_THAT(asked.rows, Not(IsEmpty())) << "line " << query.line << ": " << query.sql;
    for (const SqlSession::Row& row : asked.rows) EXPECT_THAT(row, Each(Not(HasSubstr("clinic"))));
  }
}

/// What is old: in the default partitions, 100 times what the fixture made of today.
constexpr const char* kOldRows = R"(
CREATE TEMPORARY TABLE old AS SELECT n, ('0190a000-' || lpad(to_hex(n), 4, '0') || '-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid AS id,
  gen_random_uuid() AS other FROM generate_series(1, 20000) n;
INSERT INTO message (tenant_id, message_id, slot, request_id, conversation_id, external_contact_id, campaign_id,
  sender_id, sender, recipient, recipient_key, body, metadata, priority, duplicate_policy, time_zone, state, revision,
  attempt, final, failure, provider_code, correlation_id, receipt_hash, hold_reason)
SELECT '$T', id, 1, 'old-' || n, other, '', 'old-' || n % 100, other, '', '', '', '', '{}', 2, 1, '', 7, 1, 1, true, 0, '', '', '', 0 FROM old;
INSERT INTO request_key SELECT '$T', 'old-' || n, id, '' FROM old;
INSERT INTO conversation SELECT '$T', other, 'x:' || n, other, '' FROM old;
INSERT INTO attempt (tenant_id, message_id, attempt, slot, epoch, replica_id, outcome) SELECT '$T', id, 1, 1, 1, other, 1 FROM old;
INSERT INTO status_event (slot, tenant_id, message_id, revision, previous, state, cause, attempt, final, conversation_id,
  external_contact_id, campaign_id) SELECT 1, '$T', id, r, 1, 1, 1, 1, false, other, '', '' FROM old, generate_series(1, 2) r;
INSERT INTO inbound_message (tenant_id, inbound_id, conversation_id, sender_id, recipient, recipient_key, body, keyword,
  provider_message_id, provider_conversation_id, dedupe_key) SELECT '$T', id, other, other, '', '', '', 0, '', '', uuid_send(other) FROM old;
INSERT INTO webhook_inbox (tenant_id, inbox_id, profile, body) SELECT '$T', id, 'guide', '' FROM old;
INSERT INTO receipt_applied (tenant_id, inbox_id, verdict, message_id, dedupe_key) SELECT '$T', id, 1, id, '' FROM old;
INSERT INTO operator_action SELECT '$T', id, 'who', 'PAUSE', '', 'why' FROM old;
INSERT INTO send_count (tenant_id, day, campaign_id, state, writer, messages) SELECT '$T', date '2020-01-01' + n % 1000, 'old-' || n / 1000, 0, 1, 1 FROM old;
ANALYZE)";

TEST(AuditPageTest, NoQueryReadsAllOfATableThatGrows) {
  AuditFixture audit;
  SqlSession& sql = audit.pg.sql;
  sql.Run(absl::StrReplaceAll(kOldRows, {{"$T", audit.acme.ToString()}}));
  std::vector<std::string> big;
  for (const auto& row : sql.Run("SELECT relname FROM pg_class WHERE relkind = 'r' AND reltuples "
                                 "> 10000 AND relnamespace = 'postrider'::regnamespace")) {
    big.push_back(row[0]);
  }
  EXPECT_THAT(big, ::testing::IsSupersetOf({"message_default", "attempt_default",
                                            "receipt_applied_default", "webhook_inbox_default",
                                            "send_count", "request_key", "operator_action"}));
  AuditorSession session(audit.pg.database.url(), audit.NewAuditor("acme", {"acme"}));
  for (const PageQuery& query : FilledQueries()) {
    // Who has seen a number: asked of all that operators did, which is little.
    const bool asks_of_all = query.sql.find("UNMASK") != std::string::npos;
    for (const std::string& line : session.Column(StrCat("EXPLAIN (COSTS OFF) ", query.sql))) {
      const std::size_t scan = line.find("Seq Scan on ");
      if (scan == std::string::npos || asks_of_all) continue;
      std::istringstream words(line.substr(scan + 12));
      std::string table;
      words >> table;
      EXPECT_THAT(big, Not(Contains(table))) << "line " << query.line << ": " << query.sql;
    }
  }
}

}  // namespace
}  // namespace postrider
