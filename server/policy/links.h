#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace postrider {

/// A link in a text.
struct Link {
  std::size_t at = 0;  ///< Its first byte in the text ...
  std::size_t size = 0;
  std::string host;  ///< ... and its host, in lower case.
};

/// What a phone would show as a link: a scheme with a host, "www." and a host, or a host of a
/// well-known domain; not the host of a mail address. In order. `text`: UTF-8. Pure.
std::vector<Link> LinksOf(std::string_view text);

/// Whether `host` is a public shortener, which hides where a link goes: carriers block those.
/// Source: CTIA, "Messaging Principles and Best Practices" (2023), section 5.3.4.
bool IsShortener(std::string_view host);

/// Whether `host` is `domain`, or below it. Both in lower case.
bool IsBelow(std::string_view host, std::string_view domain);

}  // namespace postrider
