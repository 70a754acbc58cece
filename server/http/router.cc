#include "server/http/router.h"

#include <algorithm>
#include <cstring>
#include <optional>
#include <utility>

#include "server/base/check.h"
#include "server/base/log.h"
#include "server/base/strings.h"
#include "server/http/httplib_compat.h"

namespace postrider {

namespace {

/// A request's head to read. What httplib would answer goes nowhere.
class HeadStream final : public HttplibStream {
 public:
  explicit HeadStream(std::string head) : head_(std::move(head)) {}

  ssize_t read(char* to, std::size_t size) override {
    const std::size_t count = std::min(size, head_.size() - position_);
    std::memcpy(to, head_.data() + position_, count);
    position_ += count;
    return static_cast<ssize_t>(count);
  }
  ssize_t write(const char* /*from*/, std::size_t size) override {
    return static_cast<ssize_t>(size);
  }
  using httplib::Stream::write;

 private:
  const std::string head_;
  std::size_t position_ = 0;
};

}  // namespace

struct HttpRouter::Parts {
  /// Runs `handler` for the request in hand, completed with what httplib found out.
  void Run(const HttpLaterHandler& handler, const httplib::Request& routed) {
    request.path = routed.path;
    request.query.clear();
    for (const auto& [name, value] : routed.params) request.query.emplace(name, value);
    request.captures.clear();
    for (std::size_t i = 1; i < routed.matches.size(); ++i)
      request.captures.push_back(routed.matches[i].str());
    HttpReply mine = *std::move(reply);
    reply.reset();
    handler(request, std::move(mine));
  }

  void Register(const HttpRoute& route) {
    auto run = [this, handler = route.handler](const httplib::Request& routed,
                                               httplib::Response& /*answer*/) {
      Run(handler, routed);
    };
    if (route.method == "GET") {
      httplib.Get(route.pattern, run);
    } else if (route.method == "POST") {
      httplib.Post(route.pattern, run);
    } else if (route.method == "PUT") {
      httplib.Put(route.pattern, run);
    } else if (route.method == "PATCH") {
      httplib.Patch(route.pattern, run);
    } else {
      PR_CHECK(route.method == "DELETE");
      httplib.Delete(route.pattern, run);
    }
  }

  HttplibRouter httplib;
  HttpRequest request;             ///< In hand.
  std::optional<HttpReply> reply;  ///< Of that one, until its handler has it.
  int status = 0;                  ///< What httplib says of it when no handler takes it.
};

HttpRouter::HttpRouter(const std::vector<HttpRoute>& routes) : parts_(std::make_unique<Parts>()) {
  for (const HttpRoute& route : routes) parts_->Register(route);
  parts_->httplib.set_exception_handler(
      [](const httplib::Request&, httplib::Response& answer, std::exception_ptr) {
        // What was thrown may quote the request; it goes nowhere. The handler's reply, thrown
        // away unused, has said 500.
        PR_LOG(kError, "http handler threw");
        answer.status = 500;
      });
  parts_->httplib.set_error_handler(httplib::Server::Handler(
      [parts = parts_.get()](const httplib::Request&, httplib::Response& answer) {
        parts->status = answer.status;
      }));
}

HttpRouter::~HttpRouter() = default;

void HttpRouter::Route(const std::string& target, HttpRequest request, HttpReply reply) {
  Parts& parts = *parts_;
  parts.request = std::move(request);
  parts.reply.emplace(std::move(reply));
  parts.status = 500;
  HeadStream stream(
      StrCat(parts.request.method, " ", target, " HTTP/1.1\r\nContent-Length: 0\r\n\r\n"));
  try {
    parts.httplib.Process(stream, /*close_connection=*/true);
  } catch (...) {
    PR_LOG(kError, "http routing threw");
  }
  parts.request = {};
  if (!parts.reply.has_value()) return;
  const bool unknown = parts.status == 404;
  (*parts.reply)({.status = parts.status, .body = unknown ? "no such path\n" : ""});
  parts.reply.reset();
}

}  // namespace postrider
