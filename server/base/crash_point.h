#pragma once

#include <string_view>

namespace postrider {

/// A named place where the process can be made to die, as by kill -9, so that tests can show what
/// is durable there. Does nothing unless the environment said POSTRIDER_CRASH_AT=name (dies at
/// the first passage) or name:N (at the Nth) when the first point was passed. Safe from any
/// thread; costs one comparison.
void CrashPoint(std::string_view name);

}  // namespace postrider
