#pragma once

#include <cerrno>
#include <chrono>
#include <optional>
#include <poll.h>
#include <string>
#include <string_view>
#include <sys/socket.h>

#include "server/base/clock.h"
#include "server/http/socket.h"

namespace postrider {

/// A client that sends exactly the bytes a test gives it. Reads give up after ten seconds, which
/// only a failing test waits for.
class HttpRawClient {
 public:
  explicit HttpRawClient(int port) {
    constexpr auto kLongest = std::chrono::seconds(10);
    auto connected =
        Connect("127.0.0.1", port, kLongest, SystemClock().Now() + kLongest, SystemClock());
    if (connected.ok()) fd_ = *std::move(connected);
  }

  bool connected() const { return fd_.ok(); }
  int fd() const { return fd_.get(); }

  /// False when the peer no longer takes bytes.
  bool Send(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t size = send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (size > 0) {
        bytes.remove_prefix(static_cast<std::size_t>(size));
      } else if (errno != EAGAIN || !Wait(POLLOUT)) {
        return false;
      }
    }
    return true;
  }

  /// One answer with its body; what came beyond it is kept for the next call. Empty when the
  /// connection ended first. `has_body` is false for answers to HEAD.
  std::string ReadAnswer(bool has_body = true) {
    for (;;) {
      const std::size_t head = input_.find("\r\n\r\n");
      if (head != std::string::npos) {
        const std::size_t size = head + 4 + (has_body ? LengthIn(input_.substr(0, head)) : 0);
        if (input_.size() >= size) {
          std::string answer = input_.substr(0, size);
          input_.erase(0, size);
          return answer;
        }
      }
      if (!ReadMore()) return {};
    }
  }

  /// Everything up to the end of the connection; nullopt when it does not end.
  std::optional<std::string> ReadToEnd() {
    while (ReadMore()) {
    }
    if (!ended_) return std::nullopt;
    return std::move(input_);
  }

  bool Wait(short events) {
    pollfd waited{fd_.get(), events, 0};
    constexpr int kLongestMs = 10'000;
    return poll(&waited, 1, kLongestMs) > 0 && (waited.revents & events) != 0;
  }

  void HangUp() { fd_.Reset(); }

 private:
  static std::size_t LengthIn(std::string_view head) {
    constexpr std::string_view kName = "Content-Length: ";
    const std::size_t at = head.find(kName);
    if (at == std::string_view::npos) return 0;
    return std::stoul(std::string(head.substr(at + kName.size(), 20)));
  }

  bool ReadMore() {
    char bytes[4096];
    if (ended_ || !Wait(POLLIN)) return false;
    const ssize_t size = recv(fd_.get(), bytes, sizeof(bytes), 0);
    if (size <= 0) {
      ended_ = true;
      return false;
    }
    input_.append(bytes, static_cast<std::size_t>(size));
    return true;
  }

  UniqueFd fd_;
  std::string input_;
  bool ended_ = false;
};

}  // namespace postrider
