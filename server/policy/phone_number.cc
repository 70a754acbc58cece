#include "server/policy/phone_number.h"

#include <algorithm>

namespace postrider {

bool IsE164(std::string_view text) {
  return text.size() >= 9 && text.size() <= 16 && text[0] == '+' && text[1] != '0' &&
         std::all_of(text.begin() + 1, text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

bool IsSenderAddress(std::string_view text) {
  constexpr std::size_t kLongestSender = 16;
  if (text.empty() || text.size() > kLongestSender) return false;
  const bool number = text.front() == '+';
  if (number) text.remove_prefix(1);
  return !text.empty() && std::all_of(text.begin(), text.end(), [number](char c) {
    const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' || c == '_';
    return (c >= '0' && c <= '9') || (!number && letter);
  });
}

}  // namespace postrider
