#include "server/http/socket.h"

#include <algorithm>
#include <cerrno>
#include <memory>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <system_error>
#include <unistd.h>

#include "absl/status/status.h"

#include "server/base/status_macros.h"
#include "server/base/strings.h"

namespace postrider {

namespace {

using Addresses = std::unique_ptr<addrinfo, decltype(&freeaddrinfo)>;

absl::StatusOr<Addresses> Resolve(const std::string& host, int port, int flags) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = flags | AI_NUMERICSERV;
  addrinfo* found = nullptr;
  const int failure = getaddrinfo(host.c_str(), StrCat(port).c_str(), &hints, &found);
  if (failure != 0) {
    return absl::UnavailableError(
        StrCat("cannot resolve ", host, ": ", std::string(gai_strerror(failure))));
  }
  return Addresses(found, &freeaddrinfo);
}

/// 0, or an errno.
int ConnectOne(int fd, const addrinfo& address, MonotonicTime deadline, const Clock& clock) {
  if (connect(fd, address.ai_addr, address.ai_addrlen) == 0) return 0;
  if (errno != EINPROGRESS) return errno;
  if (!WaitForSocket(fd, POLLOUT, deadline, clock)) return ETIMEDOUT;
  int error_number = 0;
  socklen_t size = sizeof(error_number);
  getsockopt(fd, SOL_SOCKET, SO_ERROR, &error_number, &size);
  return error_number;
}

}  // namespace

void UniqueFd::Reset() {
  if (fd_ >= 0) close(fd_);
  fd_ = -1;
}

std::string ErrorText(int error_number) { return std::generic_category().message(error_number); }

void SetNoDelay(int fd) {
  const int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

int LocalPort(int fd) {
  sockaddr_storage address{};
  socklen_t size = sizeof(address);
  if (getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) != 0) return 0;
  return address.ss_family == AF_INET6
             ? ntohs(reinterpret_cast<const sockaddr_in6&>(address).sin6_port)
             : ntohs(reinterpret_cast<const sockaddr_in&>(address).sin_port);
}

absl::StatusOr<UniqueFd> Listen(const std::string& host, int port, int backlog) {
  auto failed = [&](std::string_view why) {
    return absl::FailedPreconditionError(StrCat("cannot listen on ", host, ":", port, ": ", why));
  };
  absl::StatusOr<Addresses> addresses = Resolve(host, port, AI_PASSIVE);
  if (!addresses.ok()) return failed(ToStd(addresses.status().message()));
  int error_number = 0;
  for (const addrinfo* address = addresses->get(); address != nullptr; address = address->ai_next) {
    UniqueFd fd(socket(address->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    if (!fd.ok()) {
      error_number = errno;
      continue;
    }
    // Lets a restart take over from connections in TIME_WAIT; on Linux it does not let two
    // listeners share a port, as SO_REUSEPORT would.
    const int on = 1;
    setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (bind(fd.get(), address->ai_addr, address->ai_addrlen) == 0 &&
        listen(fd.get(), backlog) == 0) {
      return fd;
    }
    error_number = errno;
  }
  return failed(error_number == EADDRINUSE ? "already in use" : ErrorText(error_number));
}

absl::StatusOr<UniqueFd> Connect(const std::string& host, int port,
                                 std::chrono::nanoseconds timeout, MonotonicTime deadline,
                                 const Clock& clock) {
  PR_ASSIGN_OR_RETURN(const Addresses addresses, Resolve(host, port, 0));
  int error_number = ETIMEDOUT;
  for (const addrinfo* address = addresses.get(); address != nullptr; address = address->ai_next) {
    const MonotonicTime now = clock.Now();
    if (now >= deadline) break;
    UniqueFd fd(socket(address->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    error_number =
        fd.ok() ? ConnectOne(fd.get(), *address, std::min(deadline, now + timeout), clock) : errno;
    if (error_number != 0) continue;
    SetNoDelay(fd.get());
    return fd;
  }
  return absl::UnavailableError(
      StrCat("cannot connect to ", host, ":", port, ": ", ErrorText(error_number)));
}

bool WaitForSocket(int fd, short events, MonotonicTime deadline, const Clock& clock) {
  pollfd waited{fd, events, 0};
  for (;;) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - clock.Now());
    if (left.count() <= 0) return false;
    constexpr int kLongestMs = 60'000;
    const int timeout_ms = static_cast<int>(std::min<std::int64_t>(left.count(), kLongestMs));
    if (poll(&waited, 1, timeout_ms) > 0) return true;
  }
}

}  // namespace postrider
