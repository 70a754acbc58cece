#include "server/http/framing.h"

#include <algorithm>
#include <utility>

#include "server/base/strings.h"

namespace postrider {

namespace {

constexpr std::string_view kMethods[] = {"GET",   "HEAD",   "POST",   "PUT",
                                         "PATCH", "DELETE", "OPTIONS"};

bool IsTokenChar(char c) {
  const bool alphanumeric =
      (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
  return alphanumeric ||
         (c != '\0' && std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos);
}

bool IsControl(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return (byte < 0x20 && c != '\t' && c != '\r' && c != '\n') || byte == 0x7f;
}

std::string_view Trimmed(std::string_view text) {
  constexpr std::string_view kBlank = " \t";
  const std::size_t first = text.find_first_not_of(kBlank);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kBlank) - first + 1);
}

/// Whether the comma-separated `list` has `item`.
bool ListHas(std::string_view list, std::string_view item) {
  while (!list.empty()) {
    const std::size_t comma = std::min(list.find(','), list.size());
    if (SameButCase(Trimmed(list.substr(0, comma)), item)) return true;
    list.remove_prefix(std::min(comma + 1, list.size()));
  }
  return false;
}

}  // namespace

RequestFramer::State RequestFramer::Advance(std::string_view bytes) {
  if (!head_complete_ && !TakeLines(bytes)) return State::kRefused;
  if (!head_complete_ || bytes.size() < size()) return State::kNeedMore;
  return State::kComplete;
}

RequestFramer::Framed RequestFramer::Take(std::string_view bytes) {
  Framed framed{std::move(target_), std::move(request_)};
  framed.request.body = bytes.substr(head_size_, static_cast<std::size_t>(content_length_));
  *this = RequestFramer(limits_);
  return framed;
}

bool RequestFramer::TakeLines(std::string_view bytes) {
  while (!head_complete_) {
    const std::size_t newline = bytes.find('\n', scanned_);
    const std::size_t end = std::min(newline, bytes.size());
    const std::string_view fresh = bytes.substr(scanned_, end - scanned_);
    if (std::any_of(fresh.begin(), fresh.end(), IsControl))
      return Refuse(400, "control_character", "control character before the end of the headers");
    const bool first = line_start_ == 0;
    if (end - line_start_ > (first ? limits_.request_line_bytes : limits_.header_line_bytes)) {
      return first ? Refuse(414, "request_line_size", "request line too long")
                   : Refuse(431, "header_size", "header line too long");
    }
    if (end > limits_.head_bytes) return Refuse(431, "header_size", "headers too long");
    scanned_ = end;
    if (newline == std::string_view::npos) return true;

    const std::string_view line = bytes.substr(line_start_, end - line_start_);
    const std::size_t carriage_return = line.find('\r');
    if (line.empty() || carriage_return != line.size() - 1)
      return Refuse(400, "line_end", "lines must end in CR LF, with neither elsewhere");
    scanned_ = line_start_ = newline + 1;
    if (!TakeLine(line.substr(0, line.size() - 1))) return false;
  }
  return true;
}

bool RequestFramer::TakeLine(std::string_view line) {
  if (target_.empty()) return TakeRequestLine(line);
  if (!line.empty()) return TakeHeaderLine(line);
  head_complete_ = true;
  head_size_ = line_start_;
  return CheckHead();
}

bool RequestFramer::TakeRequestLine(std::string_view line) {
  const std::size_t first = line.find(' ');
  const std::size_t second = line.rfind(' ');
  if (first == std::string_view::npos || second == first)
    return Refuse(400, "request_line", "request line is not: method, target, version");
  const std::string_view method = line.substr(0, first);
  const std::string_view target = line.substr(first + 1, second - first - 1);
  const std::string_view version = line.substr(second + 1);
  if (std::find(std::begin(kMethods), std::end(kMethods), method) == std::end(kMethods))
    return Refuse(400, "request_line", "unknown method");
  const bool plain =
      std::all_of(target.begin(), target.end(), [](char c) { return c > ' ' && c <= '~'; });
  if (!plain || target.empty() || target.front() != '/')
    return Refuse(400, "request_line", "target must be a path of printable ASCII");
  if (version != "HTTP/1.1" && version != "HTTP/1.0")
    return Refuse(400, "request_line", "version must be HTTP/1.1 or HTTP/1.0");
  http_1_0_ = version == "HTTP/1.0";
  last_ = http_1_0_;
  request_.method = method;
  target_ = target;
  return true;
}

bool RequestFramer::TakeHeaderLine(std::string_view line) {
  if (request_.headers.size() >= limits_.header_count)
    return Refuse(431, "header_count", "too many headers");
  const std::size_t colon = line.find(':');
  const std::string_view name = line.substr(0, std::min(colon, line.size()));
  if (colon == std::string_view::npos || name.empty() ||
      !std::all_of(name.begin(), name.end(), IsTokenChar)) {
    return Refuse(400, "header", "header line is not: name, colon, value");
  }
  const std::string_view value = Trimmed(line.substr(colon + 1));
  request_.headers.Add(std::string(name), std::string(value));
  return NoteHeader(name, value);
}

bool RequestFramer::NoteHeader(std::string_view name, std::string_view value) {
  if (SameButCase(name, "Content-Length")) return NoteContentLength(value);
  if (SameButCase(name, "Transfer-Encoding")) has_transfer_encoding_ = true;
  if (SameButCase(name, "Host")) ++hosts_;
  if (SameButCase(name, "Connection") && ListHas(value, "close")) last_ = true;
  if (SameButCase(name, "Content-Encoding") && !SameButCase(value, "identity"))
    has_content_encoding_ = true;
  if (SameButCase(name, "Expect"))
    (SameButCase(value, "100-continue") ? expects_continue_ : has_unknown_expectation_) = true;
  return true;
}

bool RequestFramer::NoteContentLength(std::string_view value) {
  constexpr std::size_t kMostDigits = 18;
  if (has_content_length_) return Refuse(400, "content_length", "more than one Content-Length");
  const bool digits =
      std::all_of(value.begin(), value.end(), [](char c) { return c >= '0' && c <= '9'; });
  if (!digits || value.empty() || value.size() > kMostDigits)
    return Refuse(400, "content_length", "Content-Length is not a number of bytes");
  has_content_length_ = true;
  for (const char c : value)
    content_length_ = content_length_ * 10 + static_cast<unsigned>(c - '0');
  return true;
}

bool RequestFramer::CheckHead() {
  if (has_transfer_encoding_)
    return Refuse(411, "transfer_encoding", "send a Content-Length; Transfer-Encoding is refused");
  if (hosts_ > 1 || (hosts_ == 0 && !http_1_0_))
    return Refuse(400, "host", "exactly one Host header is needed");
  const bool needs_length =
      request_.method == "POST" || request_.method == "PUT" || request_.method == "PATCH";
  if (needs_length && !has_content_length_)
    return Refuse(411, "length_required", "a Content-Length is needed");
  if (has_content_encoding_)
    return Refuse(415, "content_encoding", "send the body as it is; Content-Encoding is refused");
  if (content_length_ > limits_.body_bytes) return Refuse(413, "body_size", "body too large");
  if (has_unknown_expectation_)
    return Refuse(417, "expectation", "the only expectation known is 100-continue");
  if (http_1_0_) expects_continue_ = false;
  return true;
}

bool RequestFramer::Refuse(int status, std::string_view reason, std::string_view text) {
  refusal_ = {status, reason, text};
  return false;
}

}  // namespace postrider
