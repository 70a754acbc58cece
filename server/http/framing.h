#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "server/http/message.h"

namespace postrider {

/// What one request may be. Bytes, but for the count.
struct FrameLimits {
  std::size_t request_line_bytes = 4096;
  std::size_t header_line_bytes = 8192;
  std::size_t head_bytes = 16384;  ///< Request line and headers together.
  std::size_t header_count = 64;
  std::size_t body_bytes = 262144;
};

/// Why a request is refused. `reason` is a metric label, `text` the body of the answer.
struct Refusal {
  int status = 0;
  std::string_view reason = {};
  std::string_view text = {};
};

/// Finds the end of one HTTP/1.x request in the bytes of a connection, and refuses at the
/// earliest byte what must not be parsed further: everything in which two readers could see
/// different requests (Transfer-Encoding, repeated or odd Content-Length, bare LF, folded
/// headers), and what is too large. Work is linear in the bytes however they are sliced.
///
/// Not thread safe. Source: RFC 9112, sections 2 to 6 and 11.
class RequestFramer {
 public:
  enum class State { kNeedMore, kComplete, kRefused };

  explicit RequestFramer(const FrameLimits& limits) : limits_(limits) {}

  /// `bytes` begins with the request's first byte and repeats, longer, what was given before. It
  /// may run on into the next request. After kRefused the framer is spent.
  State Advance(std::string_view bytes);

  /// After kRefused.
  const Refusal& refusal() const { return refusal_; }
  /// The head is complete, the body is not, and the client waits for "100 Continue".
  bool WantsContinue() const { return head_complete_ && expects_continue_; }
  /// After kComplete: the request's length within `bytes`.
  std::size_t size() const { return head_size_ + static_cast<std::size_t>(content_length_); }
  /// After kComplete: the client wants the connection closed afterwards.
  bool last() const { return last_; }

  /// After kComplete: method, headers and body, and the target as sent. Leaves the framer ready
  /// for the next request.
  struct Framed {
    std::string target;
    HttpRequest request;
  };
  Framed Take(std::string_view bytes);

 private:
  /// Each returns false after refusing.
  bool TakeLines(std::string_view bytes);
  bool TakeLine(std::string_view line);
  bool TakeRequestLine(std::string_view line);
  bool TakeHeaderLine(std::string_view line);
  bool NoteHeader(std::string_view name, std::string_view value);
  bool NoteContentLength(std::string_view value);
  bool CheckHead();
  bool Refuse(int status, std::string_view reason, std::string_view text);

  FrameLimits limits_;

  std::size_t line_start_ = 0;
  std::size_t scanned_ = 0;  ///< Bytes before this are known to be clean.
  bool head_complete_ = false;
  std::size_t head_size_ = 0;

  std::string target_;
  HttpRequest request_;
  bool http_1_0_ = false;
  bool last_ = false;
  bool expects_continue_ = false;
  bool has_transfer_encoding_ = false;
  bool has_content_encoding_ = false;
  bool has_unknown_expectation_ = false;
  bool has_content_length_ = false;
  int hosts_ = 0;
  std::uint64_t content_length_ = 0;
  Refusal refusal_;
};

}  // namespace postrider
