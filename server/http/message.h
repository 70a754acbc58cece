#pragma once

#include <functional>
#include <initializer_list>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/functional/any_invocable.h"

namespace postrider {

struct HttpHeader {
  std::string name;
  std::string value;
};

/// Header lines in their order. Names compare without regard to case; a name may occur again.
class HttpHeaders {
 public:
  HttpHeaders() = default;
  HttpHeaders(std::initializer_list<HttpHeader> lines) : lines_(lines) {}

  void Add(std::string name, std::string value) {
    lines_.push_back({std::move(name), std::move(value)});
  }
  /// The first value of `name`; valid as long as these headers are unchanged.
  std::optional<std::string_view> Get(std::string_view name) const;

  auto begin() const { return lines_.begin(); }
  auto end() const { return lines_.end(); }
  std::size_t size() const { return lines_.size(); }

 private:
  std::vector<HttpHeader> lines_;
};

/// Whether two ASCII texts are the same but for case. Source: RFC 9110, field names.
bool SameButCase(std::string_view a, std::string_view b);

/// One complete request as a handler sees it.
struct HttpRequest {
  std::string method = {};  ///< As sent; "HEAD" reaches handlers of "GET".
  std::string path = {};    ///< Percent-decoded, without the query.
  std::map<std::string, std::string> query =
      {};                                  ///< Decoded; of a repeated name the first in order.
  std::vector<std::string> captures = {};  ///< What the groups of the handler's pattern matched.
  HttpHeaders headers = {};                ///< Exactly those the client sent.
  std::string body = {};                   ///< The raw bytes, whatever their type.
  std::string remote_address = {};         ///< Of the socket's peer, without port.
};

struct HttpResponse {
  int status = 200;
  std::string body = {};
  std::string content_type = "text/plain; charset=utf-8";
  HttpHeaders headers = {};  ///< Lines with CR, LF or NUL are left out.
  bool close = false;        ///< Closes the connection after the answer.
  bool hang_up = false;      ///< Answers nothing and closes the connection: a sandbox's fault.
};

/// The way back to the client of one request. The first call answers, from any thread, now or
/// later; thrown away without one, the client gets a 500. It may outlive the server.
class HttpReply {
 public:
  using Send = absl::AnyInvocable<void(HttpResponse)>;

  explicit HttpReply(Send send) : send_(std::move(send)) {}
  ~HttpReply() {
    if (send_) (*this)({.status = 500});
  }
  HttpReply(HttpReply&& other) noexcept : send_(std::exchange(other.send_, nullptr)) {}
  HttpReply& operator=(HttpReply&&) = delete;

  void operator()(HttpResponse response) {
    Send send = std::exchange(send_, nullptr);
    if (send) send(std::move(response));
  }

 private:
  Send send_;
};

/// Called by any of a server's workers, several at a time. May block; an exception becomes a 500
/// that says nothing.
using HttpHandler = std::function<HttpResponse(const HttpRequest&)>;
/// The same for what is answered later: no worker waits for it.
using HttpLaterHandler = std::function<void(const HttpRequest&, HttpReply)>;

}  // namespace postrider
