#include "server/base/url.h"

#include <algorithm>
#include <charconv>

#include "absl/status/status.h"

#include "server/base/strings.h"

namespace postrider {

namespace {

constexpr int kHttpPort = 80;
constexpr int kHttpsPort = 443;

/// 0 when `text` is not a port.
int PortOf(std::string_view text) {
  constexpr int kLargest = 65535;
  int port = 0;
  const char* end = text.data() + text.size();
  const auto [stopped, failure] = std::from_chars(text.data(), end, port);
  return failure == std::errc() && stopped == end && port > 0 && port <= kLargest ? port : 0;
}

}  // namespace

std::string BaseUrl::Authority() const {
  const bool bracketed = host.find(':') != std::string::npos;
  std::string authority = bracketed ? StrCat("[", host, "]") : host;
  if (port != (tls ? kHttpsPort : kHttpPort)) StrAppend(authority, ":", port);
  return authority;
}

absl::StatusOr<BaseUrl> ParseBaseUrl(std::string_view url) {
  // The URL itself is not repeated: people put passwords into them.
  const auto refused = [](std::string_view why) {
    return absl::InvalidArgumentError(StrCat("not a usable URL: ", why));
  };
  if (!std::all_of(url.begin(), url.end(), [](char c) { return c > ' ' && c <= '~'; }))
    return refused("other than printable ASCII");
  BaseUrl parts;
  if (url.starts_with("https://")) {
    parts.tls = true;
    url.remove_prefix(8);
  } else if (url.starts_with("http://")) {
    url.remove_prefix(7);
  } else {
    return refused("it must begin with https:// or http://");
  }
  if (url.find_first_of("?#@") != std::string_view::npos)
    return refused("user, query and fragment are not allowed");

  const std::size_t slash = std::min(url.find('/'), url.size());
  std::string_view authority = url.substr(0, slash);
  parts.prefix = url.substr(slash);
  while (parts.prefix.ends_with('/')) parts.prefix.pop_back();

  std::string_view port;
  if (authority.starts_with('[')) {
    const std::size_t end = authority.find(']');
    if (end == std::string_view::npos) return refused("[ without ]");
    parts.host = authority.substr(1, end - 1);
    port = authority.substr(end + 1);
  } else {
    const std::size_t colon = std::min(authority.find(':'), authority.size());
    parts.host = authority.substr(0, colon);
    port = authority.substr(colon);
  }
  if (parts.host.empty()) return refused("no host");
  parts.port = parts.tls ? kHttpsPort : kHttpPort;
  if (!port.empty()) parts.port = port.front() == ':' ? PortOf(port.substr(1)) : 0;
  if (parts.port == 0) return refused("the port must be 1 to 65535");
  return parts;
}

bool IsSameOrigin(const BaseUrl& a, const BaseUrl& b) {
  const auto lower = [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  };
  return a.tls == b.tls && a.port == b.port &&
         std::equal(a.host.begin(), a.host.end(), b.host.begin(), b.host.end(),
                    [&](char x, char y) { return lower(x) == lower(y); });
}

bool IsLoopback(const BaseUrl& url) {
  return url.host == "localhost" || url.host == "127.0.0.1" || url.host == "::1";
}

}  // namespace postrider
