#include "tests/bench/http_load.h"

#include <arpa/inet.h>
#include <array>
#include <chrono>
#include <deque>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "absl/strings/str_format.h"

#include "server/base/check.h"
#include "server/base/strings.h"

namespace postrider::bench {

namespace {

using Clock = std::chrono::steady_clock;

int Connect(int port) {
  const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(static_cast<std::uint16_t>(port));
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  PR_CHECK(::connect(fd, reinterpret_cast<sockaddr*>(&to), sizeof to) == 0);
  const int on = 1;
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  return fd;
}

/// True when `answer` is whole: head and, by Content-Length, body.
bool IsWhole(const std::string& answer) {
  const std::size_t head = answer.find("\r\n\r\n");
  if (head == std::string::npos) return false;
  const std::size_t at = answer.find("Content-Length: ");
  if (at == std::string::npos || at > head) return true;
  return answer.size() >= head + 4 + std::stoul(answer.substr(at + 16));
}

struct Connection {
  int fd = -1;
  std::string answer;
  Clock::time_point due;
};

class Loop {
 public:
  Loop(int port, int connections)
      : epoll_(::epoll_create1(0)), connections_(static_cast<std::size_t>(connections)) {
    for (std::size_t i = 0; i < connections_.size(); ++i) {
      connections_[i].fd = Connect(port);
      epoll_event event{.events = EPOLLIN, .data = {.u64 = i}};
      ::epoll_ctl(epoll_, EPOLL_CTL_ADD, connections_[i].fd, &event);
      free_.push_back(i);
    }
  }
  ~Loop() {
    for (const Connection& connection : connections_) ::close(connection.fd);
    ::close(epoll_);
  }

  bool HasFree() const { return !free_.empty(); }
  bool HasBusy() const { return free_.size() < connections_.size(); }

  void Send(const std::string& request, Clock::time_point due) {
    Connection& connection = connections_[free_.front()];
    free_.pop_front();
    connection.due = due;
    connection.answer.clear();
    PR_CHECK(::send(connection.fd, request.data(), request.size(), MSG_NOSIGNAL) ==
             static_cast<ssize_t>(request.size()));
  }

  void Receive(int wait_ms, HttpResult& result) {
    std::array<epoll_event, 64> events;
    const int count = ::epoll_wait(epoll_, events.data(), events.size(), wait_ms);
    for (int i = 0; i < count; ++i) {
      const std::size_t index = events[static_cast<std::size_t>(i)].data.u64;
      Connection& connection = connections_[index];
      std::array<char, 4096> bytes;
      const ssize_t got = ::recv(connection.fd, bytes.data(), bytes.size(), 0);
      PR_CHECK(got > 0);
      connection.answer.append(bytes.data(), static_cast<std::size_t>(got));
      if (!IsWhole(connection.answer)) continue;
      if (connection.answer.starts_with("HTTP/1.1 200")) {
        result.latency_ms.push_back(
            std::chrono::duration<double, std::milli>(Clock::now() - connection.due).count());
      } else {
        ++result.failed;
      }
      free_.push_back(index);
    }
  }

 private:
  int epoll_;
  std::vector<Connection> connections_;
  std::deque<std::size_t> free_;
};

}  // namespace

std::string PostOf(const std::string& path, const std::string& body) {
  return StrCat("POST ", path, " HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n",
                "Content-Length: ", body.size(), "\r\n\r\n", body);
}

std::string GetOf(const std::string& path) {
  return StrCat("GET ", path, " HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n");
}

std::string ReceiptOf(const std::string& message_id, const char* status, std::int64_t n) {
  const std::string time =
      absl::StrFormat("2026-01-01T%02d:%02d:%02dZ", n / 3600 % 24, n / 60 % 60, n % 60);
  return StrCat(R"({"id":"msg-)", message_id, R"(","type":"sms","from":"+15559876543",)",
                R"("to":"+15551234567","conversationId":"c","status":")", status,
                R"(","timestamp":")", time, R"(","deliveryStatus":")", status,
                R"(","errorCode":null,"metadata":{"postriderMessageId":")", message_id,
                R"(","postriderAttempt":"1"}})");
}

HttpResult RunHttpLoad(int port, int connections, double rate, double seconds,
                       const std::function<std::string(std::int64_t)>& request_of) {
  Loop loop(port, connections);
  HttpResult result;
  const auto begin = Clock::now();
  const auto after = [&](double s) {
    return begin + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(s));
  };
  std::int64_t sent = 0;
  while (Clock::now() < after(seconds)) {
    while (loop.HasFree()) {
      const auto due = rate > 0 ? after(static_cast<double>(sent) / rate) : Clock::now();
      if (due > Clock::now()) break;
      loop.Send(request_of(sent++), due);
    }
    loop.Receive(1, result);
  }
  while (loop.HasBusy()) loop.Receive(100, result);
  const double took = std::chrono::duration<double>(Clock::now() - begin).count();
  result.rate = static_cast<double>(result.latency_ms.size()) / took;
  return result;
}

}  // namespace postrider::bench
