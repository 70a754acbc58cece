#pragma once

#include <chrono>
#include <compare>
#include <cstdint>
#include <optional>
#include <vector>

namespace postrider {

/// A slot under its owner: fences every write of the dispatcher.
struct Lease {
  int slot = 0;
  std::int64_t epoch = 0;
  friend auto operator<=>(const Lease&, const Lease&) = default;
};

/// What a replica has of the slots.
struct SlotShare {
  std::vector<Lease> owned;  ///< By slot.
  /// How many it should have: all live replicas about the same, those that started first one more.
  int fair = 0;
  bool contended = false;  ///< A free slot was held by a transaction: worth another try soon.
  /// The first of the others' lives ends then, unless it is renewed; none: there are no others.
  std::optional<std::chrono::nanoseconds> other_ends_in = {};
};

}  // namespace postrider
