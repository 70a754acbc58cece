#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "server/http/message.h"

namespace postrider {

/// One path a server answers.
struct HttpRoute {
  std::string method;   ///< "GET" (and HEAD), "POST", "PUT", "PATCH" or "DELETE".
  std::string pattern;  ///< ECMAScript regular expression that the whole path must match.
  HttpHandler handler;
};

/// Calls the handler for a complete request and writes its answer as bytes: routing, URL decoding
/// and the writing of answers are cpp-httplib's. No header of a client reaches it (its reading of
/// Range, multipart and Content-Encoding is unbounded, and REMOTE_ADDR could be forged).
///
/// One request at a time: each worker has a router of its own.
class HttpRouter {
 public:
  HttpRouter(const std::vector<HttpRoute>& routes, std::size_t response_bytes);
  ~HttpRouter();

  struct Reply {
    std::string bytes;  ///< Empty to hang up without an answer.
    bool close;         ///< The connection is to be closed afterwards.
  };

  /// `close` says that the connection will be closed. 500 when the handler throws, or answers
  /// more than `response_bytes`.
  Reply Answer(const std::string& target, HttpRequest request, bool close);

 private:
  struct Parts;
  const std::unique_ptr<Parts> parts_;
};

}  // namespace postrider
