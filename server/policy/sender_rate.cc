#include "server/policy/sender_rate.h"

#include <algorithm>

namespace postrider {

double SegmentsPerSecondOf(std::string_view address) {
  constexpr double kLongCode = 1;
  constexpr double kTollFree = 3;
  constexpr double kElsewhere = 10;
  constexpr double kShortCode = 100;
  if (address.starts_with("+1")) {
    for (const std::string_view area : {"800", "833", "844", "855", "866", "877", "888"}) {
      if (address.substr(2).starts_with(area)) return kTollFree;
    }
    return kLongCode;
  }
  const bool digits =
      std::all_of(address.begin(), address.end(), [](char c) { return c >= '0' && c <= '9'; });
  if (digits && address.size() >= 3 && address.size() <= 8) return kShortCode;
  return kElsewhere;
}

}  // namespace postrider
