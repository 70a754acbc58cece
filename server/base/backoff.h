#pragma once

#include <chrono>

#include "server/base/random.h"

namespace postrider {

/// How long to wait before the next try after `tries` failed ones (from 1): full jitter, uniform
/// in [0, min(longest, first x 2^(tries - 1))], so that many who failed together do not come back
/// together. Safe from any thread.
/// Source: M. Brooker, "Exponential Backoff And Jitter" (AWS Architecture Blog, 2015).
std::chrono::nanoseconds Backoff(int tries, std::chrono::nanoseconds first,
                                 std::chrono::nanoseconds longest, Random& random);

}  // namespace postrider
