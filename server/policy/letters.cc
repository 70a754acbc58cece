#include "server/policy/letters.h"

#include <optional>

#include "server/base/utf8.h"

namespace postrider {

namespace {

/// Roughly: what is beyond ASCII is a letter but for the blocks of signs. Source: The Unicode
/// Standard 15, "Blocks.txt".
bool IsLetter(char32_t c) {
  if (c < 0x80) {
    return (c >= U'a' && c <= U'z') || (c >= U'A' && c <= U'Z') || (c >= U'0' && c <= U'9');
  }
  const bool sign = c < 0xc0 ||                     // Latin-1 signs, no-break space
                    (c >= 0x2000 && c < 0x2c00) ||  // punctuation, currencies, arrows, dingbats
                    (c >= 0x3000 && c < 0x3040) ||  // CJK punctuation
                    (c >= 0xfe00 && c < 0xfe70) ||  // variation selectors, small forms
                    (c >= 0xff00 && c < 0xff10) || c >= 0x1f000;  // full-width signs; emoji
  return !sign;
}

}  // namespace

std::size_t LetterAt(std::string_view text, std::size_t at) {
  if (at >= text.size()) return 0;
  std::string_view rest = text.substr(at);
  const std::size_t before = rest.size();
  const std::optional<char32_t> c = TakeCharacter(rest);
  return c && IsLetter(*c) ? before - rest.size() : 0;
}

bool LetterBefore(std::string_view text, std::size_t at) {
  if (at == 0) return false;
  std::size_t begin = at - 1;
  while (begin > 0 && (static_cast<unsigned char>(text[begin]) & 0xc0) == 0x80) --begin;
  return LetterAt(text, begin) > 0;
}

}  // namespace postrider
