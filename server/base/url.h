#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace postrider {

/// Where a client calls: "https://host:port/prefix" in its parts.
struct BaseUrl {
  bool tls = false;
  std::string host;    ///< A name or an address; IPv6 without brackets.
  int port = 0;        ///< 443 or 80 when the URL has none.
  std::string prefix;  ///< "" or "/..." without a slash at its end.

  /// The value of the Host header: brackets and port where they are needed.
  std::string Authority() const;
};

/// INVALID_ARGUMENT saying what is wrong: another scheme, no host, a bad port, user and password,
/// query or fragment, other than printable ASCII. Source: RFC 3986.
absl::StatusOr<BaseUrl> ParseBaseUrl(std::string_view url);

/// Whether both have the same scheme, host and port. Source: RFC 6454, section 5.
bool IsSameOrigin(const BaseUrl& a, const BaseUrl& b);
/// Whether the host is this machine by its name or address: "localhost", 127.0.0.1, ::1.
bool IsLoopback(const BaseUrl& url);

}  // namespace postrider
