#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"

#include "server/base/clock.h"
#include "server/base/metrics.h"
#include "server/base/worker.h"
#include "server/http/exchange.h"
#include "server/http/front.h"
#include "server/http/message.h"
#include "server/http/router.h"

namespace postrider {

/// An HTTP/1.1 server for the open internet's side: webhooks, the operations port, the sandbox.
/// One worker holds all sockets (HttpFront); a request reaches one of `workers` handlers only
/// when all of it is here.
///
/// Refuses, with a line that says why, and closes: Transfer-Encoding or no Content-Length on a
/// POST (411), an odd or repeated one (400), Content-Encoding (415), too large a body (413, at the
/// headers), request line (414) or headers (431), what is not HTTP (400), what arrives too slowly
/// (408), and what finds the queue full (503). Each refusal counts in
/// postrider_http_refusals_total{server, reason}.
class GuardedServer {
 public:
  struct Options {
    HttpFrontOptions front = {};
    int workers = 8;                       ///< Requests handled at the same time; > 0.
    std::size_t queued_requests = 256;     ///< Complete ones waiting for a worker.
    std::size_t response_bytes = 8 << 20;  ///< Longer answers become a 500.
  };

  /// `clock` and `metrics` must outlive the server.
  GuardedServer(Options options, const Clock& clock, Metrics& metrics);
  /// Closes all connections; waits for the handlers that are running.
  ~GuardedServer();
  GuardedServer(const GuardedServer&) = delete;
  GuardedServer& operator=(const GuardedServer&) = delete;

  /// Before Start(). `method` is "GET" (answers HEAD too), "POST", "PUT", "PATCH" or "DELETE";
  /// `pattern` is an ECMAScript regular expression that the whole path must match, the first
  /// match in the order of these calls wins. Dies on another method.
  void Handle(std::string method, std::string pattern, HttpHandler handler);
  /// The same for a handler that may answer after it has returned.
  void HandleLater(std::string method, std::string pattern, HttpLaterHandler handler);

  /// Binds and begins to serve; once. `port` 0 takes a free one.
  /// FAILED_PRECONDITION naming the address and the cause, such as "already in use".
  absl::Status Start(const std::string& host, int port);

  /// The port it listens on; 0 before Start().
  int port() const { return port_; }

  /// Accepts no more, closes idle connections, finishes the requests that have begun, and closes.
  /// True when that was done within `at_most`; otherwise the rest is cut off.
  bool Drain(std::chrono::nanoseconds at_most);

 private:
  void Stop();

  const Options options_;
  const Clock& clock_;
  Metrics& metrics_;
  std::vector<HttpRoute> routes_;
  int port_ = 0;

  std::shared_ptr<HttpExchange> exchange_;  ///< Also of replies that come after the server's end.
  std::unique_ptr<HttpFront> front_;
  std::vector<std::unique_ptr<HttpRouter>> routers_;  ///< One a worker.
  std::vector<std::unique_ptr<Worker>> workers_;
  std::unique_ptr<Worker> front_worker_;
};

}  // namespace postrider
