#pragma once

#include <compare>
#include <cstdint>

namespace postrider {

/// A slot under its owner: fences every write of the dispatcher.
struct Lease {
  int slot = 0;
  std::int64_t epoch = 0;
  friend auto operator<=>(const Lease&, const Lease&) = default;
};

}  // namespace postrider
