#include "server/app/ops_server.h"

#include <utility>

#include "server/base/strings.h"

namespace postrider {

namespace {

constexpr int kOpsWorkers = 2;  ///< One may wait for a check that blocks.
constexpr std::size_t kConnections = 64;

/// Source: Prometheus' exposition formats, text format 0.0.4.
constexpr const char* kMetricsType = "text/plain; version=0.0.4; charset=utf-8";

constexpr const char* kIndex = "Postrider " POSTRIDER_VERSION
                               "\n"
                               "/healthz  is the process alive\n"
                               "/readyz   may it be sent calls, and if not, why\n"
                               "/metrics  for Prometheus\n";

GuardedServer::Options ServerOptions() {
  GuardedServer::Options options;
  options.front.name = "ops";
  options.front.connections = kConnections;
  options.workers = kOpsWorkers;
  options.response_bytes = std::size_t{32} << 20;
  return options;
}

/// A status on one line of its own.
std::string LineOf(const std::string& name, const absl::Status& status) {
  std::string text = status.ok() ? "ok" : std::string(status.message());
  for (char& c : text) {
    if (c == '\n' || c == '\r') c = ' ';
  }
  return StrCat(name, ": ", text, "\n");
}

}  // namespace

OpsServer::OpsServer(const Clock& clock, Metrics& metrics, std::vector<Check> checks)
    : metrics_(metrics), checks_(std::move(checks)), server_(ServerOptions(), clock, metrics) {
  server_.Handle("GET", "/", [](const HttpRequest&) { return HttpResponse{.body = kIndex}; });
  server_.Handle("GET", "/healthz",
                 [](const HttpRequest&) { return HttpResponse{.body = "ok\n"}; });
  server_.Handle("GET", "/readyz", [this](const HttpRequest&) { return AnswerReady(); });
  server_.Handle("GET", "/metrics", [this](const HttpRequest&) {
    return HttpResponse{.body = metrics_.Expose(), .content_type = kMetricsType};
  });
}

HttpResponse OpsServer::AnswerReady() const {
  bool ready = true;
  std::string lines;
  for (const Check& check : checks_) {
    const absl::Status status = check.state();
    ready = ready && status.ok();
    lines += LineOf(check.name, status);
  }
  return {.status = ready ? 200 : 503, .body = StrCat(ready ? "ready\n" : "not ready\n", lines)};
}

}  // namespace postrider
