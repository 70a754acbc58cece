#pragma once

#include <cstddef>

namespace postrider {

/// Gives memory that was freed and that the allocator still holds back to the system, when it is
/// more than `least_bytes`: after a crowd of streams has gone, it would hold what they needed for
/// ever. Returns how much it held. Takes some milliseconds; safe from any thread.
/// Source: malloc_trim(3), mallinfo(3).
std::size_t ReturnFreeMemory(std::size_t least_bytes);

}  // namespace postrider
