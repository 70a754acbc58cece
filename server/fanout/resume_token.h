#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"

#include "server/model/events.h"

namespace postrider {

/// A position as callers keep it: opaque text, kMaxResumeTokenBytes at most, of the URL alphabet.
/// It does not depend on the stream's filters and holds on every replica; of the ticks it carries
/// number and nonce, not the time.
std::string EncodeResumeToken(const EventPosition& position, TenantId tenant);

/// INVALID_ARGUMENT when `text` is not a token, was altered, or is another tenant's. The checksum
/// finds accidents; a caller who forges one sees nothing but the own tenant's events.
absl::StatusOr<EventPosition> ParseResumeToken(std::string_view text, TenantId tenant);

}  // namespace postrider
