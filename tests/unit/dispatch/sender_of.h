#pragma once

#include "server/model/ids.h"
#include "tests/support/event_log.h"

namespace postrider {

/// A sender of this folder's tests.
inline SenderId SenderOf(std::uint8_t number) { return {UuidOf(number)}; }

}  // namespace postrider
