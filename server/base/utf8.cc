#include "server/base/utf8.h"

#include <cstdint>

namespace postrider {

std::optional<char32_t> TakeCharacter(std::string_view& text) {
  if (text.empty()) return std::nullopt;
  const auto lead = static_cast<std::uint8_t>(text[0]);
  if (lead < 0x80) {
    text.remove_prefix(1);
    return lead;
  }
  std::size_t length = 0;
  char32_t least = 0;
  char32_t value = 0;
  if ((lead & 0xe0) == 0xc0) {
    length = 2, least = 0x80, value = lead & 0x1f;
  } else if ((lead & 0xf0) == 0xe0) {
    length = 3, least = 0x800, value = lead & 0x0f;
  } else if ((lead & 0xf8) == 0xf0) {
    length = 4, least = 0x10000, value = lead & 0x07;
  } else {
    return std::nullopt;
  }
  if (text.size() < length) return std::nullopt;
  for (std::size_t i = 1; i < length; ++i) {
    const auto byte = static_cast<std::uint8_t>(text[i]);
    if ((byte & 0xc0) != 0x80) return std::nullopt;
    value = value << 6 | (byte & 0x3f);
  }
  const bool surrogate = value >= 0xd800 && value <= 0xdfff;
  if (value < least || value > 0x10ffff || surrogate) return std::nullopt;
  text.remove_prefix(length);
  return value;
}

std::optional<std::size_t> CharactersOf(std::string_view text) {
  std::size_t count = 0;
  while (!text.empty()) {
    if (!TakeCharacter(text)) return std::nullopt;
    ++count;
  }
  return count;
}

}  // namespace postrider
