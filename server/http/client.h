#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/statusor.h"

#include "server/base/clock.h"
#include "server/base/url.h"
#include "server/http/message.h"
#include "server/http/tls.h"

namespace postrider {

class ClientStream;

/// A request to be made.
struct HttpCall {
  std::string method = "GET";
  std::string path = "/";    ///< "/..." with its query, encoded; after the base URL's own path.
  HttpHeaders headers = {};  ///< Host, Content-Length and the connection's are the client's own.
  std::string body = {};
  std::string content_type = {};                                ///< Of the body.
  std::chrono::nanoseconds timeout = std::chrono::seconds(10);  ///< For the whole exchange.
};

/// What became of it. `sent` and `response` together decide whether it may be repeated.
struct HttpResult {
  /// What left this process. With kNothing the peer cannot have seen the request; otherwise it
  /// may have acted on it, whatever else failed.
  enum class Sent { kNothing, kMaybe, kAll };

  struct Response {
    int status = 0;  ///< 200 .. 999.
    HttpHeaders headers = {};
    std::string body = {};
    bool truncated = false;  ///< Headers or body are not all of it; `error` says why.
  };

  Sent sent = Sent::kNothing;
  std::optional<Response> response = {};  ///< As soon as the status was read.
  std::string error = {};                 ///< For people; empty when all went well.
};

/// An HTTP/1.1 client for one server, over HTTPS or HTTP, that never sends a request twice.
///
/// One absolute deadline covers connecting, TLS, sending and the last byte of the answer; a
/// dripping peer does not extend it (only the resolver keeps its own time, and what it takes
/// counts). Certificates and hosts are always verified. Redirects come back as they are. A kept
/// connection is looked at before it is used again, and replaced when the peer has closed it; if
/// the peer closes it just then, the result says kAll without a response.
///
/// Requests and answers are written and read by cpp-httplib, over connections of our own: its
/// own would reconnect and send again without a word. One request at a time: not thread safe.
class HttpClient {
 public:
  struct Options {
    std::string base_url;  ///< "https://host[:port][/path]", or http.
    std::chrono::nanoseconds connect_timeout = std::chrono::seconds(3);  ///< For each address.
    std::string ca_file = {};  ///< PEM; empty for the system's store.
    /// Shared with other clients; made from `ca_file` when null.
    std::shared_ptr<const TlsContext> tls = {};
    std::size_t response_bytes = 1 << 20;  ///< Of a body; what is more is not read.
    std::chrono::nanoseconds keep_alive = std::chrono::seconds(15);  ///< Idle for longer: closed.
  };

  /// `clock` must outlive the client and move by itself. INVALID_ARGUMENT for a bad URL,
  /// FAILED_PRECONDITION when the certificates cannot be loaded. Does not connect.
  static absl::StatusOr<std::unique_ptr<HttpClient>> Create(Options options, const Clock& clock);
  ~HttpClient();
  HttpClient(const HttpClient&) = delete;
  HttpClient& operator=(const HttpClient&) = delete;

  /// Blocks until the answer, a failure, or `call.timeout`.
  HttpResult Send(const HttpCall& call);

 private:
  HttpClient(Options options, BaseUrl url, const Clock& clock);
  HttpResult Exchange(const HttpCall& call, MonotonicTime deadline);

  const Options options_;
  const BaseUrl url_;
  const Clock& clock_;

  std::unique_ptr<ClientStream> stream_;  ///< Null when there is no connection to reuse.
  MonotonicTime idle_since_{};
};

}  // namespace postrider
