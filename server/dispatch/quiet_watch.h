#pragma once

#include <chrono>
#include <functional>
#include <optional>

#include "server/base/clock.h"
#include "server/model/message.h"

namespace postrider {

/// The first time from then on when a message may leave by quiet hours; nothing: not for long.
/// Asked at each use, so that a changed rule applies to what waits. Safe from any thread.
using NextAllowedTime = std::function<std::optional<WallTime>(const MessageRequest&, WallTime)>;

/// Whether it is quiet now where a recipient is. Safe from any thread.
class QuietWatch {
 public:
  /// `clock` must outlive it. Without `next_allowed` it is never quiet.
  QuietWatch(const Clock& clock, NextAllowedTime next_allowed);

  /// How long `request` has to wait from now; 0: it may leave.
  std::chrono::nanoseconds HoldFor(const MessageRequest& request) const;

 private:
  const Clock& clock_;
  const NextAllowedTime next_allowed_;
};

}  // namespace postrider
