#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <optional>
#include <stop_token>

#include <grpcpp/support/string_ref.h>

#include "client/error.h"
#include "server/base/clock.h"
#include "server/base/random.h"

namespace postrider::client {

/// When and how long a call is repeated.
struct RetryOptions {
  std::chrono::milliseconds first{200};      ///< Upper bound of the first pause.
  std::chrono::milliseconds longest{10000};  ///< Upper bound of any pause of our own choice.
  /// Of one operation with all its tries and pauses; a pause that would not fit ends it.
  std::chrono::milliseconds budget{30000};
  /// How long one operation waits besides for its turn, at the times that the gateway names: for
  /// room in the queue (QUEUE_FULL), and at the tenant's compliance check, which is asked so many
  /// times a minute (COMPLIANCE_CHECK_UNAVAILABLE); 0: as `budget` says.
  std::chrono::milliseconds turn_budget{120000};
};

/// The pause after `failures` (from 1) tries in a row that failed: exponential backoff with full
/// jitter, uniform in [0, min(longest, first x 2^(failures - 1))].
std::chrono::nanoseconds BackoffOf(int failures, const RetryOptions& options, Random& random);

/// What the trailer `grpc-retry-pushback-ms` says.
struct Pushback {
  bool never = false;  ///< Negative or unreadable: do not repeat the call.
  std::chrono::milliseconds after{0};
};

/// nullopt when there is no such trailer.
/// Source: gRPC proposal A6, "Pushback".
std::optional<Pushback> PushbackOf(
    const std::multimap<grpc::string_ref, grpc::string_ref>& trailers);

/// How long to wait before a call that failed with `error` for the `failures`-th time in a row is
/// repeated; nullopt when it must not be.
///
/// Repeated are UNAVAILABLE, DEADLINE_EXCEEDED (the answer may be lost, and every call of
/// MessageService may be repeated), CANCELLED (a call of ours that a gateway met in the last moment
/// of its own end: gRPC then has no better word) and RESOURCE_EXHAUSTED when the gateway says when
/// to come back by a pushback. The pause is what the gateway asked for (RetryInfo or pushback, the
/// longer) plus BackoffOf(), the first one where a turn is waited for (RetryOptions::turn_budget):
/// there the gateway spaces its callers itself.
std::optional<std::chrono::nanoseconds> RetryPauseOf(const Error& error,
                                                     std::optional<Pushback> pushback, int failures,
                                                     const RetryOptions& options, Random& random);

/// What is left of the budgets of one operation.
class RetryBudget {
 public:
  RetryBudget(const RetryOptions& options, MonotonicTime now)
      : give_up_at_(now + options.budget), turns_left_(options.turn_budget) {}
  /// Whether a call that failed with `error` at `now` may be repeated after `pause`; takes it from
  /// the budget that it belongs to.
  bool Take(const Error& error, MonotonicTime now, std::chrono::nanoseconds pause);

 private:
  MonotonicTime give_up_at_;
  std::chrono::nanoseconds turns_left_;
};

/// Where the library takes time and chance from. The objects must outlive what uses them; the
/// functions may be called from any thread.
struct Seams {
  const Clock& clock;
  Random& random;
  /// Waits for the duration or for the stop, whichever is first; true when stopped.
  std::function<bool(std::stop_token, std::chrono::nanoseconds)> wait;
  /// How long, by the machine's clock, a repeated call lets the channel connect at most.
  std::chrono::milliseconds connect_wait{1000};
};

/// The machine's clock and generator.
Seams SystemSeams();

}  // namespace postrider::client
