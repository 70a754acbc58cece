#include "server/http/front_connection.h"

#include <array>
#include <cerrno>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "server/http/answer.h"

namespace postrider {

namespace {

bool WouldBlock() { return errno == EAGAIN || errno == EINTR; }

}  // namespace

void HttpFront::OnEvents(Connection& connection, std::uint32_t events) {
  switch (connection.state) {
    case Connection::State::kIdle:
    case Connection::State::kReading:
      return ReadSome(connection);
    case Connection::State::kWriting:
      return WriteSome(connection);
    case Connection::State::kLingering:
      return Discard(connection);
    case Connection::State::kAnswering:
      // Hang-ups are reported whatever is asked for; the worker's answer will find nobody.
      if ((events & (EPOLLHUP | EPOLLERR)) != 0) {
        epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, connection.fd.get(), nullptr);
        connection.peer_gone = true;
      } else {
        SetInterest(connection, 0);
      }
      return;
    case Connection::State::kClosed:
      return;
  }
}

void HttpFront::ReadSome(Connection& connection) {
  std::array<char, 16384> bytes;
  const ssize_t size = recv(connection.fd.get(), bytes.data(), bytes.size(), 0);
  if (size < 0 && WouldBlock()) return;
  if (size <= 0) return Close(connection);
  if (connection.state == Connection::State::kIdle) {
    connection.state = Connection::State::kReading;
    SetDeadline(connection, clock_.Now() + options_.request_deadline);
  }
  connection.in.append(bytes.data(), static_cast<std::size_t>(size));
  if (!Account(connection)) return Refuse(connection, {503, "memory", "too busy"});
  Frame(connection);
}

void HttpFront::Frame(Connection& connection) {
  // Clients may send an empty line between requests (RFC 9112, 2.2).
  std::size_t empty = 0;
  while (connection.in.compare(empty, 2, "\r\n") == 0) empty += 2;
  connection.in.erase(0, empty);
  if (connection.in.empty() || connection.in == "\r") return;
  switch (connection.framer.Advance(connection.in)) {
    case RequestFramer::State::kRefused:
      return Refuse(connection, connection.framer.refusal());
    case RequestFramer::State::kComplete:
      return HandOver(connection);
    case RequestFramer::State::kNeedMore:
      break;
  }
  if (!connection.framer.WantsContinue() || connection.told_to_continue) return;
  constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";
  connection.told_to_continue = true;
  // Nothing else is being written, so it fits into the send buffer; if not, the client may go on
  // without it.
  [[maybe_unused]] const ssize_t size =
      send(connection.fd.get(), kContinue.data(), kContinue.size(), MSG_NOSIGNAL);
}

void HttpFront::HandOver(Connection& connection) {
  const std::size_t size = connection.framer.size();
  const bool last = connection.framer.last() || draining_;
  RequestFramer::Framed framed = connection.framer.Take(connection.in);
  framed.request.remote_address = connection.remote_address;
  connection.in.erase(0, size);
  connection.told_to_continue = false;
  Account(connection);
  // Before the hand-over: from then on a handler may be at work on it.
  connection.state = Connection::State::kAnswering;
  SetDeadline(connection, clock_.Now() + options_.answer_deadline);
  if (!exchange_.TryPush(
          {connection.id, std::move(framed.target), std::move(framed.request), last}))
    return Refuse(connection, {503, "queue_full", "too busy"});
  requests_.Add();
}

void HttpFront::Refuse(Connection& connection, const Refusal& refusal) {
  Count(refusal.reason);
  connection.in = {};
  BeginWriting(connection, RefusalBytes(refusal), /*close=*/true);
}

void HttpFront::OnAnswer(HttpExchange::Answer answer) {
  const auto found = connections_.find(answer.connection);
  if (found == connections_.end()) return;
  Connection& connection = *found->second;
  if (connection.state != Connection::State::kAnswering) return;  // too late
  if (connection.peer_gone || answer.bytes.empty()) return Close(connection);
  BeginWriting(connection, std::move(answer.bytes), answer.close);
}

void HttpFront::BeginWriting(Connection& connection, std::string bytes, bool close) {
  connection.out = std::move(bytes);
  connection.written = 0;
  connection.close_after = close;
  connection.state = Connection::State::kWriting;
  SetDeadline(connection, clock_.Now() + options_.write_deadline);
  Account(connection);
  WriteSome(connection);
  // What could be written is written; slow readers must not hold what others need.
  if (connection.state == Connection::State::kWriting &&
      buffered_bytes_ > options_.buffered_bytes) {
    Count("memory");
    Close(connection);
  }
}

void HttpFront::WriteSome(Connection& connection) {
  while (connection.written < connection.out.size()) {
    const ssize_t size = send(connection.fd.get(), connection.out.data() + connection.written,
                              connection.out.size() - connection.written, MSG_NOSIGNAL);
    if (size < 0 && WouldBlock()) return SetInterest(connection, EPOLLOUT);
    if (size < 0) return Close(connection);
    connection.written += static_cast<std::size_t>(size);
  }
  connection.out = {};
  connection.written = 0;
  Account(connection);
  return connection.close_after ? Linger(connection) : AwaitNext(connection);
}

void HttpFront::AwaitNext(Connection& connection) {
  const bool begun = !connection.in.empty();
  if (draining_ && !begun) return Close(connection);
  connection.state = begun ? Connection::State::kReading : Connection::State::kIdle;
  SetDeadline(connection,
              clock_.Now() + (begun ? options_.request_deadline : options_.idle_deadline));
  SetInterest(connection, EPOLLIN);
  if (begun) Frame(connection);
}

void HttpFront::Linger(Connection& connection) {
  // Closing with bytes unread would reset the connection, and the client might lose the answer.
  shutdown(connection.fd.get(), SHUT_WR);
  connection.state = Connection::State::kLingering;
  SetDeadline(connection, clock_.Now() + options_.linger);
  SetInterest(connection, EPOLLIN);
  Discard(connection);
}

void HttpFront::Discard(Connection& connection) {
  constexpr std::size_t kMost = 1 << 20;
  std::array<char, 16384> bytes;
  const ssize_t size = recv(connection.fd.get(), bytes.data(), bytes.size(), 0);
  if (size < 0 && WouldBlock()) return;
  if (size <= 0) return Close(connection);
  connection.discarded += static_cast<std::size_t>(size);
  if (connection.discarded > kMost) Close(connection);
}

void HttpFront::Close(Connection& connection) {
  if (connection.state == Connection::State::kClosed) return;
  connection.state = Connection::State::kClosed;
  connection.deadline = MonotonicTime::max();
  connection.fd.Reset();
  connection.in = {};
  connection.out = {};
  Account(connection);
  closed_.push_back(connection.id);
}

}  // namespace postrider
