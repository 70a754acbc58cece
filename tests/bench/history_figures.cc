#include "tests/bench/history_figures.h"

#include <chrono>
#include <memory>
#include <utility>

#include "server/base/check.h"
#include "server/base/strings.h"
#include "server/base/worker.h"
#include "server/model/ids.h"
#include "tests/bench/http_load.h"
#include "tests/bench/store_load.h"

namespace postrider::bench {

namespace {

using namespace std::chrono_literals;
using Steady = std::chrono::steady_clock;

constexpr int kHistoryPairs = 5;
constexpr int kPastMessages = 1'600'000;
constexpr int kPastAtOnce = 100'000;
constexpr int kMessagesWithReceipts = 1500;
constexpr double kHistorySeconds = 4;

/// A UUIDv7 of the n-th message: within the last hours, so that the past shares its partitions
/// with what comes, which is the hardest case.
constexpr const char* kIdOfN =
    "(lpad(to_hex((extract(epoch FROM now()) * 1000)::bigint - n * 20), 12, '0') || '7' || "
    "substr(md5(n::text), 1, 3) || '8' || substr(md5(n::text), 4, 15))::uuid";

/// A statement that makes rows `of` numbers n like the first row of `table`, but for `changed`.
std::string CopiesOf(const std::string& url, const char* table,
                     const std::vector<std::pair<std::string, std::string>>& changed,
                     const char* of) {
  std::string columns;
  std::string values;
  for (const std::string& column :
       RunSql(url, StrCat("SELECT attname FROM pg_attribute WHERE attrelid = '", table,
                          "'::regclass AND attnum > 0 AND NOT attisdropped"))) {
    std::string value = StrCat("t.", column);
    for (const auto& [name, other] : changed) {
      if (name == column) value = other;
    }
    StrAppend(columns, columns.empty() ? "" : ", ", column);
    StrAppend(values, values.empty() ? "" : ", ", value);
  }
  return StrCat("INSERT INTO ", table, " (", columns, ") SELECT ", values, " FROM (SELECT * FROM ",
                table, " LIMIT 1) t, generate_series(", of, ") n");
}

/// One delivered message with all that belongs to it is there; the rest is made like it.
void FillHistory(const std::string& url) {
  for (int first = 1; first <= kPastMessages; first += kPastAtOnce) {
    const std::string range = StrCat(first, ", ", first + kPastAtOnce - 1);
    const std::pair<std::string, std::string> id = {"message_id", kIdOfN};
    const std::pair<std::string, std::string> final_state = {"state", "7"};
    RunSql(url, CopiesOf(url, "message",
                         {id,
                          final_state,
                          {"final", "true"},
                          {"request_id", "'past-' || n"},
                          {"recipient", "'+1' || (2000000000 + n)"},
                          {"recipient_key", "convert_to('+1' || (2000000000 + n), 'UTF8')"},
                          {"conversation_id", "md5(n::text)::uuid"},
                          {"provider_message_id", "'past-' || n"}},
                         range.c_str()));
    RunSql(url,
           CopiesOf(url, "attempt", {id, {"provider_message_id", "'past-' || n"}}, range.c_str()));
    for (int revision = 1; revision <= 3; ++revision) {
      RunSql(url,
             CopiesOf(
                 url, "status_event",
                 {{"xid", "pg_current_xact_id()"}, id, final_state, {"revision", StrCat(revision)}},
                 range.c_str()));
    }
    // One webhook and its end for each second message or so: the two kinds of rows left.
    if (first > kPastMessages * 5 / 8) continue;
    RunSql(url, CopiesOf(url, "webhook_inbox", {{"inbox_id", kIdOfN}}, range.c_str()));
    RunSql(url, CopiesOf(url, "receipt_applied",
                         {{"inbox_id", kIdOfN}, id, {"dedupe_key", "sha256(n::text::bytea)"}},
                         range.c_str()));
  }
  for (const char* table :
       {"message", "attempt", "status_event", "webhook_inbox", "receipt_applied"}) {
    RunSql(url, StrCat("ANALYZE ", table));
  }
}

/// One of the two, with a gateway.
class Side {
 public:
  Side(const HistoryBench& bench, const std::string& url, bool aged)
      : url_(url),
        gateway_(bench.start_gateway(url, {"--sandbox", "--queue-limit=10000000"})),
        load_(bench.load(gateway_.addresses(), aged ? "aged" : "young")) {
    MakeOneLife();
    if (aged) FillHistory(url_);
    ids_ = load_.Accept(kMessagesWithReceipts, 64);
  }

  double Sent() {
    const LoadResult result = load_.ClosedLoop(256, kHistorySeconds);
    PR_CHECK(result.failed == 0);
    return result.rate;
  }

  double Applied() {
    const auto began = std::chrono::system_clock::now();
    const auto begin = Steady::now();
    const HttpResult posted =
        RunHttpLoad(gateway_.addresses().webhook_port, 64, 0, kHistorySeconds, [&](std::int64_t n) {
          ++receipts_;
          return PostOf(
              gateway_.addresses().webhook_path,
              ReceiptOf(ids_[static_cast<std::size_t>(n) % ids_.size()], "sent", receipts_));
        });
    PR_CHECK(posted.failed == 0);
    AwaitApplied(began);
    return static_cast<double>(posted.latency_ms.size()) /
           std::chrono::duration<double>(Steady::now() - begin).count();
  }

 private:
  /// A message that was sent and delivered.
  void MakeOneLife() {
    const std::vector<std::string> first = load_.Accept(1, 1);
    const auto until = Steady::now() + 60s;
    while (RunSql(url_, "SELECT count(*) FROM message WHERE final") !=
           std::vector<std::string>{"1"}) {
      PR_CHECK(Steady::now() < until);
      WaitOrStop({}, 50ms);
    }
    AwaitApplied(std::chrono::system_clock::now() - 1min);
  }

  /// Until what came since then is applied.
  void AwaitApplied(std::chrono::system_clock::time_point since) {
    const std::string from = LeastUuidV7(since).ToString();
    const std::string left = StrCat(
        "SELECT count(*) FROM tenant t, LATERAL (SELECT i.inbox_id FROM webhook_inbox i WHERE "
        "i.tenant_id = t.tenant_id AND i.inbox_id >= '",
        from,
        "' AND NOT EXISTS (SELECT FROM receipt_applied a WHERE a.tenant_id = i.tenant_id AND "
        "a.inbox_id = i.inbox_id)) l");
    const auto until = Steady::now() + 120s;
    while (RunSql(url_, left) != std::vector<std::string>{"0"}) {
      PR_CHECK(Steady::now() < until);
      WaitOrStop({}, 100ms);
    }
  }

  const std::string url_;
  GatewayProcess gateway_;
  SendLoad load_;
  std::vector<std::string> ids_;
  std::int64_t receipts_ = 0;
};

}  // namespace

void MeasureHistory(const HistoryBench& bench, Report& report) {
  Side young(bench, bench.young_url, false);
  Side aged(bench, bench.aged_url, true);
  RunSql(bench.aged_url, "CHECKPOINT");
  std::vector<double> sent;
  std::vector<double> applied;
  std::vector<double> rates;
  for (int pair = 0; pair < kHistoryPairs; ++pair) {
    Side& first = pair % 2 == 0 ? young : aged;
    Side& second = pair % 2 == 0 ? aged : young;
    const double first_sent = first.Sent();
    const double second_sent = second.Sent();
    const double first_applied = first.Applied();
    const double second_applied = second.Applied();
    sent.push_back(pair % 2 == 0 ? second_sent / first_sent : first_sent / second_sent);
    applied.push_back(pair % 2 == 0 ? second_applied / first_applied
                                    : first_applied / second_applied);
    rates.push_back(pair % 2 == 0 ? second_applied : first_applied);
  }
  report.Add(
      {"history_send_share", Percentile(sent, 50), "of rate", "least of the pairs", sent.front()});
  report.Add({"history_apply_share", Percentile(applied, 50), "of rate", "least of the pairs",
              applied.front()});
  report.Add(
      {"history_apply_rate", Percentile(rates, 50), "receipts/s", "itself", Percentile(rates, 50)});
}

}  // namespace postrider::bench
