#include "server/http/client_stream.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <poll.h>
#include <sys/socket.h>
#include <utility>

#include "absl/status/status.h"

#include "server/base/status_macros.h"
#include "server/base/strings.h"

namespace postrider {

namespace {
/// Longer lines of an answer's head are refused: httplib matches the first with std::regex, whose
/// use of the stack grows with the line.
constexpr std::size_t kLongestLine = 8192;
}  // namespace

absl::StatusOr<std::unique_ptr<ClientStream>> ClientStream::Open(
    const BaseUrl& url, const TlsContext* tls, std::chrono::nanoseconds connect_timeout,
    MonotonicTime deadline, const Clock& clock) {
  PR_ASSIGN_OR_RETURN(UniqueFd fd, Connect(url.host, url.port, connect_timeout, deadline, clock));
  std::unique_ptr<TlsSession> session;
  if (url.tls) session = std::make_unique<TlsSession>(*tls, url.host);
  auto stream = std::make_unique<ClientStream>(std::move(fd), std::move(session), clock);
  PR_RETURN_IF_ERROR(stream->Handshake(url.host, deadline));
  return stream;
}

ClientStream::ClientStream(UniqueFd fd, std::unique_ptr<TlsSession> tls, const Clock& clock)
    : fd_(std::move(fd)), tls_(std::move(tls)), clock_(clock) {}

absl::Status ClientStream::Handshake(const std::string& host, MonotonicTime deadline) {
  if (tls_ == nullptr) return absl::OkStatus();
  const auto failed = [&host](std::string_view why) {
    return absl::UnavailableError(StrCat("TLS with ", host, " failed: ", why));
  };
  constexpr std::size_t kMostHandshakeBytes = 1 << 18;
  Begin(deadline, kMostHandshakeBytes);
  for (;;) {
    const TlsSession::Progress progress = tls_->Handshake();
    // A failed handshake still has an alert to tell.
    const bool told = SendToWire(tls_->TakeOutgoing(), /*of_request=*/false);
    if (progress == TlsSession::Progress::kFailed) return failed(tls_->error());
    if (progress == TlsSession::Progress::kEnded) return failed("closed by the peer");
    if (!told) return failed(error_);
    if (progress == TlsSession::Progress::kDone) return absl::OkStatus();
    const ssize_t size = ReceiveFromWire();
    if (size == 0) return failed("closed by the peer");
    if (size < 0) return failed(error_);
  }
}

bool ClientStream::IsIdle() {
  if (consumed_ < input_.size() || !error_.empty()) return false;
  std::array<char, 4096> bytes;
  if (tls_ == nullptr) {
    return recv(fd_.get(), bytes.data(), bytes.size(), MSG_DONTWAIT) < 0 && errno == EAGAIN;
  }
  // TLS 1.3 sends session tickets whenever it likes; they are no sign of an end.
  constexpr int kMostReads = 16;
  for (int i = 0; i < kMostReads; ++i) {
    const ssize_t size = recv(fd_.get(), bytes.data(), bytes.size(), MSG_DONTWAIT);
    if (size == 0 || (size < 0 && errno != EAGAIN)) return false;
    if (size < 0) {
      std::string unexpected;
      return tls_->Decrypt(unexpected) == TlsSession::Progress::kNeedsWire && unexpected.empty();
    }
    tls_->Incoming({bytes.data(), static_cast<std::size_t>(size)});
  }
  return false;
}

void ClientStream::Begin(MonotonicTime deadline, std::size_t answer_bytes) {
  deadline_ = deadline;
  answer_bytes_left_ = answer_bytes;
  line_bytes_ = 0;
  output_.clear();
  input_.clear();
  consumed_ = 0;
  some_left_ = false;
  all_left_ = false;
  error_.clear();
}

ssize_t ClientStream::write(const char* from, std::size_t size) {
  output_.append(from, size);
  return static_cast<ssize_t>(size);
}

ssize_t ClientStream::read(char* to, std::size_t size) {
  if (!output_.empty() && !Flush()) return -1;
  if (consumed_ == input_.size() && !Receive()) return error_.empty() ? 0 : -1;
  const std::size_t count = std::min(size, input_.size() - consumed_);
  std::memcpy(to, input_.data() + consumed_, count);
  consumed_ += count;
  if (size == 1) {
    // httplib reads lines, and nothing but lines, byte by byte.
    line_bytes_ = *to == '\n' ? 0 : line_bytes_ + 1;
    if (line_bytes_ > kLongestLine) {
      Fail("a line of the reply is too long");
      return -1;
    }
  }
  return static_cast<ssize_t>(count);
}

bool ClientStream::Flush() {
  const std::string request = std::exchange(output_, {});
  if (tls_ == nullptr) {
    if (!SendToWire(request, /*of_request=*/true)) return false;
  } else {
    // What TLS itself had to say goes first: it is not of the request.
    if (!SendToWire(tls_->TakeOutgoing(), /*of_request=*/false)) return false;
    constexpr std::size_t kAtOnce = 65536;
    for (std::size_t done = 0; done < request.size(); done += kAtOnce) {
      if (!tls_->Encrypt(std::string_view(request).substr(done, kAtOnce)))
        return Fail(tls_->error());
      if (!SendToWire(tls_->TakeOutgoing(), /*of_request=*/true)) return false;
    }
  }
  all_left_ = true;
  return true;
}

bool ClientStream::SendToWire(std::string_view bytes, bool of_request) {
  while (!bytes.empty()) {
    if (clock_.Now() >= deadline_) return Fail("deadline passed while sending");
    const ssize_t size = send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (size >= 0) {
      bytes.remove_prefix(static_cast<std::size_t>(size));
      some_left_ = some_left_ || (of_request && size > 0);
    } else if (errno == EAGAIN) {
      if (!WaitForSocket(fd_.get(), POLLOUT, deadline_, clock_))
        return Fail("deadline passed while sending");
    } else if (errno != EINTR) {
      return Fail(StrCat("sending failed: ", ErrorText(errno)));
    }
  }
  return true;
}

bool ClientStream::Receive() {
  input_.clear();
  consumed_ = 0;
  while (input_.empty()) {
    if (tls_ != nullptr) {
      const TlsSession::Progress progress = tls_->Decrypt(input_);
      if (progress == TlsSession::Progress::kFailed) return Fail(tls_->error());
      if (progress == TlsSession::Progress::kEnded) return false;
      if (progress == TlsSession::Progress::kDone) continue;
    }
    const ssize_t size = ReceiveFromWire();
    if (size < 0) return false;
    // Under TLS an end without good-bye may be somebody else's doing.
    if (size == 0) return tls_ == nullptr ? false : Fail("the connection ended within the reply");
  }
  return true;
}

ssize_t ClientStream::ReceiveFromWire() {
  std::array<char, 16384> bytes;
  const std::size_t most = std::min(bytes.size(), answer_bytes_left_);
  if (most == 0) {
    Fail("the reply is too large");
    return -1;
  }
  for (;;) {
    if (clock_.Now() >= deadline_) {
      Fail("deadline passed while waiting for the reply");
      return -1;
    }
    const ssize_t size = recv(fd_.get(), bytes.data(), most, MSG_DONTWAIT);
    if (size > 0) {
      answer_bytes_left_ -= static_cast<std::size_t>(size);
      const std::string_view received(bytes.data(), static_cast<std::size_t>(size));
      if (tls_ == nullptr) {
        input_.append(received);
      } else {
        tls_->Incoming(received);
      }
    }
    if (size >= 0) return size;
    if (errno == EAGAIN) {
      // The deadline is looked at above.
      WaitForSocket(fd_.get(), POLLIN, deadline_, clock_);
    } else if (errno != EINTR) {
      Fail(StrCat("receiving failed: ", ErrorText(errno)));
      return -1;
    }
  }
}

bool ClientStream::Fail(std::string_view why) {
  if (error_.empty()) error_ = why;
  return false;
}

}  // namespace postrider
