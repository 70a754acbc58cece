#include "server/policy/phone_number.h"

#include <algorithm>

namespace postrider {

bool IsE164(std::string_view text) {
  return text.size() >= 9 && text.size() <= 16 && text[0] == '+' && text[1] != '0' &&
         std::all_of(text.begin() + 1, text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

}  // namespace postrider
