#include "server/api/explain.h"

#include <algorithm>
#include <cmath>

#include "server/api/convert.h"
#include "server/base/status_macros.h"
#include "server/model/limits.h"

namespace postrider {

namespace {

constexpr WallTime kNone{};

/// A gate under way to the answer.
struct Held {
  v1::GateKind kind;
  WallTime until{};        ///< Epoch: not known.
  bool of_tenant = false;  ///< Holds what is ahead of it too.
  const char* detail = "";
  bool is_turn = false;  ///< Ends with the estimate.
};

v1::GateKind KindOf(HoldReason reason) {
  switch (reason) {
    case HoldReason::kSchedule:
      return v1::GATE_KIND_SCHEDULE;
    case HoldReason::kRetryAfter:
      return v1::GATE_KIND_RETRY_AFTER;
    case HoldReason::kQuota:
      return v1::GATE_KIND_QUOTA;
    case HoldReason::kTenantStopped:
      return v1::GATE_KIND_TENANT_STOPPED;
    case HoldReason::kActiveConversation:
      return v1::GATE_KIND_ACTIVE_CONVERSATION;
    case HoldReason::kNone:
    case HoldReason::kBackoff:
      break;
  }
  return v1::GATE_KIND_BACKOFF;
}

const char* NameOf(PauseScope scope) {
  switch (scope) {
    case PauseScope::kTenant:
      return "tenant";
    case PauseScope::kCampaign:
      return "campaign";
    case PauseScope::kSender:
      return "sender";
  }
  return "";
}

/// Whether, and until when, a breaker holds messages.
std::optional<Held> GateOf(const BreakerReading& breaker) {
  if (breaker.InForce() == BreakerState::kClosed) return std::nullopt;
  Held gate{.kind = v1::GATE_KIND_BREAKER,
            .of_tenant = true,
            .detail = breaker.key.breaker == Breaker::kTransport ? "transport" : "carrier"};
  if (breaker.override_in_force) {
    gate.until = breaker.override_in_force->until;
  } else if (breaker.standing.state == BreakerState::kOpen) {
    gate.until = breaker.standing.open_until;
  }
  return gate;
}

std::vector<Held> GatesOf(const MessageStatus& status, const QueuePlace& place,
                          const std::optional<LaneFacts>& lane) {
  std::vector<Held> gates;
  if (place.due_at > place.at) gates.push_back({KindOf(status.hold_reason), place.due_at});
  WallTime retry_after = place.retry_after;
  if (lane && lane->pause_left > lane->pause_left.zero()) {
    const auto left = std::chrono::duration_cast<WallTime::duration>(lane->pause_left);
    retry_after = std::max(retry_after, place.at + left);
  }
  if (retry_after > place.at) {
    gates.push_back({.kind = v1::GATE_KIND_RETRY_AFTER, .until = retry_after, .of_tenant = true});
  }
  for (const DispatchPause& pause : place.pauses) {
    gates.push_back({.kind = v1::GATE_KIND_PAUSED,
                     .until = pause.until,
                     .of_tenant = true,
                     .detail = NameOf(pause.of.scope)});
  }
  for (const BreakerReading& breaker : place.breakers) {
    if (const auto gate = GateOf(breaker)) gates.push_back(*gate);
  }
  // Before it is due nobody needs to own it.
  if (place.owner.empty() && place.due_at <= place.at)
    gates.push_back({.kind = v1::GATE_KIND_NOT_OWNED, .of_tenant = true});
  return gates;
}

/// When it leaves: after what is ahead, at the rate in force, from when the tenant may send.
std::optional<WallTime> EstimateOf(const std::vector<Held>& gates, const QueuePlace& place,
                                   double rate_per_s, const std::optional<LaneFacts>& lane) {
  WallTime begins = place.at;
  for (const Held& gate : gates) {
    if (gate.until == kNone) return std::nullopt;
    if (gate.of_tenant) begins = std::max(begins, gate.until);
  }
  double before = place.ahead + 1;
  if (lane) {
    before += lane->waiting - lane->tokens;
    if (lane->effective_per_s > 0) rate_per_s = lane->effective_per_s;
  }
  const std::chrono::duration<double> wait(std::max(0.0, before) / rate_per_s);
  const WallTime leaves = begins + std::chrono::duration_cast<WallTime::duration>(wait);
  return std::max(leaves, place.due_at);
}

v1::GateKind KindOf(const MessageStatus& status) {
  if (status.final) return v1::GATE_KIND_FINAL;
  if (status.state == MessageState::kDispatching) return v1::GATE_KIND_DISPATCHING;
  return EndsMessage(status.state) ? v1::GATE_KIND_FINAL : v1::GATE_KIND_AWAITING_RECEIPT;
}

}  // namespace

void ExplainQueued(const MessageStatus& status, const QueuePlace& place, double rate_per_s,
                   const std::optional<LaneFacts>& lane, v1::ExplainMessageResponse& out) {
  ToProto(place.at, *out.mutable_at());
  out.set_state(v1::MESSAGE_STATE_QUEUED);
  out.set_ahead(place.ahead);
  out.set_has_more_ahead(place.capped);
  std::vector<Held> gates = GatesOf(status, place, lane);
  const std::optional<WallTime> estimate = EstimateOf(gates, place, rate_per_s, lane);
  if (estimate) ToProto(*estimate, *out.mutable_estimated_at());
  if (place.due_at <= place.at) {
    gates.push_back(
        {.kind = v1::GATE_KIND_RATE, .until = estimate.value_or(kNone), .is_turn = true});
  }
  // What has no known end holds longest; its turn comes after all else.
  const auto rank = [](const Held& gate) {
    return std::pair(gate.is_turn,
                     gate.until == kNone ? WallTime::min() : kNone + (kNone - gate.until));
  };
  std::stable_sort(gates.begin(), gates.end(),
                   [&](const Held& a, const Held& b) { return rank(a) < rank(b); });
  for (const Held& gate : gates) {
    v1::Gate& shown = *out.add_gates();
    shown.set_kind(gate.kind);
    if (gate.until != kNone) ToProto(gate.until, *shown.mutable_until());
    shown.set_detail(gate.detail);
  }
}

absl::Status Explain(const ExplainParts& parts, TenantId tenant, const StatusQuery& wanted,
                     v1::ExplainMessageResponse& out) {
  // Twice: between the two reads it can have left the queue, and come back.
  for (int look = 0; look < 2; ++look) {
    PR_ASSIGN_OR_RETURN(const MessageRecord record,
                        wanted.message_id.IsNil()
                            ? parts.store.GetMessageByRequest(tenant, wanted.request_id)
                            : parts.store.GetMessage({tenant, wanted.message_id}));
    const MessageStatus& status = record.message.status;
    out.Clear();
    out.set_message_id(record.message.message_id.ToString());
    if (status.state != MessageState::kQueued || status.final) {
      ToProto(parts.clock.Wall(), *out.mutable_at());
      out.set_state(static_cast<v1::MessageState>(status.state));
      out.add_gates()->set_kind(KindOf(status));
      return absl::OkStatus();
    }
    const absl::StatusOr<QueuePlace> place =
        parts.store.FindQueuePlace({tenant, record.message.message_id}, kMaxPlaceCounted);
    if (absl::IsNotFound(place.status())) continue;
    if (!place.ok()) return place.status();
    std::optional<LaneFacts> lane;
    if (parts.lanes) {
      for (const LaneFacts& known : parts.lanes()) {
        if (known.tenant_id == tenant) lane = known;
      }
    }
    const TenantRow* row = parts.tenants.Current()->Find(tenant);
    ExplainQueued(status, *place, row == nullptr ? 1 : row->rate_per_s, lane, out);
    return absl::OkStatus();
  }
  // It moves faster than we look: it is being dispatched.
  ToProto(parts.clock.Wall(), *out.mutable_at());
  out.set_state(v1::MESSAGE_STATE_DISPATCHING);
  out.add_gates()->set_kind(v1::GATE_KIND_DISPATCHING);
  return absl::OkStatus();
}

}  // namespace postrider
