#include "server/http/router.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "server/base/check.h"
#include "server/base/log.h"
#include "server/base/strings.h"
#include "server/http/httplib_compat.h"

namespace postrider {

namespace {

constexpr std::string_view kFailure =
    "HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

/// A request's head to read, and a bounded place for the answer.
class MemoryStream final : public HttplibStream {
 public:
  MemoryStream(std::string head, std::size_t most) : head_(std::move(head)), most_(most) {}

  ssize_t read(char* to, std::size_t size) override {
    const std::size_t count = std::min(size, head_.size() - position_);
    std::memcpy(to, head_.data() + position_, count);
    position_ += count;
    return static_cast<ssize_t>(count);
  }
  ssize_t write(const char* from, std::size_t size) override {
    if (size > most_ - answer_.size()) overflowed_ = true;
    if (overflowed_) return -1;
    answer_.append(from, size);
    return static_cast<ssize_t>(size);
  }
  using httplib::Stream::write;

  bool overflowed() const { return overflowed_; }
  std::string TakeAnswer() { return std::move(answer_); }

 private:
  const std::string head_;
  const std::size_t most_;
  std::size_t position_ = 0;
  std::string answer_;
  bool overflowed_ = false;
};

bool IsOneLine(std::string_view text) {
  return text.find_first_of(std::string_view("\r\n\0", 3)) == std::string_view::npos;
}

}  // namespace

struct HttpRouter::Parts {
  /// Runs `handler` for the request in hand, completed with what httplib found out.
  void Run(const HttpHandler& handler, const httplib::Request& routed, httplib::Response& answer) {
    request.path = routed.path;
    request.query.clear();
    for (const auto& [name, value] : routed.params) request.query.emplace(name, value);
    request.captures.clear();
    for (std::size_t i = 1; i < routed.matches.size(); ++i)
      request.captures.push_back(routed.matches[i].str());

    HttpResponse response = handler(request);
    hang_up = response.hang_up;
    answer.status = response.status;
    for (const HttpHeader& line : response.headers)
      if (IsOneLine(line.name) && IsOneLine(line.value)) answer.set_header(line.name, line.value);
    if (!response.body.empty()) answer.set_content(response.body, response.content_type);
  }

  void Register(const HttpRoute& route) {
    auto run = [this, handler = route.handler](const httplib::Request& routed,
                                               httplib::Response& answer) {
      Run(handler, routed, answer);
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
  std::size_t response_bytes = 0;
  HttpRequest request;  ///< In hand.
  bool hang_up = false;
};

HttpRouter::HttpRouter(const std::vector<HttpRoute>& routes, std::size_t response_bytes)
    : parts_(std::make_unique<Parts>()) {
  parts_->response_bytes = response_bytes;
  for (const HttpRoute& route : routes) parts_->Register(route);
  parts_->httplib.set_exception_handler(
      [](const httplib::Request&, httplib::Response& answer, std::exception_ptr) {
        // What was thrown may quote the request; it goes nowhere.
        PR_LOG(kError, "http handler threw");
        answer.status = 500;
      });
  parts_->httplib.set_error_handler(
      httplib::Server::Handler([](const httplib::Request&, httplib::Response& answer) {
        if (answer.status == 404 && answer.body.empty())
          answer.set_content("no such path\n", "text/plain; charset=utf-8");
      }));
  parts_->httplib.set_post_routing_handler([](const httplib::Request&, httplib::Response& answer) {
    answer.headers.erase("Keep-Alive");  // It would tell httplib's deadlines, not ours.
  });
}

HttpRouter::~HttpRouter() = default;

HttpRouter::Reply HttpRouter::Answer(const std::string& target, HttpRequest request, bool close) {
  Parts& parts = *parts_;
  parts.request = std::move(request);
  parts.hang_up = false;
  MemoryStream stream(
      StrCat(parts.request.method, " ", target, " HTTP/1.1\r\nContent-Length: 0\r\n\r\n"),
      parts.response_bytes);
  bool written = false;
  try {
    written = parts.httplib.Process(stream, close);
  } catch (...) {
    PR_LOG(kError, "http routing threw");
  }
  parts.request = {};
  if (parts.hang_up) return {{}, true};
  if (!written || stream.overflowed()) return {std::string(kFailure), true};
  return {stream.TakeAnswer(), close};
}

}  // namespace postrider
