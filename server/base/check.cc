#include "server/base/check.h"

#include <cstdio>
#include <cstdlib>

namespace postrider {

void CheckFailed(const char* file, int line, const char* condition) {
  std::fprintf(stderr, "%s:%d: PR_CHECK failed: %s\n", file, line, condition);
  std::abort();
}

}  // namespace postrider
