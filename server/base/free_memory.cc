#include "server/base/free_memory.h"

#include <algorithm>
#include <malloc.h>

namespace postrider {

std::size_t FreeMemory::Return(std::size_t least_bytes) {
  const std::size_t free = mallinfo2().fordblks;
  if (free <= known_ + least_bytes) {
    known_ = std::min(known_, free);
    return free;
  }
  malloc_trim(0);
  known_ = mallinfo2().fordblks;
  return known_;
}

}  // namespace postrider
