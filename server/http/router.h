#pragma once

#include <memory>
#include <string>
#include <vector>

#include "server/http/message.h"

namespace postrider {

/// One path a server answers.
struct HttpRoute {
  std::string method;   ///< "GET" (and HEAD), "POST", "PUT", "PATCH" or "DELETE".
  std::string pattern;  ///< ECMAScript regular expression that the whole path must match.
  HttpLaterHandler handler;
};

/// Calls the handler for a complete request; routing and URL decoding are cpp-httplib's. No header
/// of a client reaches it (its reading of Range, multipart and Content-Encoding is unbounded, and
/// REMOTE_ADDR could be forged).
///
/// One request at a time: each worker has a router of its own.
class HttpRouter {
 public:
  explicit HttpRouter(const std::vector<HttpRoute>& routes);
  ~HttpRouter();

  /// Gives `reply` to the handler of `target`. Answers itself: 404 when there is none, 400 when
  /// the target cannot be decoded, and 500 when the handler throws.
  void Route(const std::string& target, HttpRequest request, HttpReply reply);

 private:
  struct Parts;
  const std::unique_ptr<Parts> parts_;
};

}  // namespace postrider
