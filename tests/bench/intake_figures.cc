#include "tests/bench/intake_figures.h"

#include <arpa/inet.h>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <sys/socket.h>
#include <unistd.h>

#include "server/base/check.h"
#include "server/base/strings.h"
#include "server/base/worker.h"
#include "tests/bench/http_load.h"

namespace postrider::bench {

namespace {

using namespace std::chrono_literals;

constexpr int kSlowSockets = 500;
constexpr double kAckRate = 1000;
constexpr double kAckSeconds = 15;
constexpr double kOutageRate = 200;
constexpr const char* kHaproxy = "/usr/sbin/haproxy";

/// A webhook of nobody's message; each is another one.
std::string WebhookOf(const std::string& path, const char* run, std::int64_t n) {
  return PostOf(path, StrCat(R"({"id":"msg-)", run, "-", n,
                             R"(","type":"sms","from":"+15559876543","to":"+15551234567",)",
                             R"("conversationId":"c","status":"sent",)",
                             R"("timestamp":"2026-01-01T00:00:00Z"})"));
}

int Connected(int port) {
  const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(static_cast<std::uint16_t>(port));
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (::connect(fd, reinterpret_cast<sockaddr*>(&to), sizeof to) == 0) return fd;
  ::close(fd);
  return -1;
}

/// kSlowSockets connections that each send one byte of a request in turn, and come again when they
/// are cut.
class SlowSockets {
 public:
  explicit SlowSockets(int port)
      : port_(port), fds_(kSlowSockets, -1), worker_("slow-sockets", [this](std::stop_token stop) {
          for (int& fd : fds_) Step(fd);
          WaitOrStop(stop, 500ms);
        }) {}
  ~SlowSockets() {
    worker_.Stop();
    for (const int fd : fds_) {
      if (fd >= 0) ::close(fd);
    }
  }

 private:
  void Step(int& fd) const {
    if (fd < 0) {
      fd = Connected(port_);
      static constexpr std::string_view kHead = "POST /webhooks/guide/x HTTP/1.1\r\nHost: x";
      if (fd >= 0) ::send(fd, kHead.data(), kHead.size(), MSG_NOSIGNAL);
      return;
    }
    char answer = 0;
    const bool cut = ::recv(fd, &answer, 1, MSG_DONTWAIT) >= 0;
    if (!cut && ::send(fd, "x", 1, MSG_NOSIGNAL) == 1) return;
    ::close(fd);
    fd = -1;
  }

  const int port_;
  std::vector<int> fds_;  // Of the worker.
  Worker worker_;
};

HttpResult Acks(int port, const std::string& path, const char* run) {
  HttpResult result = RunHttpLoad(port, 64, kAckRate, kAckSeconds,
                                  [&](std::int64_t n) { return WebhookOf(path, run, n); });
  PR_CHECK(result.failed == 0);
  return result;
}

/// A free port of the loopback address, for a moment.
int FreePort() {
  const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in at{};
  at.sin_family = AF_INET;
  at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof at;
  PR_CHECK(::bind(fd, reinterpret_cast<sockaddr*>(&at), size) == 0);
  PR_CHECK(::getsockname(fd, reinterpret_cast<sockaddr*>(&at), &size) == 0);
  ::close(fd);
  return ntohs(at.sin_port);
}

}  // namespace

void MeasureSlowSockets(const IntakeBench& bench, const std::string& config, Report& report) {
  GatewayProcess gateway = bench.start_gateway({"--sandbox"});
  const int port = gateway.addresses().webhook_port;
  const std::string& path = gateway.addresses().webhook_path;
  HttpResult alone = Acks(port, path, "alone");
  const double alone_p99 = Percentile(alone.latency_ms, 99);
  {
    const SlowSockets slow(port);
    WaitOrStop({}, 2s);
    HttpResult beside = Acks(port, path, "beside");
    report.Add({"ack_p99_slow_sockets_ms", Percentile(beside.latency_ms, 99), "ms", "without them",
                alone_p99});
  }
  if (::access(kHaproxy, X_OK) != 0) return;
  const int front = FreePort();
  ::setenv("WEBHOOK_BIND", StrCat("127.0.0.1:", front).c_str(), 1);
  ::setenv("WEBHOOK_GATEWAY", StrCat("127.0.0.1:", port).c_str(), 1);
  ::setenv("WEBHOOK_OPS_HOST", "127.0.0.1", 1);
  ::setenv("WEBHOOK_OPS_PORT", StrCat(gateway.addresses().ops_port).c_str(), 1);
  const ChildOf haproxy({kHaproxy, "-db", "-f", config});
  for (int tries = 0; tries < 100; ++tries) {
    const int fd = Connected(front);
    if (fd >= 0) ::close(fd);
    if (fd >= 0) break;
    WaitOrStop({}, 50ms);
  }
  HttpResult proxied = Acks(front, path, "proxied");
  const SlowSockets slow(front);
  WaitOrStop({}, 2s);
  HttpResult beside = Acks(front, path, "proxied-beside");
  report.Add({"ack_p99_haproxy_slow_sockets_ms", Percentile(beside.latency_ms, 99), "ms",
              "haproxy, without them", Percentile(proxied.latency_ms, 99)});
}

void MeasureOutage(const IntakeBench& bench, double seconds, Report& report) {
  GatewayProcess gateway = bench.start_gateway({"--sandbox"});
  const GatewayAddresses& at = gateway.addresses();
  const auto load = [&](const char* run, double length) {
    return RunHttpLoad(at.webhook_port, 64, kOutageRate, length,
                       [&, run](std::int64_t n) { return WebhookOf(at.webhook_path, run, n); });
  };
  HttpResult before = load("before", 5);
  bench.stop_postgres();
  HttpResult away = load("away", seconds);
  const double rss_mib = gateway.RssMib();
  bench.start_postgres();
  const auto answered =
      static_cast<std::int64_t>(before.latency_ms.size() + away.latency_ms.size());
  // One that was answered 503 may be kept as well: nobody could know whether its commit held. And
  // one may be kept twice, when its insert came through after all: the copy changes nothing.
  const std::int64_t sent = answered + before.failed + away.failed;
  const std::string inbox =
      "SELECT count(DISTINCT body) FROM webhook_inbox WHERE body LIKE '%\"msg-before-%' "
      "OR body LIKE '%\"msg-away-%'";
  std::int64_t kept = 0;
  for (int tries = 0; tries < 6000 && kept < answered; ++tries) {
    WaitOrStop({}, 100ms);
    kept = std::stoll(bench.sql(inbox).front());
  }
  report.Add({"outage_ack_p999_ms", Percentile(away.latency_ms, 99.9), "ms", "p99.9 before it",
              Percentile(before.latency_ms, 99.9)});
  report.Add({"outage_answered", static_cast<double>(answered), "webhooks", "in the inbox after",
              static_cast<double>(kept)});
  report.Add({"outage_refused", static_cast<double>(away.failed), "webhooks", "answered",
              static_cast<double>(answered)});
  report.Add({"outage_rss_mib", rss_mib, "MiB", "itself", rss_mib});
  std::fputs(report.Table().c_str(), stderr);  // The figures that a failed check is about.
  PR_CHECK(kept >= answered && kept <= sent);
}

}  // namespace postrider::bench
