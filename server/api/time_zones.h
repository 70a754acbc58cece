#pragma once

#include <string_view>

namespace postrider {

/// True for a name of the machine's time zone database, such as "America/New_York". The names are
/// read once, so that callers' guesses cost neither file access nor memory. Safe from any thread.
/// Source: zoneinfo(5).
bool IsTimeZoneName(std::string_view name);

}  // namespace postrider
