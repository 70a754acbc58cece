#include "tests/bench/stream_figures.h"

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <memory>
#include <unordered_map>
#include <utility>

#include "absl/base/thread_annotations.h"
#include <grpcpp/grpcpp.h>

#include "postrider/v1/message_service.grpc.pb.h"
#include "server/base/check.h"
#include "server/base/digest.h"
#include "server/base/mutex.h"
#include "server/base/strings.h"
#include "server/base/worker.h"
#include "tests/bench/http_load.h"

namespace postrider::bench {

namespace {

using namespace std::chrono_literals;
using Steady = std::chrono::steady_clock;
using Stub = v1::MessageService::Stub;

constexpr int kNarrowStreams = 195;  ///< Each of its own messages.
constexpr int kWideStreams = 5;      ///< Of all of them, by state.
constexpr int kChangesPerS = 2000;
constexpr int kChanges = 20'000;
constexpr int kCrowdTenants = 20;  ///< Each has half of the streams that it may have.
constexpr int kCrowdConnections = 100;
constexpr int kStreamsOfEach = 100;
constexpr auto kGiveUp = 60s;

double SecondsFrom(Steady::time_point begin) {
  return std::chrono::duration<double>(Steady::now() - begin).count();
}

/// Until there are `expected`; dies, saying how many there are, when that never comes.
void AwaitCount(const char* what, std::size_t expected, const std::function<std::size_t()>& count) {
  const auto until = Steady::now() + kGiveUp;
  while (count() < expected) {
    if (Steady::now() > until) {
      std::fprintf(stderr, "%zu of %zu %s\n", count(), expected, what);
      PR_CHECK(Steady::now() <= until);
    }
    WaitOrStop({}, 5ms);
  }
}

std::unique_ptr<Stub> StubOf(const std::string& address, int connection) {
  grpc::ChannelArguments arguments;
  arguments.SetInt("bench.connection", connection);
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  return v1::MessageService::NewStub(
      grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), arguments));
}

/// One StreamStatus, read as fast as it comes.
class Reader final : public grpc::ClientReadReactor<v1::StreamStatusResponse> {
 public:
  /// Called by one of gRPC's threads at a time; false: reads no more, and stays open.
  using OnElement = std::function<bool(const v1::StreamStatusResponse&)>;

  Reader(Stub& stub, const std::string& token, v1::StreamStatusRequest request,
         OnElement on_element)
      : request_(std::move(request)), on_element_(std::move(on_element)) {
    context_.AddMetadata("authorization", StrCat("Bearer ", token));
    stub.async()->StreamStatus(&context_, &request_, this);
    AddHold();  // without a read under way gRPC would take it for ended
    StartRead(&element_);
    StartCall();
  }
  ~Reader() override {
    Cancel();
    RemoveHold();
    while (!done_) WaitOrStop({}, 1ms);
  }

  void Cancel() {
    cancelled_ = true;
    context_.TryCancel();
  }

  void OnReadDone(bool ok) override {
    if (ok && on_element_(element_)) StartRead(&element_);
  }
  void OnDone(const grpc::Status& status) override {
    if (!cancelled_) std::fprintf(stderr, "a stream ended: %s\n", status.error_message().c_str());
    done_ = true;
  }

 private:
  grpc::ClientContext context_;
  const v1::StreamStatusRequest request_;
  const OnElement on_element_;
  v1::StreamStatusResponse element_;
  std::atomic<bool> cancelled_ = false;
  std::atomic<bool> done_ = false;
};

/// When changes came.
class Arrivals {
 public:
  struct Arrival {
    std::string key;   ///< "message_id revision".
    double at_ms = 0;  ///< Since the epoch.
  };

  void Note(const v1::StatusChange& change) {
    const auto now = std::chrono::system_clock::now().time_since_epoch();
    Arrival arrival{StrCat(change.message_id(), " ", change.revision()),
                    std::chrono::duration<double, std::milli>(now).count()};
    MutexLock lock(mu_);
    arrivals_.push_back(std::move(arrival));
  }
  std::size_t count() const {
    MutexLock lock(mu_);
    return arrivals_.size();
  }
  std::vector<Arrival> Take() {
    MutexLock lock(mu_);
    return std::exchange(arrivals_, {});
  }

 private:
  mutable Mutex mu_;
  std::vector<Arrival> arrivals_ ABSL_GUARDED_BY(mu_);
};

/// How long after its commit each came: the cluster tracks when transactions commit.
std::vector<double> SinceCommit(const StreamBench& bench,
                                const std::vector<Arrivals::Arrival>& arrivals) {
  std::unordered_map<std::string, double> committed_ms;
  for (const std::string& row : bench.sql(
           "SELECT message_id || ' ' || revision || '=' || (extract(epoch FROM "
           "pg_xact_commit_timestamp(xid::xid)) * 1000) FROM status_event WHERE revision > 1")) {
    const std::size_t equals = row.find('=');
    committed_ms[row.substr(0, equals)] = std::atof(row.c_str() + equals + 1);
  }
  std::vector<double> late_ms;
  for (const Arrivals::Arrival& arrival : arrivals) {
    late_ms.push_back(arrival.at_ms - committed_ms.at(arrival.key));
  }
  return late_ms;
}

/// Posts a receipt for each message, and gives how long after its commit each change came.
std::vector<double> Changes(const StreamBench& bench, const GatewayAddresses& gateway,
                            const std::vector<std::string>& ids, const char* status,
                            Arrivals& arrivals) {
  const HttpResult posted = RunHttpLoad(
      gateway.webhook_port, 64, kChangesPerS, static_cast<double>(ids.size() - 1) / kChangesPerS,
      [&](std::int64_t n) {
        return PostOf(gateway.webhook_path, ReceiptOf(ids[static_cast<std::size_t>(n)], status));
      });
  PR_CHECK(posted.failed == 0);
  // Each by its narrow stream and by all wide ones; one of the last ids may not have been posted.
  const std::size_t expected = posted.latency_ms.size() * (1 + kWideStreams);
  AwaitCount("changes came by the streams", expected, [&] { return arrivals.count(); });
  return SinceCommit(bench, arrivals.Take());
}

}  // namespace

void MeasureFanout(const StreamBench& bench, Report& report) {
  GatewayProcess gateway = bench.start_gateway({"--sandbox", "--queue-limit=1000000"});
  const GatewayAddresses& at = gateway.addresses();
  bench.accept(at, kChanges);
  // Those that never left, so that nothing but our receipts changes them.
  bench.sql("DELETE FROM dispatch_queue");
  bench.sql("DELETE FROM queue_depth");
  const std::vector<std::string> ids = bench.sql(
      "SELECT message_id FROM message m WHERE state = 1 AND NOT EXISTS (SELECT FROM attempt a "
      "WHERE a.tenant_id = m.tenant_id AND a.message_id = m.message_id)");

  std::vector<std::unique_ptr<Stub>> stubs;
  for (int i = 0; i < 8; ++i) stubs.push_back(StubOf(at.grpc, i));
  Arrivals arrivals;
  std::atomic<std::size_t> begun = 0;
  std::vector<std::unique_ptr<Reader>> readers;
  for (int i = 0; i < kNarrowStreams + kWideStreams; ++i) {
    v1::StreamStatusRequest request;
    if (i >= kNarrowStreams) {
      request.add_states(v1::MESSAGE_STATE_SENT);
      request.add_states(v1::MESSAGE_STATE_DELIVERED);
    } else {
      for (std::size_t n = static_cast<std::size_t>(i); n < ids.size(); n += kNarrowStreams) {
        request.add_message_ids(ids[n]);
      }
    }
    readers.push_back(std::make_unique<Reader>(
        *stubs[static_cast<std::size_t>(i) % stubs.size()], at.token, std::move(request),
        [&, first = true](const v1::StreamStatusResponse& element) mutable {
          if (std::exchange(first, false)) ++begun;
          if (element.has_change()) arrivals.Note(element.change());
          return true;
        }));
  }
  AwaitCount("streams began", readers.size(), [&] { return begun.load(); });
  std::vector<double> alone = Changes(bench, at, ids, "sent", arrivals);
  const Reader stalled(*stubs[0], at.token, {}, [](const auto&) { return false; });
  std::vector<double> beside = Changes(bench, at, ids, "delivered", arrivals);
  const double alone_p99 = Percentile(alone, 99);
  report.Add({"stream_p99_ms", alone_p99, "ms", "its p50", Percentile(alone, 50)});
  report.Add(
      {"stream_beside_stalled_p99_ms", Percentile(beside, 99), "ms", "without it", alone_p99});
}

void MeasureReconnect(const StreamBench& bench, Report& report) {
  GatewayProcess gateway = bench.start_gateway({"--sandbox"});
  const GatewayAddresses& at = gateway.addresses();
  // Nothing is sent for them: each has streams only.
  bench.sql(StrCat(
      "INSERT INTO tenant (tenant_id, name, base_url, send_path, token_url, client_id, "
      "client_secret_file, webhook_key) SELECT gen_random_uuid(), 'streams-' || n, base_url, "
      "send_path, token_url, 'streams-' || n, client_secret_file, gen_random_uuid()::text "
      "FROM tenant, generate_series(1, ",
      kCrowdTenants, ") n WHERE name = 'default'"));
  bench.sql(
      "INSERT INTO api_token (token_sha256, tenant_id, name, scopes) SELECT sha256(name::bytea), "
      "tenant_id, name, '{read}' FROM tenant WHERE name LIKE 'streams-%'");

  constexpr std::size_t kStreams = std::size_t{kCrowdConnections} * kStreamsOfEach;
  std::vector<std::string> tokens(kStreams);
  const auto open_all = [&](std::vector<std::unique_ptr<Stub>>& stubs,
                            std::vector<std::unique_ptr<Reader>>& readers) {
    std::atomic<std::size_t> begun = 0;
    const auto begin = Steady::now();
    for (int i = 0; i < kCrowdConnections; ++i) stubs.push_back(StubOf(at.grpc, i));
    for (std::size_t n = 0; n < kStreams; ++n) {
      v1::StreamStatusRequest request;
      request.set_resume_token(tokens[n]);
      request.mutable_checkpoint_interval()->set_seconds(60);
      readers.push_back(std::make_unique<Reader>(
          *stubs[n % kCrowdConnections], StrCat("streams-", 1 + n % kCrowdTenants),
          std::move(request),
          [&begun, &token = tokens[n], first = true](const auto& element) mutable {
            token = element.resume_token();
            if (std::exchange(first, false)) ++begun;
            return true;
          }));
    }
    AwaitCount("streams began", kStreams, [&] { return begun.load(); });
    return SecondsFrom(begin);
  };
  const double idle_mib = gateway.RssMib();
  double first_s = 0;
  double again_s = 0;
  double open_mib = 0;
  for (const bool again : {false, true}) {
    std::vector<std::unique_ptr<Stub>> stubs;
    std::vector<std::unique_ptr<Reader>> readers;
    (again ? again_s : first_s) = open_all(stubs, readers);
    open_mib = gateway.RssMib();
    for (const auto& reader : readers) reader->Cancel();
  }
  double left_mib = gateway.RssMib();
  const auto until = Steady::now() + 30s;
  while (left_mib > idle_mib + 32 && Steady::now() < until) {
    WaitOrStop({}, 500ms);
    left_mib = gateway.RssMib();
  }
  report.Add({"streams_reconnect_s", again_s, "s", "the first time", first_s});
  report.Add({"rss_10000_streams_mib", open_mib, "MiB", "before them", idle_mib});
  report.Add({"rss_after_10000_streams_mib", left_mib, "MiB", "before them", idle_mib});
}

}  // namespace postrider::bench
