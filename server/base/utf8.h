#pragma once

#include <optional>
#include <string_view>

namespace postrider {

/// Takes the first character off `text`. Nothing when it is not well-formed UTF-8 (truncated,
/// overlong, a surrogate, above U+10FFFF) or `text` is empty. Pure. Source: RFC 3629.
std::optional<char32_t> TakeCharacter(std::string_view& text);

/// The number of characters (code points); nothing when `text` is not well-formed UTF-8.
std::optional<std::size_t> CharactersOf(std::string_view text);

}  // namespace postrider
