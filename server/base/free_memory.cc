#include "server/base/free_memory.h"

#include <malloc.h>

namespace postrider {

std::size_t ReturnFreeMemory(std::size_t least_bytes) {
  const std::size_t held = mallinfo2().fordblks;
  if (held > least_bytes) malloc_trim(0);
  return held;
}

}  // namespace postrider
