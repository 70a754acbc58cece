#pragma once

#include <cstddef>

namespace postrider {

/// Gives memory that was freed and that the allocator still holds back to the system: after a crowd
/// of streams has gone it would hold what they needed for ever. For one caller at a time.
/// Source: malloc_trim(3), mallinfo(3).
class FreeMemory {
 public:
  /// Does so when `least_bytes` more are free than after the last time: what was given back still
  /// counts as free. Returns how much is free. Takes some milliseconds.
  std::size_t Return(std::size_t least_bytes);

 private:
  std::size_t known_ = 0;
};

}  // namespace postrider
