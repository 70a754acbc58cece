#include "client/retry.h"

#include <algorithm>
#include <charconv>
#include <cstdint>

#include "server/base/worker.h"

namespace postrider::client {

namespace {
bool WaitsForATurn(const Error& error) {
  return error.reason == "QUEUE_FULL" || error.reason == "COMPLIANCE_CHECK_UNAVAILABLE";
}
}  // namespace

std::chrono::nanoseconds BackoffOf(int failures, const RetryOptions& options, Random& random) {
  const int doublings = std::clamp(failures - 1, 0, 30);
  const std::chrono::nanoseconds bound = std::min<std::chrono::nanoseconds>(
      options.longest, std::chrono::nanoseconds(options.first) * (std::int64_t{1} << doublings));
  return std::chrono::nanoseconds(
      static_cast<std::int64_t>(random.Fraction() * static_cast<double>(bound.count())));
}

std::optional<Pushback> PushbackOf(
    const std::multimap<grpc::string_ref, grpc::string_ref>& trailers) {
  const auto found = trailers.find("grpc-retry-pushback-ms");
  if (found == trailers.end()) return std::nullopt;
  const grpc::string_ref value = found->second;
  std::int32_t ms = 0;
  const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), ms);
  if (error != std::errc() || end != value.data() + value.size() || ms < 0) {
    return Pushback{.never = true};
  }
  return Pushback{.never = false, .after = std::chrono::milliseconds(ms)};
}

std::optional<std::chrono::nanoseconds> RetryPauseOf(const Error& error,
                                                     std::optional<Pushback> pushback, int failures,
                                                     const RetryOptions& options, Random& random) {
  if (pushback.has_value() && pushback->never) return std::nullopt;
  switch (error.code) {
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kCancelled:
    case absl::StatusCode::kDeadlineExceeded:
      break;
    case absl::StatusCode::kResourceExhausted:
      if (!pushback.has_value()) return std::nullopt;
      break;
    default:
      return std::nullopt;
  }
  std::chrono::milliseconds asked = error.retry_after.value_or(std::chrono::milliseconds(0));
  if (pushback.has_value()) asked = std::max(asked, pushback->after);
  return asked + BackoffOf(WaitsForATurn(error) ? 1 : failures, options, random);
}

bool RetryBudget::Take(const Error& error, MonotonicTime now, std::chrono::nanoseconds pause) {
  if (WaitsForATurn(error) && pause <= turns_left_) {
    turns_left_ -= pause;
    give_up_at_ += pause;
    return true;
  }
  return now + pause <= give_up_at_;
}

Seams SystemSeams() {
  static SystemClock clock;
  static OsRandom random;
  return {.clock = clock, .random = random, .wait = WaitOrStop};
}

}  // namespace postrider::client
