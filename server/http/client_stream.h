#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

#include "server/base/clock.h"
#include "server/base/url.h"
#include "server/http/httplib_compat.h"
#include "server/http/socket.h"
#include "server/http/tls.h"

namespace postrider {

/// One connection of a client, plain or TLS, as a stream for cpp-httplib. Knows what left, keeps
/// one absolute deadline over everything, and bounds what comes. What is written is gathered and
/// leaves as a whole when the first byte of the answer is asked for. One thread at a time.
class ClientStream final : public HttplibStream {
 public:
  /// Connects, and shakes hands when `url` says TLS, by `deadline`. UNAVAILABLE with the cause;
  /// then no byte of any request has left.
  static absl::StatusOr<std::unique_ptr<ClientStream>> Open(
      const BaseUrl& url, const TlsContext* tls, std::chrono::nanoseconds connect_timeout,
      MonotonicTime deadline, const Clock& clock);

  ClientStream(UniqueFd fd, std::unique_ptr<TlsSession> tls, const Clock& clock);

  /// Whether the connection may carry another exchange: the peer has neither closed it nor sent
  /// what nobody asked for. Does not block.
  bool IsIdle();

  /// Begins an exchange: the deadline, and the most bytes of an answer, head included.
  void Begin(MonotonicTime deadline, std::size_t answer_bytes);

  /// Of this exchange: whether any byte, or all bytes, were handed to the system.
  bool some_left() const { return some_left_; }
  bool all_left() const { return all_left_; }
  /// Why it failed; empty when it did not.
  const std::string& error() const { return error_; }

  ssize_t read(char* to, std::size_t size) override;
  ssize_t write(const char* from, std::size_t size) override;
  using httplib::Stream::write;

 private:
  absl::Status Handshake(const std::string& host, MonotonicTime deadline);
  bool Flush();
  bool SendToWire(std::string_view bytes, bool of_request);
  /// Fills input_ from the wire. False at the end of the connection or on failure.
  bool Receive();
  /// Adds what the wire has to input_ or the TLS session; 0 at its end, -1 on failure.
  ssize_t ReceiveFromWire();
  bool Fail(std::string_view why);

  const UniqueFd fd_;
  const std::unique_ptr<TlsSession> tls_;  ///< Null for plain HTTP.
  const Clock& clock_;

  MonotonicTime deadline_{};
  std::size_t answer_bytes_left_ = 0;
  std::size_t line_bytes_ = 0;  ///< Of the line that is being read byte by byte.
  std::string output_;
  std::string input_;
  std::size_t consumed_ = 0;  ///< Of input_.
  bool some_left_ = false;
  bool all_left_ = false;
  std::string error_;
};

}  // namespace postrider
