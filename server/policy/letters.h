#pragma once

#include <cstddef>
#include <string_view>

namespace postrider {

/// How many bytes the letter or digit takes that `text` has at `at`, of any script; 0: there is
/// none. Signs, blanks, quotes and emoji are none. `text`: UTF-8. Pure.
std::size_t LetterAt(std::string_view text, std::size_t at);
/// Whether one ends just before `at`.
bool LetterBefore(std::string_view text, std::size_t at);

}  // namespace postrider
