#pragma once

/// Aborts with the failed condition and its place: for our own bugs only, in every build.
/// Bad input and a failing environment are absl::Status, never this.
#define PR_CHECK(condition) \
  ((condition) ? void() : ::postrider::CheckFailed(__FILE__, __LINE__, #condition))

namespace postrider {
[[noreturn]] void CheckFailed(const char* file, int line, const char* condition);
}  // namespace postrider
