// What Postrider costs, measured through its front doors on this machine: `./dev bench`.
//
// One private Postgres, one release postriderd, this program as the only client. Every figure is
// printed beside another of the same run, because machines differ and the same machine swings.

#include <atomic>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <functional>
#include <memory>
#include <signal.h>
#include <string>
#include <thread>

#include "absl/strings/str_format.h"
#include <grpcpp/grpcpp.h>

#include "postrider/v1/message_service.grpc.pb.h"
#include "server/base/check.h"
#include "server/base/log.h"
#include "server/base/mutex.h"
#include "server/base/strings.h"
#include "server/base/worker.h"
#include "server/store/migrate.h"
#include "server/store/pg_store.h"
#include "server/store/private_cluster.h"
#include "tests/bench/audit_figures.h"
#include "tests/bench/compliance_figures.h"
#include "tests/bench/dispatch_figures.h"
#include "tests/bench/grpc_load.h"
#include "tests/bench/history_figures.h"
#include "tests/bench/http_load.h"
#include "tests/bench/intake_figures.h"
#include "tests/bench/process.h"
#include "tests/bench/report.h"
#include "tests/bench/store_load.h"
#include "tests/bench/stream_figures.h"

namespace postrider::bench {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int kWidth = 512;  // calls under way in a closed loop
constexpr int kHttpConnections = 64;
constexpr int kLives = 10'000;
constexpr int kReceipts = 6000;
constexpr int kQueued = 1'000'000;
constexpr double kSeconds = 6;

double SecondsSince(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

/// Follows the whole tenant and calls back for every change, until stopped.
class Follower {
 public:
  using OnChange = std::function<void(const v1::StatusChange&)>;

  Follower(const GatewayAddresses& gateway, OnChange on_change)
      : stub_(v1::MessageService::NewStub(
            grpc::CreateChannel(gateway.grpc, grpc::InsecureChannelCredentials()))),
        reader_thread_(
            "follower", [this, gateway, on_change = std::move(on_change)](std::stop_token) {
              context_.AddMetadata("authorization", StrCat("Bearer ", gateway.token));
              const auto reader = stub_->StreamStatus(&context_, v1::StreamStatusRequest());
              v1::StreamStatusResponse element;
              while (reader->Read(&element)) {
                if (element.has_checkpoint()) begun_ = true;
                if (element.has_change()) on_change(element.change());
              }
              reader_thread_.RequestStop();
            }) {
    while (!begun_) WaitOrStop(std::stop_token(), std::chrono::milliseconds(1));
  }
  ~Follower() { context_.TryCancel(); }

 private:
  grpc::ClientContext context_;
  std::unique_ptr<v1::MessageService::Stub> stub_;
  std::atomic<bool> begun_ = false;
  Worker reader_thread_;
};

class Bench {
 public:
  Bench(std::string postriderd, std::string self, std::string dir, double outage_s)
      : postriderd_(std::move(postriderd)),
        self_(std::move(self)),
        dir_(std::move(dir)),
        outage_s_(outage_s) {
    StartCluster();
    PR_CHECK(MigrateUp(Url(), SystemClock()).ok());
  }

  /// All parts but the last six, or one: "calls", "webhooks", "lives", "dispatch", "memory",
  /// "slow", "streams", "reconnect", "history", "rules", "opt_out", "audit", "outage" (echo always:
  /// others compare themselves with it).
  Report Run(const std::string& only) {
    std::printf("%s\n", Circumstances(PostgresVersion(Url())).c_str());
    const auto wanted = [&](const char* part) { return only.empty() || only == part; };
    MeasureEcho();
    if (wanted("calls")) MeasureCalls();
    if (wanted("webhooks")) MeasureWebhooks();
    if (wanted("lives")) MeasureLives();
    if (wanted("dispatch")) MeasureDispatch(OfDispatch(), report_);
    if (only == "slow") MeasureSlowSockets(OfIntake(), "docker/haproxy.cfg", report_);
    if (only == "history") {
      auto aged = PrivateCluster::Start(dir_ + "/aged");
      PR_CHECK(aged.ok() && MigrateUp((*aged)->database_url(), SystemClock()).ok());
      MeasureHistory(OfHistory((*aged)->database_url()), report_);
    }
    if (only == "streams") {
      TrackCommits();
      MeasureFanout(OfStreams(), report_);
    }
    if (only == "rules") MeasureRules(OfCompliance(), report_);
    if (only == "audit") MeasureAuditQueries(OfAudit(), report_);
    if (only == "opt_out") MeasureOptOut(OfCompliance(), report_);
    if (only == "reconnect") MeasureReconnect(OfStreams(), report_);
    if (only == "outage") MeasureOutage(OfIntake(), outage_s_, report_);
    if (only == "start") MeasurePostStart(OfDispatch(), report_);  // A part of dispatch.
    if (wanted("memory")) MeasureMemory();
    return report_;
  }

 private:
  void StartCluster() {
    auto cluster = PrivateCluster::Start(dir_ + "/cluster");
    if (!cluster.ok())
      std::fprintf(stderr, "%s\n", std::string(cluster.status().message()).c_str());
    PR_CHECK(cluster.ok());
    cluster_ = *std::move(cluster);
  }

  /// From now on the cluster knows when each transaction committed.
  void TrackCommits() {
    cluster_.reset();
    std::ofstream(dir_ + "/cluster/postgres/postgresql.auto.conf", std::ios::app)
        << "track_commit_timestamp = on\n";
    StartCluster();
  }

  DispatchBench OfDispatch() {
    return {
        .database_url = Url(),
        .ledger_file = dir_ + "/ledger.jsonl",
        .start_gateway = [this](auto flags) { return StartGateway(std::move(flags)); },
        .load = [this](const auto& gateway, const char* prefix) { return Load(gateway, prefix); }};
  }

  IntakeBench OfIntake() {
    return {.stop_postgres = [this] { cluster_.reset(); },
            .start_postgres = [this] { StartCluster(); },
            .start_gateway = [this](auto flags) { return StartGateway(std::move(flags)); },
            .sql = [this](const auto& statement) { return Sql(statement); }};
  }

  StreamBench OfStreams() {
    return {.start_gateway = [this](auto flags) { return StartGateway(std::move(flags)); },
            .sql = [this](const auto& statement) { return Sql(statement); },
            .accept = [this](const auto& gateway,
                             int count) { return Load(gateway, "stream").Accept(count, 256); }};
  }

  std::string Url() const { return cluster_->database_url(); }

  ComplianceBench OfCompliance() {
    return {.database_url = Url(),
            .start_gateway = [this](auto flags) { return StartGateway(std::move(flags)); },
            .load =
                [](const auto& gateway, const char* prefix, std::string campaign_id) {
                  return SendLoad({gateway.grpc, gateway.token, "+15559876543",
                                   StrCat(prefix, "-", getpid()), std::move(campaign_id)});
                }};
  }

  AuditBench OfAudit() {
    return {.database_url = Url(),
            .page = "migrations/AUDIT.md",
            .start_gateway = [this](auto flags) { return StartGateway(std::move(flags)); }};
  }

  HistoryBench OfHistory(const std::string& aged_url) {
    return {
        .young_url = Url(),
        .aged_url = aged_url,
        .start_gateway =
            [this](const auto& url, auto flags) {
              return StartGatewayOn(url, url == Url() ? "/state" : "/aged-state", std::move(flags));
            },
        .load = [this](const auto& gateway, const char* prefix) { return Load(gateway, prefix); }};
  }

  GatewayProcess StartGateway(std::vector<std::string> more) {
    return StartGatewayOn(Url(), "/state", std::move(more));
  }

  GatewayProcess StartGatewayOn(const std::string& url, const char* state,
                                std::vector<std::string> more) {
    more.insert(more.end(), {"--database-url", url, "--state-dir", dir_ + state});
    return GatewayProcess(postriderd_, more, dir_ + state);
  }

  SendLoad Load(const GatewayAddresses& gateway, const char* prefix) {
    return SendLoad({gateway.grpc, gateway.token, "+15559876543", StrCat(prefix, "-", getpid())});
  }

  void MeasureEcho() {
    const auto begin = Clock::now();
    EchoProcess echo(self_);
    echo_ready_s_ = SecondsSince(begin);
    SendLoad load({StrCat("127.0.0.1:", echo.port()), "", "+15559876543", "echo"});
    echo_rss_mib_ = echo.RssMib();
    load.ClosedLoop(kWidth, 1);
    const LoadResult full = load.ClosedLoop(kWidth, kSeconds);
    LoadResult alone = load.Alone(500);
    echo_p50_ms_ = Percentile(alone.latency_ms, 50);
    report_.Add({"echo_rate", full.rate, "calls/s", "itself", full.rate});
  }

  void MeasureCalls() {
    // Calls come faster than the licensed rate drains: they all wait.
    GatewayProcess gateway = StartGateway({"--sandbox", "--queue-limit=1000000"});
    tenant_ = LoadTenant();
    SendLoad load = Load(gateway.addresses(), "send");
    load.Alone(300);  // warm
    LoadResult alone = load.Alone(500);
    load.ClosedLoop(kWidth, 2);
    const LoadResult full = load.ClosedLoop(kWidth, kSeconds);
    LoadResult half = load.OpenLoop(full.rate / 2, 4 * kWidth, kSeconds);
    const double sql_alone = MeasureAcceptAloneMs(Url(), tenant_, 500);
    const double sql = MeasureAcceptRate(Url(), tenant_, 3, kSeconds);
    const double echo = report_.ValueOf("echo_rate");
    report_.Add({"sql_rate", sql, "rows/s", "echo_rate", echo});
    report_.Add({"send_rate", full.rate, "calls/s", "echo_rate", echo});
    report_.Add({"send_rate_of_sql", full.rate, "calls/s", "sql_rate", sql});
    report_.Add({"send_single_p50_ms", Percentile(alone.latency_ms, 50), "ms",
                 "one row by SQL, p50", sql_alone});
    report_.Add({"send_p99_ms", Percentile(half.latency_ms, 99), "ms", "lone p50 (half the rate)",
                 Percentile(alone.latency_ms, 50)});
    PR_CHECK(full.failed + half.failed + alone.failed == 0);
  }

  TenantRow LoadTenant() {
    SystemClock clock;
    OsRandom random;
    PgStore store(clock, random, {.pool = {.conninfo = Url(), .max_sessions = 1}});
    const auto tenants = store.LoadTenants();
    PR_CHECK(tenants.ok() && tenants->size() == 1);
    return tenants->front();
  }

  void MeasureWebhooks() {
    GatewayProcess gateway = StartGateway({"--sandbox", "--queue-limit=1000000"});
    const std::vector<std::string> ids = Load(gateway.addresses(), "hook").Accept(kReceipts, 64);
    const std::string path = gateway.addresses().webhook_path;
    // Receipts of a few messages over and over, each at another second: what a carrier sends.
    const auto receipt = [&](std::int64_t n) {
      return PostOf(path, ReceiptOf(ids[static_cast<std::size_t>(n) % ids.size()], "sent", n));
    };
    const HttpResult bare = RunHttpLoad(gateway.addresses().webhook_port, kHttpConnections, 0, 2,
                                        [](std::int64_t) { return PostOf("/nowhere", "{}"); });
    const double bare_rate = static_cast<double>(bare.failed) / 2;  // 404 is the answer here
    const auto begin = Clock::now();
    const HttpResult full =
        RunHttpLoad(gateway.addresses().webhook_port, kHttpConnections, 0, kSeconds, receipt);
    AwaitAllApplied();
    const double applied_rate = static_cast<double>(full.latency_ms.size()) / SecondsSince(begin);
    HttpResult half = RunHttpLoad(gateway.addresses().webhook_port, kHttpConnections, full.rate / 2,
                                  kSeconds, receipt);
    report_.Add({"webhook_rate", full.rate, "POSTs/s", "404s of the same server", bare_rate});
    report_.Add({"webhook_p99_ms", Percentile(half.latency_ms, 99), "ms", "its p50 (half the rate)",
                 Percentile(half.latency_ms, 50)});
    report_.Add({"apply_rate", applied_rate, "receipts/s", "webhook_rate", full.rate});
    PR_CHECK(full.failed + half.failed == 0);
    AwaitAllApplied();
    MeasureReceiptToStream(gateway);
  }

  /// Until every webhook of the inbox is done with.
  void AwaitAllApplied() {
    const auto give_up = Clock::now() + std::chrono::seconds(120);
    while (Sql("SELECT (SELECT count(*) FROM webhook_inbox) - (SELECT count(*) FROM "
               "receipt_applied)") != std::vector<std::string>{"0"}) {
      PR_CHECK(Clock::now() < give_up);
      WaitOrStop(std::stop_token(), std::chrono::milliseconds(50));
    }
  }

  void MeasureReceiptToStream(GatewayProcess& gateway) {
    // SENT (6) by the receipts before and never posted, so that nothing but our receipt changes
    // them: the sandbox delivers what it was sent.
    EmptyQueue(Url());
    const std::vector<std::string> ids = Sql(
        "SELECT message_id FROM message m WHERE state = 6 AND NOT EXISTS (SELECT FROM attempt a "
        "WHERE a.tenant_id = m.tenant_id AND a.message_id = m.message_id) LIMIT 5000");
    Mutex mu;
    std::unordered_map<std::string, Clock::time_point> posted;
    std::vector<double> ms;
    std::atomic<int> seen = 0;
    Follower follower(gateway.addresses(), [&](const v1::StatusChange& change) {
      if (change.state() != v1::MESSAGE_STATE_DELIVERED) return;
      MutexLock lock(mu);
      const auto found = posted.find(change.message_id());
      if (found == posted.end()) return;
      ms.push_back(SecondsSince(found->second) * 1e3);
      posted.erase(found);
      ++seen;
    });
    constexpr double kRate = 1000;
    HttpResult intake =
        RunHttpLoad(gateway.addresses().webhook_port, kHttpConnections, kRate,
                    static_cast<double>(ids.size() - 1) / kRate, [&](std::int64_t n) {
                      const std::string& id = ids[static_cast<std::size_t>(n)];
                      MutexLock lock(mu);
                      posted[id] = Clock::now();
                      return PostOf(gateway.addresses().webhook_path, ReceiptOf(id, "delivered"));
                    });
    const int expected = static_cast<int>(intake.latency_ms.size());
    const auto give_up = Clock::now() + std::chrono::seconds(20);
    while (seen < expected && Clock::now() < give_up) {
      WaitOrStop(std::stop_token(), std::chrono::milliseconds(5));
    }
    MutexLock lock(mu);
    if (seen != expected) {
      std::fprintf(stderr, "%d of %d receipts came by the stream\n", seen.load(), expected);
      for (const auto& [id, at] : posted) {
        const auto history =
            Sql(StrCat("SELECT string_agg(concat_ws(' ', revision, state, cause, at), '; ' ",
                       "ORDER BY revision) FROM status_event WHERE message_id = '", id, "'"));
        std::fprintf(stderr, "%s: %s\n", id.c_str(), history.front().c_str());
      }
    }
    PR_CHECK(seen == expected);
    report_.Add(
        {"receipt_to_stream_p99_ms", Percentile(ms, 99), "ms", "its p50", Percentile(ms, 50)});
  }

  void MeasureLives() {
    GatewayProcess gateway = StartGateway(
        {"--sandbox", "--rate-per-second", "100000", "--sender-rate", "100000", "--burst", "2000",
         "--posters-min", "16", "--sandbox-receipt-delay-ms", "20"});
    std::atomic<int> delivered = 0;
    std::atomic<bool> count = false;
    Follower follower(gateway.addresses(), [&](const v1::StatusChange& change) {
      if (change.state() == v1::MESSAGE_STATE_DELIVERED && count) ++delivered;
    });
    EmptyQueue(Url());
    count = true;
    const auto begin = Clock::now();
    Load(gateway.addresses(), "life").Accept(kLives, 128);
    const auto give_up = Clock::now() + std::chrono::seconds(60);
    while (delivered < kLives && Clock::now() < give_up) {
      WaitOrStop(std::stop_token(), std::chrono::milliseconds(5));
    }
    const double rate = delivered / SecondsSince(begin);
    report_.Add({"lifecycle_rate", rate, "lives/s", "echo_rate", report_.ValueOf("echo_rate")});
  }

  std::vector<std::string> Sql(const std::string& statement) { return RunSql(Url(), statement); }

  void MeasureMemory() {
    EmptyQueue(Url());
    double idle = 0;
    double ready_s = 0;
    {
      const auto begin = Clock::now();
      GatewayProcess gateway = StartGateway({"--sandbox"});
      ready_s = SecondsSince(begin);
      if (tenant_.senders.empty()) tenant_ = LoadTenant();
      idle = gateway.RssMib();
    }
    FillQueue(Url(), tenant_, kQueued);
    GatewayProcess gateway = StartGateway({"--sandbox"});
    SendLoad load = Load(gateway.addresses(), "queued");
    load.ClosedLoop(16, 5);  // it works while a million wait
    report_.Add({"rss_idle_mib", idle, "MiB", "echo server", echo_rss_mib_});
    report_.Add({"rss_million_queued_mib", gateway.RssMib(), "MiB", "rss_idle_mib", idle});
    report_.Add({"ready_s", ready_s, "s", "echo server ready", echo_ready_s_});
  }

  const std::string postriderd_;
  const std::string self_;
  const std::string dir_;
  const double outage_s_;
  std::unique_ptr<PrivateCluster> cluster_;
  TenantRow tenant_;
  Report report_;
  double echo_p50_ms_ = 0;
  double echo_rss_mib_ = 0;
  double echo_ready_s_ = 0;
};

int Main(int argc, char** argv) {
  if (argc == 2 && std::strcmp(argv[1], "--echo-server") == 0) return RunEchoServer();
  std::string json;
  std::string postriderd;
  std::string dir;
  std::string only;
  double outage_s = 600;
  for (int i = 1; i + 1 < argc; i += 2) {
    if (std::strcmp(argv[i], "--json") == 0) json = argv[i + 1];
    if (std::strcmp(argv[i], "--postriderd") == 0) postriderd = argv[i + 1];
    if (std::strcmp(argv[i], "--dir") == 0) dir = argv[i + 1];
    if (std::strcmp(argv[i], "--only") == 0) only = argv[i + 1];
    if (std::strcmp(argv[i], "--outage-s") == 0) outage_s = std::atof(argv[i + 1]);
  }
  if (postriderd.empty() || dir.empty()) {
    std::fprintf(
        stderr,
        "usage: postrider_bench --postriderd FILE --dir EMPTY_DIR [--json FILE] "
        "[--only calls|webhooks|lives|dispatch|start|memory|slow|streams|reconnect|history|"
        "rules|opt_out|audit|outage] [--outage-s 600]\n");
    return 2;
  }
  signal(SIGPIPE, SIG_IGN);
  SetUpLog(LogFormat::kConsole, LogLevel::kWarning);
  const Report report = Bench(postriderd, argv[0], dir, outage_s).Run(only);
  std::fputs(report.Table().c_str(), stdout);
  if (!json.empty()) std::ofstream(json) << report.Json();
  return 0;
}

}  // namespace
}  // namespace postrider::bench

int main(int argc, char** argv) { return postrider::bench::Main(argc, argv); }
