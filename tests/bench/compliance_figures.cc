#include "tests/bench/compliance_figures.h"

#include <algorithm>
#include <chrono>

#include "server/base/check.h"
#include "server/base/clock.h"
#include "server/base/random.h"
#include "server/base/strings.h"
#include "server/base/worker.h"
#include "server/store/pg_store.h"
#include "tests/bench/store_load.h"

namespace postrider::bench {

namespace {

using namespace std::chrono_literals;
using Steady = std::chrono::steady_clock;

constexpr int kRuleRounds = 3;
constexpr double kRuleSeconds = 4;
constexpr int kToSuppress = 100000;
constexpr const char* kOptsOut = "+15550000099";

double SecondsFrom(Steady::time_point begin) {
  return std::chrono::duration<double>(Steady::now() - begin).count();
}

void TakeRules(const std::string& url) {
  for (const char* table : {"template", "campaign", "destination"}) {
    RunSql(url, StrCat("DELETE FROM ", table));
  }
}

/// What a tenant has set up, one more thing each time.
enum class Rules { kNone, kText, kTextAndCaps, kHeld };

void PutRules(const std::string& url, Rules rules) {
  TakeRules(url);
  if (rules == Rules::kNone) return;
  const char* const cap = rules == Rules::kText ? "NULL" : "100000000";
  // Marketing waits for the hours below, other classes never: so the figures do not depend on when
  // they are taken.
  const int campaign_class = rules == Rules::kHeld ? 2 : 1;
  RunSql(url,
         "INSERT INTO template SELECT tenant_id, 'reminder', 'Your appointment reminder: {doctor} "
         "tomorrow at {time}.' FROM tenant");
  RunSql(url,
         StrCat("INSERT INTO campaign (tenant_id, campaign_id, class, active, daily_cap, "
                "templates, forbidden_words, links, link_hosts, shorteners, opt_out_text) SELECT "
                "tenant_id, 'rules', ",
                campaign_class, ", true, ", cap,
                "::bigint, ARRAY['reminder'], (SELECT array_agg('word' || n) FROM "
                "generate_series(1, 100) n), 3, ARRAY['clinic.example'], false, 'reminder' FROM "
                "tenant"));
  RunSql(url,
         StrCat("INSERT INTO destination SELECT tenant_id, '+1', ", cap, "::bigint FROM tenant"));
  // All but one hour of each day: one that the law allows, and that now is not near.
  RunSql(url,
         "UPDATE tenant SET quiet_from_min = (h + 1) * 60, quiet_to_min = h * 60 FROM (SELECT CASE "
         "WHEN extract(hour FROM now() AT TIME ZONE 'America/New_York') BETWEEN 9 AND 11 THEN 16 "
         "ELSE 10 END AS h) AS allowed");
}

void AddShare(const char* name, std::vector<double> shares, Report& report) {
  report.Add({name, Percentile(shares, 50), "of rate", "least of the rounds",
              *std::min_element(shares.begin(), shares.end())});
}

/// A queue of one recipient, as long acceptances would leave it: vacuumed, too, which would come
/// while the opt-out is measured otherwise.
void QueueForOne(const std::string& url) {
  RunSql(url,
         StrCat("CREATE TABLE made AS SELECT n, t.tenant_id, (SELECT min(s.sender_id::text) "
                "FROM sender s WHERE s.tenant_id = t.tenant_id)::uuid AS sender_id, "
                "(left(audit.least_id(now())::text, 14) || '7000-8000-' || "
                "lpad(to_hex(n), 12, '0'))::uuid AS id, (SELECT m.slot FROM message m LIMIT 1) AS "
                "slot FROM tenant t, generate_series(1, ",
                kToSuppress, ") n"));
  const std::string number = StrCat("'", kOptsOut, "'");
  RunSql(url, StrCat("INSERT INTO message (tenant_id, message_id, slot, request_id, "
                     "conversation_id, external_contact_id, campaign_id, sender_id, sender, "
                     "recipient, recipient_key, body, metadata, priority, duplicate_policy, "
                     "time_zone, state, revision, attempt, final, failure, provider_code, "
                     "correlation_id, receipt_hash, hold_reason) SELECT q.tenant_id, q.id, q.slot, "
                     "'queued-' || n, q.tenant_id, '', '', q.sender_id, '+15559876543', ",
                     number, ", convert_to(", number,
                     ", 'UTF8'), 'text', '{}', 3, 1, '', 1, 1, 1, false, 0, '', '', '', 0 FROM "
                     "made q"));
  RunSql(url, StrCat("INSERT INTO dispatch_queue SELECT q.tenant_id, q.id, q.slot, 3, '', "
                     "q.sender_id, convert_to(",
                     number, ", 'UTF8'), now() FROM made q"));
  RunSql(url,
         StrCat("INSERT INTO queue_depth SELECT tenant_id, 9999, ", kToSuppress, " FROM tenant"));
  SqlSession session(url);
  session.Run("DROP TABLE made");
  session.Run("VACUUM (ANALYZE) message, dispatch_queue");
}

}  // namespace

void MeasureOptOut(const ComplianceBench& bench, Report& report) {
  const std::string& url = bench.database_url;
  EmptyQueue(url);
  GatewayProcess gateway =
      bench.start_gateway({"--sandbox", "--queue-limit=10000000", "--rate-per-second=50",
                           "--burst=10", "--sender-rate=100000"});
  SendLoad load = bench.load(gateway.addresses(), "others", "");
  load.Accept(1, 1);
  QueueForOne(url);
  const std::string left =
      StrCat("SELECT count(*) FROM dispatch_queue WHERE recipient_key = convert_to('", kOptsOut,
             "', 'UTF8')");
  // One row, which waits when all are ended: counting them would take a core from what is measured.
  const std::string under_way = "SELECT count(*) FROM opt_out_queue WHERE look_at <= now()";
  const std::string others = StrCat(
      "SELECT count(*) FROM attempt a JOIN message m USING (tenant_id, message_id) WHERE "
      "m.recipient <> '",
      kOptsOut, "'");
  load.Accept(2000, 64);  // Of a higher priority: they leave first, at the licensed rate.
  SqlSession look(url);
  const auto rate_over = [&](double seconds) {
    const std::int64_t before = look.Number(others);
    const auto begin = Steady::now();
    WaitOrStop({}, std::chrono::duration_cast<std::chrono::nanoseconds>(
                       std::chrono::duration<double>(seconds)));
    return static_cast<double>(look.Number(others) - before) / SecondsFrom(begin);
  };
  const double rate_before = rate_over(5);

  SystemClock clock;
  OsRandom random;
  PgStore store(clock, random, {.pool = {.conninfo = url, .max_sessions = 1}});
  const auto tenants = store.LoadTenants();
  PR_CHECK(tenants.ok());
  ConsentEvent event{.tenant_id = tenants->front().tenant_id, .consent_id = MakeUuidV4(random)};
  event.recipient = kOptsOut;
  const std::int64_t sent_before = look.Number(others);
  const auto begin = Steady::now();
  PR_CHECK(store.RecordConsent({&event, 1}, std::nullopt).ok());
  const double commit_ms = SecondsFrom(begin) * 1000;
  while (look.Number(under_way) > 0) {
    PR_CHECK(SecondsFrom(begin) < 120);
    WaitOrStop({}, 50ms);
  }
  const double all_s = SecondsFrom(begin);
  PR_CHECK(look.Number(left) == 0);
  const double rate_meanwhile =
      static_cast<double>(look.Number(others) - sent_before) / SecondsFrom(begin);
  report.Add({"opt_out_commit_ms", commit_ms, "ms", "itself", commit_ms});
  report.Add({"opt_out_ends_queued_s", all_s, "s", "messages", static_cast<double>(kToSuppress)});
  report.Add({"dispatch_beside_opt_out", rate_meanwhile, "messages/s", "before it", rate_before});
}

void MeasureRules(const ComplianceBench& bench, Report& report) {
  GatewayProcess gateway = bench.start_gateway({"--sandbox", "--queue-limit=10000000"});
  SendLoad load = bench.load(gateway.addresses(), "rules", "rules");
  const auto rate_with = [&](Rules rules) {
    PutRules(bench.database_url, rules);
    EmptyQueue(bench.database_url);
    WaitOrStop({}, 3s);  // Replicas go by a setup by then.
    const LoadResult result = load.ClosedLoop(256, kRuleSeconds);
    PR_CHECK(result.failed == 0);
    return result.rate;
  };
  rate_with(Rules::kNone);  // warm
  std::vector<double> plain;
  std::vector<double> text;
  std::vector<double> caps;
  std::vector<double> held;
  double before = rate_with(Rules::kNone);
  for (int round = 0; round < kRuleRounds; ++round) {
    const double with_text = rate_with(Rules::kText);
    const double with_caps = rate_with(Rules::kTextAndCaps);
    const double with_hold = rate_with(Rules::kHeld);
    const double after = rate_with(Rules::kNone);
    plain.push_back((before + after) / 2);
    text.push_back(with_text / plain.back());
    caps.push_back(with_caps / plain.back());
    held.push_back(with_hold / plain.back());
    before = after;
  }
  TakeRules(bench.database_url);
  report.Add({"send_without_rules_rate", Percentile(plain, 50), "calls/s", "echo_rate",
              report.ValueOf("echo_rate")});
  AddShare("send_with_text_rules_share", text, report);
  AddShare("send_with_caps_share", caps, report);
  AddShare("send_held_share", held, report);
}

}  // namespace postrider::bench
