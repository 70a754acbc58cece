#pragma once

#include <bit>
#include <cstdint>
#include <utility>

#include "absl/status/status.h"

namespace postrider {

/// Failures in a row of something that is tried again and again: says which of them are worth a
/// line in the log, so that an outage of an hour is a dozen lines and not thousands. Not thread
/// safe.
class RepeatedFailure {
 public:
  /// One more. True for the first and whenever the count in a row reaches a power of two.
  [[nodiscard]] bool Failed() { return std::has_single_bit(++count_); }
  /// A success. How many failures it ends: 0 mostly, and then there is nothing to say.
  [[nodiscard]] std::uint64_t Worked() { return std::exchange(count_, 0); }
  /// In a row until now.
  std::uint64_t count() const { return count_; }

 private:
  std::uint64_t count_ = 0;
};

/// One more failure: `event` is logged as a warning with `why`, when that is worth a line.
void LogFailure(RepeatedFailure& repeated, const char* event, const absl::Status& why);
/// A success: `event` is logged when it ends failures.
void LogWorksAgain(RepeatedFailure& repeated, const char* event);

}  // namespace postrider
