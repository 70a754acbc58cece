#pragma once

#include <chrono>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"

#include "server/base/clock.h"
#include "server/base/metrics.h"
#include "server/http/guarded_server.h"
#include "server/http/message.h"

namespace postrider {

/// The port for operators and their machines, plain text, without authentication: it belongs on a
/// private address.
///
///   GET /healthz  200 while the process can answer: restart it when it cannot
///   GET /readyz   200 when every check is OK, else 503: send it no calls; a line a check says why
///   GET /metrics  for Prometheus
///   GET /         these lines
class OpsServer {
 public:
  /// Something without which the gateway cannot work, such as "store". `state` is asked by each
  /// GET /readyz, by several at once; its message is shown. It may block for a second or so.
  struct Check {
    std::string name;
    std::function<absl::Status()> state;
  };

  /// `clock` and `metrics` must outlive it, and whatever the checks ask.
  OpsServer(const Clock& clock, Metrics& metrics, std::vector<Check> checks);

  /// Begins to serve; once. Errors as GuardedServer::Start.
  absl::Status Start(const std::string& host, int port) { return server_.Start(host, port); }
  /// 0 before Start().
  int port() const { return server_.port(); }
  /// Last of all in a drain, so that "not ready" can be seen meanwhile.
  void Drain(std::chrono::nanoseconds at_most) { server_.Drain(at_most); }

  /// What GET /readyz answers.
  HttpResponse AnswerReady() const;

 private:
  Metrics& metrics_;
  const std::vector<Check> checks_;
  GuardedServer server_;
};

}  // namespace postrider
