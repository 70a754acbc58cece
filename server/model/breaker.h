#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "server/base/clock.h"
#include "server/model/dispatch_limits.h"
#include "server/model/ids.h"
#include "server/model/message.h"
#include "server/model/state.h"

namespace postrider {

/// The two circuit breakers of a tenant. Stored; never renumber.
enum class Breaker : std::uint8_t {
  kTransport = 1,  ///< Judges by how POSTs end.
  kCarrier = 2,    ///< Judges by final receipts.
};
inline constexpr Breaker kAllBreakers[] = {Breaker::kTransport, Breaker::kCarrier};
/// "TRANSPORT", "CARRIER"
std::string_view NameOf(Breaker breaker);

/// Stored; never renumber.
enum class BreakerState : std::uint8_t {
  kClosed = 1,    ///< Everything leaves.
  kOpen = 2,      ///< Nothing leaves.
  kHalfOpen = 3,  ///< Canaries leave, a few at once.
};
/// "CLOSED", "OPEN", "HALF_OPEN"
std::string_view NameOf(BreakerState state);

/// What one POST or one message says to a breaker.
enum class BreakerVerdict : std::uint8_t {
  kNothing,  ///< It does not count: neither as a call nor as a failure.
  kGood,
  kFailed,  ///< By the other side's fault.
};

/// What a POST's end says of the transport: 5xx, no answer and no connection are failures; any
/// other word of the other side shows that the way to it works. 429, quota, credentials and what
/// was not posted say nothing. Pure.
BreakerVerdict TransportVerdictOf(const Outcome& outcome);

/// What a final status from outside says of the carriers: what they refused or lost is a failure.
/// Faults of the recipient (no such number, opted out, handset away) and too much at once say
/// nothing; nor does a status that is not DELIVERED or FAILED. Pure.
BreakerVerdict CarrierVerdictOf(MessageState state, FailureReason failure);

/// What a change of a message, accepted at `accepted_at`, to `after` by a receipt at `now` says of
/// the carriers. A message speaks once, when it first becomes DELIVERED or FAILED, and only until
/// kBreakerMessageAge after it was accepted. Pure.
BreakerVerdict CarrierVerdictOf(const MessageStatus& before, const MessageStatus& after,
                                WallTime accepted_at, WallTime now);

/// A breaker as its owner left it. Times are the store's.
struct BreakerStanding {
  BreakerState state = BreakerState::kClosed;
  int trips = 0;           ///< Times that it opened since it was last closed: doubles the wait.
  int canaries = 0;        ///< While half-open: how many leave at once (1, 2, 4).
  WallTime changed_at{};   ///< When `state` changed; epoch: it was closed always.
  WallTime open_until{};   ///< While open: when the first canary goes.
  std::string cause = {};  ///< Why it opened, with the figures: one line for people.

  friend bool operator==(const BreakerStanding&, const BreakerStanding&) = default;
};

/// An operator's word, which goes before the breaker's own state while it is in force.
struct BreakerOverride {
  BreakerState state = BreakerState::kClosed;  ///< kClosed or kOpen.
  WallTime until{};
  std::string actor = {};
  std::string reason = {};

  friend bool operator==(const BreakerOverride&, const BreakerOverride&) = default;
};

}  // namespace postrider
