#pragma once

#include <cstdint>
#include <string_view>

namespace postrider {

/// What a recipient asks for by a word. Stored; never renumber.
enum class Keyword : std::uint8_t { kNone = 0, kOptOut = 1, kOptIn = 2, kHelp = 3 };
std::string_view NameOf(Keyword keyword);

/// The keyword that `text` is: one word alone (or "opt out", "stop all"), in any case, with any
/// blanks, quotes and punctuation around it; kNone when it says anything else. `text`: UTF-8. Pure.
/// Source: the provider's list of SMS keywords; 47 CFR 64.1200(a)(10).
Keyword KeywordOf(std::string_view text);

}  // namespace postrider
