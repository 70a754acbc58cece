#include "server/base/backoff.h"

#include <algorithm>

namespace postrider {

std::chrono::nanoseconds Backoff(int tries, std::chrono::nanoseconds first,
                                 std::chrono::nanoseconds longest, Random& random) {
  std::chrono::nanoseconds bound = first;
  for (int i = 1; i < tries && bound < longest; ++i) bound *= 2;
  bound = std::min(bound, longest);
  return std::chrono::nanoseconds(
      static_cast<std::int64_t>(random.Fraction() * static_cast<double>(bound.count() + 1)));
}

}  // namespace postrider
