#pragma once

#include <chrono>
#include <string>
#include <utility>

#include "absl/status/statusor.h"

#include "server/base/clock.h"

namespace postrider {

/// Owns a file descriptor.
class UniqueFd {
 public:
  UniqueFd() = default;
  explicit UniqueFd(int fd) : fd_(fd) {}
  UniqueFd(UniqueFd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  UniqueFd& operator=(UniqueFd&& other) noexcept {
    if (this != &other) {
      Reset();
      fd_ = std::exchange(other.fd_, -1);
    }
    return *this;
  }
  ~UniqueFd() { Reset(); }

  int get() const { return fd_; }
  bool ok() const { return fd_ >= 0; }
  void Reset();

 private:
  int fd_ = -1;
};

/// A non-blocking listening TCP socket. `port` 0 takes a free one.
/// FAILED_PRECONDITION naming the address and the cause, "already in use" among them: two servers
/// never share a port.
absl::StatusOr<UniqueFd> Listen(const std::string& host, int port, int backlog);
/// The port a socket is bound to.
int LocalPort(int fd);
/// Small answers leave at once.
void SetNoDelay(int fd);

/// A non-blocking connected TCP socket: the addresses of `host` are tried in order, each for
/// `timeout` at most and none beyond `deadline`. Blocks; resolving a name is bounded by the
/// resolver's own configuration.
/// UNAVAILABLE naming address and cause.
absl::StatusOr<UniqueFd> Connect(const std::string& host, int port,
                                 std::chrono::nanoseconds timeout, MonotonicTime deadline,
                                 const Clock& clock);

/// Waits until `fd` has one of the poll(2) `events` or failed; false when `deadline` passed.
bool WaitForSocket(int fd, short events, MonotonicTime deadline, const Clock& clock);

/// "Connection refused" and the like, from errno.
std::string ErrorText(int error_number);

}  // namespace postrider
