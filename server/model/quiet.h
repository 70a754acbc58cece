#pragma once

#include <optional>
#include <string>

namespace postrider {

inline constexpr int kMinutesOfDay = 24 * 60;

/// A stretch of each day by the local clock, in minutes since midnight: from `from_min` up to and
/// without `to_min`. It may go over midnight (21:00 to 08:00); with both alike it is empty.
struct HourSpan {
  int from_min = 0;  ///< 0 .. 1440
  int to_min = 0;    ///< 0 .. 1440; 1440: the end of the day.

  bool Contains(int minute) const {
    return from_min <= to_min ? from_min <= minute && minute < to_min
                              : from_min <= minute || minute < to_min;
  }
  friend bool operator==(const HourSpan&, const HourSpan&) = default;
};

/// What a tenant has set of quiet hours.
struct QuietSetting {
  bool on = true;                    ///< Without: nothing waits for them, not even for the law's.
  std::optional<HourSpan> own = {};  ///< Nothing leaves in these either; none: the law's only.
  std::string default_zone = {};     ///< IANA name, where nothing is known; empty: UTC.
  friend bool operator==(const QuietSetting&, const QuietSetting&) = default;
};

}  // namespace postrider
