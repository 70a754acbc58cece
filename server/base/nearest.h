#pragma once

#include <span>
#include <string>
#include <string_view>

namespace postrider {

/// The word of `known` with the fewest letters to change, or "" when none is near: what somebody
/// who misspelt `word` may have meant. Pure.
std::string NearestOf(std::string_view word, std::span<const std::string> known);

}  // namespace postrider
